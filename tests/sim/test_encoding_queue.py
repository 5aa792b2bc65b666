"""The cycle model of lookups over single-port banks with queues; tests/rtl/encoding compares it with the RTL."""

from collections import deque

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig, level_layouts
from arch.grid import GridConfig
from sim.engine.encoding import encoding_cycles

ONE = 1 << 23
ENGINE = EncodingEngineConfig(n_levels=1, table_rows=1 << 13, bank_ports=1)


def _points(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ONE, (count, 3), endpoint=True)


def _banks(grid: GridConfig, points: np.ndarray) -> list[list[int]]:
    """Banks of each point's corners, straight from docs/numerics.md and the level's layout."""
    (layout,) = level_layouts(grid, ENGINE)
    level = layout.level
    cells = (points * round(float(level.scale) * 1024) + 2**32) >> 33
    corners = np.array([[c >> d & 1 for d in range(3)] for c in range(8)])
    terms = (cells[:, None, :] + corners) * np.array(level.strides)
    index = np.bitwise_xor.reduce(terms & 0xFFFFFFFF, axis=2) if level.hashed else terms.sum(axis=2)
    return layout.place(index % level.entries)[0].tolist()


def _clock_by_clock(lookups: list[list[int]]) -> list[int]:
    """Clock in which each lookup is complete; one waits in front of the window from clock 0 on."""
    window, queues, complete = ENGINE.lookup_window, [deque() for _ in range(16)], []
    waiting = []  # corners still unserved, of every lookup taken
    clock = 0
    while len(complete) < len(lookups):
        assert clock < 20 * len(lookups)
        number = len(waiting)
        takes = number < len(lookups) and (number < window or waiting[number - window] == 0)
        for queue in queues:
            if queue:
                waiting[queue.popleft()] -= 1
        if takes:
            waiting.append(8)
            for bank in lookups[number]:
                queues[bank].append(number)
        if len(complete) < len(waiting) and waiting[len(complete)] == 0:
            complete.append(clock)
        clock += 1
    return complete


@pytest.mark.parametrize(("base_resolution", "log2_hashmap_size"), [(60, 12), (200, 4), (9, 12), (300, 7)])
def test_queues_clock_by_clock(base_resolution, log2_hashmap_size, seed):
    """Hashed tables, tiny ones whose corners crowd a few banks, and a dense level."""
    grid = GridConfig(
        n_pos_dims=3, n_levels=1, log2_hashmap_size=log2_hashmap_size, base_resolution=base_resolution
    )  # fmt: skip
    points = _points(seed, 1500)
    complete = np.array(_clock_by_clock(_banks(grid, points)))
    timing = encoding_cycles(grid, ENGINE, points)
    # A point's lookup reaches the window front_latency clocks after its transfer, if nothing is in its way.
    expected = complete + ENGINE.front_latency + ENGINE.back_latency
    assert timing.features.tolist() == expected.tolist()


def test_corners_of_one_bank_take_a_clock_each():
    grid = GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=2, base_resolution=8, per_level_scale=250.0)
    timing = encoding_cycles(grid, ENGINE, _points(1, 200), only=1)
    assert np.diff(timing.features).tolist() == [8] * 199
    assert timing.features[0] == ENGINE.latency + 7


def test_a_hashed_level_takes_little_more_than_a_clock(seed):
    grid = GridConfig(n_pos_dims=3, n_levels=1, log2_hashmap_size=12, base_resolution=500)
    timing = encoding_cycles(grid, ENGINE, _points(seed, 50_000))
    assert 1.0 < timing.cycles / 50_000 < 1.004
