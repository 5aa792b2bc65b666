"""The cycle model of the encoding engine against closed formulas; tests/cocotb/encoding compares it with the RTL."""

from dataclasses import replace

import numpy as np
import pytest

from arch.bank_layout import conflict_clocks
from arch.encoding_engine import EncodingEngineConfig, EngineCounter, level_layouts
from arch.errors import InputError
from arch.grid import GridConfig
from sim.engine.encoding import EncodingClock, encoding_cycles

ONE = 1 << 23
ENGINE = EncodingEngineConfig(n_levels=8, table_rows=1 << 14)
GRID = GridConfig(n_pos_dims=3, n_levels=6, log2_hashmap_size=10, base_resolution=5, per_level_scale=1.5)
# Eight rows in eight banks: never a conflict.
SMOOTH = GridConfig(n_pos_dims=3, grid_type="Dense", n_levels=8, base_resolution=2, per_level_scale=1.0)


def _points(seed: int, count: int, dims: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ONE, (count, dims), endpoint=True)


def _clocks(grid: GridConfig, engine: EncodingEngineConfig, points: np.ndarray) -> np.ndarray:
    """(points, levels) arbiter clocks, straight from docs/numerics.md and the level layouts."""
    columns = []
    for layout in level_layouts(grid, engine):
        level = layout.level
        cells = (points * round(float(level.scale) * 1024) + 2**32) >> 33
        corners = np.array([[c >> d & 1 for d in range(grid.n_pos_dims)] for c in range(1 << grid.n_pos_dims)])
        terms = (cells[:, None, :] + corners) * np.array(level.strides)
        index = np.bitwise_xor.reduce(terms & 0xFFFFFFFF, axis=2) if level.hashed else terms.sum(axis=2)
        columns.append(conflict_clocks(layout.place(index % level.entries)[0]))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("parallel", [1, 2, 4, 8])
