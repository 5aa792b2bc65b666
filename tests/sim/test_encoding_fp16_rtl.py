"""The encoding engine in fp16, generated Verilog under Verilator: tiny-cuda-nn's bits, and the cycle model's clocks."""

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig, EngineCounter
from arch.encoding_image import encoding_image
from arch.grid import GridConfig
from reference.grid_encoding import encode_fp16
from sim.cosim.engine import EncodingSimulator, encoding_simulator
from sim.engine.encoding import encoding_cycles

pytestmark = pytest.mark.cosim

# A small build with every option: four corners of one feature, queues, reused cells.
SMALL = EncodingEngineConfig(
    n_pos_dims=2, n_features_per_level=1, n_levels=3, table_rows=4096, arithmetic="fp16",
    bank_ports=1, reuse_cells=True, counters=True,
)  # fmt: skip
WHOLE = EncodingEngineConfig(n_features_per_level=2, n_levels=4, table_rows=1 << 15, arithmetic="fp16", counters=True)
DEEP = EncodingEngineConfig(
    n_pos_dims=4, n_features_per_level=2, n_levels=2, table_rows=1 << 13, arithmetic="fp16",
    reuse_cells=True, counters=True,
)  # fmt: skip


def _grid(dims: int, **changes: object) -> GridConfig:
    return GridConfig(n_pos_dims=dims, **changes)


BUILDS = [
    pytest.param(
        SMALL,
        [
            _grid(2, n_levels=3, n_features_per_level=1, log2_hashmap_size=8, base_resolution=30),
            # the last level is too fine for a dense index
            _grid(2, grid_type="Tiled", n_levels=3, n_features_per_level=1, base_resolution=7, per_level_scale=110.0),
            _grid(2, grid_type="Dense", n_levels=2, n_features_per_level=1, base_resolution=13,
                  interpolation="Smoothstep"),
            _grid(2, grid_type="Dense", n_levels=1, n_features_per_level=1, base_resolution=9, interpolation="Nearest"),
        ],
        id="small",
    ),
    pytest.param(
        WHOLE,
        [
            _grid(3, n_levels=4, log2_hashmap_size=9, base_resolution=5, per_level_scale=1.7),
            _grid(2, n_levels=3, log2_hashmap_size=12, base_resolution=13, interpolation="Nearest"),
            _grid(2, n_levels=3, log2_hashmap_size=8, base_resolution=13, interpolation="Smoothstep"),
            _grid(3, grid_type="Tiled", n_levels=4, base_resolution=7, per_level_scale=6.5),
            _grid(3, grid_type="Dense", n_levels=3, base_resolution=9, interpolation="Smoothstep", per_level_scale=1.5),
            _grid(3, n_levels=4, log2_hashmap_size=10, base_resolution=6, interpolation="Nearest"),
        ],
        marks=pytest.mark.long,
        id="whole",
    ),
    pytest.param(
        DEEP,
        [
            _grid(4, n_levels=2, n_features_per_level=2, log2_hashmap_size=11, base_resolution=5),
            _grid(4, grid_type="Dense", n_levels=1, n_features_per_level=2, base_resolution=6,
                  interpolation="Smoothstep"),
            _grid(4, grid_type="Tiled", n_levels=2, n_features_per_level=2, base_resolution=5, per_level_scale=60.0),
        ],
        marks=pytest.mark.long,
        id="deep",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "grids"), BUILDS)
def test_the_librarys_bits_in_the_models_clocks(engine, grids, seed):
    rng = np.random.default_rng(seed)
    total = np.zeros(len(EngineCounter), dtype=np.int64)
    simulator = None
    for number, grid in enumerate(grids):
        positions = _positions(rng, grid.n_pos_dims)
        tables = rng.standard_normal((grid.n_entries, grid.n_features_per_level)).astype(np.float16)
        tables[rng.random(tables.shape) < 0.05] = 0.0
        tables[rng.random(tables.shape) < 0.05] *= np.float16(-(2.0**-20))
        tables[:4] = [[np.inf], [np.nan], [-0.0], [65504.0]]
        # the scales of another evaluation of exp2
        scales = [np.nextafter(level.scale, np.float32(0)) if number else level.scale for level in grid.levels]
        image = encoding_image(grid, engine, tables.view(np.int16), [0] * grid.n_levels, scales=scales)
        if simulator is None:
            simulator = encoding_simulator(grid, engine, tables.view(np.int16), [0] * grid.n_levels, scales=scales)
        else:
            simulator.load(image)
        expected = encode_fp16(grid, torch.from_numpy(tables), torch.from_numpy(positions), scales=scales).numpy()
        run = _run(simulator, positions, expected, grid)
        model = encoding_cycles(grid, engine, positions.view(np.uint32), scales=scales)
        assert (run.accepted.tolist(), run.given.tolist()) == (model.accepted.tolist(), model.features.tolist())
        counters = simulator.counters(engine)
        assert counters.tolist() == model.counters.tolist()
        total += counters.sum(axis=0)
        _run(simulator, positions, expected, grid, idle=0.3, backpressure=0.4)
    simulator.__exit__()
    assert total[EngineCounter.CONFLICT] > 0
    assert total[EngineCounter.REUSED] > 500 or not engine.reuse_cells


def _positions(rng: np.random.Generator, dims: int) -> np.ndarray:
    """Inside and around the cube, on its corners, along a ray; and numbers of any bits, NaN among them."""
    inside = rng.uniform(-0.3, 1.3, (400, dims))
    corners = rng.choice([0.0, 1.0, 0.5, 2.0**-24, 1 - 2.0**-24, -1.0, 1e9, -1e-30], (100, dims))
    ray = rng.random(dims) * 0.5 + np.arange(300)[:, None] * 2.0**-10
    points = np.concatenate([inside, corners, ray]).astype(np.float32)
    anything = rng.integers(0, 1 << 32, (100, dims), dtype=np.uint32).view(np.float32)
    return np.concatenate([points, anything])


def _run(
    simulator: EncodingSimulator, positions: np.ndarray, expected: np.ndarray, grid: GridConfig, **stalls: float
) -> object:
    run = simulator.run(positions.view(np.uint32), **stalls)
    bits = run.outputs[:, : grid.n_output_dims].astype(np.int16).view(np.uint16)
    nan = np.isnan(expected)
    assert np.array_equal(bits, np.where(nan, 0x7FFF, expected.view(np.uint16)))
    assert 0.001 < nan.mean() < 0.5
    return run
