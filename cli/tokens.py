"""``ngpc tokens``: how fast a served language model runs, sequentially and with overlapped nano-batches."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.output import JsonOption, print_json, print_table, progress
from cli.timeline_files import SvgOption, TraceOption, write_timelines
from sim.machine.critical_path import critical_path, idle_intervals
from sim.machine.interference import INTERFERENCE_TABLES
from sim.machine.program_shape import OUTPUTS
from sim.machine.timeline import Timeline
from sim.machine.token_case import EXECUTIONS, LEVELS
from sim.machine.tokens import SHARINGS, TokenRow, TokenTiming, time_tokens
from sim.machine.utilisation import RESOURCES, utilisation

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
    decode_rows: Annotated[int, typer.Option(help="Rows that decode; -1: as the lengths have it.")] = -1,
    context: Annotated[float, typer.Option(help="Mean context of a decoding row; 0: as the lengths have it.")] = 0.0,
    level: Annotated[str, typer.Option(help=f"Cost model: {', '.join(LEVELS)}.")] = "interference",
    output: Annotated[str, typer.Option(help=f"Output projection on several GPUs: {', '.join(OUTPUTS)}.")] = "program",
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
    RTL eight layers run at 10 MHz, every nano-operation as long as interference makes it in that layer. Exit code 1 if
    the RTL differs from the cycle model in any clock.
    """
    timing = time_tokens(
        model=model,
        device=device,
        prompt=prompt,
        decode=decode,
        executions=execution or None,
        program=program,
        rows=batch or None,
        decode_rows=None if decode_rows == -1 else decode_rows,
        context=context or None,
        level=level,
        output=output,
        interference=interference,
        sharing=sharing,
    )
    result: dict[str, Any] = timing.as_json()
    if losses:
        result["losses"] = {name: _losses(timeline, timing) for name, timeline in timing.timelines.items()}
    if rtl:
        result["rtl"] = _on_rtl(timing)
    write_timelines(timing.timelines, trace, svg)
    if json:
        print_json(result)
    else:
        _print(timing, result, f"{model} on {device}, prompt {prompt}, decode {decode}")
    if rtl and any(run["mismatches"] or run["cycles_rtl"] != run["cycles_model"] for run in result["rtl"].values()):
        print("ngpc: the scheduler's RTL and its cycle model differ", file=sys.stderr)
        raise typer.Exit(1)


def _on_rtl(timing: TokenTiming) -> dict[str, dict[str, object]]:
    """Each program on the RTL, interference included, and the period the table's model had."""
    from sim.cosim.program_check import CLOCK_HZ, check_program

    runs = {}
    with progress("running programs on the RTL") as update:
        for name, timeline in timing.timelines.items():
            program, durations, rates = timing.case.scheduled(name, CLOCK_HZ)
            check = check_program(program, durations_clk=durations, rates=rates, progress=update)
            runs[name] = {**check.as_json(), "period_us_model": timeline.period_us}
    return runs


def _losses(timeline: Timeline, timing: TokenTiming) -> dict[str, Any]:
    """Critical path, idle units and used resources of one period of the steady state, microseconds from its start."""
    path = critical_path(timeline)
    start = path[-1].entry.end_us - timeline.period_us
    used = utilisation(timeline, timing.case.times)
    return {
        "utilisation": {name: used.mean(name) for name in RESOURCES},
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
        parts = [tuple(f"{part:.1%}" for part in found["utilisation"].values())]
        print_table(f"{name}: of the peaks over a period", RESOURCES, parts)
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
