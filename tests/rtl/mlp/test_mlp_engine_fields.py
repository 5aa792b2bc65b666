"""The networks of the four applications on whole arrays, in blocks of cycles under Verilator."""

import numpy as np
import pytest

from arch.checkpoint import QuantizedMlp
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.mlp_plan import plan_mlp
from arch.presets import FIELDS
from reference.mlp import mlp_integer
from rtl.mlp.mlp_engine import MlpEngine
from rtl.streams import LoadLayout, VectorLayout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator
from sim.engine.mlp import mlp_cycles

NETWORKS = {
    "nerf": FIELDS["nerf_hash"].networks,
    "nerf density": FIELDS["nerf_hash"].networks[:1],
    "nerf colour": FIELDS["nerf_hash"].networks[1:],
    "nsdf": FIELDS["nsdf_hash"].networks,
    "gia": FIELDS["gia_hash"].networks,
    "nvr": FIELDS["nvr_hash"].networks,
}
N_VECTORS = 2 * 588 + 77
MAX_CYCLES = 200_000


def quantized(config: MlpConfig, rng: np.random.Generator) -> QuantizedMlp:
    layers = config.layers
    return QuantizedMlp(
        config=config,
        weights=tuple(rng.integers(-128, 128, (layer.n_out, layer.n_in)).astype(np.int8) for layer in layers),
        multipliers=tuple(round(2**22 / (74 * layer.n_in**0.5)) for layer in layers),
        shifts=(22,) * len(layers),
        output_scale=1.0,
    )


def check(config: MlpEngineConfig, seed: int, *, idle: float = 0.0, backpressure: float = 0.0) -> None:
    """Load each network and run it: every bit is the reference's and, without pauses, every clock the model's."""
    rng = np.random.default_rng(seed)
    layout = VectorLayout(config.max_width, config.profile.value_bits)
    with RtlSimulator(MlpEngine(config), "mlp_engine", seed=seed) as simulator:
        for networks in NETWORKS.values():
            mlps = [quantized(network, rng) for network in networks]
            image = mlp_image(mlps, config)
            results = list(plan_mlp(networks, config).results)
            load = {"target": image.target, "address": image.address, "data": image.data}
            simulator.run({"load": pack_payloads(LoadLayout(), load)}, {}, max_cycles=MAX_CYCLES)
            vectors = rng.integers(-128, 128, (N_VECTORS, config.max_width))
            last = np.arange(N_VECTORS) == N_VECTORS - 1
            block = simulator.run(
                {"inputs": pack_payloads(layout, {"values": vectors, "last": last})},
                {"outputs": N_VECTORS},
                max_cycles=MAX_CYCLES,
                idle=idle,
                backpressure=backpressure,
            )
            outputs = unpack_payloads(layout, block.outputs["outputs"])
            expected = mlp_integer(mlps[0], vectors[:, : networks[0].n_input_dims], config.profile).numpy()
            if len(networks) == 2:
                side = vectors[:, config.side_first : config.side_first + config.side_inputs]
                colour = mlp_integer(mlps[1], np.concatenate([expected, side], axis=1), config.profile).numpy()
                expected = np.concatenate([colour, expected], axis=1)
            np.testing.assert_array_equal(outputs["values"][:, results], expected)
            assert not np.delete(outputs["values"], results, axis=1).any()
            np.testing.assert_array_equal(outputs["last"], last)
            if not idle and not backpressure:
                timing = mlp_cycles(networks, config, N_VECTORS)
                base = block.sent["inputs"][0]
                np.testing.assert_array_equal(block.sent["inputs"] - base, timing.accepted)
                np.testing.assert_array_equal(block.taken["outputs"] - base, timing.outputs)


@pytest.mark.cosim
@pytest.mark.parametrize("fission", [False, pytest.param(True, marks=pytest.mark.long)], ids=["whole", "fission"])
@pytest.mark.parametrize(
    ("size", "weight_tiles"),
    [
        (16, 40),
        pytest.param(32, 12, marks=pytest.mark.long),
        pytest.param(64, 5, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_fields(size: int, weight_tiles: int, fission: bool, seed: int) -> None:
    """The table of docs/engines/mlp/timing.md; 16 x 16 also with random pauses on both sides."""
    config = MlpEngineConfig(
        rows=size, cols=size, max_width=64, weight_tiles=weight_tiles, nano_batch=588 if fission else 256,
        fission=fission, side_first=32, side_inputs=16,
    )  # fmt: skip
    check(config, seed)
    if size == 16:
        check(config, seed, idle=0.3, backpressure=0.3)
