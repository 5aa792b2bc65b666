"""Credits: admission order, and never more held than there are."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.credit_pools import CreditPools


async def fill(ctx: object, dut: CreditPools, capacities: list[int]) -> None:
    ctx.set(dut.idle, 1)
    ctx.set(dut.capacities, capacities)
    await ctx.tick()
    ctx.set(dut.idle, 0)


def granted(ctx: object, dut: CreditPools) -> int:
    """Who is given its shares in this clock."""
    return ctx.get(dut.certain) | ctx.get(dut.hopeful) & ctx.get(dut.fits)


async def ask(ctx: object, dut: CreditPools, shares: dict[int, list[int]]) -> int:
    """Ask in the next clock, in which the testbench is left; returns who is granted."""
    ctx.set(dut.asks, sum(1 << unit for unit in shares))
    for unit, wanted in shares.items():
        ctx.set(dut.shares[unit], wanted)
    busy = ctx.get(dut.busy) | granted(ctx, dut)
    await ctx.tick()
    ctx.set(dut.busy, busy)
    return granted(ctx, dut)


@dataclass
class Holder:
    """What a unit holds, and the clocks it was granted and given back in."""

    shares: list[int]
    granted: int
    given: int | None = None

    def busy(self, clock: int) -> bool:
        """Until the clock after it was given back."""
        return self.granted < clock and (self.given is None or clock <= self.given + 1)


class Expected:
    """Who is given what, by the rules, one clock after the other."""

    def __init__(self, n_units: int, capacities: list[int]) -> None:
        self.n_units, self.capacities = n_units, capacities
        self.free, self.clock = list(capacities), 0
        self.asking: dict[int, list[int]] = {}
        self.passed_over: set[int] = set()
        self.holders: dict[int, Holder] = {}

    def busy(self, unit: int) -> bool:
        return unit in self.holders and self.holders[unit].busy(self.clock)

    def admit(self) -> tuple[int, int, int]:
        """Who is granted for certain, who if it fits, and who of those that want something fits."""
        certain = hopeful = fitting = 0
        left, ended = list(self.free), False
        for unit, wanted in self.asking.items():
            certain |= (not any(wanted)) << unit
            if unit in self.passed_over:
                continue
            hopeful |= 1 << unit
            if any(wanted):
                left = [credit - share for credit, share in zip(left, wanted, strict=True)]
                ended |= min(left) < 0
                fitting |= (not ended) << unit
        return certain, hopeful, fitting

    def move(self, grant: int, asks: dict[int, list[int]]) -> None:
        """To the next clock, in which ``asks`` are asked for."""
        self.passed_over = {unit for unit, wanted in self.asking.items() if not _fits(wanted, self.free)}
        for unit, wanted in self.asking.items():
            if grant >> unit & 1:
                self.holders[unit] = Holder(wanted, self.clock)
        self.clock += 1
        self.asking = {unit: wanted for unit, wanted in asks.items() if not grant >> unit & 1}
        # what is given back is there in the second clock after
        self.free = [
            capacity
            - sum(one.shares[pool] for one in self.holders.values() if one.given is None or one.given + 2 > self.clock)
            for pool, capacity in enumerate(self.capacities)
        ]


def _fits(wanted: list[int], free: list[int]) -> bool:
    return all(share <= credit for share, credit in zip(wanted, free, strict=True))


@pytest.mark.parametrize(("n_units", "n_pools"), [(1, 1), (3, 1), (4, 2), (5, 1), (7, 2), (8, 3)])
def test_admits_in_order_as_many_as_fit(
    n_units: int, n_pools: int, simulate_block: Callable[..., None], seed: int
) -> None:
    dut = CreditPools(SchedulerConfig(n_units=n_units, n_pools=n_pools, share_bits=4))
    rng = random.Random(f"{seed} {n_units}")
    seen: Counter[str] = Counter()

    def draw(capacities: list[int], free: list[int]) -> list[int]:
        """Few ask for all there is, or the others had to wait; often what is free now or just more."""
        most = rng.choice((1, 2, 4))
        return [
            min(capacity, rng.choice((0, 0, credit, credit + 1, rng.randint(0, capacity // most))))
            for capacity, credit in zip(capacities, free, strict=True)
        ]

    async def play(ctx: object, capacities: list[int], n_clocks: int) -> None:
        expected = Expected(n_units, capacities)
        haste = 1.0
        while expected.clock < n_clocks or expected.asking or any(map(expected.busy, range(n_units))):
            if not expected.clock % 50:
                haste = rng.choice((0.1, 0.3, 0.7, 1.0))
            last = expected.clock >= n_clocks
            certain, hopeful, fitting = expected.admit()
            grant = certain | hopeful & fitting
            busy, gives = 0, 0
            for unit in range(n_units):
                if expected.busy(unit):
                    holder = expected.holders[unit]
                    busy |= 1 << unit
                    assert list(ctx.get(dut.held[unit])) == holder.shares
                    if holder.given is None and rng.random() < haste:
                        holder.given = expected.clock
                        gives |= 1 << unit
            # who is granted in this clock asks in vain
            asks = {
                unit: draw(capacities, expected.free)
                for unit in range(n_units)
                if not busy >> unit & 1 and not last and rng.random() < 0.8
            }
            for unit in range(n_units):
                ctx.set(dut.shares[unit], asks.get(unit, [rng.randrange(16) for _ in capacities]))
            ctx.set(dut.asks, sum(1 << unit for unit in asks))
            ctx.set(dut.busy, busy)
            ctx.set(dut.gives, gives)

            assert list(ctx.get(dut.free)) == expected.free
            assert ctx.get(dut.certain) == certain
            assert ctx.get(dut.hopeful) == hopeful
            assert ctx.get(dut.fits) & hopeful & ~certain == fitting
            assert granted(ctx, dut) == grant
            seen["together"] += grant.bit_count() > 1
            seen["refused"] += bool(hopeful & ~grant)
            seen["passed over"] += bool(expected.passed_over & expected.asking.keys())
            taken = [wanted for unit, wanted in expected.asking.items() if grant >> unit & 1]
            seen["takes all"] += any(
                free and free == sum(wanted[pool] for wanted in taken) for pool, free in enumerate(expected.free)
            )
            seen["gives together"] += gives.bit_count() > 1
            seen["asks in vain"] += any(grant >> unit & 1 for unit in asks)
            expected.move(grant, asks)
            await ctx.tick()

    async def testbench(ctx: object) -> None:
        for _ in range(5):
            capacities = [rng.randint(1, 15) for _ in range(n_pools)]
            await fill(ctx, dut, capacities)
            await play(ctx, capacities, 160)

    simulate_block(dut, testbench, limit=3000)
    # a unit alone asks when it holds nothing, and always fits
    assert n_units == 1 or min(seen.values()) > 10, seen
    assert seen["takes all"] and seen["asks in vain"]


def test_one_that_does_not_fit_delays_the_others_by_one_clock(simulate_block: Callable[..., None]) -> None:
    dut = CreditPools(SchedulerConfig(n_units=4, n_pools=1, share_bits=4))

    async def testbench(ctx: object) -> None:
        await fill(ctx, dut, [10])
        assert await ask(ctx, dut, {0: [8]}) == 0b0001
        # unit 1 lacks credits: units 2 and 3 wait for it once, and then no longer
        wanted = {1: [5], 2: [1], 3: [1]}
        assert await ask(ctx, dut, wanted) == 0
        assert await ask(ctx, dut, wanted) == 0b1100
        del wanted[2], wanted[3]
        # unit 0 gives back 8
        ctx.set(dut.gives, 1)
        assert await ask(ctx, dut, wanted) == 0
        ctx.set(dut.gives, 0)
        # the credits are there, but it is passed over once more
        assert await ask(ctx, dut, wanted) == 0
        assert ctx.get(dut.free[0]) == 8
        assert await ask(ctx, dut, wanted) == 0b0010

    simulate_block(dut, testbench)


def test_full_when_idle(simulate_block: Callable[..., None]) -> None:
    dut = CreditPools(SchedulerConfig(n_units=4, n_pools=2, share_bits=4))

    async def testbench(ctx: object) -> None:
        await fill(ctx, dut, [5, 7])
        assert await ask(ctx, dut, {1: [5, 1]}) == 0b0010
        await ask(ctx, dut, {})
        assert [ctx.get(dut.free[pool]) for pool in range(2)] == [0, 6]
        await fill(ctx, dut, [5, 7])
        assert [ctx.get(dut.free[pool]) for pool in range(2)] == [5, 7]

    simulate_block(dut, testbench)
