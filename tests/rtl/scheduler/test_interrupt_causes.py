"""Causes of the interrupt: kept until cleared, shown if enabled."""

from collections.abc import Callable

from arch.supervision import CAUSE_BITS, Cause
from rtl.scheduler.interrupt_causes import InterruptCauses


def test_an_event_is_kept_until_it_is_cleared(simulate_block: Callable[..., None]) -> None:
    dut = InterruptCauses()

    async def testbench(ctx: object) -> None:
        for cause in Cause:
            ctx.set(dut.enable, 1 << cause)
            ctx.set(dut.events, 1 << cause)
            await ctx.tick()
            ctx.set(dut.events, 0)
            assert (ctx.get(dut.causes), ctx.get(dut.interrupt)) == (1 << cause, 0)
            for _ in range(3):
                await ctx.tick()
                assert (ctx.get(dut.causes), ctx.get(dut.interrupt)) == (1 << cause, 1)
            # cleared in the clock of an event: kept
            ctx.set(dut.clear, (1 << CAUSE_BITS) - 1)
            ctx.set(dut.events, 1 << cause)
            await ctx.tick()
            ctx.set(dut.events, 0)
            assert ctx.get(dut.causes) == 1 << cause
            await ctx.tick()
            ctx.set(dut.clear, 0)
            assert ctx.get(dut.causes) == 0
            await ctx.tick()
            assert ctx.get(dut.interrupt) == 0

    simulate_block(dut, testbench)


def test_what_is_not_enabled_or_not_cleared(simulate_block: Callable[..., None]) -> None:
    dut = InterruptCauses()

    async def testbench(ctx: object) -> None:
        ctx.set(dut.events, 0b11)
        ctx.set(dut.enable, 0b100)
        await ctx.tick()
        ctx.set(dut.events, 0)
        await ctx.tick()
        assert (ctx.get(dut.causes), ctx.get(dut.interrupt)) == (0b11, 0)
        ctx.set(dut.clear, 0b01)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert ctx.get(dut.causes) == 0b10
        ctx.set(dut.enable, 0b10)
        await ctx.tick()
        assert ctx.get(dut.interrupt) == 1

    simulate_block(dut, testbench)
