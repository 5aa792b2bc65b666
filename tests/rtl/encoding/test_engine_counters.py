"""Counters of the level engines in Amaranth's simulator against the cycle model, and their port."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig, EngineCounter
from arch.encoding_image import ControlRegister, encoding_image
from arch.grid import GridConfig
from arch.load import LoadImage, LoadTarget
from rtl.encoding.grid_encoding import GridEncoding
from sim.engine.encoding import encoding_cycles

ONE = 1 << 23
GRID = GridConfig(n_pos_dims=3, n_levels=3, log2_hashmap_size=7, base_resolution=40, per_level_scale=1.7)
# Engine 0 looks up two levels.
ENGINE = EncodingEngineConfig(n_levels=3, level_parallel=2, table_rows=512, counters=True)
# Engine 3 has no level.
WIDE = EncodingEngineConfig(n_levels=4, level_parallel=4, table_rows=512, counters=True)
REUSE = replace(ENGINE, reuse_cells=True)
# Every lookup takes nine clocks more to the arbiter, and one more behind it.
LONG = replace(REUSE, tile_remainder=True)
QUEUED = replace(ENGINE, bank_ports=1)
QUEUED_REUSE = replace(LONG, bank_ports=1)


class Bench:
    """A loaded engine, driven clock by clock."""

    def __init__(self, ctx, dut: GridEncoding) -> None:
        self.ctx, self.dut = ctx, dut

    async def load(self, image: LoadImage) -> None:
        """Send load words; the engine is empty."""
        ctx, load = self.ctx, self.dut.load
        ctx.set(load.valid, 1)
        for target, address, data in zip(image.target, image.address, image.data, strict=True):
            ctx.set(load.payload, {"target": int(target), "address": int(address), "data": int(data)})
            await ctx.tick().until(load.ready)
        ctx.set(load.valid, 0)
        await ctx.tick()  # points hear of the end a clock later

    async def run(self, points, offered, wanted, *, load_at: int = -1) -> tuple[list[int], list[int], int]:
        """A run; returns clocks of acceptance and of features, and how long a load word offered at a clock waited."""
        ctx, dut = self.ctx, self.dut
        accepted, given, waited = [], [], 0
        offered, wanted = offered.tolist(), wanted.tolist()
        clock = 0
        while len(given) < len(points):
            assert clock < 5000
            sent = len(accepted)
            offering = sent < len(points) and clock >= offered[sent]
            ctx.set(dut.points.valid, offering)
            if offering:
                payload = {"position": points[sent].tolist(), "last": sent == len(points) - 1}
                ctx.set(dut.points.payload, payload)
            wanting = clock >= wanted[len(given)]
            ctx.set(dut.features.ready, wanting)
            loading = 0 <= load_at <= clock
            ctx.set(dut.load.valid, loading)
            if loading:
                ctx.set(dut.load.payload, {"target": int(LoadTarget.ENCODING_CONTROL), "address": 99, "data": 0})
                waited += 1
                load_at = -1 if ctx.get(dut.load.ready) else load_at
            if offering and ctx.get(dut.points.ready):
                accepted.append(clock)
            if wanting and ctx.get(dut.features.valid):
                given.append(clock)
            await ctx.tick()
            clock += 1
        ctx.set(dut.points.valid, 0)
        return accepted, given, waited

    async def read(self, engines: int) -> np.ndarray:
        """(engines, counters), each read three clocks after its request."""
        ctx, dut = self.ctx, self.dut
        counts = np.zeros((engines, len(EngineCounter)), dtype=np.int64)
        ctx.set(dut.counter_value.ready, 1)
        for engine in range(engines):
            for counter in EngineCounter:
                ctx.set(dut.counter_select.payload, {"engine": engine, "counter": int(counter)})
                ctx.set(dut.counter_select.valid, 1)
                assert ctx.get(dut.counter_select.ready)
                await ctx.tick()
                ctx.set(dut.counter_select.valid, 0)
                for _ in range(2):
                    assert not ctx.get(dut.counter_value.valid) and not ctx.get(dut.counter_select.ready)
                    await ctx.tick()
                assert ctx.get(dut.counter_value.valid)
                counts[engine, counter] = ctx.get(dut.counter_value.payload.count)
                await ctx.tick()
        return counts


def _simulate(engine: EncodingEngineConfig, program) -> None:
    dut = GridEncoding(engine)

    async def testbench(ctx) -> None:
        await program(Bench(ctx, dut))

    simulator = Simulator(Fragment.get(dut, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def _image(engine: EncodingEngineConfig) -> LoadImage:
    return encoding_image(GRID, engine, np.zeros((GRID.n_entries, 2), dtype=int), [0] * GRID.n_levels)


def _gaps(rng: np.random.Generator, count: int, pause: int) -> np.ndarray:
    return np.cumsum(rng.integers(0, pause, count) * (rng.random(count) < 0.4))


@pytest.mark.parametrize(
    "engine",
    [ENGINE, WIDE, REUSE, LONG, QUEUED, QUEUED_REUSE],
    ids=["two", "four", "reuse", "long", "queued", "queued-long"],
)
def test_counters_equal_the_cycle_model(engine, seed):
    """Runs one after the other: always ready, a slow source, a slow sink, both, and a sink that comes late."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, ONE, (3000, 3), endpoint=True)
    # Points with bank conflicts, repeated: by chance they would be one in a hundred, and queues would hide them.
    latencies = np.array([encoding_cycles(GRID, engine, point[None]).cycles for point in pool])
    conflicts = pool[latencies > latencies.min()][:12]
    points = np.concatenate([conflicts, np.repeat(conflicts[:3], 8, axis=0), pool])[:90]
    # Neighbours in one cell, of lookups with conflicts, too.
    points[1::3] = points[:-1:3]
    at_once = np.zeros(90, dtype=np.int64)
    slow_source, slow_sink = _gaps(rng, 90, 9), _gaps(rng, 90, 9)
    runs = [
        (at_once, at_once),
        (slow_source, at_once),
        (at_once, slow_sink),
        (slow_source, slow_sink),
        (at_once, 150 + at_once),
        # All points inside, none offered: engines wait for points, although there is no credit either.
        (at_once[:48], 150 + at_once[:48]),
        (at_once[:32], 150 + at_once[:32]),
    ]
    seen = np.zeros(len(EngineCounter), dtype=bool)

    async def program(bench: Bench) -> None:
        await bench.load(_image(engine))
        for offered, wanted in runs:
            await bench.load(LoadImage.of(LoadTarget.ENCODING_CONTROL, [ControlRegister.CLEAR_COUNTERS], [0]))
            sent = points[: len(offered)]
            accepted, given, _ = await bench.run(sent, offered, wanted)
            model = encoding_cycles(GRID, engine, sent, offered=offered, wanted=wanted)
            assert (accepted, given) == (model.accepted.tolist(), model.features.tolist())
            counts = await bench.read(engine.level_parallel)
            assert counts.tolist() == model.counters.tolist()
            used = np.arange(engine.level_parallel) < GRID.n_levels
            assert counts[:, :6].sum(axis=1).tolist() == np.where(used, model.cycles, 0).tolist()
            seen[:] |= counts.any(axis=0)

    _simulate(engine, program)
    # Engines of one lookup a point wait for each other after conflicts only, and four point FIFO rows bridge those.
    missing = {EngineCounter.LOAD} | ({EngineCounter.PEER} if engine is WIDE else set())
    if not engine.reuse_cells:
        assert {counter for counter in EngineCounter if not seen[counter]} == missing | {EngineCounter.REUSED}
    assert seen[EngineCounter.REUSED] == engine.reuse_cells


