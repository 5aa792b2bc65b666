"""The order among ready nano-operations."""

import random
from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.oldest_first import OldestFirst
from rtl.scheduler.signature import BANK


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
                for port, values in (
                    (dut.older, [is_ready and is_older for is_ready, is_older in zip(ready, older, strict=True)]),
                    (dut.newer, [is_ready and not is_older for is_ready, is_older in zip(ready, older, strict=True)]),
                ):
                    ctx.set(port, sum(value << place for place, value in enumerate(values)))
                await ctx.tick()
                assert ctx.get(dut.ready) == sum(value << place for place, value in enumerate(ready))
                for unit in range(config.n_units):
                    candidates = [place for place in range(n) if ready[place] and classes[place][0] == unit]
                    assert ctx.get(dut.valid) >> unit & 1 == bool(candidates)
                    if candidates:
                        best = min(candidates, key=lambda place: (classes[place], not older[place], place))
                        assert ctx.get(dut.is_newer) >> unit & 1 == (not older[best])
                        found = ctx.get((dut.first_older if older[best] else dut.first_newer)[unit].banks)
                        assert [(bank.any, bank.place) for bank in found] == [
                            (best // BANK == number, best % BANK if best // BANK == number else 0)
                            for number in range(len(found))
                        ]
                        n_overtaken += best != candidates[0]
        assert n_overtaken > 3

    simulate_block(dut, bench)
