"""The life of a nano-operation in its unit's slot, clock by clock."""

from collections.abc import Callable

from arch.scheduler import SchedulerConfig
from rtl.scheduler.issue_slot import IssueSlot

CONFIG = SchedulerConfig()


def test_from_choice_to_release(simulate_block: Callable[..., None]) -> None:
    dut = IssueSlot(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.base, 7)
        ctx.set(dut.choice_valid, 1)
        ctx.set(dut.choice, 3)
        assert ctx.get(dut.request) == 0
        await ctx.tick()
        assert (ctx.get(dut.request), ctx.get(dut.pick), ctx.get(dut.issue.valid)) == (1, 3, 0)
        # without a grant a better choice takes its place
        ctx.set(dut.choice, 5)
        await ctx.tick()
        assert (ctx.get(dut.request), ctx.get(dut.pick)) == (1, 5)
        # what lies at that place
        ctx.set(dut.index, 20)
        # granted: offered in the same clock; from now on the choice is deaf to others, and the offer holds
        ctx.set(dut.grant, 1)
        ctx.set(dut.choice, 9)
        for _ in range(3):
            assert ctx.get(dut.issue.valid) == 1
            assert ctx.get(dut.issue.payload) == {"index": 20, "iteration": 8}
            assert ctx.get(dut.started) == 0
            await ctx.tick()
            ctx.set(dut.grant, 0)
            # granted, it is no longer the iteration that comes next
            ctx.set(dut.turn_parity, 1)
            assert (ctx.get(dut.request), ctx.get(dut.parity)) == (0, 0)
        # the window moves on while the offer stands: the iteration stays
        ctx.set(dut.base, 8)
        ctx.set(dut.issue.ready, 1)
        assert ctx.get(dut.issue.payload.iteration) == 8
        assert (ctx.get(dut.started), ctx.get(dut.accepted)) == (1, 0)
        await ctx.tick()
        assert (ctx.get(dut.issue.valid), ctx.get(dut.started), ctx.get(dut.accepted)) == (0, 0, 1)
        # a completion with another index is not the one awaited
        ctx.set(dut.complete.valid, 1)
        ctx.set(dut.complete.index, 9)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected)) == (0, 1)
        await ctx.tick()
        ctx.set(dut.complete.index, 20)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected)) == (1, 0)
        await ctx.tick()
        # a second one finds nothing in flight
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected)) == (0, 1)
        ctx.set(dut.complete.valid, 0)
        await ctx.tick()
        # it waits for its completion to be applied, then takes the next choice
        assert ctx.get(dut.request) == 0
        ctx.set(dut.released, 1)
        await ctx.tick()
        ctx.set(dut.released, 0)
        assert ctx.get(dut.request) == 0
        await ctx.tick()
        assert (ctx.get(dut.request), ctx.get(dut.pick)) == (1, 9)

    simulate_block(dut, testbench)


def test_a_completion_before_the_handshake_is_unexpected(simulate_block: Callable[..., None]) -> None:
    dut = IssueSlot(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.choice_valid, 1)
        ctx.set(dut.complete.valid, 1)
        await ctx.tick()
        ctx.set(dut.grant, 1)
        ctx.set(dut.issue.ready, 1)
        # the clock of the handshake itself is still before
        assert (ctx.get(dut.started), ctx.get(dut.unexpected)) == (1, 1)
        await ctx.tick()
        ctx.set(dut.grant, 0)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected)) == (1, 0)

    simulate_block(dut, testbench)
