"""A load word and a vector that are offered to an empty engine together: the vector waits for the whole network."""

import numpy as np
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.random_field import random_mlp
from reference.mlp import mlp_integer
from rtl.mlp.mlp_engine import MlpEngine

CONFIG = MlpEngineConfig(rows=4, cols=4, max_width=4, nano_batch=9, max_layers=1, weight_tiles=1)
NETWORK = MlpConfig(n_input_dims=4, n_neurons=4, n_hidden_layers=0, n_output_dims=4)


def test_a_vector_waits_from_the_first_word_of_a_new_network_on(seed: int) -> None:
    """It is offered in the clock in which the first word is taken, and is the new network's."""
    rng = np.random.default_rng(seed)
    old, new = (random_mlp(NETWORK, CONFIG.profile, rng) for _ in range(2))
    vector = rng.integers(-128, 128, (1, 4))
    golden = mlp_integer(new, vector, CONFIG.profile).numpy()
    assert (golden != mlp_integer(old, vector, CONFIG.profile).numpy()).any()
    dut, found = MlpEngine(CONFIG), []

    async def bench(ctx) -> None:
        load, inputs = dut.load, dut.inputs
        ctx.set(dut.outputs.ready, 1)
        ctx.set(inputs.payload, {"values": vector[0].tolist(), "last": 1})
        for network in (old, new):
            image = mlp_image(network, CONFIG)
            ctx.set(load.valid, 1)
            for number, word in enumerate(zip(image.target, image.address, image.data, strict=True)):
                ctx.set(load.payload, dict(zip(("target", "address", "data"), map(int, word), strict=True)))
                if number == 0:  # it waits a clock
                    await ctx.tick()
                ctx.set(inputs.valid, network is new)
                assert (ctx.get(load.ready), ctx.get(inputs.ready)) == (1, 0)
                await ctx.tick()
            ctx.set(load.valid, 0)
            # the old network is ready for vectors
            await ctx.tick().repeat(CONFIG.prime_cycles)
        for _ in range(200):
            if ctx.get(inputs.ready):
                await ctx.tick()
                ctx.set(inputs.valid, 0)
            if ctx.get(dut.outputs.valid):
                found.append(list(ctx.get(dut.outputs.payload.values)))
            await ctx.tick()

    simulator = Simulator(Fragment.get(dut, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == golden.tolist()
