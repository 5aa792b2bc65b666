"""The order among ready nano-operations."""

import random
from collections.abc import Callable

import pytest

from arch.descriptor import PRIORITY_BITS
from rtl.scheduler.oldest_first import OldestFirst


@pytest.mark.parametrize("n", [8, 32, 64])
def test_priority_then_iteration_then_index(n: int, simulate_block: Callable[..., None], seed: int) -> None:
    rng = random.Random(seed)
    dut = OldestFirst(n)

    async def bench(ctx: object) -> None:
        for _ in range(200):
            density = rng.choice((0.02, 0.3, 1.0))
            priority = [rng.randrange(1 << PRIORITY_BITS) for _ in range(n)]
            newer, ready, mine = ([rng.random() < density for _ in range(n)] for _ in range(3))
            for bit in range(PRIORITY_BITS):
                ctx.set(dut.priority[bit], sum((value >> bit & 1) << i for i, value in enumerate(priority)))
            for port, values in ((dut.newer, newer), (dut.ready, ready), (dut.mine, mine)):
                ctx.set(port, sum(value << i for i, value in enumerate(values)))
            candidates = [i for i in range(n) if ready[i] and mine[i]]
            assert ctx.get(dut.valid) == bool(candidates)
            if candidates:
                best = min(candidates, key=lambda i: (priority[i], newer[i], i))
                assert (ctx.get(dut.index), ctx.get(dut.chosen_newer)) == (best, newer[best])
            await ctx.delay(1e-8)

    simulate_block(dut, bench, clock=False)
