"""The MLP engine in fp16 in Amaranth's simulator: a GPU's bits, and the cycle model's clocks, on a few dot units."""

import numpy as np
import pytest
import torch
from amaranth.sim import Simulator

from arch.checkpoint import FloatMlp
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.mlp_plan import plan_mlp
from reference.mlp import mlp_fp16
from rtl.mlp.mlp_engine import MlpEngine
from sim.engine.mlp import MlpClock

NETWORK = {"n_neurons": 4, "n_hidden_layers": 1, "n_output_dims": 4, "activation": "LeakyReLU"}
CASES = {
    # two row tiles, whose sums go round through the accumulator
    "row-tiles": (
        MlpEngineConfig(rows=16, cols=4, nano_batch=8, max_width=32, max_layers=3, weight_tiles=8, arithmetic="fp16"),
        MlpConfig(n_input_dims=32, **NETWORK),
        12,
        "1x1",
    ),
    "row-halves": (
        MlpEngineConfig(
            rows=32, cols=4, nano_batch=176, max_width=64, max_layers=4, weight_tiles=24, arithmetic="fp16",
            fission=True,
        ),
        MlpConfig(n_input_dims=16, **NETWORK),
        180,
        "2x1",
    ),
    # CutlassMLP's steps, two dot units one behind the other
    "steps-of-8": (
        MlpEngineConfig(
            rows=16, cols=4, nano_batch=8, max_width=32, max_layers=3, weight_tiles=8, arithmetic="fp16", chunk=8,
        ),
        MlpConfig(n_input_dims=24, **NETWORK),
        10,
        "1x1",
    ),
    # sums of every size, in both layers through the table; the straight layers of others are the cases above
    "sine": (
        MlpEngineConfig(
            rows=16, cols=4, nano_batch=8, max_width=16, max_layers=3, weight_tiles=8, arithmetic="fp16",
            activation_tables=1, sine=True,
        ),
        MlpConfig(
            n_input_dims=16, n_neurons=4, n_hidden_layers=1, n_output_dims=4, activation="Sine",
            output_activation="Sine",
        ),
        30,
        "1x1",
    ),
    # the library adds the products of so many outputs in steps of 8: the neurons lie apart
    "wide-outputs": (
        MlpEngineConfig(rows=16, cols=4, nano_batch=8, max_width=32, max_layers=3, weight_tiles=32, arithmetic="fp16"),
        MlpConfig(n_input_dims=8, n_neurons=12, n_hidden_layers=1, n_output_dims=17),
        9,
        "1x1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.long) if case == "wide-outputs" else case for case in CASES]
)
def test_a_gpus_bits_in_the_models_clocks(case: str, seed: int) -> None:
    engine, config, vectors, split = CASES[case]
    assert {str(layer.split) for layer in plan_mlp(config, engine).layers} == {split}
    rng = np.random.default_rng(seed)
    weights = tuple(
        (rng.standard_normal((layer.n_out, layer.n_in)) * 0.5).astype(np.float16) for layer in config.layers
    )
    network = FloatMlp(config=config, weights=weights)
    inputs = rng.standard_normal((vectors, engine.max_width)).astype(np.float16)
    if engine.sine:
        inputs *= np.float16(2) ** rng.integers(-14, 14, (vectors, 1)).astype(np.float16)
    inputs[:, config.n_input_dims :] = np.inf  # what the network does not read must not matter
    read = torch.from_numpy(inputs[:, : config.n_input_dims])
    golden = mlp_fp16(config, weights, read, chunk=engine.chunk).numpy().view(np.int16)
    image = mlp_image(network, engine)
    dut = MlpEngine(engine)
    accepted, given, values = [], [], []

    async def bench(ctx):
        for target, address, data in zip(image.target, image.address, image.data, strict=True):
            ctx.set(dut.load.payload, {"target": int(target), "address": int(address), "data": int(data)})
            ctx.set(dut.load.valid, 1)
            await ctx.tick().until(dut.load.ready)
        ctx.set(dut.load.valid, 0)
        ctx.set(dut.outputs.ready, 1)
        for clock in range(20 * vectors + 1000):
            number = len(accepted)
            ctx.set(dut.inputs.valid, number < vectors)
            if number < vectors:
                raw = [int(value) for value in inputs[number].view(np.int16)]
                ctx.set(dut.inputs.payload, {"values": raw, "last": number == vectors - 1})
                if ctx.get(dut.inputs.ready):
                    accepted.append(clock)
            if ctx.get(dut.outputs.valid):
                given.append(clock)
                values.append([ctx.get(dut.outputs.payload.values[c]) for c in range(config.n_output_dims)])
                if len(given) == vectors:
                    return
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert np.array_equal(values, golden)
    model = MlpClock(config, engine).run(vectors)
    assert [clock - accepted[0] for clock in given] == (model.outputs - model.accepted[0]).tolist()
