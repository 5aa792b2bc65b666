"""The whole unit in Amaranth's simulator: the clocks its datasheet states, and the edges of its ports."""

import random
from collections.abc import Callable

import pytest

from arch.descriptor import LoadTable, pack_program
from arch.program import NanoOperation, Pool, Predecessor, Program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.scheduler_unit import SchedulerUnit
from sim.engine.scheduler import START_WAKE_UP_CLK, WAKE_UP_CLK, simulate
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=4, n_units=2, n_pools=1, n_chunks=4, share_bits=4)


def program(*nanos: NanoOperation, count: int = 1) -> Program:
    pools = (Pool(name="sm", capacity=10),)
    return Program(
        name="layer",
        units=("gemm", "gemv"),
        pools=pools,
        chunk_rows=1,
        n_chunks=4,
        nano_operations=nanos,
        count=count,
    )


def nano(name: str, unit: str, *predecessors: Predecessor, share: int = 0) -> NanoOperation:
    return NanoOperation(
        name=name, operation=name.upper(), unit=unit, chunks=0b1111, shares={"sm": share}, predecessors=predecessors
    )


async def load(ctx: object, dut: SchedulerUnit, body: Program, *, operations: bool = True) -> None:
    ctx.set(dut.load.valid, 1)
    for table, address, data in pack_program(body, dut.config).load_words():
        if table is LoadTable.OPERATION and not operations:
            continue
        ctx.set(dut.load.payload, {"table": int(table), "address": address, "data": data})
        while not ctx.get(dut.load.ready):
            await ctx.tick()
        await ctx.tick()
    ctx.set(dut.load.valid, 0)


async def start(ctx: object, dut: SchedulerUnit) -> None:
    """Leaves the testbench in clock 1."""
    for unit in range(dut.config.n_units):
        ctx.set(dut.issue[unit].ready, 1)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)


async def complete(ctx: object, dut: SchedulerUnit, unit: int, index: int) -> None:
    """A completion pulse in this clock; leaves the testbench in the next one."""
    ctx.set(dut.complete[unit].valid, 1)
    ctx.set(dut.complete[unit].index, index)
    await ctx.tick()
    ctx.set(dut.complete[unit].valid, 0)


async def run(ctx: object, dut: SchedulerUnit, durations: list[int]) -> tuple[dict, int]:
    """Issue clock of everything, and the clock of the end; units accept at once."""
    await start(ctx, dut)
    clock, issued, ends = 1, {}, {}
    while not ctx.get(dut.done):
        for unit in range(dut.config.n_units):
            completes = unit in ends and ends[unit][0] == clock
            ctx.set(dut.complete[unit].valid, completes)
            if completes:
                ctx.set(dut.complete[unit].index, ends.pop(unit)[1])
        for unit in range(dut.config.n_units):
            if ctx.get(dut.issue[unit].valid):
                payload = ctx.get(dut.issue[unit].payload)
                assert unit not in ends
                assert (payload.iteration, payload.index) not in issued
                issued[payload.iteration, payload.index] = clock
                ends[unit] = (clock + durations[payload.index], payload.index)
        await ctx.tick()
        clock += 1
    assert not ends
    assert (ctx.get(dut.cycle), ctx.get(dut.busy)) == (clock, 1)
    await ctx.tick()
    assert (ctx.get(dut.cycle), ctx.get(dut.busy)) == (clock, 0)
    return issued, clock


@pytest.mark.parametrize(("event", "wake_up_clk"), [("done", WAKE_UP_CLK), ("start", START_WAKE_UP_CLK)])
def test_wake_up_is_not_ready_a_clock_before(event: str, wake_up_clk: int, simulate_block: Callable[..., None]) -> None:
    body = program(nano("a", "gemm"), nano("b", "gemv", Predecessor(operation="A", event=event)))
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        await load(ctx, dut, body)
        await start(ctx, dut)
        assert ctx.get(dut.issue[0].valid) == 0
        await ctx.tick()
        assert ctx.get(dut.issue[0].valid) == 1
        if event == "done":
            await ctx.tick()
            ctx.set(dut.complete[0].valid, 1)
        for _ in range(wake_up_clk - 1):
            assert ctx.get(dut.issue[1].valid) == 0
            await ctx.tick()
            ctx.set(dut.complete[0].valid, 0)
        assert ctx.get(dut.issue[1].valid) == 0
        await ctx.tick()
        assert ctx.get(dut.issue[1].valid) == 1
        assert ctx.get(dut.issue[1].payload) == {"index": 1, "iteration": 0}

    simulate_block(dut, testbench, limit=100)


def test_random_programs_take_the_clocks_of_the_model(simulate_block: Callable[..., None], seed: int) -> None:
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        for number in range(8):
            rng = random.Random(f"{seed} {number}")
            body = random_program(rng, CONFIG)
            durations = [rng.choice((1, 2, 3, rng.randint(1, 30))) for _ in body.nano_operations]
            model = simulate(body, CONFIG, durations_clk=durations)
            # the unit needs no words of operations; then it starts in the first clock in which it can
            await load(ctx, dut, body, operations=number % 2 == 0)
            issued, end = await run(ctx, dut, durations)
            assert issued == {key: model.issue_clk[key] for key in issued}
            assert len(issued) == model.issue_clk.size
            assert end == model.makespan_clk

    simulate_block(dut, testbench, limit=20_000)


