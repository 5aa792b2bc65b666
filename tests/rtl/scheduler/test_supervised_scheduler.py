"""The supervised and buffered unit at its ports: the next program, abort, interrupt, what can be read."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from arch.descriptor import PackedProgram, pack_program
from arch.errors import InputError
from arch.load_check import LoadFault
from arch.program import NanoOperation, Predecessor, Program
from arch.scheduler import SchedulerConfig
from arch.supervision import Cause, Decision
from rtl.scheduler.scheduler_unit import SchedulerUnit
from rtl.scheduler.supervised_scheduler import SupervisedScheduler, scheduler_of
from sim.engine.load_checker import check_clocks
from sim.engine.program_buffer import build_clocks
from sim.engine.scheduler import simulate
from sim.engine.scheduler_programs import random_program

SMALL = SchedulerConfig(n_descriptors=8, n_operations=4, n_units=2, n_pools=1, n_chunks=4, share_bits=4)
CONFIG = replace(SMALL, supervised=True, buffered=True, check_load=True, watchdog_bits=8)


def line(name: str, n: int = 3, count: int = 2) -> Program:
    """Nano-operations in a row, on two units in turn."""
    return Program(
        name=name,
        units=("a", "b"),
        pools=(),
        chunk_rows=1,
        n_chunks=1,
        count=count,
        nano_operations=tuple(
            NanoOperation(
                name=f"n{k}",
                operation=f"o{k}",
                unit="ab"[k % 2],
                chunks=1,
                predecessors=(Predecessor(operation=f"o{k - 1}"),) if k else (),
            )
            for k in range(n)
        ),
    )


class Bench:
    """Units that complete after so many clocks, and what was seen at the ports, by clock."""

    def __init__(self, ctx: object, dut: SupervisedScheduler, durations: Callable[[int], int]) -> None:
        self.ctx, self.dut, self.durations = ctx, dut, durations
        self.clock, self.words = 0, iter(())
        self.word: tuple | None = None
        self.ends: dict[int, tuple[int, int, int]] = {}
        self.issued: list[tuple[int, int, int]] = []
        self.seen: dict[str, list[int]] = {name: [] for name in ("begins", "done", "refused", "aborted")}
        self.errors: set[int] = set()
        for issue in dut.issue:
            ctx.set(issue.ready, 1)

    def load(self, packed: PackedProgram) -> None:
        """Send a program from now on, a word whenever one is taken."""
        self.words = iter(list(packed.load_words()))
        self.word = next(self.words)

    async def tick(self, n: int = 1) -> None:
        for _ in range(n):
            await self._tick()

    async def _tick(self) -> None:
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.load.valid, self.word is not None)
        if self.word is not None:
            table, address, data = self.word
            ctx.set(dut.load.payload, {"table": int(table), "address": address, "data": data})
        for unit, port in enumerate(dut.complete):
            ends = unit in self.ends and self.ends[unit][0] == self.clock
            ctx.set(port.valid, ends)
            if ends:
                _, index, attempt = self.ends.pop(unit)
                ctx.set(port.index, index)
                ctx.set(port.attempt, attempt)
                ctx.set(port.error, index in self.errors)
                self.errors.discard(index)
        for unit, issue in enumerate(dut.issue):
            if ctx.get(issue.valid):
                at = ctx.get(issue.payload)
                self.issued.append((self.clock, at.index, at.iteration))
                self.ends[unit] = (self.clock + self.durations(at.index), at.index, at.attempt)
        for name, clocks in self.seen.items():
            if ctx.get(getattr(dut, name)):
                clocks.append(self.clock)
        if self.word is not None and ctx.get(dut.load.ready):
            self.word = next(self.words, None)
        await ctx.tick()
        self.clock += 1
        ctx.set(dut.start, 0)
        ctx.set(dut.abort, 0)

    async def start(self) -> None:
        self.ctx.set(self.dut.start, 1)
        await self.tick()

    async def until(self, name: str, limit: int = 600) -> int:
        """Run to the clock after one in which that happens; returns that clock."""
        n = len(self.seen[name])
        for _ in range(limit):
            await self.tick()
            if len(self.seen[name]) > n:
                return self.seen[name][-1]
        raise AssertionError(f"{name} must come within {limit} clocks")


@pytest.fixture
def run(simulate_block: Callable[..., None]) -> Callable[..., None]:
    def with_bench(
        test: Callable[[Bench], object], config: SchedulerConfig = CONFIG, durations: Callable[[int], int] = lambda _: 9
    ) -> None:
        dut = SupervisedScheduler(config)

        async def testbench(ctx: object) -> None:
            await test(Bench(ctx, dut, durations))

        simulate_block(dut, testbench, limit=8000)

    return with_bench


def expected(program: Program, config: SchedulerConfig, begins: int) -> Iterator[tuple[int, int, int]]:
    """Issues of a program in which nothing goes wrong."""
    clocks = simulate(program, config, durations_clk=[9] * len(program.nano_operations)).issue_clk
    for iteration, row in enumerate(clocks):
        for index, clock in enumerate(row):
            yield begins + int(clock), index, iteration


def test_an_illegal_next_program_is_refused_and_the_running_one_unharmed(run: Callable[..., None]) -> None:
    first, second = line("first", count=6), line("second", n=2)
    bad = pack_program(second, CONFIG)
    bad = replace(bad, descriptors=(replace(bad.descriptors[0], chunks=0), *bad.descriptors[1:]))

    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        bench.load(pack_program(first, CONFIG))
        await bench.tick(3 + 3 + 1)
        await bench.start()
        begins = await bench.until("begins")
        packed = pack_program(first, CONFIG)
        assert begins == 7 + check_clocks(packed).clocks + 7 + build_clocks(packed) + 2
        bench.load(bad)
        await bench.tick(10)
        asked = bench.clock
        await bench.start()
        assert await bench.until("refused") == asked + check_clocks(bad).clocks
        assert (ctx.get(dut.fault), ctx.get(dut.fault_index)) == (LoadFault.NO_CHUNKS, 0)
        assert bench.seen["done"] == []
        # the host may load again, and the next one begins right after
        bench.load(pack_program(second, CONFIG))
        await bench.tick(10)
        await bench.start()
        done = await bench.until("done")
        assert sorted(bench.issued) == sorted(expected(first, SMALL, begins))
        bench.issued.clear()
        assert await bench.until("begins") == done + (2 + 2 + 1) + build_clocks(pack_program(second, CONFIG)) + 1
        begins = bench.seen["begins"][-1]
        await bench.until("done")
        assert sorted(bench.issued) == sorted(expected(second, SMALL, begins))
        assert ctx.get(dut.cycle) == bench.seen["done"][-1] - begins

    run(test)


def test_the_same_program_again(run: Callable[..., None]) -> None:
    program = line("again")

    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        # nothing was loaded yet
        await bench.start()
        await bench.tick(3)
        assert not ctx.get(dut.busy)
        bench.load(pack_program(program, CONFIG))
        await bench.tick(4)
        # half of it
        await bench.start()
        await bench.tick(3)
        assert not ctx.get(dut.busy)
        await bench.tick(5)
        await bench.start()
        await bench.until("begins")
        # asked for while it runs: again, right after
        await bench.start()
        done = await bench.until("done")
        assert await bench.until("begins") == done + 1
        await bench.until("done")
        assert not ctx.get(dut.busy)
        asked = bench.clock
        await bench.start()
        assert await bench.until("begins") == asked + 1
        # after an abort the words pass into the tables again
        await bench.tick(5)
        ctx.set(dut.abort, 1)
        ctx.set(dut.abort_discard, 1)
        asked = bench.clock
        assert await bench.until("aborted") == asked + 2
        assert not ctx.get(dut.busy)
        bench.ends.clear()
        bench.issued.clear()
        asked = bench.clock
        await bench.start()
        assert await bench.until("begins") == asked + 7 + build_clocks(pack_program(program, CONFIG)) + 2
        await bench.until("done")
        assert sorted(bench.issued) == sorted(expected(program, SMALL, bench.seen["begins"][-1]))

    run(test)


def test_a_word_in_the_clock_of_start_is_of_the_next_program(run: Callable[..., None]) -> None:
    first, second = line("first"), line("second", n=2, count=1)

    async def test(bench: Bench) -> None:
        bench.load(pack_program(first, CONFIG))
        await bench.tick(7)
        bench.load(pack_program(second, CONFIG))
        await bench.start()
        begins = await bench.until("begins")
        await bench.until("done")
        assert sorted(bench.issued) == sorted(expected(first, SMALL, begins))
        bench.issued.clear()
        await bench.start()
        begins = await bench.until("begins")
        await bench.until("done")
        assert sorted(bench.issued) == sorted(expected(second, SMALL, begins))

    run(test)


def test_a_drain_ends_two_clocks_after_the_last_completion(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        packed = pack_program(line("drained"), replace(CONFIG, buffered=False))
        bench.load(packed)
        await bench.tick(8 + build_clocks(packed))
        # without a buffer, and without a check
        await bench.start()
        if not bench.seen["begins"]:
            await bench.until("begins")
        await bench.tick(3)
        issued = bench.issued[0][0]
        ctx.set(dut.abort, 1)
        assert await bench.until("aborted") == issued + 9 + 2
        assert not ctx.get(dut.busy)
        assert (len(bench.issued), bench.seen["done"]) == (1, [])
        # the tables hold nothing
        await bench.start()
        assert not ctx.get(dut.busy)

    bare = replace(SMALL, supervised=True)
    dut_ports = SupervisedScheduler(bare).signature.members
    assert "refused" not in dut_ports

    class BareBench(Bench):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self.seen = {name: [] for name in ("begins", "done", "aborted")}

    async def bare_test(bench: Bench) -> None:
        await test(BareBench(bench.ctx, bench.dut, bench.durations))

    run(bare_test, bare)


def test_interrupt_status_and_progress(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        bench.load(pack_program(line("fails"), CONFIG))
        await bench.tick(8)
        ctx.set(dut.enable, 1 << Cause.FAILED)
        bench.errors.add(1)
        await bench.start()
        begins = await bench.until("begins")
        while not ctx.get(dut.failed):
            await bench.tick()
        # 0 from begins + 2 on, 9 clocks; 1 three clocks later, 9 clocks; then the clock after
        assert bench.clock == begins + 2 + 9 + 3 + 9 + 1
        assert (ctx.get(dut.failed), ctx.get(dut.causes), ctx.get(dut.interrupt)) == (0b10, 1 << Cause.FAILED, 0)
        await bench.tick()
        assert ctx.get(dut.interrupt)
        status = ctx.get(dut.status[1])
        assert (status.index, status.iteration, status.attempt) == (1, 0, 1)
        # descriptors 0, 2 on unit 0 (places 0, 1), 1 on unit 1 (place 2): 0 was issued in both iterations, 2 in none
        await bench.tick(30)
        progress = []
        for place in range(3):
            ctx.set(dut.probe, place)
            progress.append(ctx.get(dut.issued))
        assert progress == [2, 0, 1]
        ctx.set(dut.clear, 1 << Cause.FAILED)
        await bench.tick(2)
        assert not ctx.get(dut.interrupt)
        ctx.set(dut.resolve[1], Decision.DONE)
        await bench.tick()
        ctx.set(dut.resolve[1], Decision.NONE)
        await bench.until("done")
        assert (ctx.get(dut.dropped), ctx.get(dut.protocol_error)) == (0, 0)
        ctx.set(dut.probe, 0)
        await bench.tick()
        assert ctx.get(dut.issued) == 0

    run(test)


def test_the_first_drop_of_a_program_takes_a_sweep(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        bench.load(pack_program(line("drops", count=1), CONFIG))
        await bench.tick(8)
        bench.errors.add(0)
        await bench.start()
        await bench.until("begins")
        while not ctx.get(dut.failed):
            await bench.tick()
        ctx.set(dut.resolve[0], Decision.DROP)
        decided = bench.clock
        await bench.tick()
        ctx.set(dut.resolve[0], Decision.NONE)
        done = await bench.until("done")
        rows = 4
        told = decided + 4 + 4 * rows
        # 1 and 2 hang on it: granted 3 clocks after the completion before, checked for 8, told 1 later
        assert done == told + 2 * (3 + 8 + 1) + 2
        assert ctx.get(dut.dropped) == 3
        assert len(bench.issued) == 1

    run(test)


def test_late_and_wrong_completions_are_told_apart(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        bench.load(pack_program(line("late"), CONFIG))
        await bench.tick(8)
        for unit in range(2):
            ctx.set(dut.watchdog_limit[unit], 4)
        await bench.start()
        await bench.until("begins")
        await bench.tick(14)
        assert ctx.get(dut.causes) == 1 << Cause.WATCHDOG | 1 << Cause.LATE
        assert not ctx.get(dut.protocol_error)
        bench.ends[1] = (bench.clock, 3, 0)
        await bench.tick()
        assert (ctx.get(dut.protocol_error), ctx.get(dut.causes) >> Cause.PROTOCOL) == (1, 1)

    run(test)


@pytest.mark.parametrize("number", range(3))
def test_undisturbed_it_is_the_bare_unit(run: Callable[..., None], seed: int, number: int) -> None:
    program = random_program(random.Random(f"{seed} {number}"), SMALL)

    async def test(bench: Bench) -> None:
        bench.load(pack_program(program, CONFIG))
        await bench.tick(20)
        await bench.start()
        begins = await bench.until("begins")
        await bench.until("done", 3000)
        assert sorted(bench.issued) == sorted(expected(program, SMALL, begins))

    run(test)


def test_only_what_is_asked_for_is_there() -> None:
    assert type(scheduler_of(SMALL)) is SchedulerUnit
    assert type(scheduler_of(replace(SMALL, buffered=True))) is SupervisedScheduler
    assert "resolve" not in SupervisedScheduler(replace(SMALL, buffered=True)).signature.members
    members = SupervisedScheduler(replace(SMALL, supervised=True)).signature.members
    assert "resolve" in members
    assert "watchdog_limit" not in members


def test_a_watchdog_needs_supervision() -> None:
    with pytest.raises(InputError, match=r"^watchdog_bits must be an integer from 0 to 0, not 8$"):
        SchedulerConfig(watchdog_bits=8)
