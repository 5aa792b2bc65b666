"""Credits: admission order, and never more held than there are."""

import random
from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.credit_pools import CreditPools


async def fill(ctx: object, dut: CreditPools, capacities: list[int]) -> None:
    ctx.set(dut.idle, 1)
    ctx.set(dut.capacities, capacities)
    await ctx.tick()
    ctx.set(dut.idle, 0)


async def ask(ctx: object, dut: CreditPools, shares: dict[int, list[int]]) -> int:
    """Ask in the next clock, in which the testbench is left; returns who is granted."""
    ctx.set(dut.asks, sum(1 << unit for unit in shares))
    for unit, wanted in shares.items():
        ctx.set(dut.shares[unit], wanted)
    await ctx.tick()
    return ctx.get(dut.grant)


@pytest.mark.parametrize(("n_units", "n_pools"), [(1, 1), (3, 1), (4, 2), (5, 1), (7, 2), (8, 3)])
def test_admits_in_order_as_many_as_fit(
    n_units: int, n_pools: int, simulate_block: Callable[..., None], seed: int
) -> None:
    dut = CreditPools(SchedulerConfig(n_units=n_units, n_pools=n_pools, share_bits=4))
    rng = random.Random(seed)
    capacities = [15, 9, 11][:n_pools]

    async def testbench(ctx: object) -> None:
        await fill(ctx, dut, capacities)
        free, held = list(capacities), {}
        passed_over: set[int] = set()
        granted = 0
        n_refused = n_together = n_passed_over = 0
        for _ in range(1500):
            # what everybody asks for in the next clock; who holds something does not ask
            asking = {
                unit: [rng.randint(0, capacity) if rng.random() < 0.5 else 0 for capacity in capacities]
                for unit in range(n_units)
                if unit not in held and rng.random() < 0.7
            }
            # in the clock after the grant at the earliest
            gives = [unit for unit in held if not granted >> unit & 1 and rng.random() < 0.3]
            for unit in range(n_units):
                ctx.set(dut.shares[unit], asking.get(unit, [rng.randrange(16) for _ in capacities]))
            ctx.set(dut.asks, sum(1 << unit for unit in asking))
            ctx.set(dut.gives, sum(1 << unit for unit in gives))
            await ctx.tick()
            ctx.set(dut.gives, 0)
            assert [ctx.get(dut.free[pool]) for pool in range(n_pools)] == free
            left, ended, granted = list(free), False, 0
            for unit, wanted in asking.items():
                fits = all(share <= credit for share, credit in zip(wanted, left, strict=True))
                if not any(wanted):
                    granted |= 1 << unit
                elif unit in passed_over:
                    n_passed_over += 1
                elif fits and not ended:
                    granted |= 1 << unit
                    left = [credit - share for credit, share in zip(left, wanted, strict=True)]
                else:
                    ended, n_refused = True, n_refused + 1
            assert ctx.get(dut.grant) == granted
            n_together += granted.bit_count() > 1
            passed_over = {
                unit
                for unit, wanted in asking.items()
                if any(share > credit for share, credit in zip(wanted, free, strict=True))
            }
            # what was given back in the clock before comes in the next
            back = [sum(held[unit][pool] for unit in gives) for pool in range(n_pools)]
            free = [credit + more for credit, more in zip(left, back, strict=True)]
            held = {unit: wanted for unit, wanted in held.items() if unit not in gives}
            held |= {unit: wanted for unit, wanted in asking.items() if granted >> unit & 1}
            for pool, capacity in enumerate(capacities):
                in_use = sum(wanted[pool] for wanted in held.values())
                assert free[pool] + in_use == capacity
        # a unit alone asks when it holds nothing, and always fits
        assert n_units == 1 or (n_refused > 20 and n_passed_over > 20 and n_together > 100)

    simulate_block(dut, testbench)


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
