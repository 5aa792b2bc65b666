"""The unit with its load checker: what is illegal does not run, what is legal runs as without it."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from arch.descriptor import PackedProgram, pack_program
from arch.load_check import LoadFault
from arch.scheduler import SchedulerConfig
from rtl.scheduler.scheduler_unit import SchedulerUnit
from sim.engine.load_checker import check_clocks
from sim.engine.scheduler import simulate
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(
    n_descriptors=8, n_operations=4, n_units=2, n_pools=1, n_chunks=4, share_bits=4, check_load=True
)


async def load(ctx: object, dut: SchedulerUnit, packed: PackedProgram) -> None:
    ctx.set(dut.load.valid, 1)
    for table, address, data in packed.load_words():
        ctx.set(dut.load.payload, {"table": int(table), "address": address, "data": data})
        while not ctx.get(dut.load.ready):
            await ctx.tick()
        await ctx.tick()
    ctx.set(dut.load.valid, 0)


async def start(ctx: object, dut: SchedulerUnit, packed: PackedProgram) -> bool:
    """Start, and wait for the verdict; the testbench is left in its clock. Returns whether the program is accepted."""
    timeline = check_clocks(packed)
    ctx.set(dut.start, 1)
    for clock in range(timeline.clocks):
        assert ctx.get(dut.busy) == (clock > 0)
        assert not ctx.get(dut.refused)
        assert ctx.get(dut.load.ready) == (clock == 0)
        assert not any(ctx.get(issue.valid) for issue in dut.issue)
        await ctx.tick()
        ctx.set(dut.start, 0)
    accepted = timeline.verdict.fault is LoadFault.NONE
    assert ctx.get(dut.busy) == accepted
    assert ctx.get(dut.refused) == (not accepted)
    assert (ctx.get(dut.fault), ctx.get(dut.fault_index)) == (timeline.verdict.fault, timeline.verdict.index)
    return accepted


async def run(ctx: object, dut: SchedulerUnit, durations: list[int]) -> tuple[dict[tuple[int, int], int], int]:
    """Clocks of the issues and of the end, counted from that of the verdict; units accept at once."""
    clock, issued, ends = 0, {}, {}
    for issue in dut.issue:
        ctx.set(issue.ready, 1)
    while not ctx.get(dut.done):
        for unit, complete in enumerate(dut.complete):
            completes = unit in ends and ends[unit][0] == clock
            ctx.set(complete.valid, completes)
            if completes:
                ctx.set(complete.index, ends.pop(unit)[1])
        for unit, issue in enumerate(dut.issue):
            if ctx.get(issue.valid):
                payload = ctx.get(issue.payload)
                issued[payload.iteration, payload.index] = clock
                ends[unit] = (clock + durations[payload.index], payload.index)
        await ctx.tick()
        clock += 1
    assert ctx.get(dut.cycle) == clock
    await ctx.tick()
    return issued, clock


def test_programs_run_as_without_it_and_after_one_that_was_refused(
    simulate_block: Callable[..., None], seed: int
) -> None:
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        for number in range(6):
            rng = random.Random(f"{seed} {number}")
            program = random_program(rng, CONFIG)
            packed = pack_program(program, CONFIG)
            first = replace(packed.descriptors[0], chunks=0)
            spoilt = replace(packed, descriptors=(first, *packed.descriptors[1:]))
            if rng.random() < 0.5:
                await load(ctx, dut, spoilt)
                assert not await start(ctx, dut, spoilt)
                await ctx.tick()
                assert not ctx.get(dut.busy)
            await load(ctx, dut, packed)
            assert await start(ctx, dut, packed)
            durations = [rng.choice((1, 2, 3, rng.randint(1, 30))) for _ in program.nano_operations]
            issued, end = await run(ctx, dut, durations)
            model = simulate(program, CONFIG, durations_clk=durations)
            assert end == model.makespan_clk, f"program {number} of seed {seed}"
            assert all(model.issue_clk[key] == clock for key, clock in issued.items())
            assert len(issued) == model.issue_clk.size

    simulate_block(dut, testbench, limit=20000)


@pytest.mark.parametrize("port", ["refused", "fault", "fault_index"])
def test_the_ports_are_there_only_with_it(port: str) -> None:
    assert port in SchedulerUnit(CONFIG).signature.members
    assert port not in SchedulerUnit(replace(CONFIG, check_load=False)).signature.members
