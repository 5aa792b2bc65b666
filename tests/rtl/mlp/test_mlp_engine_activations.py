"""Every activation through the whole engine under Verilator: bits against the reference, clocks against the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from arch.activation_table import INTEGER_ACTIVATIONS, TABLE_ACTIVATIONS
from arch.checkpoint import QuantizedMlp
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.random_field import random_mlp
from reference.activation_table import activate_integer
from reference.mlp import mlp_integer
from rtl.mlp.mlp_engine import MlpEngine
from rtl.streams import LoadLayout, VectorLayout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator
from sim.engine.mlp import mlp_cycles

WIDE = MlpEngineConfig(rows=8, cols=8, max_width=16, nano_batch=40, max_layers=3, weight_tiles=12, activation_tables=2)
ENGINES = {
    "int8": WIDE,
    "int16": replace(WIDE, cols=4, weight_tiles=22, arithmetic="int16"),
    "int8 with fission": replace(WIDE, fission=True),
}
N_VECTORS = 2 * 40 + 13
MAX_CYCLES = 50_000


def sharpened(network: QuantizedMlp) -> QuantizedMlp:
    """The same network with sums 32 times as large, so that most of them saturate at both ends."""
    return replace(network, shifts=tuple(shift - 5 for shift in network.shifts))


@pytest.mark.cosim
@pytest.mark.parametrize("name", [pytest.param("int8", marks=pytest.mark.long), "int16", "int8 with fission"])
def test_every_activation(name: str, seed: int) -> None:
    """Hidden and last layers of every activation, tables reloaded between networks, in range and saturating."""
    engine = ENGINES[name]
    profile = engine.profile
    lowest, highest = profile.value.minimum, profile.value.maximum
    rng = np.random.default_rng(seed)
    layout = VectorLayout(engine.max_width, profile.value_bits)
    with RtlSimulator(MlpEngine(engine), "mlp_engine", seed=seed) as simulator:
        for number, activation in enumerate(INTEGER_ACTIVATIONS):
            # the last layers are the same activations by another turn, so every pair of kinds meets in one network
            output = INTEGER_ACTIVATIONS[(number + 3) % len(INTEGER_ACTIVATIONS)]
            config = MlpConfig(
                n_input_dims=11,
                n_neurons=14,
                n_hidden_layers=2,
                n_output_dims=9,
                activation=activation,
                output_activation=output,
            )
            seen = []
            calm = random_mlp(config, profile, rng)
            for network in (calm, sharpened(calm)):
                image = mlp_image(network, engine)
                load = {"target": image.target, "address": image.address, "data": image.data}
                simulator.run({"load": pack_payloads(LoadLayout(), load)}, {}, max_cycles=MAX_CYCLES)
                vectors = rng.integers(lowest, highest + 1, (N_VECTORS, engine.max_width))
                last = np.arange(N_VECTORS) == N_VECTORS - 1
                block = simulator.run(
                    {"inputs": pack_payloads(layout, {"values": vectors, "last": last})},
                    {"outputs": N_VECTORS},
                    max_cycles=MAX_CYCLES,
                )
                outputs = unpack_payloads(layout, block.outputs["outputs"])["values"]
                expected = mlp_integer(network, vectors[:, : config.n_input_dims], profile).numpy()
                np.testing.assert_array_equal(outputs[:, : config.n_output_dims], expected)
                # columns of the last tile past the outputs have sums of 0, and the activation of that
                curve, width = network.layer_curves[-1], engine.lane_values if engine.fission else engine.cols
                end = -(-config.n_output_dims // width) * width
                rest = int(activate_integer(curve, torch.tensor(0), profile)) if curve else 0
                assert np.all(outputs[:, config.n_output_dims : end] == rest)
                assert not outputs[:, end:].any()
                timing = mlp_cycles(config, engine, N_VECTORS)
                base = block.sent["inputs"][0]
                np.testing.assert_array_equal(block.sent["inputs"] - base, timing.accepted)
                np.testing.assert_array_equal(block.taken["outputs"] - base, timing.outputs)
                seen.append(expected)
            values = np.concatenate(seen)
            assert len(np.unique(values)) > 20
            if output in TABLE_ACTIVATIONS and output != "Tanh":
                assert values.min() >= 0
            if output in ("None", "Tanh"):
                assert values.min() <= lowest + 1
            assert values.max() >= highest - 9
