"""The multi-point encoding's Verilog under Verilator: features equal the golden model's, clocks the cycle model's."""

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.grid import GridConfig
from arch.multi_point_encoding import MultiPointConfig
from reference.grid_encoding import encode_integer
from sim.cosim.multi_point import MultiPointSimulator
from sim.engine.multi_point_encoding import multi_point_cycles

CONFIG = MultiPointConfig(
    engine=EncodingEngineConfig(
        n_pos_dims=2, n_levels=4, level_parallel=4, n_features_per_level=1, table_rows=512, arithmetic="int16"
    ),
    points_per_clock=4,
)


@pytest.mark.cosim
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_many_points(levels, seed):
    """20,001 points over 4, 2 and 1 lanes: the last group is not full."""
    rng = np.random.default_rng(seed)
    grid = GridConfig(
        n_pos_dims=2,
        n_levels=levels,
        n_features_per_level=1,
        log2_hashmap_size=7,
        base_resolution=9,
        per_level_scale=1.7,
    )
    profile = CONFIG.engine.profile
    tables = rng.integers(profile.value.minimum, profile.value.maximum, (grid.n_entries, 1), endpoint=True)
    shifts = rng.integers(0, 8, levels).tolist()
    points = rng.integers(0, 1 << 23, (20_001, 2), endpoint=True)
    with MultiPointSimulator(CONFIG, grid, tables, shifts) as simulator:
        run = simulator.run(points)
        with pytest.raises(InputError, match=r"^number of points must be at least 1, not 0$"):
            simulator.run(points[:0])
    golden = encode_integer(grid, torch.from_numpy(tables), shifts, torch.from_numpy(points), profile).numpy()
    assert np.array_equal(run.outputs, golden)
    timing = multi_point_cycles(grid, CONFIG, points)
    assert np.array_equal(run.accepted, timing.accepted) and np.array_equal(run.given, timing.features)
    assert run.cycles < 1.05 * len(points) / CONFIG.lanes(levels) + 100