def test_all_units_complete_and_are_issued_to_in_the_same_clocks(simulate_block: Callable[..., None]) -> None:
    both = (Predecessor(operation="A"), Predecessor(operation="B"))
    before = (Predecessor(operation="C", layer_offset=-1), Predecessor(operation="D", layer_offset=-1))
    body = program(
        nano("a", "gemm", *before, share=4),
        nano("b", "gemv", *before, share=6),
        nano("c", "gemm", *both, share=5),
        nano("d", "gemv", *both, share=5),
        count=4,
    )
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        await load(ctx, dut, body)
        issued, end = await run(ctx, dut, [5] * 4)
        # every 8 clocks two complete and, 3 clocks later, the two that wait for both are issued
        for iteration in range(4):
            for index in range(4):
                assert issued[iteration, index] == 2 + 8 * (2 * iteration + index // 2)
        assert end == 2 + 8 * 7 + 5 + 2

    simulate_block(dut, testbench, limit=300)


def test_a_running_unit_takes_no_load_and_no_start_and_runs_again(simulate_block: Callable[..., None]) -> None:
    body = program(nano("a", "gemm", Predecessor(operation="B", layer_offset=-1)), nano("b", "gemv"), count=3)
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        await load(ctx, dut, body)
        first = await run(ctx, dut, [5, 9])
        assert ctx.get(dut.busy) == 0
        ctx.set(dut.load.payload, {"table": 2, "address": 0, "data": 0})
        await start(ctx, dut)
        await ctx.tick()
        # in the middle of the second run: another start, and a control word that would make it a single nano-operation
        assert (ctx.get(dut.busy), ctx.get(dut.load.ready)) == (1, 0)
        ctx.set(dut.load.valid, 1)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.load.valid, 0)
        ctx.set(dut.start, 0)
        assert ctx.get(dut.cycle) == 3
        assert ctx.get(dut.issue[0].valid) == 0  # both were issued in clock 2 and not again
        for iteration in range(3):
            await complete(ctx, dut, 0, 0)
            await complete(ctx, dut, 1, 1)
            assert (ctx.get(dut.busy), ctx.get(dut.done)) == (1, 0)
            await ctx.tick()
            assert (ctx.get(dut.busy), ctx.get(dut.done)) == (1, iteration == 2)
            await ctx.tick()
            assert ctx.get(dut.busy) == (iteration < 2)
            await ctx.tick().repeat(2)
        assert ctx.get(dut.busy) == 0
        assert ctx.get(dut.protocol_error) == 0
        assert await run(ctx, dut, [5, 9]) == first

    simulate_block(dut, testbench, limit=500)


def test_a_word_that_waits_changes_nothing_of_what_runs(simulate_block: Callable[..., None]) -> None:
    body = program(nano("a", "gemm"), nano("b", "gemv"), count=3)
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        await load(ctx, dut, body)
        await start(ctx, dut)
        # a control word that would make the program its first nano-operation alone
        ctx.set(dut.load.payload, {"table": 2, "address": 0, "data": 0})
        ctx.set(dut.load.valid, 1)
        offers = []
        # the second is an iteration ahead, and waits for the third
        for unit in (1, 1, 0, 0, 1, 0):
            for _ in range(6):
                offers += [number for number in range(2) if ctx.get(dut.issue[number].valid)]
                await ctx.tick()
            assert not ctx.get(dut.load.ready)
            await complete(ctx, dut, unit, unit)
        assert sorted(offers) == [0] * 3 + [1] * 3
        await ctx.tick()
        assert ctx.get(dut.done) and not ctx.get(dut.protocol_error)

    simulate_block(dut, testbench, limit=500)


def test_unexpected_completions_are_ignored_and_reported(simulate_block: Callable[..., None]) -> None:
    body = program(nano("a", "gemm"), nano("b", "gemv", Predecessor(operation="A")))
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        await load(ctx, dut, body)
        await start(ctx, dut)
        await ctx.tick()
        await ctx.tick()
        # nothing is in flight on unit 1; on unit 0 it is another index
        await complete(ctx, dut, 1, 1)
        assert ctx.get(dut.protocol_error) == 1
        await complete(ctx, dut, 0, 1)
        for _ in range(6):
            assert (ctx.get(dut.issue[1].valid), ctx.get(dut.protocol_error)) == (0, 1)
            await ctx.tick()
        await complete(ctx, dut, 0, 0)
        for _ in range(WAKE_UP_CLK - 1):
            await ctx.tick()
        assert ctx.get(dut.issue[1].valid) == 1
        await ctx.tick()
        await complete(ctx, dut, 1, 1)
        await ctx.tick()
        assert (ctx.get(dut.done), ctx.get(dut.protocol_error)) == (1, 1)
        await ctx.tick()
        await start(ctx, dut)
        assert ctx.get(dut.protocol_error) == 0

    simulate_block(dut, testbench, limit=100)


def test_credits_come_back_with_the_completion_only(simulate_block: Callable[..., None]) -> None:
    body = program(nano("a", "gemm", share=6), nano("b", "gemv", share=5))
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        await load(ctx, dut, body)
        await start(ctx, dut)
        ctx.set(dut.issue[0].ready, 0)
        await ctx.tick()
        # a is offered and not accepted; its credits are held all the same
        for _ in range(10):
            assert (ctx.get(dut.issue[0].valid), ctx.get(dut.issue[1].valid)) == (1, 0)
            await ctx.tick()
        ctx.set(dut.issue[0].ready, 1)
        await ctx.tick()
        for _ in range(10):
            assert (ctx.get(dut.issue[0].valid), ctx.get(dut.issue[1].valid)) == (0, 0)
            await ctx.tick()
        await complete(ctx, dut, 0, 0)
        for _ in range(2):
            assert ctx.get(dut.issue[1].valid) == 0
            await ctx.tick()
        assert ctx.get(dut.issue[1].valid) == 1

    simulate_block(dut, testbench, limit=100)
