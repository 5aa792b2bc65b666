"""The life of a nano-operation in its unit's slot, clock by clock."""

from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.issue_slot import IssueSlot

CONFIG = SchedulerConfig()


def test_from_choice_to_release(simulate_block: Callable[..., None]) -> None:
    dut = IssueSlot(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.base, 7)
        ctx.set(dut.choice_valid, 1)
        ctx.set(dut.choice, 3)
        assert (ctx.get(dut.asks), ctx.get(dut.request)) == (1, 0)
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
        ctx.set(dut.choice_parity, 1)
        for _ in range(3):
            assert (ctx.get(dut.asks) & ~ctx.get(dut.grant), ctx.get(dut.issue.valid)) == (0, 1)
            assert ctx.get(dut.issue.payload) == {"index": 20, "iteration": 8}
            assert ctx.get(dut.started) == 0
            await ctx.tick()
            ctx.set(dut.grant, 0)
            assert (ctx.get(dut.request), ctx.get(dut.pick), ctx.get(dut.parity)) == (0, 5, 0)
        # the window moves on while the offer stands: the iteration stays
        ctx.set(dut.base, 8)
        ctx.set(dut.issue.ready, 1)
        assert ctx.get(dut.issue.payload.iteration) == 8
        assert (ctx.get(dut.started), ctx.get(dut.in_flight)) == (1, 0)
        await ctx.tick()
        assert (ctx.get(dut.issue.valid), ctx.get(dut.started), ctx.get(dut.in_flight)) == (0, 0, 1)
        # nobody awaits its start
        assert (ctx.get(dut.starts), ctx.get(dut.ends)) == (0, 0)
        # a completion with another index is not the one awaited
        ctx.set(dut.complete.valid, 1)
        ctx.set(dut.complete.index, 9)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected), ctx.get(dut.ends)) == (0, 1, 0)
        await ctx.tick()
        ctx.set(dut.complete.index, 20)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected), ctx.get(dut.ends)) == (1, 0, 1)
        await ctx.tick()
        # a second one finds nothing in flight
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected), ctx.get(dut.ends)) == (0, 1, 0)
        ctx.set(dut.complete.valid, 0)
        # its completion is being applied: it takes the next choice in the clock after
        assert (ctx.get(dut.asks), ctx.get(dut.pick)) == (0, 5)
        await ctx.tick()
        assert (ctx.get(dut.asks), ctx.get(dut.request)) == (1, 0)
        await ctx.tick()
        assert (ctx.get(dut.request), ctx.get(dut.pick), ctx.get(dut.parity)) == (1, 9, 1)

    simulate_block(dut, testbench)


@pytest.mark.parametrize("clocks", [1, 2, 3])
@pytest.mark.parametrize("stands", [0, 2])
def test_an_awaited_start_counts_in_the_clock_after_its_handshake_and_before_the_end(
    clocks: int, stands: int, simulate_block: Callable[..., None]
) -> None:
    dut = IssueSlot(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.choice_valid, 1)
        ctx.set(dut.announce_start, 1)
        await ctx.tick()
        ctx.set(dut.grant, 1)
        for clock in range(stands + clocks + 3):
            ctx.set(dut.issue.ready, clock == stands)
            ctx.set(dut.complete.valid, clock == stands + clocks)
            # which column the matrix is to show next: that of the start until it is in flight
            assert ctx.get(dut.shows_start) == (clock <= stands or clock > stands + clocks)
            assert ctx.get(dut.starts) == (clock == stands + 1)
            # one clock later if it would be the clock of the start
            assert ctx.get(dut.ends) == (clock == stands + max(2, clocks))
            assert ctx.get(dut.completed) == (clock == stands + clocks)
            await ctx.tick()
            ctx.set(dut.grant, 0)

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
