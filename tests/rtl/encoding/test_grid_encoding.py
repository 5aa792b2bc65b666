"""The whole engine in Amaranth's simulator against an independent scalar model; streams, latency, throughput."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import encoding_image
from arch.grid import GridConfig
from rtl.encoding.grid_encoding import GridEncoding

ONE = 1 << 23


def encode(grid: GridConfig, tables: np.ndarray, shifts: list[int], point: list[int], bits: int) -> list[int]:
    """docs/numerics.md, "Grid encoding", word for word, on Python integers."""
    features = []
    for level, level_shift in zip(grid.levels, shifts, strict=True):
        scale = round(float(level.scale) * 1024)
        p = [x * scale + 2**32 for x in point]
        cell, fraction = [v >> 33 for v in p], [v >> 25 & 255 for v in p]
        corners = []
        for corner in range(1 << grid.n_pos_dims):
            terms = [(c + (corner >> d & 1)) * level.strides[d] for d, c in enumerate(cell)]
            index = 0
            for term in terms:
                index = index ^ term & 0xFFFFFFFF if level.hashed else index + term
            corners.append(tables[level.offset + index % level.entries].tolist())
        if grid.interpolation == "Nearest":
            fraction = [0] * len(fraction)
        elif grid.interpolation == "Smoothstep":
            fraction = [min(255, round(Fraction(t * t * (768 - 2 * t), 1 << 16))) for t in fraction]
        for feature in range(grid.n_features_per_level):
            values = [corner[feature] for corner in corners]
            for t in fraction:
                values = [a * 256 + (b - a) * t for a, b in zip(values[::2], values[1::2], strict=True)]
            unit = 1 << 8 * grid.n_pos_dims + level_shift
            quotient, rest = divmod(values[0], unit)
            rounded = quotient + (2 * rest > unit or (2 * rest == unit and quotient & 1))
            features.append(max(-(1 << bits - 1), min((1 << bits - 1) - 1, rounded)))
    return features


class Run:
    """One load and one run of points on a fresh engine."""

    def __init__(self, engine: EncodingEngineConfig, grid: GridConfig, points: np.ndarray, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.engine, self.points = engine, points
        value = engine.profile.value
        tables = self.rng.integers(value.minimum, value.maximum, (grid.n_entries, grid.n_features_per_level))
        shifts = self.rng.integers(0, 8, grid.n_levels).tolist()
        self.image = encoding_image(grid, engine, tables, shifts)
        width = engine.n_levels * engine.n_features_per_level
        self.expected = [encode(grid, tables, shifts, p.tolist(), engine.profile.value_bits) for p in points]
        self.expected = [row + [0] * (width - len(row)) for row in self.expected]
        self.accepted, self.given, self.features, self.last = [], [], [], []

    def simulate(self, *, source: float, sink: float) -> "Run":
        """Run; ``source`` and ``sink`` are the chances of a clock with valid or ready high."""
        dut = GridEncoding(self.engine)
        dims = self.engine.n_pos_dims

        async def bench(ctx):
            ctx.set(dut.load.valid, 1)
            words = zip(self.image.target, self.image.address, self.image.data, strict=True)
            for number, (target, address, data) in enumerate(words):
                ctx.set(dut.load.payload, {"target": int(target), "address": int(address), "data": int(data)})
                if number == 0:  # it waits a clock
                    assert not ctx.get(dut.load.ready)
                    await ctx.tick()
                assert ctx.get(dut.load.ready) and not ctx.get(dut.points.ready)
                await ctx.tick()
            ctx.set(dut.load.valid, 0)
            await ctx.tick()  # points hear of the end a clock later
            offering, held = False, None
            clock = 0
            while len(self.given) < len(self.points):
                assert clock < 5000
                sent = len(self.accepted)
                # An offered point stays until it is taken.
                offering = sent < len(self.points) and (offering or self.rng.random() < source)
                ctx.set(dut.points.valid, offering)
                if offering:
                    position = [*self.points[sent].tolist(), *[ONE // 3] * dims][:dims]
                    ctx.set(dut.points.payload, {"position": position, "last": sent % 7 == 6})
                wanting = self.rng.random() < sink
                ctx.set(dut.features.ready, wanting)
                valid, payload = ctx.get(dut.features.valid), ctx.get(dut.features.payload)
                found = (list(payload["values"]), payload["last"]) if valid else None
                assert held is None or found == held, "features must hold until their transfer"
                held = None if wanting else found
                if offering and ctx.get(dut.points.ready):
                    self.accepted.append(clock)
                    offering = False
                if valid and wanting:
                    self.given.append(clock)
                    self.features.append(found[0])
                    self.last.append(found[1])
                await ctx.tick()
                clock += 1

        simulator = Simulator(Fragment.get(dut, None))
        simulator.add_clock(1e-8)
        simulator.add_testbench(bench)
        simulator.run()
        return self


SMALL = EncodingEngineConfig(n_levels=3, table_rows=1024, level_parallel=2)
GRIDS = {
    "3d": GridConfig(n_pos_dims=3, n_levels=3, log2_hashmap_size=8, base_resolution=4, per_level_scale=1.9),
    "nearest": GridConfig(
        n_pos_dims=3, n_levels=2, log2_hashmap_size=8, base_resolution=4, per_level_scale=1.9, interpolation="Nearest"
    ),
    "smoothstep": GridConfig(
        n_pos_dims=3,
        n_levels=3,
        log2_hashmap_size=8,
        base_resolution=4,
        per_level_scale=1.9,
        interpolation="Smoothstep",
    ),
    "2d": GridConfig(n_pos_dims=2, n_levels=2, log2_hashmap_size=6, base_resolution=5, per_level_scale=2.1),
    # tiles of 5^3 rows under 5^3, 10^3 and 19^3 vertices; the third dimension's stride alone is larger
    "tiles": GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=3, base_resolution=5, per_level_scale=1.9),
    "tiles 2d": GridConfig(n_pos_dims=2, grid_type="Tiled", n_levels=3, base_resolution=7, per_level_scale=7.7),
    # rows of two load words
    "wide": GridConfig(n_pos_dims=2, n_levels=2, n_features_per_level=8, log2_hashmap_size=6, base_resolution=5),
    # level 1 has 2000 vertices an axis: past 1625 the library reads row 0 for every point
    "flat": GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=2, base_resolution=8, per_level_scale=250.0),
}
GRIDS["reuse"] = GRIDS["queued"] = GRIDS["queued reuse"] = GRIDS["3d"]
GRIDS["reuse 2d"] = GRIDS["queued 2d"] = GRIDS["2d"]
ENGINES = {
    "queued": replace(SMALL, bank_ports=1),
    "queued 2d": replace(SMALL, bank_ports=1),
    "queued reuse": replace(SMALL, bank_ports=1, reuse_cells=True),
    "reuse": replace(SMALL, reuse_cells=True),
    "reuse 2d": replace(SMALL, reuse_cells=True),
    "wide": replace(SMALL, n_pos_dims=2, n_features_per_level=8, arithmetic="int16"),
    "tiles": replace(SMALL, tile_remainder=True),
    "tiles 2d": replace(SMALL, tile_remainder=True),
}


@pytest.mark.parametrize(
    ("name", "source", "sink"),
    [
        ("3d", 1.0, 1.0),
        ("3d", 0.4, 1.0),
        ("3d", 1.0, 0.2),
        ("3d", 0.5, 0.4),
        ("2d", 1.0, 1.0),
        ("nearest", 1.0, 1.0),
        ("smoothstep", 0.6, 0.6),
        ("tiles", 1.0, 0.6),
        ("tiles 2d", 0.6, 1.0),
        ("flat", 1.0, 1.0),
        ("wide", 1.0, 1.0),
        ("reuse", 1.0, 0.7),
        ("reuse 2d", 0.7, 1.0),
        ("queued", 1.0, 1.0),
        ("queued", 0.6, 0.4),
        ("queued 2d", 1.0, 1.0),
        ("queued reuse", 1.0, 1.0),
    ],
)
def test_golden(name, source, sink, seed):
    grid = GRIDS[name]
    rng = np.random.default_rng(seed)
    points = np.concatenate(
        [
            rng.integers(0, ONE, (24, grid.n_pos_dims), endpoint=True),
            rng.choice([0, 1, ONE // 2, ONE - 1, ONE], (12, grid.n_pos_dims)),
        ]
    )
    if "reuse" in name:
        # A walk of small steps behind the random points: most cells are those of the point before.
        points = np.concatenate([points, points[:1] // 2 + np.arange(30)[:, None] * (ONE >> 7)])
    run = Run(ENGINES.get(name, SMALL), grid, points, seed).simulate(source=source, sink=sink)
    assert run.features == run.expected
    assert run.last == [number % 7 == 6 for number in range(len(points))]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("tile_remainder", [False, True])
def test_latency_and_a_point_a_clock(dims, tile_remainder, seed):
    """One level per engine and no conflicts: ``config.latency`` clocks, then a point every clock."""
    engine = EncodingEngineConfig(
        n_pos_dims=dims, n_levels=2, level_parallel=2, table_rows=1024, tile_remainder=tile_remainder
    )
    # Resolution 2: its whole cell is at most one corner a bank.
    grid = GridConfig(n_pos_dims=dims, grid_type="Dense", n_levels=2, base_resolution=2, per_level_scale=1.0)
    points = np.full((50, dims), ONE // 4)
    run = Run(engine, grid, points, seed).simulate(source=1.0, sink=1.0)
    assert run.accepted == list(range(50))
    assert run.given == list(range(engine.latency, engine.latency + 50))
    assert run.features == run.expected
