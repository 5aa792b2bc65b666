"""``ngpc search``: find a schedule of a decoder layer and write it as a program of the scheduler unit."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arch.errors import InputError
from cli.output import JsonOption, note, print_json, print_table, progress
from cli.timeline_files import SvgOption, TraceOption, write_timelines
from sim.machine.interference import INTERFERENCE_TABLES

if TYPE_CHECKING:
    from sim.search.layer_plan import LayerPlan
    from sim.search.search import ScheduleSearch
    from sim.search.solve import SearchProgress

__all__ = ["search"]


_TABLES = ", ".join(INTERFERENCE_TABLES)


def search(
    *,
    model: Annotated[str, typer.Option(help="Language model preset.")] = "llama2_70b",
    device: Annotated[str, typer.Option(help="GPU preset, or several of one: 8xa100_80gb.")] = "8xa100_80gb",
    prompt: Annotated[int, typer.Option(help="Mean prompt length, tokens.")] = 512,
    decode: Annotated[int, typer.Option(help="Mean output length, tokens.")] = 1024,
    batch: Annotated[int, typer.Option(help="Rows of the dense batch, a multiple of 128; 0: the model's own.")] = 0,
    decode_rows: Annotated[
        int, typer.Option(help="Rows that decode, a multiple of 128; -1: as the lengths have it.")
    ] = -1,
    nano_batches: Annotated[int, typer.Option(help="Most nano-batches, 1 to 4.")] = 2,
    parts: Annotated[int, typer.Option(help="Most parts of a nano-batch in KQV and attention, 1 to 4.")] = 2,
    times: Annotated[str, typer.Option(help="Solo times: artifact, calibrated, or auto.")] = "auto",
    interference: Annotated[
        str, typer.Option(help=f"P(R) to choose shares under: none, {_TABLES}; auto: artifact where GEMMs take shares.")
    ] = "auto",
    effort: Annotated[float, typer.Option(help="Deterministic time to search; about five seconds a unit.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    warm_start: Annotated[Path | None, typer.Option(help="What an earlier search --json printed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Program file to write, .json or .toml.")] = None,
    rtl: Annotated[bool, typer.Option("--rtl", help="Run the program on the scheduler's RTL too.")] = False,
    trace: TraceOption = None,
    svg: SvgOption = None,
    json: JsonOption = False,
) -> None:
    """Search nano-batches, order, collectives and shares of a decoder layer, for the period of an endless loop.

    The period printed is that of the program on the scheduler's cycle model, and the bound holds for every schedule of
    the structures searched. The same options give the same program on every machine. Exit code 1 if the RTL differs.
    """
    from arch.program_text import FORMS, write_program
    from arch.whole_file import write_whole
    from sim.search.search import search_schedule

    if out is not None and out.suffix.removeprefix(".") not in FORMS:
        raise InputError(f"out must end in .{' or .'.join(FORMS)}, not {str(out)!r}")
    plan = None if warm_start is None else _read_plan(warm_start)
    started = time.perf_counter()
    with progress("searching") as update:

        def show(state: "SearchProgress") -> None:
            found = f"{state.period_us / 1e3:.3f} ms, bound {state.bound_us / 1e3:.3f}"
            update(int(1000 * state.spent), int(1000 * state.effort), f"searching: {found}")

        found = search_schedule(
            model=model, device=device, prompt=prompt, decode=decode, batch=batch or None,
            decode_rows=None if decode_rows == -1 else decode_rows, n_batches=nano_batches, n_parts=parts, times=times,
            interference=interference, effort=effort, seed=seed, warm_start=plan, progress=show,
        )  # fmt: skip
    result = found.as_json(time.perf_counter() - started)
    if rtl:
        result["rtl"] = _run_rtl(found)
    if out is not None:
        write_whole(out, write_program(found.text(), out.suffix.removeprefix(".")))
    if trace is not None or svg is not None:
        write_timelines({found.program.name: found.timeline()}, trace, svg)
    if json:
        print_json(result)
    else:
        _print(found, result)
        if out is not None:
            note(f"program: {out}")
    if rtl and (result["rtl"]["mismatches"] or result["rtl"]["cycles_rtl"] != result["rtl"]["cycles_model"]):
        print("ngpc: the scheduler's RTL and its cycle model differ", file=sys.stderr)
        raise typer.Exit(1)


def _read_plan(path: Path) -> "LayerPlan":
    from arch.program_text import read_tables
    from sim.search.search import read_plan

    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"warm start must be UTF-8 text, not {str(path)!r} ({error.reason})") from error
    except OSError as error:
        raise InputError(f"warm start must be a readable file, not {str(path)!r} ({error.strerror})") from error
    return read_plan(read_tables("warm start", text, "json"))


def _run_rtl(found: "ScheduleSearch") -> dict[str, Any]:
    from sim.cosim.program_check import check_program

    with progress("running the program on the RTL") as update:
        return check_program(found.program, rates=found.rates, progress=update).as_json()


def _print(found: "ScheduleSearch", result: dict[str, Any]) -> None:
    rows = [
        (nano.name, nano.unit, nano.chunks.bit_count() * found.program.chunk_rows, nano.duration_us,
         next(iter(nano.shares.values()), None),
         ", ".join(f"{wait.operation}{wait.layer_offset or '':+}" if wait.layer_offset else wait.operation
                   for wait in nano.predecessors))
        for nano in found.program.nano_operations
    ]  # fmt: skip
    shared = "" if found.shared_period_us is None else (
        f"; with shares and P(R) of the {found.interference} table {found.shared_period_us / 1e3:.3f} ms, "
        f"{found.tokens_per_s_per_gpu:.0f} tokens/s/GPU"
    )  # fmt: skip
    caption = (
        f"period {result['period_ms']:.3f} ms a layer, bound {result['bound_ms']:.3f} ms (gap {found.gap:.1%}), "
        f"{found.times} times{shared}; {result['seconds']:.1f} s, seed {found.seed}"
    )
    if "rtl" in result:
        caption += f"; RTL: {result['rtl']['mismatches']} of its clocks differ from the cycle model's"
    title = f"{found.model} on {found.device}, {found.batch} rows of which {found.decode_rows} decode"
    print_table(title, ("nano-operation", "unit", "rows", "us alone", "tenths", "waits for"), rows, caption)
