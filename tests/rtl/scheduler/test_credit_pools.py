"""Credits: admission order, and never more held than there are."""

import random
from collections.abc import Callable

from arch.scheduler import SchedulerConfig
from rtl.scheduler.credit_pools import CreditPools

CONFIG = SchedulerConfig(n_units=4, n_pools=2, share_bits=4)
"""32 descriptors: two banks of places."""


def ask(ctx: object, dut: CreditPools, rng: random.Random, shares: list[list[int]]) -> None:
    """Every unit's shares in one bank of places, anything in the other."""
    for unit, wanted in enumerate(shares):
        bank = rng.randrange(2)
        anything = [rng.randrange(16), rng.randrange(16)]
        ctx.set(dut.bank[unit], bank)
        ctx.set(dut.shares[unit], [anything, wanted] if bank else [wanted, anything])
    ctx.set(dut.takes, sum(any(wanted) << unit for unit, wanted in enumerate(shares)))


def test_admits_the_lowest_unit_that_fits_and_who_takes_nothing(simulate_block: Callable[..., None], seed: int) -> None:
    dut = CreditPools(CONFIG)
    rng = random.Random(seed)

    async def testbench(ctx: object) -> None:
        capacities = [15, 9]
        ctx.set(dut.fill, 1)
        ctx.set(dut.capacities, capacities)
        await ctx.tick()
        ctx.set(dut.fill, 0)
        free, held, refused = list(capacities), [], 0
        for _ in range(1500):
            shares = [
                [rng.randint(0, capacity) if rng.random() < 0.6 else 0 for capacity in capacities] for _ in range(4)
            ]
            asking = [rng.random() < 0.7 for _ in range(4)]
            ctx.set(dut.request, sum(bit << unit for unit, bit in enumerate(asking)))
            ask(ctx, dut, rng, shares)
            returned = held.pop(rng.randrange(len(held))) if held and rng.random() < 0.5 else None
            ctx.set(dut.returned, returned or [0, 0])

            expected, admitted = 0, None
            for unit in range(4):
                fits = all(share <= left for share, left in zip(shares[unit], free, strict=True))
                if asking[unit] and not any(shares[unit]):
                    expected |= 1 << unit
                elif asking[unit] and fits and admitted is None:
                    admitted = shares[unit]
                    expected |= 1 << unit
                elif asking[unit]:
                    refused += 1
            assert ctx.get(dut.grant) == expected
            assert [ctx.get(dut.free[pool]) for pool in range(2)] == free
            if admitted:
                held.append(admitted)
            for pool, capacity in enumerate(capacities):
                free[pool] += (returned[pool] if returned else 0) - (admitted[pool] if admitted else 0)
                assert 0 <= free[pool] <= capacity
            await ctx.tick()
        assert refused > 100

    simulate_block(dut, testbench)


def test_fill_restores_the_capacity(simulate_block: Callable[..., None]) -> None:
    dut = CreditPools(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.fill, 1)
        ctx.set(dut.capacities, [5, 7])
        await ctx.tick()
        ctx.set(dut.fill, 0)
        ctx.set(dut.request, 0b0010)
        ask(ctx, dut, random.Random(1), [[0, 0], [5, 1], [0, 0], [0, 0]])
        await ctx.tick()
        assert [ctx.get(dut.free[pool]) for pool in range(2)] == [0, 6]
        ctx.set(dut.fill, 1)
        await ctx.tick()
        assert [ctx.get(dut.free[pool]) for pool in range(2)] == [5, 7]

    simulate_block(dut, testbench)
