"""The MLP engine in fp16, generated Verilog under Verilator: a GPU's bits, and the cycle model's clocks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from arch.checkpoint import FloatMlp
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.mlp_plan import plan_mlp
from reference.mlp import mlp_fp16
from sim.cosim.engine import mlp_simulator
from sim.engine.mlp import MlpClock

pytestmark = pytest.mark.cosim

# Eight dot units in two rows: row halves, column groups of one unit, row tiles, a side input.
ENGINE = MlpEngineConfig(
    rows=32, cols=4, nano_batch=48, max_width=64, max_layers=6, weight_tiles=128, arithmetic="fp16", fission=True,
    side_first=48, side_inputs=16,
)  # fmt: skip
NETWORKS = [
    (MlpConfig(n_input_dims=64, n_neurons=16, n_hidden_layers=2, n_output_dims=16),),
    # row tiles, whose sums go round through the accumulators
    (MlpConfig(n_input_dims=48, n_neurons=64, n_hidden_layers=1, n_output_dims=3, activation="LeakyReLU"),),
    (MlpConfig(n_input_dims=13, n_neurons=20, n_hidden_layers=1, n_output_dims=5, output_activation="ReLU"),),
    (
        MlpConfig(n_input_dims=32, n_neurons=16, n_hidden_layers=1, n_output_dims=16),
        MlpConfig(n_input_dims=32, n_neurons=16, n_hidden_layers=1, n_output_dims=3, output_activation="LeakyReLU"),
    ),
]

# layers that go through tables, and outputs whose products the library adds in steps of 8
OTHERS = [
    (
        MlpConfig(
            n_input_dims=40, n_neurons=32, n_hidden_layers=2, n_output_dims=5,
            activation="Softplus", output_activation="Sigmoid",
        ),
    ),
    (MlpConfig(n_input_dims=64, n_neurons=32, n_hidden_layers=1, n_output_dims=40, output_activation="Tanh"),),
    (
        MlpConfig(
            n_input_dims=48, n_neurons=32, n_hidden_layers=2, n_output_dims=3, activation="Sine",
            output_activation="Tanh",
        ),
    ),
]  # fmt: skip


def _draw(rng: np.random.Generator, networks: tuple[MlpConfig, ...], vectors: int) -> tuple[tuple, np.ndarray]:
    """Weights and inputs of ordinary size, some of them subnormal or zero; and vectors whose sums overflow."""
    drawn = []
    for network in networks:
        weights = []
        for layer in network.layers:
            matrix = rng.standard_normal((layer.n_out, layer.n_in)) * (2.0 / layer.n_in) ** 0.5
            matrix *= rng.choice([1.0, 1.0, 1.0, 0.0, 2.0**-16], matrix.shape)
            weights.append(matrix.astype(np.float16))
        drawn.append(FloatMlp(config=network, weights=tuple(weights)))
    inputs = rng.standard_normal((vectors, ENGINE.max_width))
    inputs *= rng.choice([1.0, 1.0, 1e-6, 3e4], (vectors, 1), p=[0.4, 0.4, 0.1, 0.1])
    # what the network does not read must not matter, be it infinite
    with np.errstate(over="ignore"):
        return tuple(drawn), inputs.astype(np.float16)


def _expected(networks: tuple[FloatMlp, ...], inputs: np.ndarray, engine: MlpEngineConfig) -> np.ndarray:
    """Results in the order of ``MlpPlan.results``; every NaN as hardware writes it."""
    first = networks[0]
    read = torch.from_numpy(inputs[:, : first.config.n_input_dims])
    found = mlp_fp16(first.config, first.weights, read, chunk=engine.chunk)
    if len(networks) > 1:
        side = torch.from_numpy(inputs[:, engine.side_first : engine.side_first + engine.side_inputs])
        second = mlp_fp16(networks[1].config, networks[1].weights, torch.cat((found, side), dim=1), chunk=engine.chunk)
        found = torch.cat((second, found), dim=1)
    found = found.numpy()
    return np.where(np.isnan(found), 0x7FFF, found.view(np.uint16))


def _check(engine: MlpEngineConfig, cases: list[tuple[MlpConfig, ...]], vectors: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    simulator, infinite, split = None, 0, set()
    for configs in cases:
        networks, inputs = _draw(rng, configs, vectors)
        if simulator is None:
            simulator = mlp_simulator(networks, engine)
        else:
            simulator.load(mlp_image(networks, engine))
        plan = plan_mlp(configs, engine)
        split |= {str(layer.split) for layer in plan.layers}
        expected = _expected(networks, inputs, engine)
        infinite += int(np.count_nonzero(expected & 0x7FFF == 0x7C00))
        simulator._n_outputs = engine.max_width
        run = simulator.run(inputs.view(np.int16))
        found = run.outputs[:, list(plan.results)].astype(np.int16).view(np.uint16)
        assert np.array_equal(found, expected), configs
        model = MlpClock(configs, engine).run(vectors)
        assert run.accepted.tolist() == (model.accepted - model.accepted[0]).tolist()
        assert run.given.tolist() == (model.outputs - model.accepted[0]).tolist()
        stalled = simulator.run(inputs.view(np.int16), idle=0.3, backpressure=0.3)
        assert np.array_equal(stalled.outputs, run.outputs)
    simulator.__exit__()
    assert infinite > 0
    if cases is NETWORKS and engine.fission and engine.rows >= 32:
        assert len(split) > 1, split


@pytest.mark.long
def test_a_gpus_bits_in_the_models_clocks(seed):
    _check(ENGINE, NETWORKS, 200, seed)


@pytest.mark.long
@pytest.mark.parametrize("chunk", [8, 16])
def test_steps_of_eight_and_tables(chunk, seed):
    engine = replace(ENGINE, chunk=chunk, activation_tables=2, sine=True)
    _check(engine, [*NETWORKS[:2], *OTHERS], 200, seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("rows", "cols", "fission"), [(16, 16, True), (32, 32, False), (64, 16, True), (64, 64, True)])
def test_other_arrays(rows, cols, fission, seed):
    engine = replace(ENGINE, rows=rows, cols=cols, fission=fission, nano_batch=160)
    _check(engine, NETWORKS, 700, seed)
