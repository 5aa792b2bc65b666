"""How every command speaks: results on stdout (a table, or JSON with ``--json``), everything else on stderr."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = ["JsonOption", "note", "print_json", "print_table", "progress"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
"""The option every command has."""


def print_json(result: dict[str, Any]) -> None:
    """Print one JSON object; a value JSON cannot hold (NaN, infinity) is a defect and raises ValueError."""
    with _reader():
        json.dump(result, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
    """Print a table on stdout: floats with four significant digits, numbers right-aligned.

    Off a terminal the table takes the width it needs, so that nothing is cut in a file or pipe.
    """
    table = Table(title=title, caption=caption or None, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*[_cell(value) for value in row])
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    # rich itself would end with its own exit code when the reader has gone away
    with console.capture() as text:
        console.print(table)
    with _reader():
        sys.stdout.write(text.get())


def note(text: str) -> None:
    """Say something to the person at the terminal, on stderr."""
    print(text, file=sys.stderr)


@contextmanager
def progress(description: str) -> Iterator[Callable[..., None]]:
    """Show a progress bar on stderr while the block runs; it yields ``update(done, total, description)``.

    The description may be left out of an update. On a pipe or file nothing is drawn.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total, text=None: bar.update(task, completed=done, total=total, description=text)


@contextmanager
def _reader() -> Iterator[None]:
    """End quietly, as ``cat`` does, when whoever reads stdout has gone away."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # what is still in the buffer would raise again, with a traceback, when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return "" if value is None else str(value)
