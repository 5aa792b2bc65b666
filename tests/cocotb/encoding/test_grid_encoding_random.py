"""Drawn grids on a few builds of the encoding engine: every register a host can write, bit for bit, clock for clock.

Each build runs many grids one after the other. What a run must have seen is counted in bins (:class:`Coverage`); a bin
left empty fails the test.
"""

import functools
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import arch.encoding_engine
from arch.bank_layout import N_BANK_BIT_POSITIONS, conflict_clocks
from arch.encoding_engine import EncodingEngineConfig, LevelLayout, level_layouts
from arch.encoding_image import check_runnable, level_scale_raw
from arch.errors import InputError
from arch.grid import INTERPOLATIONS, GridConfig, GridLevel
from rtl.encoding.grid_encoding import GridEncoding

BENCH = Path(__file__).with_name("grid_encoding_bench.py")
ONE = 1 << 23
KINDS = ("hash", "dense", "tile", "flat")
GRID_TYPES = {"hash": ["Hash"], "dense": ["Hash", "Dense"], "tile": ["Tiled"], "flat": ["Tiled"]}
SHORT = {
    "3d-f2-int8": EncodingEngineConfig(n_levels=4, table_rows=4096),
    "2d-f1-int16": EncodingEngineConfig(
        n_pos_dims=2, n_levels=7, table_rows=4096, level_parallel=4, n_features_per_level=1, arithmetic="int16"
    ),
}
LONG = SHORT | {
    "3d-f1-int8": EncodingEngineConfig(n_levels=5, table_rows=4096, level_parallel=2, n_features_per_level=1),
    "3d-f4-int8": EncodingEngineConfig(n_levels=3, table_rows=4096, n_features_per_level=4),
    "2d-f8-int8": EncodingEngineConfig(
        n_pos_dims=2, n_levels=3, table_rows=2048, level_parallel=2, n_features_per_level=8
    ),
    "3d-f2-int8-remainder": EncodingEngineConfig(n_levels=3, table_rows=4096, level_parallel=2, tile_remainder=True),
    "3d-f2-int8-reuse": EncodingEngineConfig(n_levels=3, table_rows=4096, reuse_cells=True),
    "3d-f2-int16": EncodingEngineConfig(n_levels=3, table_rows=4096, arithmetic="int16"),
    "2d-f4-int16": EncodingEngineConfig(
        n_pos_dims=2, n_levels=4, table_rows=1024, n_features_per_level=4, arithmetic="int16"
    ),
    "2d-f8-int16": EncodingEngineConfig(
        n_pos_dims=2, n_levels=3, table_rows=1024, n_features_per_level=8, arithmetic="int16"
    ),
}
N_LONG = 26
"""Grids a build in the long suite, at least: 260 over ten builds."""


def kind_of(layout: LevelLayout) -> str:
    """``hash``, ``dense``, ``tile`` for a dense level of fewer rows than vertices, ``flat`` for one without index."""
    if layout.level.hashed:
        return "hash"
    return "flat" if layout.flat else "tile" if layout.tiled else "dense"


def combinations(engine: EncodingEngineConfig) -> list[tuple[str, str]]:
    """Kinds and interpolations that a build must run; two dimensions have no level too fine for an index."""
    kinds = KINDS if engine.n_pos_dims == 3 else KINDS[:-1]
    return [(kind, interpolation) for kind in kinds for interpolation in INTERPOLATIONS]


