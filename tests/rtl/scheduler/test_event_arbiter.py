"""Every event passes once, starts first, lower units first."""

import random
from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.event_arbiter import EventArbiter


@pytest.mark.parametrize("n_units", [1, 3, 8])
def test_every_event_passes_once_and_in_order(n_units: int, simulate_block: Callable[..., None], seed: int) -> None:
    dut = EventArbiter(SchedulerConfig(n_units=n_units))
    rng = random.Random(seed)

    async def testbench(ctx: object) -> None:
        waiting: set[tuple[bool, int]] = set()
        most = passed = 0
        for clock in range(600):
            rate = (0.05, 0.5, 1.0)[clock // 200]
            pulses = {
                (completion, unit)
                for completion in (False, True)
                for unit in range(n_units)
                if (completion, unit) not in waiting and rng.random() < rate
            }
            ctx.set(dut.starts, sum(1 << unit for completion, unit in pulses if not completion))
            ctx.set(dut.completions, sum(1 << unit for completion, unit in pulses if completion))
            waiting |= pulses
            most = max(most, len(waiting))
            assert ctx.get(dut.valid) == bool(waiting)
            asks = ctx.get(dut.asks)
            assert ctx.get(dut.select) == asks & -asks
            if waiting:
                first = min(waiting)
                assert (not ctx.get(dut.start), ctx.get(dut.select)) == (first[0], 1 << first[1])
                waiting.remove(first)
                passed += 1
            await ctx.tick()
        assert most == 2 * n_units
        assert passed > 200

    simulate_block(dut, testbench)
