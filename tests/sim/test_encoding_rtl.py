"""Every option of the encoding engine at once, generated Verilog under Verilator, against reference and cycle model."""

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig, EngineCounter
from arch.encoding_image import encoding_image
from arch.grid import GridConfig
from reference.grid_encoding import encode_integer
from sim.cosim.engine import encoding_simulator
from sim.engine.encoding import encoding_cycles

ONE = 1 << 23
# Rows of two load words, 16 single-port banks, true remainders, reused cells. Two dimensions: a small build.
ENGINE = EncodingEngineConfig(
    n_pos_dims=2, n_features_per_level=8, n_levels=3, table_rows=4096, arithmetic="int16",
    bank_ports=1, tile_remainder=True, reuse_cells=True, counters=True,
)  # fmt: skip
GRIDS = [
    GridConfig(n_pos_dims=2, n_levels=3, n_features_per_level=8, log2_hashmap_size=6, base_resolution=90),
    GridConfig(n_pos_dims=2, grid_type="Tiled", n_levels=3, n_features_per_level=8, base_resolution=7,
               per_level_scale=6.5),
    # 36 and 432 vertices an axis are multiples of the tile's nine rows: corners in pairs, two clocks a lookup
    GridConfig(n_pos_dims=2, grid_type="Tiled", n_levels=3, n_features_per_level=8, base_resolution=3,
               per_level_scale=12.0),
    GridConfig(n_pos_dims=2, grid_type="Dense", n_levels=2, n_features_per_level=8, base_resolution=13,
               interpolation="Smoothstep"),
]  # fmt: skip


@pytest.mark.cosim
def test_all_options_at_once(seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, ONE, (1200, 2), endpoint=True)
    points[600:] = points[600] // 2 + np.arange(600)[:, None] * (ONE >> 12)  # neighbours on a ray share cells
    value = ENGINE.profile.value
    tables = [rng.integers(value.minimum, value.maximum, (g.n_entries, 8), endpoint=True) for g in GRIDS]
    shifts = [[0, 2, 7][: grid.n_levels] for grid in GRIDS]
    total = np.zeros(len(EngineCounter), dtype=np.int64)
    with encoding_simulator(GRIDS[0], ENGINE, tables[0], shifts[0]) as simulator:
        for number, grid in enumerate(GRIDS):
            if number:
                simulator.load(encoding_image(grid, ENGINE, tables[number], shifts[number]))
            run = simulator.run(points)
            golden = encode_integer(
                grid, torch.from_numpy(tables[number]), shifts[number], torch.from_numpy(points), ENGINE.profile
            ).numpy()  # fmt: skip
            model = encoding_cycles(grid, ENGINE, points)
            assert np.array_equal(run.outputs[:, : grid.n_output_dims], golden)
            assert (run.accepted.tolist(), run.given.tolist()) == (model.accepted.tolist(), model.features.tolist())
            counters = simulator.counters(ENGINE)
            assert counters.tolist() == model.counters.tolist()
            total += counters[0]
    assert total[EngineCounter.CONFLICT] > 0 and total[EngineCounter.REUSED] > 1000