def test_a_load_word_in_a_run_is_counted(seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, ONE, (60, 3), endpoint=True)
    at_once = np.zeros(60, dtype=np.int64)

    async def program(bench: Bench) -> None:
        await bench.load(_image(ENGINE))
        plain = encoding_cycles(GRID, ENGINE, points)
        _, given, waited = await bench.run(points, at_once, at_once, load_at=50)
        counts = await bench.read(2)
        assert counts[:, :6].sum(axis=1).tolist() == [given[-1] + 1] * 2
        assert counts[:, EngineCounter.LOOKUPS].tolist() == plain.counters[:, EngineCounter.LOOKUPS].tolist()
        # Engines work off what they hold while the word waits.
        assert 0 < counts[0, EngineCounter.LOAD] <= counts[1, EngineCounter.LOAD] <= waited
        assert counts[0, EngineCounter.LOAD] >= ENGINE.latency - ENGINE.point_fifo_depth * 2
        # The counters stand still between runs.
        for _ in range(20):
            await bench.ctx.tick()
        assert (await bench.read(2)).tolist() == counts.tolist()
        # Engines that are not there read as 0.
        assert (await bench.read(3))[2].tolist() == [0] * len(EngineCounter)

    _simulate(ENGINE, program)


def test_an_engine_without_counters_has_no_port():
    dut = GridEncoding(EncodingEngineConfig(n_levels=1, table_rows=8))
    Fragment.get(dut, None)
    assert set(dut.signature.members) == {"load", "points", "features"}
