"""``ngpc tokens``: how fast a served language model runs, sequentially and with overlapped nano-batches."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from arch.errors import InputError
from cli.output import JsonOption, print_json, print_table, progress
from cli.timeline_files import SvgOption, TraceOption, write_timelines
from sim.machine.critical_path import critical_path, idle_intervals
from sim.machine.interference import INTERFERENCE_TABLES
from sim.machine.timeline import Timeline
from sim.machine.tokens import EXECUTIONS, SHARINGS, TokenRow, TokenTiming, time_tokens

__all__ = ["tokens"]

_COLUMNS = (
    "execution", "source", "tokens", "iteration ms", "layer ms", "tokens/s/GPU", "of optimal", "vs published",
)  # fmt: skip


def tokens(
    *,
    model: Annotated[str, typer.Option(help="Language model preset.")] = "llama2_70b",
    device: Annotated[str, typer.Option(help="GPU preset, or several of one: 8xa100_80gb.")] = "8xa100_80gb",
    prompt: Annotated[int, typer.Option(help="Mean prompt length, tokens.")] = 512,
    decode: Annotated[int, typer.Option(help="Mean output length, tokens.")] = 1024,
    execution: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(EXECUTIONS)}; may be given again. All that apply by default."),
    ] = None,
    program: Annotated[str | None, typer.Option(help="Program preset or file instead of the model's own.")] = None,
    batch: Annotated[int, typer.Option(help="Rows of the dense batch; 0: the program's.")] = 0,
    interference: Annotated[str, typer.Option(help=f"P(R) table: {' or '.join(INTERFERENCE_TABLES)}.")] = "artifact",
    sharing: Annotated[str, typer.Option(help=f"What unused shares do: {' or '.join(SHARINGS)}.")] = "shared",
    losses: Annotated[
        bool, typer.Option("--losses", help="Say where a layer loses time: critical path and idle units.")
    ] = False,
    rtl: Annotated[bool, typer.Option("--rtl", help="Run the programs on the scheduler's RTL too.")] = False,
    trace: TraceOption = None,
    svg: SvgOption = None,
    json: JsonOption = False,
) -> None:
    """Time an iteration of a served language model, beside what was published for the same case.

    Sources: calibrated from published kernel times, run on the scheduler's cycle model, published by a paper. On the
    RTL every nano-operation takes the time it takes in the steady layer, interference included. Exit code 1 if the RTL
    differs from the cycle model.
    """
    timing = time_tokens(
        model=model,
        device=device,
        prompt=prompt,
        decode=decode,
        executions=execution or None,
        program=program,
        rows=batch or None,
        interference=interference,
        sharing=sharing,
    )
    if not timing.timelines and (losses or rtl or trace or svg):
        raise InputError("execution must be one that runs a program for --losses, --rtl, --trace and --svg, not only "
                         "sequential")  # fmt: skip
    result: dict[str, Any] = timing.as_json()
    if losses:
        result["losses"] = {name: _losses(timeline) for name, timeline in timing.timelines.items()}
    if rtl:
        result["rtl"] = _on_rtl(timing.timelines)
    write_timelines(timing.timelines, trace, svg)
    if json:
        print_json(result)
    else:
        _print(timing, result, f"{model} on {device}, prompt {prompt}, decode {decode}")
    if rtl and any(run["mismatches"] or run["cycles_rtl"] != run["cycles_model"] for run in result["rtl"].values()):
        print("ngpc: the scheduler's RTL and its cycle model differ", file=sys.stderr)
        raise typer.Exit(1)


def _on_rtl(timelines: Mapping[str, Timeline]) -> dict[str, dict[str, object]]:
    """Each program on the RTL with the durations of its steady layer, and the period the overlapped model had."""
    from sim.cosim.program_check import check_program

    runs = {}
    with progress("running programs on the RTL") as update:
        for name, timeline in timelines.items():
            steady = {entry.nano_operation: entry.duration_us for entry in timeline.layer(timeline.program.count // 2)}
            nanos = timeline.program.nano_operations
            timed = tuple(replace(nano, duration_us=steady[nano.name]) for nano in nanos)
            check = check_program(replace(timeline.program, nano_operations=timed), progress=update)
            runs[name] = {**check.as_json(), "period_us_model": timeline.period_us}
    return runs


def _losses(timeline: Timeline) -> dict[str, list[dict[str, object]]]:
    """Critical path and idle units of one period of the steady state, microseconds from the path's first start."""
    path = critical_path(timeline)
    start = path[-1].entry.end_us - timeline.period_us
    return {
        "critical_path": [
            {
                "nano_operation": step.entry.nano_operation,
                "unit": step.entry.unit,
                "layer": step.entry.layer,
                "start_us": step.entry.start_us - start,
                "end_us": step.entry.end_us - start,
                "next_waits_for": step.reason,
            }
            for step in path
        ],
        "idle": [
            {
                "start_us": each.start_us - start,
                "end_us": each.end_us - start,
                "idle": list(each.idle),
                "running": list(each.running),
            }
            for each in idle_intervals(timeline, start, path[-1].entry.end_us)
        ],
    }


def _print(timing: TokenTiming, result: dict[str, Any], title: str) -> None:
    print_table(title, _COLUMNS, [_cells(row) for row in timing.rows], "\n".join(_remarks(timing.rows)))
    for name, found in result.get("losses", {}).items():
        steps = [tuple(step.values()) for step in found["critical_path"]]
        columns = ("nano-operation", "unit", "layer", "start us", "end us", "the next waits for")
        print_table(f"{name}: critical path of a period", columns, steps)
        idle = [(e["start_us"], e["end_us"], ", ".join(e["idle"]), ", ".join(e["running"])) for e in found["idle"]]
        print_table(f"{name}: units idle", ("start us", "end us", "idle", "running"), idle)
    if "rtl" in result:
        runs = [(name, *run.values()) for name, run in result["rtl"].items()]
        columns = ("program", "layers", "MHz", "period us, RTL", "clocks, RTL", "clocks, model", "mismatches",
                   "period us, above")  # fmt: skip
        print_table("On the scheduler's RTL", columns, runs)


def _remarks(rows: Sequence[TokenRow]) -> list[str]:
    remarks = []
    if any(row.source == "calibrated" and row.deviation is not None for row in rows):
        remarks.append("- The published sequential run is part of the calibration, so ours cannot deviate from it.")
    if any(row.extrapolated for row in rows):
        remarks.append("- Kernel times are scaled from another model or device by the cost model.")
    return remarks


def _cells(row: TokenRow) -> tuple[object, ...]:
    return (
        row.execution,
        row.source,
        row.dense_batch,
        row.iteration_ms,
        row.layer_ms,
        row.tokens_per_s_per_gpu,
        f"{row.fraction_of_optimal:.1%}",
        None if row.deviation is None else f"{row.deviation:+.1%}",
    )
