"""The order among ready nano-operations."""

import random
from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.oldest_first import OldestFirst


@pytest.mark.parametrize("n", [8, 32, 64])
def test_priority_then_iteration_then_place(n: int, simulate_block: Callable[..., None], seed: int) -> None:
    rng = random.Random(seed)
    config = SchedulerConfig(n_descriptors=n, n_operations=n, n_units=3)
    dut = OldestFirst(config)

    async def bench(ctx: object) -> None:
        n_overtaken = 0
        for _ in range(20):
            classes = sorted((rng.randrange(config.n_units), rng.randrange(4)) for _ in range(n))
            begins = [place == 0 or classes[place] != classes[place - 1] for place in range(n)]
            unit_begins = [place == 0 or classes[place][0] != classes[place - 1][0] for place in range(n)]
            for unit in range(config.n_units):
                ctx.set(dut.mine[unit], sum((classes[place][0] == unit) << place for place in range(n)))
            ctx.set(dut.class_begins, sum(begin << place for place, begin in enumerate(begins)))
            ctx.set(dut.unit_begins, sum(begin << place for place, begin in enumerate(unit_begins)))
            for _ in range(30):
                density = rng.choice((0.02, 0.3, 1.0))
                ready, older = ([rng.random() < density for _ in range(n)] for _ in range(2))
                for port, values in ((dut.ready, ready), (dut.older, older)):
                    ctx.set(port, sum(value << place for place, value in enumerate(values)))
                for unit in range(config.n_units):
                    candidates = [place for place in range(n) if ready[place] and classes[place][0] == unit]
                    assert ctx.get(dut.choice_valid[unit]) == bool(candidates)
                    if candidates:
                        best = min(candidates, key=lambda place: (classes[place], not older[place], place))
                        assert ctx.get(dut.choice[unit]) == best
                        assert ctx.get(dut.newer) >> unit & 1 == (not older[best])
                        assert ctx.get(dut.first_older if older[best] else dut.first_newer) >> best & 1
                        n_overtaken += best != candidates[0]
                await ctx.delay(1e-8)
        assert n_overtaken > 3

    simulate_block(dut, bench, clock=False)
