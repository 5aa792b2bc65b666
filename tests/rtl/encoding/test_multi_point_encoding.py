"""Groups of points over lanes, in Amaranth's simulator: features equal the golden model's, clocks the cycle model's."""

import numpy as np
import pytest
import torch
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from arch.grid import GridConfig
from arch.multi_point_encoding import MultiPointConfig, multi_point_image
from reference.grid_encoding import encode_integer
from rtl.encoding.multi_point_encoding import MultiPointEncoding
from sim.engine.multi_point_encoding import group_sizes, multi_point_cycles

ONE = 1 << 23
FOUR = MultiPointConfig(
    engine=EncodingEngineConfig(n_pos_dims=2, n_levels=6, level_parallel=4, table_rows=1024), points_per_clock=4
)
PAIRS = MultiPointConfig(
    engine=EncodingEngineConfig(n_levels=4, level_parallel=4, table_rows=512, n_features_per_level=1),
    points_per_clock=2,
)


class Frame:
    """A grid's tables, groups of points, and what should come of them."""

    def __init__(self, config: MultiPointConfig, n_levels: int, rng: np.random.Generator, *, stalls: bool) -> None:
        engine, points = config.engine, 50
        self.grid = GridConfig(
            n_pos_dims=engine.n_pos_dims,
            n_levels=n_levels,
            n_features_per_level=engine.n_features_per_level,
            log2_hashmap_size=6,
            base_resolution=5,
            per_level_scale=1.6,
        )
        lanes = config.lanes(n_levels)
        coordinates = rng.integers(0, ONE, (points, engine.n_pos_dims), endpoint=True)
        sizes = group_sizes(points, lanes)
        if stalls:
            sizes = rng.integers(1, lanes, points, endpoint=True)
            sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), points - lanes))]
            coordinates = coordinates[: sizes.sum()]
        self.offered, self.wanted = (
            np.cumsum(rng.integers(0, 6, len(sizes)) * (rng.random(len(sizes)) < 0.4)) * stalls for _ in range(2)
        )
        value = engine.profile.value
        shape = (self.grid.n_entries, engine.n_features_per_level)
        tables = rng.integers(value.minimum, value.maximum, shape, endpoint=True)
        shifts = rng.integers(0, 8, n_levels).tolist()
        self.image = multi_point_image(self.grid, config, tables, shifts)
        self.timing = multi_point_cycles(
            self.grid, config, coordinates, groups=sizes, offered=self.offered, wanted=self.wanted
        )
        golden = encode_integer(
            self.grid, torch.from_numpy(tables), shifts, torch.from_numpy(coordinates), engine.profile
        ).numpy()
        # Point i of a group stands in its features at i times a lane's levels.
        lane_width = engine.level_parallel // lanes * engine.n_features_per_level
        self.groups, self.features = [], []
        first = 0
        for size in sizes.tolist():
            position = np.zeros((config.points_per_clock, engine.n_pos_dims), dtype=int)
            position[:size] = coordinates[first : first + size]
            # What stands past the last point does not matter.
            position[size:] = rng.integers(0, ONE, (config.points_per_clock - size, engine.n_pos_dims))
            features = np.zeros(engine.n_levels * engine.n_features_per_level, dtype=int)
            for point in range(size):
                row = golden[first + point]
                features[point * lane_width : point * lane_width + len(row)] = row
            last = int(rng.random() < 0.2)
            self.groups.append({"position": position.ravel().tolist(), "last_index": size - 1, "last": last})
            self.features.append((features.tolist(), size - 1, last))
            first += size


def simulate(config: MultiPointConfig, frames: list[Frame]) -> None:
    """Load and run one frame after the other; every transfer in its clock."""
    dut = MultiPointEncoding(config)

    async def bench(ctx):
        for frame in frames:
            ctx.set(dut.load.valid, 1)
            words = zip(frame.image.target, frame.image.address, frame.image.data, strict=True)
            for number, (target, address, data) in enumerate(words):
                ctx.set(dut.load.payload, {"target": int(target), "address": int(address), "data": int(data)})
                if number == 0:  # it waits a clock
                    await ctx.tick()
                assert ctx.get(dut.load.ready) and not ctx.get(dut.points.ready)
                await ctx.tick()
            ctx.set(dut.load.valid, 0)
            await ctx.tick()  # points hear of the end a clock later
            accepted, given, found = [], [], []
            clock = 0
            while len(given) < len(frame.groups):
                assert clock < 3000
                sent, got = len(accepted), len(given)
                offering = sent < len(frame.groups) and clock >= frame.offered[sent]
                wanting = bool(clock >= frame.wanted[got])
                ctx.set(dut.points.valid, int(offering))
                if offering:
                    ctx.set(dut.points.payload, frame.groups[sent])
                ctx.set(dut.features.ready, wanting)
                if offering and ctx.get(dut.points.ready):
                    accepted.append(clock)
                if wanting and ctx.get(dut.features.valid):
                    payload = ctx.get(dut.features.payload)
                    found.append((list(payload["values"]), payload["last_index"], payload["last"]))
                    given.append(clock)
                await ctx.tick()
                clock += 1
            ctx.set(dut.points.valid, 0)
            ctx.set(dut.features.ready, 0)
            assert found == frame.features
            assert accepted == frame.timing.accepted.tolist()
            assert given == frame.timing.features.tolist()

    simulator = Simulator(Fragment.get(dut, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize(("config", "levels"), [(FOUR, (1, 2, 3, 6)), (PAIRS, (2, 4))], ids=["four", "pairs"])
def test_golden_in_the_predicted_clocks(config, levels, stalls, seed):
    """One frame after the other on the same engines: all numbers of lanes, and more levels than engines."""
    rng = np.random.default_rng(seed)
    frames = [Frame(config, n_levels, rng, stalls=stalls) for n_levels in levels]
    assert {config.lanes(frame.grid.n_levels) for frame in frames} == {1, 2, 4} - (set() if config is FOUR else {4})
    simulate(config, frames)


def test_a_load_word_waits_for_the_groups_inside(seed):
    """While it waits no group enters; it is taken once all have left, whichever section it is for."""
    frame = Frame(PAIRS, 2, np.random.default_rng(seed), stalls=False)
    dut = MultiPointEncoding(PAIRS)
    words = list(zip(frame.image.target, frame.image.address, frame.image.data, strict=True))

    def offer(ctx, word):
        ctx.set(dut.load.valid, 1)
        ctx.set(dut.load.payload, dict(zip(("target", "address", "data"), map(int, word), strict=True)))

    async def bench(ctx):
        for word in words:
            offer(ctx, word)
            await ctx.tick().until(dut.load.ready)
        ctx.set(dut.load.valid, 0)
        await ctx.tick()  # points hear of the end a clock later
        ctx.set(dut.points.valid, 1)
        ctx.set(dut.features.ready, 1)
        sent = given = 0
        empty = False
        for _ in range(200):
            if sent < 10:
                ctx.set(dut.points.payload, frame.groups[sent])
            else:
                offer(ctx, words[-1])
                assert not ctx.get(dut.points.ready)
                assert ctx.get(dut.load.ready) == empty  # a clock behind the last group
                if empty:
                    return
                empty = given == sent
            sent += ctx.get(dut.points.ready)
            given += ctx.get(dut.features.valid)
            await ctx.tick()
        raise AssertionError("a load word must be taken within 200 clocks")

    simulator = Simulator(Fragment.get(dut, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
