"""The choice against a minimum over tuples."""

import random
from collections.abc import Callable

from rtl.scheduler.oldest_first import N_CLASSES, OldestFirst


def test_chooses_the_first_of_the_most_urgent_class(simulate_block: Callable[..., None], seed: int) -> None:
    n = 16
    dut = OldestFirst(n)
    rng = random.Random(seed)

    async def testbench(ctx: object) -> None:
        for _ in range(500):
            density = rng.choice((0.02, 0.1, 0.5))
            sets = [{k for k in range(n) if rng.random() < density} for _ in range(N_CLASSES)]
            mine = {k for k in range(n) if rng.random() < rng.choice((0.1, 0.9))}
            for port, members in zip(dut.ready, sets, strict=True):
                ctx.set(port, sum(1 << k for k in members))
            ctx.set(dut.mine, sum(1 << k for k in mine))
            choices = [(urgency, k) for urgency, members in enumerate(sets) for k in members & mine]
            assert ctx.get(dut.valid) == bool(choices)
            if choices:
                urgency, index = min(choices)
                assert (ctx.get(dut.index), ctx.get(dut.newer)) == (index, urgency % 2)
            await ctx.delay(1e-8)

    simulate_block(dut, testbench, clock=False)