class Coverage:
    """Bins that the grids of one build must fill.

    Parameters
    ----------
    engine : the build; its number of features and its arithmetic are those of every bin
    """

    def __init__(self, engine: EncodingEngineConfig) -> None:
        self.engine = engine
        dims, parallel = engine.n_pos_dims, engine.level_parallel
        bins = [", ".join(combination) for combination in combinations(engine)]
        bins += [f"{grid_dims}-D grid" for grid_dims in range(2, dims + 1)]
        bins += ["point at 0", "point at 1", "point past 1", "exact vertex", "cell border", "a cell again"]
        bins += ["dense wrap", "tile wrap", "dense and hashed levels", "hashed, resolution > 1625"]
        bins += [f"{clocks} clocks of a lookup" for clocks in range(1, (1 << dims - 1) + 1)]
        bins += ["1 level", f"all {engine.n_levels} levels"]
        bins += [f"output shift {shift}" for shift in range(8)]
        bins += ["idle engine"] if parallel > 1 else []
        bins += ["remainder of a tile"] if engine.tile_remainder else []
        bins += ["no stalls", "source stalls", "sink stalls", "both stall", "all credits taken"]
        bins += ["table reloaded", "reset in traffic"]
        self.counts = Counter(dict.fromkeys(bins, 0))

    def sample(self, case: object) -> None:
        """Count what a case holds."""
        grid, engine = case.grid, self.engine
        found = {f"{grid.n_pos_dims}-D grid", "1 level" if grid.n_levels == 1 else f"all {grid.n_levels} levels"}
        found |= {"no stalls", "source stalls", "sink stalls", "both stall", "table reloaded"}
        for value, name in ((0, "point at 0"), (ONE, "point at 1")):
            found |= {name} if (case.points == value).any() else set()
        found |= {"point past 1"} if (case.points > ONE).any() else set()
        found |= {"reset in traffic"} if case.reset_after else set()
        found |= {f"output shift {shift}" for _, shifts in case.frames for shift in shifts}
        if grid.n_levels < engine.level_parallel:
            found.add("idle engine")
        layouts = level_layouts(grid, engine)
        kinds = {kind_of(layout) for layout in layouts}
        found |= {f"{kind}, {grid.interpolation}" for kind in kinds}
        found |= {"dense and hashed levels"} if {"hash", "dense"} <= kinds else set()
        found |= {"remainder of a tile"} if any(layout.needs_remainder for layout in layouts) else set()
        for layout in layouts:
            found |= self._sample_level(layout, case.inside)
        for timing in case.timings:
            inside = np.arange(1, len(case.points) + 1) - np.searchsorted(timing.features, timing.accepted)
            found |= {"all credits taken"} if inside.max() == engine.points_in_flight else set()
        self.counts.update(found & set(self.counts))

    def _sample_level(self, layout: LevelLayout, points: np.ndarray) -> set[str]:
        """docs/numerics.md, "Grid encoding" steps 3 and 5."""
        level: GridLevel = layout.level
        dims = points.shape[1]
        p = points * level_scale_raw(level.scale) + (1 << 32)
        corners = np.array([[corner >> dim & 1 for dim in range(dims)] for corner in range(1 << dims)])
        cells = p >> 33
        terms = (cells[:, None, :] + corners) * np.array(level.strides)
        index = np.bitwise_xor.reduce(terms & 0xFFFFFFFF, axis=2) if level.hashed else terms.sum(axis=2)
        banks = layout.place(index % level.entries)[0]
        found = {f"{clocks} clocks of a lookup" for clocks in np.unique(conflict_clocks(banks))}
        fraction = p >> 25 & 255
        found |= {"exact vertex"} if (fraction == 128).all(axis=1).any() else set()
        found |= {"cell border"} if (fraction == 0).any() else set()
        found |= {"a cell again"} if (cells[1:] == cells[:-1]).all(axis=1).any() else set()
        if not level.hashed and (index >= level.entries).any():
            found.add("tile wrap" if layout.tiled else "dense wrap")
        if level.hashed and level.resolution > 1625:
            found.add("hashed, resolution > 1625")
        return found

    @property
    def empty(self) -> list[str]:
        """Bins that no grid has filled."""
        return [name for name, count in self.counts.items() if not count]

    def print(self, name: str) -> None:
        """Print how many grids hold each bin."""
        width = max(map(len, self.counts))
        profile = f"F = {self.engine.n_features_per_level}, {self.engine.arithmetic}"
        print(f"functional coverage of {name} ({profile}): grids that hold each bin")
        for bin_name, count in self.counts.items():
            print(f"  {bin_name:<{width}}  {count}")


