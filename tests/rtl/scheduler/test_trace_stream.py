"""The unit's trace: records and counters are the cycle model's, and a build without it is the build it was."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from arch.descriptor import pack_program
from arch.presets import SCHEDULERS
from arch.program import Program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.scheduler_unit import SchedulerUnit
from sim.engine.scheduler import SchedulerTimeline, simulate
from sim.engine.scheduler_measures import credit_clk, stall_clk
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=4, n_units=2, n_pools=2, n_chunks=4, share_bits=4, trace=True)


async def load(ctx: object, dut: SchedulerUnit, program: Program) -> None:
    ctx.set(dut.load.valid, 1)
    for table, address, data in pack_program(program, dut.config).load_words():
        ctx.set(dut.load.payload, {"table": int(table), "address": address, "data": data})
        while not ctx.get(dut.load.ready):
            await ctx.tick()
        await ctx.tick()
    ctx.set(dut.load.valid, 0)


async def run(ctx: object, dut: SchedulerUnit, durations: list[int], *, take: Callable[[], bool]) -> list:
    """Run the loaded program on units that accept at once; returns the records that were taken."""
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    for issue in dut.issue:
        ctx.set(issue.ready, 1)
    clock, ends, records, after = 1, {}, [], 0
    while after < 8:
        after += ctx.get(dut.done) or after > 0
        ctx.set(dut.trace.ready, take())
        for unit, complete in enumerate(dut.complete):
            completes = unit in ends and ends[unit][0] == clock
            ctx.set(complete.valid, completes)
            if completes:
                ctx.set(complete.index, ends.pop(unit)[1])
        for unit, issue in enumerate(dut.issue):
            if ctx.get(issue.valid):
                payload = ctx.get(issue.payload)
                ends[unit] = (clock + durations[payload.index], payload.index)
        if ctx.get(dut.trace.valid) and ctx.get(dut.trace.ready):
            records.append(ctx.get(dut.trace.payload))
        await ctx.tick()
        clock += 1
    return records


def expected_records(model: SchedulerTimeline) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """(ready, issued, started, completed) by iteration and descriptor; the model's units accept at once."""
    return {
        key: tuple(
            int(clocks[key]) for clocks in (model.ready_clk, model.issue_clk, model.issue_clk, model.complete_clk)
        )
        for key in np.ndindex(model.issue_clk.shape)
    }


def fields(record: object) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    return (record["iteration"], record["index"]), tuple(
        record[name] for name in ("ready", "issued", "started", "completed")
    )


def test_records_and_counters_are_the_models(simulate_block: Callable[..., None], seed: int) -> None:
    dut = SchedulerUnit(CONFIG)

    async def testbench(ctx: object) -> None:
        for number in range(12):
            rng = random.Random(f"{seed} {number}")
            program = random_program(rng, CONFIG)
            durations = [rng.choice((1, 2, 3, rng.randint(1, 30))) for _ in program.nano_operations]
            what = f"program {number} of seed {seed}"
            await load(ctx, dut, program)
            records = await run(ctx, dut, durations, take=lambda: True)
            model = simulate(program, CONFIG, durations_clk=durations)
            assert dict(fields(record) for record in records) == expected_records(model), what
            assert len(records) == model.issue_clk.size, what
            assert ctx.get(dut.trace_lost) == 0
            stalls = stall_clk(model)
            for unit in range(len(program.units)):
                counted = ctx.get(dut.stalls[unit])
                assert {name: counted[name] for name in stalls} == {name: stalls[name][unit] for name in stalls}, what
            held = [ctx.get(dut.credits[pool]) for pool in range(len(program.pools))]
            assert held == credit_clk(model), what

    simulate_block(dut, testbench, limit=30000)


def test_a_record_that_is_not_taken_in_time_is_said_to_be_lost(simulate_block: Callable[..., None], seed: int) -> None:
    dut = SchedulerUnit(CONFIG)
    rng = random.Random(seed)
    program = replace(random_program(rng, CONFIG), count=6)

    async def testbench(ctx: object) -> None:
        await load(ctx, dut, program)
        assert await run(ctx, dut, [1] * len(program.nano_operations), take=lambda: False) == []
        assert ctx.get(dut.trace_lost) == 1
        records = await run(ctx, dut, [1] * len(program.nano_operations), take=lambda: True)
        assert ctx.get(dut.trace_lost) == 0
        assert len(records) == 6 * len(program.nano_operations)

    simulate_block(dut, testbench, limit=20000)


def test_the_debug_preset_has_both_ports() -> None:
    members = SchedulerUnit(SCHEDULERS["scheduler-32-debug"]).signature.members
    assert {"trace", "stalls", "credits", "refused", "fault"} <= set(members)
    assert not {"trace", "refused"} & set(SchedulerUnit(SCHEDULERS["scheduler-32"]).signature.members)


@pytest.mark.parametrize("port", ["trace", "trace_lost", "stalls", "credits"])
def test_the_ports_are_there_only_with_it(port: str) -> None:
    assert port in SchedulerUnit(CONFIG).signature.members
    assert port not in SchedulerUnit(replace(CONFIG, trace=False)).signature.members
