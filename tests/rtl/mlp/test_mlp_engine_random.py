"""Random networks, one and two a point, with and without fission, in blocks of cycles under Verilator."""

from dataclasses import replace

import numpy as np
import pytest

from arch.checkpoint import QuantizedMlp
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.mlp_plan import plan_mlp
from reference.mlp import mlp_integer
from rtl.mlp.mlp_engine import MlpEngine
from rtl.streams import LoadLayout, VectorLayout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator
from sim.engine.mlp import MlpClock

WHOLE = MlpEngineConfig(rows=8, cols=8, max_width=32, nano_batch=40, weight_tiles=128, side_first=16, side_inputs=8)
FISSION = replace(WHOLE, nano_batch=128, fission=True)
ENGINES = [pytest.param(WHOLE, marks=pytest.mark.long, id="whole"), pytest.param(FISSION, id="fission")]
MAX_CYCLES = 400_000


def quantized(config: MlpConfig, rng: np.random.Generator, scale: float = 1.0) -> QuantizedMlp:
    layers = config.layers
    return QuantizedMlp(
        config=config,
        weights=tuple(rng.integers(-128, 128, (layer.n_out, layer.n_in)).astype(np.int8) for layer in layers),
        multipliers=tuple(min(round(scale * 2**22 / (74 * layer.n_in**0.5)), 65535) for layer in layers),
        shifts=(22,) * len(layers),
        output_scale=1.0,
    )


def draw(rng: np.random.Generator, engine: MlpEngineConfig) -> list[QuantizedMlp]:
    """One network of 1 to 8 layers, or two of 5 at most whose second one has side inputs; what ``engine`` holds."""
    activations = ("None", "ReLU")

    def network(n_in: int, n_out: int, n_hidden: int) -> QuantizedMlp:
        config = MlpConfig(
            n_input_dims=n_in,
            n_neurons=int(rng.integers(1, 33)),
            n_hidden_layers=n_hidden,
            n_output_dims=n_out,
            activation=activations[rng.integers(2)],
            output_activation=activations[rng.integers(2)],
        )
        return quantized(config, rng, scale=float(rng.choice([0.5, 1.0, 4.0])))

    while True:
        if rng.random() < 0.5:
            networks = [network(*rng.integers(1, 33, 2).tolist(), int(rng.integers(0, 8)))]
        else:
            n_in, middle, n_out = (int(rng.integers(1, high + 1)) for high in (16, 8, 24))
            networks = [
                network(n_in, middle, int(rng.integers(0, 3))),
                network(middle + engine.side_inputs, n_out, int(rng.integers(0, 3))),
            ]
        roomy = replace(engine, weight_tiles=4096)
        if plan_mlp([each.config for each in networks], roomy).tiles <= engine.weight_tiles:
            return networks


def expected(networks: list[QuantizedMlp], vectors: np.ndarray, config: MlpEngineConfig) -> np.ndarray:
    """The reference's results, the last network's first."""
    first = mlp_integer(networks[0], vectors[:, : networks[0].config.n_input_dims], config.profile).numpy()
    if len(networks) == 1:
        return first
    side = vectors[:, config.side_first : config.side_first + config.side_inputs]
    second = mlp_integer(networks[1], np.concatenate([first, side], axis=1), config.profile).numpy()
    return np.concatenate([second, first], axis=1)


def run(simulator: RtlSimulator, networks: list[QuantizedMlp], vectors: np.ndarray, config: MlpEngineConfig, **stalls):
    """Load, send and take; check every bit, and without stalls every clock. Returns the results."""
    layout = VectorLayout(config.max_width, config.profile.value_bits)
    image = mlp_image(networks, config)
    load = {"target": image.target, "address": image.address, "data": image.data}
    simulator.run({"load": pack_payloads(LoadLayout(), load)}, {}, max_cycles=MAX_CYCLES)
    count = len(vectors)
    block = simulator.run(
        {"inputs": pack_payloads(layout, {"values": vectors, "last": np.arange(count) == count - 1})},
        {"outputs": count},
        max_cycles=MAX_CYCLES,
        **stalls,
    )
    configs = [each.config for each in networks]
    values = unpack_payloads(layout, block.outputs["outputs"])["values"]
    results = values[:, list(plan_mlp(configs, config).results)]
    np.testing.assert_array_equal(results, expected(networks, vectors, config))
    if not stalls:
        timing = MlpClock(configs, config).run(count)
        base = block.sent["inputs"][0]
        np.testing.assert_array_equal(block.sent["inputs"] - base, timing.accepted)
        np.testing.assert_array_equal(block.taken["outputs"] - base, timing.outputs)
    return results


@pytest.mark.cosim
@pytest.mark.parametrize("count", [10, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize("config", ENGINES)
def test_random_networks(config: MlpEngineConfig, count: int, seed: int) -> None:
    """Network after network on one engine: every bit the reference's, every transfer in the model's clock."""
    rng = np.random.default_rng(seed)
    with RtlSimulator(MlpEngine(config), "mlp_engine", seed=seed) as simulator:
        for number in range(count):
            networks = draw(rng, config)
            vectors = rng.integers(-128, 128, (int(rng.integers(1, 3 * config.nano_batch)), config.max_width))
            run(simulator, networks, vectors, config)
            if number % 2:
                run(simulator, networks, vectors, config, idle=0.3, backpressure=0.3)


@pytest.mark.cosim
@pytest.mark.parametrize("config", ENGINES)
def test_saturation_at_both_ends(config: MlpEngineConfig, seed: int) -> None:
    """The largest sums there are, of both signs, through every layer."""
    shape = MlpConfig(n_input_dims=32, n_neurons=32, n_hidden_layers=2, n_output_dims=4, activation="None")
    rng = np.random.default_rng(seed)
    signs = [np.where(rng.random((layer.n_out, 1)) < 0.5, -128, 127) for layer in shape.layers]
    weights = tuple(
        np.broadcast_to(sign, (layer.n_out, layer.n_in)).astype(np.int8)
        for sign, layer in zip(signs, shape.layers, strict=True)
    )
    network = QuantizedMlp(config=shape, weights=weights, multipliers=(65535,) * 3, shifts=(1,) * 3, output_scale=1.0)
    vectors = np.repeat(np.array([[-128], [127]]), 50, axis=0) * np.ones(config.max_width, dtype=np.int64)
    with RtlSimulator(MlpEngine(config), "mlp_engine", seed=seed) as simulator:
        results = run(simulator, [network], vectors, config)
    assert set(np.unique(results)) <= {-128, 0, 127}
    assert {-128, 127} <= set(np.unique(results))