def draw_grid(
    rng: np.random.Generator, engine: EncodingEngineConfig, kind: str, interpolation: str, *, crowded: bool
) -> GridConfig:
    """A grid that fits ``engine`` and has a level of ``kind``; if ``crowded``, one to see every conflict on."""
    dims = engine.n_pos_dims if crowded else int(rng.integers(2, engine.n_pos_dims, endpoint=True))
    for _ in range(10_000):
        n_levels = int(rng.integers(1, engine.n_levels, endpoint=True))
        fine = kind == "hash" and rng.random() < 0.3
        resolution = int(rng.integers(1626, 4000)) if fine else int(rng.integers(2, 24))
        if kind == "tile" and not engine.tile_remainder:
            resolution = 1 << int(rng.integers(1, 4 if dims == 3 else 6))
        if kind == "dense" and crowded:
            resolution = 7  # a cell spans 58 rows, so that a bank of 64 often holds five corners and more
        scale = float(rng.uniform(1.0, 2.5))
        if kind == "flat":
            dims, n_levels, resolution = 3, 2, int(rng.integers(2, 9))
            scale = float(rng.uniform(1700, 16000)) / resolution
        try:
            grid = GridConfig(
                n_pos_dims=dims,
                grid_type={
                    "hash": "Hash",
                    "dense": str(rng.choice(["Hash", "Dense"])),
                    "tile": "Tiled",
                    "flat": "Tiled",
                }[kind],
                n_levels=n_levels,
                n_features_per_level=engine.n_features_per_level,
                log2_hashmap_size=int(rng.integers(3, 13)),
                base_resolution=resolution,
                per_level_scale=scale,
                interpolation=interpolation,
            )
            layouts = check_runnable(grid, engine)
        except InputError:
            continue
        if kind in {kind_of(layout) for layout in layouts}:
            return grid
    raise AssertionError(f"no {kind} grid fits the engine {engine}")


def any_bank_bits(seed: int, *, high: bool):
    """A choice of bank bits that is drawn, or the highest: slower than the search's, and it reaches every conflict."""

    def choose(level: GridLevel, n_pos_dims: int, n_banks: int) -> tuple[int, ...]:
        rng = np.random.default_rng([seed, level.entries, n_pos_dims])
        n_bits = (n_banks - 1).bit_length()
        top = max(n_bits, min(N_BANK_BIT_POSITIONS, (level.entries - 1).bit_length()))
        if high:
            return tuple(range(top - n_bits, top))  # neighbours along dimension 0 share a bank
        return tuple(sorted(rng.choice(top, n_bits, replace=False).tolist()))

    return choose


def run_grids(engine, count, *, encoding_case, cocotb_run, monkeypatch, seed, folder, name):
    """Run at least ``count`` grids, and more until every bin is filled."""
    rng = np.random.default_rng([seed, *name.encode()])
    coverage = Coverage(engine)
    drawn = combinations(engine)
    paths = []
    while len(paths) < count or (coverage.empty and len(paths) < 4 * count):
        number = len(paths)
        with monkeypatch.context() as patch:
            crowded = number % 4 == 1
            if number % 2:
                choice = any_bank_bits(seed + number, high=crowded)
                patch.setattr(arch.encoding_engine, "choose_bank_bits", choice)
            grid = draw_grid(rng, engine, *drawn[number % len(drawn)], crowded=crowded)
            case = encoding_case(rng, grid, engine, 60, reset_after=int(rng.integers(1, 60)) if number % 3 == 1 else 0)
            coverage.sample(case)
            # The first grid's points also wait for a load word in their midst.
            paths.append(case.write(folder / f"{number}.npz", **({} if number else case.patch())))
        print(f"grid {number} of {name}, seed {seed}: {grid}")
    environment = {"NGPC_CASES": os.pathsep.join(str(path) for path in paths)}
    cocotb_run(GridEncoding(engine), "grid_encoding", BENCH, environment=environment)
    coverage.print(name)
    assert not coverage.empty, f"bins without a grid: {', '.join(coverage.empty)}"


@pytest.fixture
def run_drawn(encoding_case, cocotb_run, monkeypatch, seed, tmp_path):
    """:func:`run_grids` with all it needs but the build and the number of grids."""
    fixtures = {"encoding_case": encoding_case, "cocotb_run": cocotb_run, "monkeypatch": monkeypatch}
    return functools.partial(run_grids, **fixtures, seed=seed, folder=tmp_path)


@pytest.mark.cocotb
@pytest.mark.parametrize("name", SHORT)
def test_drawn_grids(name, run_drawn):
    run_drawn(SHORT[name], 12, name=name)


@pytest.mark.cocotb
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", LONG)
def test_many_drawn_grids(name, run_drawn):
    run_drawn(LONG[name], N_LONG, name=name)
