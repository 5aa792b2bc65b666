"""``ngpc program``: programs of nano-operations as files, load words and pictures."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from arch.assembly import assemble as assemble_program
from arch.assembly import disassemble as disassemble_words
from arch.errors import check_one_of
from arch.presets import SCHEDULERS, preset
from arch.program import NanoOperation, Predecessor
from arch.program_file import find_program, read_text
from arch.program_text import FORMS, ProgramText, chunk_ranges, write_program
from arch.scheduler import SchedulerConfig
from arch.whole_file import write_whole
from arch.workload import load_program, preset_names
from cli.output import JsonOption, print_json, print_table

__all__ = ["program"]

program = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check, assemble and draw programs of nano-operations.",
)

File = Annotated[str, typer.Argument(help=f"A .{' or .'.join(FORMS)} file, or a program of workloads/programs.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write.")]


@program.command(name="list")
def list_presets(*, json: JsonOption = False) -> None:
    """The programs that come with the project."""
    rows = [
        {
            "program": name,
            "nano_operations": len(loaded.nano_operations),
            "units": len(loaded.units),
            "rows": loaded.n_chunks * loaded.chunk_rows,
            "count": loaded.count,
        }
        for name, loaded in ((name, load_program(name)) for name in preset_names("program"))
    ]
    _finish("Programs", {"programs": rows}, json)


@program.command()
def check(file: File, *, json: JsonOption = False) -> None:
    """Say what a program is, the smallest scheduler unit that runs it, and where its figures come from."""
    text = find_program(file)
    _finish("Program", _description(text), json)


@program.command()
def assemble(
    file: File,
    *,
    out: Out = Path("build/words.hex"),
    scheduler: Annotated[
        str, typer.Option(help=f"Unit to load: {', '.join(SCHEDULERS)}; by default one the program fits.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Write the words a host sends to the unit's load port, one a line as $readmemh takes them."""
    loaded = find_program(file).program
    config = preset("scheduler", SCHEDULERS, scheduler) if scheduler else SchedulerConfig.for_program(loaded)
    words = assemble_program(loaded, config)
    count = sum(not line.startswith("//") for line in words.splitlines())
    result = {"program": loaded.name, "words": count, "file": str(write_whole(out, words)), "scheduler": asdict(config)}
    _finish("Load words", result, json)


@program.command()
def disassemble(
    file: Annotated[Path, typer.Argument(help="A file of load words, as assemble writes them.")],
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; by default stdout.")] = None,
    json: JsonOption = False,
) -> None:
    """Print the program that load words stand for as TOML or JSON, or write it into a .toml or .json file."""
    loaded, _ = disassemble_words(read_text("file of load words", file))
    text = ProgramText(program=loaded)
    if out is None:
        typer.echo(write_program(text, "json" if json else "toml"), nl=False)
        return
    check_one_of("ending of the file", out.suffix, tuple(f".{form}" for form in FORMS))
    path = write_whole(out, write_program(text, out.suffix.removeprefix(".")))
    _finish("Program", {"program": loaded.name, "file": str(path)}, json)


@program.command()
def graph(file: File, *, out: Out = Path("build/program.svg"), json: JsonOption = False) -> None:
    """Draw a program as SVG: a lane a unit, a column a step of waiting, an arrow a wait."""
    from report.program_graph import program_graph

    check_one_of("ending of the picture", out.suffix, (".svg",))
    loaded = find_program(file).program
    path = write_whole(out, program_graph(loaded))
    _finish("Picture", {"program": loaded.name, "file": str(path)}, json)


def _description(text: ProgramText) -> dict[str, Any]:
    loaded = text.program
    return {
        "program": loaded.name,
        "count": loaded.count,
        "rows": loaded.n_chunks * loaded.chunk_rows,
        "n_chunks": loaded.n_chunks,
        "pools": {pool.name: pool.capacity for pool in loaded.pools},
        "scheduler": asdict(SchedulerConfig.for_program(loaded)),
        "units": [
            {
                "unit": unit,
                "nano_operations": sum(nano.unit == unit for nano in loaded.nano_operations),
                "busy_us": sum(nano.duration_us for nano in loaded.nano_operations if nano.unit == unit),
            }
            for unit in loaded.units
        ],
        "nano_operations": [
            {
                "name": nano.name,
                "operation": nano.operation,
                "unit": nano.unit,
                "chunks": chunk_ranges(nano.chunks),
                "duration_us": nano.duration_us,
                "shares": dict(nano.shares),
                "waits_for": [_wait(other, wait) for other, wait in loaded.waits_for(nano)],
            }
            for nano in loaded.nano_operations
        ],
        "sources": [{"part": part, **asdict(figure)} for part, figure in text.sources.items()],
    }


def _wait(other: NanoOperation, wait: Predecessor) -> str:
    """``Down1``, ``start of UpGate2``, ``Down1 -1`` for that of the iteration before."""
    start = "start of " if wait.event == "start" else ""
    return start + other.name + (f" {wait.layer_offset:+d}" if wait.layer_offset else "")


def _finish(title: str, result: dict[str, Any], json: bool) -> None:
    """Print plain values as one table, every list of rows as one of its own."""
    if json:
        print_json(result)
        return
    plain = [(name, _plain(value)) for name, value in result.items() if not isinstance(value, list)]
    if plain:
        print_table(title, ("what", "value"), plain)
    for name, rows in result.items():
        if isinstance(rows, list) and rows:
            print_table(name, tuple(rows[0]), [tuple(_plain(value) for value in row.values()) for row in rows])


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return ", ".join(str(entry) for entry in value) if isinstance(value, list) else value
