"""A unit's guard, clock by clock: errors, the watchdog, late completions, what hangs on something dropped."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from arch.scheduler import SchedulerConfig
from arch.supervision import Decision, FailureCause, UnitState
from rtl.scheduler.unit_guard import UnitGuard

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=4, supervised=True, watchdog_bits=4)


class Bench:
    """What is at the guard's ports; times are the ticks of the testbench."""

    def __init__(self, ctx: object, dut: UnitGuard) -> None:
        self.ctx, self.dut = ctx, dut

    @property
    def state(self) -> UnitState:
        return UnitState(int(self.ctx.get(self.dut.status.state.as_value())))

    @property
    def told(self) -> int:
        return self.ctx.get(self.dut.complete.valid)

    def status(self, name: str) -> int:
        return self.ctx.get(self.dut.status[name])

    def complete(self, index: int, attempt: int, *, error: int = 0) -> None:
        """A completion in this clock."""
        port = self.dut.completion
        for signal, value in ((port.valid, 1), (port.index, index), (port.attempt, attempt), (port.error, error)):
            self.ctx.set(signal, value)

    async def tick(self, n: int = 1) -> None:
        for _ in range(n):
            await self.ctx.tick()
            self.ctx.set(self.dut.completion.valid, 0)
            self.ctx.set(self.dut.resolve, 0)

    async def issue(self, index: int = 5, iteration: int = 3, limit: int = 0) -> None:
        """Offer and accept in one clock; the next is the first of the execution."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.offer.payload, {"index": index, "iteration": iteration})
        ctx.set(dut.offer.valid, 1)
        ctx.set(dut.issue.ready, 1)
        if hasattr(dut, "limit"):
            ctx.set(dut.limit, limit)
        assert (ctx.get(dut.issue.valid), ctx.get(dut.offer.ready)) == (1, 1)
        assert ctx.get(dut.issue.payload.index) == index
        assert ctx.get(dut.issue.payload.iteration) == iteration
        await self.tick()
        ctx.set(dut.offer.valid, 0)
        # from here on the scheduler's payload means nothing
        ctx.set(dut.offer.payload, {"index": 0, "iteration": 0})
        assert self.state is UnitState.IN_FLIGHT


@pytest.fixture
def run(simulate_block: Callable[..., None]) -> Callable[..., None]:
    def with_bench(test: Callable[[Bench], object], config: SchedulerConfig = CONFIG) -> None:
        dut = UnitGuard(config)

        async def testbench(ctx: object) -> None:
            await test(Bench(ctx, dut))

        simulate_block(dut, testbench)

    return with_bench


def test_what_goes_well_passes_in_its_clock(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        assert (bench.state, ctx.get(dut.quiet)) == (UnitState.IDLE, 1)
        ctx.set(dut.offer.payload, {"index": 5, "iteration": 3})
        ctx.set(dut.offer.valid, 1)
        assert (ctx.get(dut.issue.valid), ctx.get(dut.offer.ready), ctx.get(dut.quiet)) == (1, 0, 0)
        await bench.tick(2)
        assert (bench.state, ctx.get(dut.issue.valid), ctx.get(dut.offer.ready)) == (UnitState.OFFERED, 1, 0)
        await bench.issue()
        assert not bench.told
        bench.complete(5, 0)
        assert (bench.told, ctx.get(dut.complete.index)) == (1, 5)
        await bench.tick()
        assert (bench.state, bench.told) == (UnitState.IDLE, 0)

    run(test)


@pytest.mark.parametrize("decision", [Decision.REISSUE, Decision.DONE, Decision.DROP])
def test_an_error_waits_for_a_decision(run: Callable[..., None], decision: Decision) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        await bench.issue()
        bench.complete(5, 0, error=1)
        assert (bench.told, ctx.get(dut.erred)) == (0, 1)
        await bench.tick()
        for _ in range(3):
            assert (bench.state, bench.told, ctx.get(dut.failed), ctx.get(dut.quiet)) == (UnitState.FAILED, 0, 1, 1)
            assert (bench.status("index"), bench.status("iteration"), bench.status("attempt")) == (5, 3, 1)
            assert bench.status("cause") == FailureCause.ERROR
            await bench.tick()
        ctx.set(dut.issue.ready, 0)
        ctx.set(dut.resolve, decision)
        await bench.tick()
        if decision is Decision.REISSUE:
            assert (bench.state, ctx.get(dut.issue.valid)) == (UnitState.OFFERED, 1)
            assert ctx.get(dut.issue.payload) == {"index": 5, "iteration": 3, "attempt": 1}
            ctx.set(dut.issue.ready, 1)
            # the scheduler knows nothing of it
            assert not ctx.get(dut.offer.ready)
            await bench.tick()
            assert (bench.state, bench.status("cause")) == (UnitState.IN_FLIGHT, FailureCause.NONE)
            bench.complete(5, 1)
            assert bench.told
        elif decision is Decision.DONE:
            assert (bench.told, ctx.get(dut.complete.index), bench.state) == (1, 5, UnitState.FAILED)
        else:
            for answer in (0, 0, 1):
                assert (ctx.get(dut.asks), ctx.get(dut.marks), bench.told) == (1, 1, 0)
                assert ctx.get(dut.at) == {"index": 5, "iteration": 3}
                ctx.set(dut.answer, answer)
                await bench.tick()
            ctx.set(dut.answer, 0)
            assert (bench.told, ctx.get(dut.asks)) == (1, 0)
        await bench.tick()
        assert (bench.state, bench.told) == (UnitState.IDLE, 0)

    run(test)


def test_drop_decides_at_once(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        bench.ctx.set(bench.dut.drop, 1)
        await bench.issue()
        bench.complete(5, 0, error=1)
        await bench.tick()
        assert (bench.state, bench.ctx.get(bench.dut.marks)) == (UnitState.FAILED, 0)
        await bench.tick()
        assert bench.ctx.get(bench.dut.marks)

    run(test)


@pytest.mark.parametrize("limit", [1, 2, 15])
def test_the_watchdog_to_the_clock(run: Callable[..., None], limit: int) -> None:
    async def test(bench: Bench) -> None:
        for in_time in (True, False):
            await bench.issue(limit=limit)
            attempt = bench.status("attempt")
            for clock in range(1, limit):
                assert not bench.ctx.get(bench.dut.expired), clock
                await bench.tick()
            if in_time:
                bench.complete(5, attempt)
                assert (bench.told, bench.ctx.get(bench.dut.expired)) == (1, 0)
                await bench.tick()
                assert bench.state is UnitState.IDLE
                continue
            assert (bench.ctx.get(bench.dut.expired), bench.state) == (1, UnitState.IN_FLIGHT)
            await bench.tick()
            assert (bench.state, bench.status("cause")) == (UnitState.FAILED, FailureCause.WATCHDOG)
            # one clock too late
            bench.complete(5, attempt)
            assert (bench.told, bench.ctx.get(bench.dut.late)) == (0, 1)
            await bench.tick()
            assert bench.state is UnitState.FAILED

    run(test)


def test_no_limit_no_watchdog(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        await bench.issue()
        for _ in range(40):
            assert not bench.ctx.get(bench.dut.expired)
            await bench.tick()
        assert bench.state is UnitState.IN_FLIGHT

    run(test)
    run(test, replace(CONFIG, watchdog_bits=0))


def test_a_late_completion_does_not_end_the_new_execution(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        await bench.issue(limit=2)
        await bench.tick(2)
        assert bench.state is UnitState.FAILED
        ctx.set(dut.limit, 15)
        ctx.set(dut.resolve, Decision.REISSUE)
        await bench.tick(2)
        assert bench.state is UnitState.IN_FLIGHT
        bench.complete(5, 0)
        assert (bench.told, ctx.get(dut.late), ctx.get(dut.unexpected)) == (0, 1, 0)
        await bench.tick()
        assert bench.state is UnitState.IN_FLIGHT
        bench.complete(5, 1)
        assert (bench.told, ctx.get(dut.late)) == (1, 0)

    run(test)


def test_attempts_are_told_apart_in_every_bit(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        await bench.issue()
        for attempt in range(3):
            bench.complete(5, attempt, error=1)
            await bench.tick()
            ctx.set(dut.resolve, Decision.REISSUE)
            await bench.tick(2)
            assert bench.state is UnitState.IN_FLIGHT
            for late in range(attempt + 1):
                bench.complete(5, late)
                assert (bench.told, ctx.get(dut.late), ctx.get(dut.unexpected)) == (0, 1, 0)
                await bench.tick()
        bench.complete(5, 3)
        assert (bench.told, ctx.get(dut.late)) == (1, 0)

    run(test)


def test_what_is_in_flight_completes_while_stopped(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        await bench.issue()
        ctx.set(dut.stop, 1)
        await bench.tick()
        assert not ctx.get(dut.quiet)
        bench.complete(5, 0)
        assert bench.told
        await bench.tick()
        assert (bench.state, ctx.get(dut.quiet)) == (UnitState.IDLE, 1)

    run(test)


def test_completions_that_nothing_explains(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        bench.complete(0, 0)
        assert (bench.told, ctx.get(dut.unexpected)) == (0, 1)
        await bench.issue()
        bench.complete(4, 0)
        assert (bench.told, ctx.get(dut.unexpected), ctx.get(dut.erred)) == (0, 1, 0)
        await bench.tick()
        assert bench.state is UnitState.IN_FLIGHT

    run(test)


@pytest.mark.parametrize("hit", [0, 1])
def test_an_offer_is_checked_once_something_was_dropped(run: Callable[..., None], hit: int) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        ctx.set(dut.dropping, 1)
        ctx.set(dut.offer.payload, {"index": 5, "iteration": 3})
        ctx.set(dut.offer.valid, 1)
        ctx.set(dut.issue.ready, 1)
        assert not ctx.get(dut.issue.valid)
        await bench.tick()
        for answer in (0, 0, 1):
            assert (ctx.get(dut.asks), ctx.get(dut.marks), ctx.get(dut.issue.valid)) == (1, 0, 0)
            assert not ctx.get(dut.offer.ready)
            ctx.set(dut.answer, answer)
            ctx.set(dut.hit, hit)
            await bench.tick()
        ctx.set(dut.answer, 0)
        assert (ctx.get(dut.issue.valid), ctx.get(dut.offer.ready), bench.told) == (not hit, 1, 0)
        await bench.tick()
        ctx.set(dut.offer.valid, 0)
        assert bench.told == hit
        assert bench.state is (UnitState.IDLE if hit else UnitState.IN_FLIGHT)
        await bench.tick()
        assert not bench.told

    run(test)


def test_what_was_checked_while_it_stopped_is_not_offered(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        ctx.set(dut.dropping, 1)
        ctx.set(dut.offer.valid, 1)
        await bench.tick()
        ctx.set(dut.stop, 1)
        ctx.set(dut.answer, 1)
        assert (ctx.get(dut.asks), ctx.get(dut.quiet)) == (1, 1)
        await bench.tick()
        ctx.set(dut.answer, 0)
        for _ in range(3):
            assert (ctx.get(dut.issue.valid), ctx.get(dut.asks), ctx.get(dut.quiet)) == (0, 0, 1)
            await bench.tick()

    run(test)


@pytest.mark.parametrize("state", ["offered", "in flight", "failed", "reissued", "idle"])
def test_clear_forgets_and_makes_what_may_still_come_late(run: Callable[..., None], state: str) -> None:
    async def test(bench: Bench) -> None:
        ctx, dut = bench.ctx, bench.dut
        attempt = 0
        if state == "offered":
            ctx.set(dut.offer.valid, 1)
            await bench.tick()
            attempt = 1
        elif state != "idle":
            await bench.issue()
            attempt = 1
        if state in ("failed", "reissued"):
            bench.complete(5, 0, error=1)
            await bench.tick()
        if state == "reissued":
            ctx.set(dut.issue.ready, 0)
            ctx.set(dut.resolve, Decision.REISSUE)
            await bench.tick()
            attempt = 2
        ctx.set(dut.stop, 1)
        # nothing is decided any longer
        ctx.set(dut.resolve, Decision.DONE)
        await bench.tick()
        assert not bench.told
        ctx.set(dut.clear, 1)
        await bench.tick()
        ctx.set(dut.clear, 0)
        assert (bench.state, ctx.get(dut.issue.valid), ctx.get(dut.quiet)) == (UnitState.IDLE, 0, 1)
        assert bench.status("attempt") == attempt
        # stopped: an offer is held back
        ctx.set(dut.offer.valid, 1)
        await bench.tick(3)
        assert (ctx.get(dut.issue.valid), ctx.get(dut.quiet)) == (0, 1)

    run(test)
