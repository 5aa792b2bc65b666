"""``ngpc simulate scheduler``: the scheduler unit's RTL beside its cycle model on a published pipeline."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import typer

from arch.errors import InputError, check_integer, check_positive
from arch.program_file import find_program
from arch.scheduler import SchedulerConfig
from cli.comparison import finish
from cli.output import JsonOption, progress

__all__ = ["MOST_CLOCKS", "scheduler"]

_COUNTERS = {
    "dependency": "waited_dependency",
    "share": "waited_share",
    "unit": "waited_unit",
    "busy": "busy",
}
"""The unit's counters, and what they are called in the output."""

_MOST_TRACED = 4
"""Units; with more, the trace may lose records of short nano-operations (docs/engines/scheduler/trace.md)."""

MOST_CLOCKS = 500_000_000
"""A run takes minutes at most: the RTL counts every clock of every duration."""


def scheduler(
    *,
    program: Annotated[
        str, typer.Option(help="Program of workloads/programs (- and _ are the same), or a .toml or .json file.")
    ] = "llama2-70b-2048",
    layers: Annotated[int, typer.Option(help="Iterations of the body.")] = 8,
    clock_mhz: Annotated[float, typer.Option(help="Clock of the unit, in MHz; sets the clocks of a duration.")] = 10.0,
    json: JsonOption = False,
) -> None:
    """The scheduler unit on a published pipeline, its units taking the program's solo durations.

    The unit is built with its trace: clocks of nano-operations, units and pools are what the RTL says, compared with
    the model; the waits of a nano-operation are the model's. With more than 4 units the trace may lose records: then
    only the handshakes and completions are the RTL's, and "traced" is false.

    Clocks are counted from ``start``. ``wakeup_clk_max`` is over nano-operations that found their unit and shares free;
    it counts from the completion they waited for, or from the clock after the awaited start. It is 5 or 4 where a
    nano-operation takes one or two clocks and its start is awaited too: its completion is heard later.
    """
    check_integer("layers", layers, 1, (1 << 16) - 1)
    check_positive("clock_mhz", clock_mhz)

    from sim.cosim.scheduler import run_program
    from sim.engine.scheduler import START_WAKE_UP_CLK, TURN_CLK, WAKE_UP_CLK, durations_in_clocks
    from sim.engine.scheduler import simulate as simulate_model
    from sim.engine.scheduler_measures import credit_clk, last_event_clk, most_issues_in_a_clock, stall_clk

    loaded = replace(find_program(program).program, count=layers)
    config = SchedulerConfig.for_program(loaded)
    traced = len(loaded.units) <= _MOST_TRACED
    config = replace(config, trace=traced)
    durations = durations_in_clocks(loaded, clock_mhz * 1e6)
    busiest = max(
        sum(clocks for nano, clocks in zip(loaded.nano_operations, durations, strict=True) if nano.unit == unit)
        for unit in loaded.units
    )
    if loaded.count * busiest > MOST_CLOCKS:
        raise InputError(
            f"clocks to simulate must be at most {MOST_CLOCKS}, not {loaded.count * busiest} or more; "
            "take fewer layers or a lower clock_mhz"
        )
    model = simulate_model(loaded, config, durations_clk=durations)
    with progress(f"simulating {loaded.count} layers") as update:
        run = run_program(loaded, config, durations, max_cycles=2 * model.makespan_clk + 1000, progress=update)
    stamps = {
        "ready": model.ready_clk,
        "issued": run.issue_clk,
        "started": run.issue_clk,
        "completed": run.complete_clk,
    }
    stalls, credit_sums = stall_clk(model), credit_clk(model)
    differ = (run.issue_clk != model.issue_clk) | (run.complete_clk != model.complete_clk)
    counters_equal = True
    if traced:
        counters_equal = run.trace.stalls == stalls and run.trace.credits == credit_sums
        stamps = {name: getattr(run.trace, f"{name}_clk") for name in stamps}
        stalls, credit_sums = run.trace.stalls, run.trace.credits
        differ |= (stamps["ready"] != model.ready_clk) | (stamps["started"] != model.issue_clk)
    row = {nano.name: index for index, nano in enumerate(loaded.nano_operations)}
    nanos = [
        {
            "name": entry["name"],
            "chunks": loaded.nano_operations[row[entry["name"]]].chunks,
            "layer": entry["iteration"],
            "start": int(run.issue_clk[entry["iteration"], row[entry["name"]]]),
            "end": int(run.complete_clk[entry["iteration"], row[entry["name"]]]),
            **{name: int(clocks[entry["iteration"], row[entry["name"]]]) for name, clocks in stamps.items()},
            "unit": entry["unit"],
            "waited_dependency": entry["dependency_wait_clk"],
            "waited_share": entry["share_wait_clk"],
            "waited_unit": entry["unit_wait_clk"],
        }
        for entry in model.entries()
    ]
    # the unit hears of a start in the clock after its handshake
    event = last_event_clk(loaded, run.issue_clk + START_WAKE_UP_CLK - WAKE_UP_CLK, run.complete_clk)
    woken = (event >= 0) & (model.unit_wait_clk == 0) & (model.share_wait_clk == 0)
    # what became ready with its turn was woken by nobody
    woken[1:] &= model.ready_clk[1:] > model.issue_clk[:-1] + TURN_CLK
    finish(
        {
            "program": program,
            "layers": loaded.count,
            "clock_mhz": clock_mhz,
            "period_us": model.steady_period_clk / clock_mhz,
            "makespan_us": run.cycles / clock_mhz,
            "wakeup_clk_max": int((run.issue_clk - event)[woken].max(initial=0)),
            "issues_per_clk_max": most_issues_in_a_clock(run.issue_clk),
            "timeline_equal": not differ.any() and run.cycles == model.cycles_model and counters_equal,
            "traced": traced,
            "mismatches": int(np.count_nonzero(differ)) + (not counters_equal),
            "cycles_rtl": run.cycles,
            "cycles_model": model.cycles_model,
            "units": [
                {"unit": unit, **{key: stalls[name][number] for name, key in _COUNTERS.items()}}
                for number, unit in enumerate(loaded.units)
            ],
            "pools": [
                {"pool": pool.name, "credit_clk": held, "occupancy": held / (pool.capacity * run.cycles)}
                for pool, held in zip(loaded.pools, credit_sums, strict=True)
            ],
            "nano_operations": nanos,
        },
        json,
    )