@pytest.mark.parametrize("n_levels", [1, 3, 8])
def test_without_conflicts(parallel, n_levels):
    """``latency`` to the first features, then a point every ``ceil(n_levels / level_parallel)`` clocks."""
    engine = replace(ENGINE, level_parallel=parallel)
    timing = encoding_cycles(replace(SMOOTH, n_levels=n_levels), engine, np.full((200, 3), ONE // 4))
    serial = -(-n_levels // parallel)
    assert timing.accepted[0] == 0
    assert timing.features.tolist() == [engine.latency + serial - 1 + serial * number for number in range(200)]
    assert timing.held.tolist() == [0] * parallel
    assert timing.cycles == engine.latency + serial * 200


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_held_clocks_are_the_conflicts(parallel, seed):
    engine = replace(ENGINE, level_parallel=parallel)
    points = _points(seed, 3000)
    timing = encoding_cycles(GRID, engine, points)
    clocks = _clocks(GRID, engine, points)
    held = [int((clocks[:, number::parallel] - 1).sum()) for number in range(parallel)]
    assert timing.held.tolist() == held and sum(held) > 0
    # The busiest engine never idles: its lookups and conflicts are the run, up to filling and emptying.
    busiest = max(clocks[:, number::parallel].sum() for number in range(parallel))
    assert busiest + engine.latency <= timing.cycles <= busiest + engine.latency + 32


@pytest.mark.parametrize("base_resolution", [8, 5, 11])
def test_tiles_smaller_than_their_level(base_resolution, seed):
    grid = replace(GRID, grid_type="Tiled", base_resolution=base_resolution)
    engine = replace(ENGINE, tile_remainder=base_resolution != 8)
    points = _points(seed, 2000)
    held = (_clocks(grid, engine, points) - 1).sum()
    timing = encoding_cycles(grid, engine, points)
    assert timing.held.sum() == held
    assert timing.features[0] >= engine.latency + 5 == (38 if engine.tile_remainder else 29)


@pytest.mark.parametrize("parallel", [1, 4])
def test_reused_cells_have_no_conflicts(parallel, seed):
    engine = replace(ENGINE, level_parallel=parallel, reuse_cells=True)
    points = np.repeat(_points(seed, 800), 3, axis=0)
    timing = encoding_cycles(GRID, engine, points)
    assert timing.features[0] >= engine.latency == 25
    clocks = _clocks(GRID, engine, points)
    assert timing.held.sum() == (clocks[::3] - 1).sum()
    counted = timing.counters[:, [EngineCounter.LOOKUPS, EngineCounter.REUSED]].sum(axis=0)
    # By chance a point follows one in its own cell, at the coarse levels.
    assert counted[0] == clocks.size and 2 / 3 <= counted[1] / counted[0] < 0.7
    plain = encoding_cycles(GRID, replace(engine, reuse_cells=False), points)
    assert plain.counters[:, EngineCounter.REUSED].sum() == 0 and plain.held.sum() == (clocks - 1).sum()


def test_a_level_too_fine_for_an_index_reads_one_row():
    """Eight corners on one bank: four clocks a lookup."""
    grid = GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=2, base_resolution=8, per_level_scale=250.0)
    timing = encoding_cycles(grid, ENGINE, _points(1, 200), only=1)
    assert timing.held.tolist() == [3 * 200]


def test_2d_grid_on_a_3d_build_reads_four_corners(seed):
    grid = GridConfig(n_pos_dims=2, n_levels=4, log2_hashmap_size=8, base_resolution=9, per_level_scale=1.7)
    points = _points(seed, 2000, 2)
    timing = encoding_cycles(grid, ENGINE, points)
    assert timing.held.sum() == (_clocks(grid, ENGINE, points) - 1).sum()


def test_pieces_are_the_whole(seed):
    rng = np.random.default_rng(seed)
    engine = replace(ENGINE, level_parallel=2)
    points = _points(seed, 1000)
    offered = np.cumsum(rng.integers(0, 8, 1000))
    wanted = np.cumsum(rng.integers(0, 9, 1000))
    whole = encoding_cycles(GRID, engine, points, offered=offered, wanted=wanted)
    clock = EncodingClock(GRID, engine)
    pieces = [
        clock.run(points[part], offered=offered[part], wanted=wanted[part])
        for part in (slice(0, 1), slice(1, 37), slice(37, 37), slice(37, 1000))
    ]
    assert np.array_equal(np.concatenate([piece.accepted for piece in pieces]), whole.accepted)
    assert np.array_equal(np.concatenate([piece.features for piece in pieces]), whole.features)
    assert sum(piece.held for piece in pieces).tolist() == whole.held.tolist()


def test_source_and_sink_are_respected(seed):
    rng = np.random.default_rng(seed)
    points = _points(seed, 500)
    offered = np.cumsum(rng.integers(0, 20, 500))
    wanted = 400 + np.cumsum(rng.integers(0, 20, 500))
    timing = encoding_cycles(GRID, ENGINE, points, offered=offered, wanted=wanted)
    assert (timing.accepted >= offered).all() and (timing.features >= wanted).all()
    assert (np.diff(timing.accepted) >= 1).all() and (np.diff(timing.features) >= 1).all()
    inside = np.searchsorted(timing.accepted, timing.features) - np.arange(500)
    assert inside.max() <= ENGINE.points_in_flight
    # A sink that wants nothing fills the credits and stops the source.
    assert (timing.accepted[: ENGINE.points_in_flight] < 400).all()
    assert timing.accepted[ENGINE.points_in_flight] == timing.features[0] + 1


@pytest.mark.parametrize(
    ("points", "clocks", "message"),
    [
        (np.zeros((4, 2), dtype=int), {}, "shape of coordinates_raw must be (points, 3), not (4, 2)"),
        (np.full((4, 3), ONE + 1), {}, "raw coordinates must be from 0 to 2^23, not from 8388609 to 8388609"),
        (np.zeros((4, 3), dtype=int), {"offered": np.zeros(3)}, "shape of offered must be (4,), not (3,)"),
        (np.zeros((4, 3), dtype=int), {"wanted": np.zeros(5)}, "shape of wanted must be (4,), not (5,)"),
    ],
)
def test_refusals(points, clocks, message):
    with pytest.raises(InputError) as refused:
        encoding_cycles(GRID, ENGINE, points, **clocks)
    assert str(refused.value) == message


def test_no_points_take_no_clock():
    assert encoding_cycles(GRID, ENGINE, np.zeros((0, 3), dtype=int)).cycles == 0


def test_every_lookup_on_its_way_to_the_banks_may_hold_them():
    """All corners of a level too fine for an index are one row: four clocks a lookup, in fp16 39 lookups deep."""
    engine = EncodingEngineConfig(n_levels=1, table_rows=1 << 13, arithmetic="fp16")
    grid = GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=2, base_resolution=7, per_level_scale=300.0)
    positions = np.random.default_rng(1).random((300, 3)).astype(np.float32).view(np.uint32)
    timing = encoding_cycles(grid, engine, positions, only=1)
    assert set(np.diff(timing.features)) == {4}
