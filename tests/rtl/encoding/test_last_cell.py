"""Reusing the last cell's rows: recognising it, keeping its corners, and forgetting both when something is loaded."""

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import encoding_image
from arch.grid import GridConfig
from arch.load import LoadTarget
from rtl.encoding.grid_encoding import GridEncoding
from rtl.encoding.last_cell import LastCell
from rtl.encoding.last_corners import LastCorners


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("stalls", [False, True])
def test_same_cell_at_the_same_level(levels, stalls, run_pipeline, seed):
    rng = np.random.default_rng(seed)
    engine = EncodingEngineConfig(n_levels=levels, table_rows=64, reuse_cells=True)
    inputs, expected, last = [], [], {}
    for _ in range(400):
        slot, valid = int(rng.integers(levels)), int(rng.random() < 0.8)
        # Neighbours that differ in one bit of one dimension, and the first cell of all, which memories start with.
        cell = [int(rng.random() < 0.2) << int(rng.integers(15)) for _ in range(3)]
        inputs.append({"valid": valid, "slot": slot, "cell": cell, "clear": 0})
        expected.append(int(valid and last.get(slot) == cell))
        if valid:
            last[slot] = cell
    results = run_pipeline(LastCell(engine), inputs, ["same"], 1, stalls=stalls)
    assert [found["same"] for found in results] == expected
    assert 20 < sum(expected) < 380


def test_clear_forgets_every_level(run_pipeline):
    engine = EncodingEngineConfig(n_levels=2, table_rows=64, reuse_cells=True)
    lookup = [{"valid": 1, "slot": slot, "cell": [5, 6, 7], "clear": 0} for slot in (0, 1)]
    clear = {"valid": 0, "slot": 0, "cell": [0, 0, 0], "clear": 1}
    results = run_pipeline(LastCell(engine), [*lookup, *lookup, clear, *lookup, *lookup], ["same"], 1)
    assert [found["same"] for found in results] == [0, 0, 1, 1, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("levels", [1, 4])
def test_corners_of_the_lookup_before(levels, run_pipeline, seed):
    rng = np.random.default_rng(seed)
    engine = EncodingEngineConfig(n_pos_dims=2, n_levels=levels, table_rows=64, reuse_cells=True)
    inputs, expected, last = [], [], {}
    for _ in range(300):
        slot, valid = int(rng.integers(levels)), int(rng.random() < 0.8)
        reuse = int(slot in last and rng.random() < 0.5)
        gathered = rng.integers(0, 1 << 16, 4).tolist()
        inputs.append({"valid": valid, "slot": slot, "reuse": reuse, "gathered": gathered})
        corners = last[slot] if reuse else gathered
        expected.append(corners)
        if valid:
            last[slot] = corners
    results = run_pipeline(LastCorners(engine), inputs, ["corner"], engine.last_corners_latency)
    assert [list(found["corner"]) for found in results] == expected


def test_a_loaded_row_counts_for_the_very_next_point(seed):
    """The same point three times, then again after its rows were loaded anew: one cell, two answers."""
    grid = GridConfig(n_pos_dims=2, n_levels=1, log2_hashmap_size=6, base_resolution=7)
    engine = EncodingEngineConfig(n_pos_dims=2, n_levels=1, table_rows=64, reuse_cells=True)
    dut = GridEncoding(engine)
    found = []

    async def bench(ctx):
        ctx.set(dut.features.ready, 1)
        for value in (11, -23):
            image = encoding_image(grid, engine, np.full((grid.n_entries, 2), value), [0])
            ctx.set(dut.load.valid, 1)
            for target, address, data in zip(image.target, image.address, image.data, strict=True):
                # The second time rows alone: registers would forget the cell, too.
                if value == 11 or target == LoadTarget.TABLE:
                    ctx.set(dut.load.payload, {"target": int(target), "address": int(address), "data": int(data)})
                    await ctx.tick().until(dut.load.ready)
            ctx.set(dut.load.valid, 0)
            await ctx.tick()  # points hear of the end a clock later
            for _ in range(3):
                ctx.set(dut.points.valid, 1)
                ctx.set(dut.points.payload, {"position": [1 << 20, 1 << 21], "last": 0})
                await ctx.tick()
            ctx.set(dut.points.valid, 0)
            for _ in range(2 * engine.latency):
                if ctx.get(dut.features.valid):
                    found.append(list(ctx.get(dut.features.payload.values)))
                await ctx.tick()

    simulator = Simulator(Fragment.get(dut, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [[11, 11]] * 3 + [[-23, -23]] * 3
