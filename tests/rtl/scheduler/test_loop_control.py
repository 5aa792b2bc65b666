"""The window of two iterations, against the grants and completions themselves."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.loop_control import LoopControl


class Units:
    """Units that are granted nano-operations, and end them, as early as slots and table can, or later.

    Parameters
    ----------
    n_units, n, count : units, descriptors, iterations
    """

    def __init__(self, rng: random.Random, n_units: int, n: int, count: int) -> None:
        self.rng, self.count = rng, count
        self.unit_of = [rng.randrange(n_units) for _ in range(n)]
        # by descriptor, the iteration it is granted in next
        self.turns = [0] * n
        # by unit: descriptor and iteration; granted in the clock before, and altogether
        self.fresh: dict[int, tuple[int, int]] = {}
        self.works: dict[int, tuple[int, int]] = {}
        self.free_from = [2] * n_units
        # nothing is granted of an iteration before the third clock after the retirement that opens it
        self.opens = {0: 0, 1: 0}
        self.complete: set[tuple[int, int]] = set()
        self.haste = rng.choice((0.05, 0.4, 1.0)), rng.choice((0.05, 0.4, 1.0))

    def end(self) -> dict[int, tuple[int, int]]:
        """Who ends in this clock."""
        ends = {unit: work for unit, work in self.works.items() if self.rng.random() < self.haste[1]}
        self.complete |= set(ends.values())
        return ends

    def move(self, clock: int, ends: dict[int, tuple[int, int]]) -> None:
        """Grant, and go to the next clock."""
        granted = {}
        for descriptor in self.rng.sample(range(len(self.turns)), len(self.turns)):
            unit, turn = self.unit_of[descriptor], self.turns[descriptor]
            is_free = unit not in self.works and unit not in granted and self.free_from[unit] <= clock
            is_open = turn < self.count and self.opens.get(turn, clock + 1) <= clock
            if is_free and is_open and self.rng.random() < self.haste[0]:
                granted[unit] = (descriptor, turn)
                self.turns[descriptor] += 1
        for unit in ends:
            del self.works[unit]
            self.free_from[unit] = clock + 3
        self.fresh = granted
        self.works |= granted


def bits(units: dict[int, tuple[int, int]], parity: int) -> int:
    return sum(1 << unit for unit, (_, iteration) in units.items() if iteration % 2 == parity)


def window_of(base: int, count: int, *, running: bool) -> dict[str, int]:
    return {
        "running": running,
        "old": base % 2,
        "old_is_last": base == count - 1,
        "new_is_last": base + 1 == count - 1,
        "next_is_last": base + 2 == count - 1,
        "has_next": base + 2 < count,
    }


@pytest.mark.parametrize("n_units", [1, 3, 5])
def test_retires_in_the_clock_of_the_last_completion(
    n_units: int, simulate_block: Callable[..., None], seed: int
) -> None:
    dut = LoopControl(SchedulerConfig(n_descriptors=8, n_operations=8, n_units=n_units))
    rng = random.Random(f"{seed} {n_units}")
    seen: Counter[str] = Counter()

    def check(ctx: object, *, retire: bool, clear: bool, busy: bool, done: bool) -> None:
        found = tuple(ctx.get(port) for port in (dut.retire, dut.clear, dut.busy, dut.done))
        assert found == (retire, clear, busy, done)

    def show(ctx: object, units: Units, ends: dict[int, tuple[int, int]]) -> None:
        for parity, (granted, works) in enumerate(((dut.even, dut.works_even), (dut.odd, dut.works_odd))):
            ctx.set(granted, bits(units.fresh, parity))
            ctx.set(works, bits(units.works, parity))
        ctx.set(dut.ends, bits(ends, 0) | bits(ends, 1))

    async def begin(ctx: object, n: int, count: int) -> None:
        """From a clock in which nothing runs, or the last program is done, to the first of the next."""
        ctx.set(dut.next_count, count)
        await ctx.tick()
        for _ in range(rng.choice((0, 0, 1, 5))):
            # the host may yet load something else
            ctx.set(dut.next_count, rng.randint(1, 8))
            check(ctx, retire=False, clear=True, busy=False, done=False)
            await ctx.tick()
            ctx.set(dut.next_count, count)
            await ctx.tick()
        # that of the beginning, with the count of the clock before
        assert ctx.get(dut.window) == window_of(0, count, running=False)
        assert ctx.get(dut.base) == 0
        ctx.set(dut.last, n - 1)
        ctx.set(dut.start, 1)
        check(ctx, retire=False, clear=True, busy=False, done=False)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.count, count)

    async def run(ctx: object, n: int, count: int) -> None:
        """A program, up to the clock in which it is done."""
        units = Units(rng, n_units, n, count)
        base, clock = 0, 1
        while base < count:
            # a word of the next program waits
            ctx.set(dut.next_count, rng.randint(1, 8))
            ends = units.end()
            show(ctx, units, ends)
            retire = all((descriptor, base) in units.complete for descriptor in range(n))
            assert ctx.get(dut.window) == window_of(base, count, running=True)
            assert ctx.get(dut.base) == base
            check(ctx, retire=retire, clear=False, busy=True, done=False)
            seen["retired together"] += retire and bits(ends, 0).bit_count() + bits(ends, 1).bit_count() > 1
            seen["both iterations"] += bool(bits(ends, 0) and bits(ends, 1))
            seen["granted together"] += max(bits(units.fresh, parity).bit_count() for parity in range(2)) > 1
            seen["ended at once"] += any(unit in units.fresh for unit in ends) and retire
            seen["newer works on"] += retire and len(units.works) > len(ends)
            if retire:
                base += 1
                units.opens[base + 1] = clock + 3
            units.move(clock, ends)
            await ctx.tick()
            clock += 1
        show(ctx, units, {})
        # it runs no longer
        check(ctx, retire=False, clear=True, busy=True, done=False)
        assert ctx.get(dut.window.running) == 1
        await ctx.tick()
        check(ctx, retire=False, clear=True, busy=True, done=True)
        assert ctx.get(dut.window.running) == 0

    async def testbench(ctx: object) -> None:
        check(ctx, retire=False, clear=True, busy=False, done=False)
        for number in range(120):  # each finds nothing of the one before
            n, count = rng.choice((1, 2, 8, rng.randint(1, 8))), (1, 2, 3, 4, rng.randint(1, 8))[number % 5]
            await begin(ctx, n, count)
            await run(ctx, n, count)

    simulate_block(dut, testbench, limit=100_000)
    assert seen["ended at once"] > 3
    if n_units > 1:
        assert min(seen.values()) > 3, seen
