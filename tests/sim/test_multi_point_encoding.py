"""The cycle model of the multi-point encoding; tests/rtl/encoding compares it with the RTL."""

from dataclasses import replace

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.grid import GridConfig
from arch.multi_point_encoding import MultiPointConfig
from sim.engine.encoding import encoding_cycles
from sim.engine.multi_point_encoding import group_sizes, multi_point_cycles

ONE = 1 << 23
CONFIG = MultiPointConfig(
    engine=EncodingEngineConfig(n_levels=16, level_parallel=16, table_rows=1 << 14), points_per_clock=8
)
# Eight rows in eight banks: never a conflict.
SMOOTH = GridConfig(n_pos_dims=3, grid_type="Dense", n_levels=8, base_resolution=2, per_level_scale=1.0)
GRID = GridConfig(n_pos_dims=3, n_levels=8, log2_hashmap_size=10, base_resolution=5, per_level_scale=1.5)


def _points(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ONE, (count, 3), endpoint=True)


@pytest.mark.parametrize(("levels", "lanes"), [(16, 1), (8, 2), (4, 4), (2, 8)])
def test_ngpcs_points_a_clock_without_conflicts(levels, lanes):
    timing = multi_point_cycles(replace(SMOOTH, n_levels=levels), CONFIG, np.full((800, 3), ONE // 4))
    assert timing.accepted.tolist() == list(range(800 // lanes))
    assert timing.features.tolist() == [CONFIG.engine.latency + group for group in range(800 // lanes)]
    assert not timing.held.any()


@pytest.mark.parametrize("levels", [9, 16])
def test_one_lane_is_one_engine(levels, seed):
    rng = np.random.default_rng(seed)
    grid, points = replace(GRID, n_levels=levels, per_level_scale=1.2), _points(seed, 2000)
    clocks = {"offered": np.cumsum(rng.integers(0, 3, 2000)), "wanted": np.cumsum(rng.integers(0, 3, 2000))}
    lanes = multi_point_cycles(grid, CONFIG, points, **clocks)
    one = encoding_cycles(grid, CONFIG.engine, points, **clocks)
    assert np.array_equal(lanes.accepted, one.accepted) and np.array_equal(lanes.features, one.features)
    assert np.array_equal(lanes.held, one.held)


def test_a_lane_beside_resting_lanes_is_one_engine(seed):
    """Groups of one point: the other lanes' copies do nothing."""
    points = _points(seed, 1000)
    alone = multi_point_cycles(GRID, CONFIG, points, groups=np.ones(1000))
    one = encoding_cycles(GRID, CONFIG.engine, points)
    assert np.array_equal(alone.features, one.features) and np.array_equal(alone.held, one.held)
    assert multi_point_cycles(GRID, CONFIG, points).cycles < 0.51 * one.cycles + CONFIG.engine.latency


def test_conflicts_are_those_of_each_lane(seed):
    points = _points(seed, 1001)
    held = multi_point_cycles(GRID, CONFIG, points).held
    assert held[:8].tolist() == encoding_cycles(GRID, CONFIG.engine, points[::2]).held[:8].tolist()
    assert held[8:].tolist() == encoding_cycles(GRID, CONFIG.engine, points[1::2]).held[:8].tolist()
    assert held.sum() > 0


def test_group_sizes():
    assert group_sizes(10, 4).tolist() == [4, 4, 2]
    assert group_sizes(8, 4).tolist() == [4, 4]
    assert group_sizes(0, 4).tolist() == []
    assert multi_point_cycles(GRID, CONFIG, np.zeros((0, 3), dtype=int)).cycles == 0


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((4, 2), dtype=int), "shape of coordinates_raw must be (points, 3), not (4, 2)"),
        (np.full((4, 3), -1), "raw coordinates must be from 0 to 2^23, not from -1 to -1"),
    ],
)
def test_refused_points(points, message):
    with pytest.raises(InputError) as refused:
        multi_point_cycles(GRID, CONFIG, points)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("clocks", "message"),
    [
        ({"groups": np.array([3, 1])}, "groups must be 1 to 2 points each and 4 in all, not [3, 1]"),
        ({"groups": np.array([2, 1])}, "groups must be 1 to 2 points each and 4 in all, not [2, 1]"),
        ({"groups": np.array([2, 0, 2])}, "groups must be 1 to 2 points each and 4 in all, not [2, 0, 2]"),
        ({"offered": np.zeros(4)}, "shape of offered must be (2,), not (4,)"),
        ({"wanted": np.zeros(3)}, "shape of wanted must be (2,), not (3,)"),
    ],
)
def test_refusals(clocks, message):
    with pytest.raises(InputError) as refused:
        multi_point_cycles(GRID, CONFIG, np.zeros((4, 3), dtype=int), **clocks)
    assert str(refused.value) == message
