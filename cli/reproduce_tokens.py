"""The studies of ``ngpc reproduce`` about language models: NanoFlow's evaluation, and measurements on an H200."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from arch.errors import InputError
from cli.output import JsonOption, print_json, print_table, progress

if TYPE_CHECKING:
    from sim.reproduction.comparison_row import ComparisonRow

__all__ = ["h200", "nanoflow"]


def nanoflow(
    *,
    search_effort: Annotated[
        float, typer.Option(help="Effort of a schedule search beside the published one; 0: none.")
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """NanoFlow's table, heat maps, ablation, throughput and latency (OSDI 2025)."""
    from sim.reproduction.nanoflow import reproduce_nanoflow

    if not 0 <= search_effort <= 1000:
        raise InputError(f"search_effort must be 0 to 1000, not {search_effort:g}")
    with progress("reproducing NanoFlow") as update:
        rows = reproduce_nanoflow(search_effort=search_effort, progress=update)
    _print("nanoflow", "NanoFlow (OSDI 2025), LLaMA-2-70B on 8xA100 80 GB unless said", rows, json)


def h200(*, json: JsonOption = False) -> None:
    """LLM operations and overlapped layers measured on an H200."""
    from sim.reproduction.h200 import reproduce_h200

    _print("h200", "LLaMA-3-8B on one H200, 2048 decoding requests of context 1024", reproduce_h200(), json)


def _print(study: str, title: str, rows: Sequence["ComparisonRow"], json: bool) -> None:
    """Rows as ``{"rows": [...]}``, or as a table with each reason once, below."""
    if json:
        print_json({"study": study, "rows": [row.as_json() for row in rows]})
        return
    reasons = list(dict.fromkeys(row.reason for row in rows))
    cells = [
        (row.what, row.ours, row.reference, f"{row.ratio - 1:+.1%}", row.source, reasons.index(row.reason) + 1)
        for row in rows
    ]
    caption = "\n".join(f"{number} {reason}" for number, reason in enumerate(reasons, 1))
    print_table(title, ("what", "ours", "reference", "deviation", "source", "reason"), cells, caption)
