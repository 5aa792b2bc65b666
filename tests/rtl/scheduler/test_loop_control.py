"""The window of two iterations."""

import random
from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.loop_control import LoopControl


@pytest.mark.parametrize("n", [1, 2, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_retires_in_order_and_ends(n: int, count: int, simulate_block: Callable[..., None], seed: int) -> None:
    dut = LoopControl(SchedulerConfig(n_descriptors=8, n_operations=8))
    rng = random.Random(seed)

    async def testbench(ctx: object) -> None:
        for _ in range(2):  # a second program finds nothing of the first
            ctx.set(dut.last, n - 1)
            ctx.set(dut.next_count, count)
            await ctx.tick()
            # the window is that of the beginning already, and has been loaded with the count of the clock before
            assert ctx.get(dut.window) == {
                "running": 0, "old": 0, "old_is_last": count == 1, "new_is_last": count == 2,
                "next_is_last": count == 3, "has_next": count > 2,
            }  # fmt: skip
            ctx.set(dut.count, count)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            base, n_done = 0, [0] * (count + 2)
            while base < count:
                window = ctx.get(dut.window)
                assert ctx.get(dut.base) == base
                assert (window.running, window.old) == (1, base % 2)
                assert (window.old_is_last, window.new_is_last) == (base + 1 == count, base + 2 == count)
                assert (window.next_is_last, window.has_next) == (base + 3 == count, base + 2 < count)
                assert (ctx.get(dut.done), ctx.get(dut.retire)) == (0, 0)
                # completions of the newer iteration stay behind those of the older one, as those of a descriptor do
                units = [0, 0]
                for unit in range(dut.config.n_units):
                    newer = base + 1 < count and n_done[base + 1] + 1 < n_done[base] and rng.random() < 0.5
                    if rng.random() < 0.5 and n_done[base + newer] < n:
                        units[newer] |= 1 << unit
                        n_done[base + newer] += 1
                ctx.set(dut.older, units[0])
                ctx.set(dut.newer, units[1])
                await ctx.tick()
                ctx.set(dut.older, 0)
                ctx.set(dut.newer, 0)
                if n_done[base] == n:
                    assert ctx.get(dut.retire) == 1
                    base += 1
                    # it takes some clocks to issue what ends the next
                    await ctx.tick()
                    if base < count:
                        await ctx.tick().repeat(2)
            assert (ctx.get(dut.done), ctx.get(dut.window.running)) == (1, 0)
            await ctx.tick()
            assert ctx.get(dut.done) == 0

    simulate_block(dut, testbench)
