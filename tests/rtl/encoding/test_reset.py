"""Reset in the middle of traffic: nothing of the old run is left, tables and level registers are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from amaranth.hdl import Fragment, ResetInserter, Signal
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig, EngineCounter
from arch.encoding_image import encoding_image
from arch.grid import GridConfig
from arch.load import LoadImage, LoadTarget
from reference.grid_encoding import encode_integer
from rtl.encoding.grid_encoding import GridEncoding
from sim.engine.encoding import encoding_cycles

GRID = GridConfig(n_pos_dims=2, n_levels=3, log2_hashmap_size=7, base_resolution=9, per_level_scale=1.7)
# One level fewer than the build's: the number of levels is what a reset forgets.
ENGINE = EncodingEngineConfig(n_pos_dims=2, n_levels=4, level_parallel=2, table_rows=512, counters=True)
REUSE = replace(ENGINE, reuse_cells=True)
CONTROL = (LoadTarget.ENCODING_CONTROL,)


@pytest.mark.parametrize(("engine", "at"), [(ENGINE, 5), (REUSE, 31), (ENGINE, 60)], ids=["early", "reuse", "full"])
def test_reset_in_traffic(engine, at, seed):
    """Before, on and behind the first features, with a sink that lets features pile up; then a whole run."""
    rng = np.random.default_rng([seed, at])
    value = engine.profile.value
    tables = rng.integers(value.minimum, value.maximum, (GRID.n_entries, 2), endpoint=True)
    shifts = [0, 3, 7]
    points = rng.integers(0, 1 << 23, (50, 2), endpoint=True)
    points[1::2] = points[::2]
    golden = encode_integer(
        GRID, torch.from_numpy(tables), shifts, torch.from_numpy(points), engine.profile
    ).numpy()  # fmt: skip
    image = encoding_image(GRID, engine, tables, shifts)
    model = encoding_cycles(GRID, engine, points)
    dut, reset = GridEncoding(engine), Signal()
    given, features = [], []

    async def load(ctx, words: LoadImage, targets) -> None:
        ctx.set(dut.load.valid, 1)
        for target, address, data in zip(words.target, words.address, words.data, strict=True):
            if target in targets:
                ctx.set(dut.load.payload, {"target": int(target), "address": int(address), "data": int(data)})
                await ctx.tick().until(dut.load.ready)
        ctx.set(dut.load.valid, 0)
        await ctx.tick()  # points hear of the end a clock later

    async def count(ctx, engine: int, counter: EngineCounter) -> int:
        ctx.set(dut.counter_select.payload, {"engine": engine, "counter": int(counter)})
        ctx.set(dut.counter_select.valid, 1)
        await ctx.tick()
        ctx.set(dut.counter_select.valid, 0)
        await ctx.tick().repeat(2)
        found = ctx.get(dut.counter_value.payload.count)
        ctx.set(dut.counter_value.ready, 1)
        await ctx.tick()
        return found

    async def bench(ctx):
        await load(ctx, image, tuple(LoadTarget))
        sent = 0
        for clock in range(at):
            ctx.set(dut.points.valid, 1)
            ctx.set(dut.points.payload, {"position": points[sent % 50].tolist(), "last": sent % 3 == 0})
            ctx.set(dut.features.ready, clock % 3 == 0)
            sent += ctx.get(dut.points.ready)
            await ctx.tick()
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        ctx.set(dut.points.valid, 0)
        ctx.set(dut.features.ready, 1)
        for _ in range(2 * engine.latency):
            assert not ctx.get(dut.features.valid), "features of a point from before the reset"
            await ctx.tick()
        for counter in EngineCounter:
            assert await count(ctx, 0, counter) == 0
        # Rows and level registers lie in memories, which a reset leaves alone.
        await load(ctx, image, CONTROL)
        clock = taken = 0
        while len(given) < len(points):
            assert clock < 1000
            ctx.set(dut.points.valid, taken < len(points))
            if taken < len(points):
                ctx.set(dut.points.payload, {"position": points[taken].tolist(), "last": taken == len(points) - 1})
            if ctx.get(dut.features.valid):
                given.append(clock)
                features.append(list(ctx.get(dut.features.payload.values))[: GRID.n_output_dims])
            taken += taken < len(points) and ctx.get(dut.points.ready)
            await ctx.tick()
            clock += 1
        for counter in EngineCounter:
            assert await count(ctx, 1, counter) == model.counters[1, counter]

    simulator = Simulator(Fragment.get(ResetInserter(reset)(dut), None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert features == golden.tolist()
    assert given == model.features.tolist()
