"""The studies of ``ngpc reproduce`` about language models: NanoFlow's evaluation, and measurements on an H200."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arch.errors import InputError
from arch.whole_file import make_directory, write_whole
from cli.output import JsonOption, note, print_json, print_table, progress

if TYPE_CHECKING:
    from sim.reproduction.comparison_row import ComparisonRow

__all__ = ["h200", "nanoflow"]


def nanoflow(
    *,
    search_effort: Annotated[
        float, typer.Option(help="Effort of a schedule search beside the published one; 0: none.")
    ] = 0.0,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for the figures: maps, bars, latencies, use of a layer, .svg.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """NanoFlow's table, heat maps, ablation, throughput and latency (OSDI 2025), and what its artifact measured."""
    from sim.reproduction.nanoflow import reproduce_nanoflow

    if not 0 <= search_effort <= 1000:
        raise InputError(f"search_effort must be 0 to 1000, not {search_effort:g}")
    if plots is not None:
        make_directory(plots)
    with progress("reproducing NanoFlow") as update:
        rows = reproduce_nanoflow(search_effort=search_effort, progress=update)
    if plots is not None:
        _draw(rows, plots)
    _print("nanoflow", "NanoFlow (OSDI 2025), LLaMA-2-70B on 8xA100 80 GB unless said", rows, json)


def h200(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder of measurements instead of the packaged ones; see docs/tokens.md.")
    ] = None,
    device: Annotated[str, typer.Option(help="GPU preset they were measured on.")] = "h200",
    rows: Annotated[bool, typer.Option("--rows", help="Print every value, not only the layers and a summary.")] = False,
    json: JsonOption = False,
) -> None:
    """LLM operations, overlaps and whole layers measured on an H200, or on another GPU, file by file."""
    from sim.reproduction.h200 import reproduce_h200, summarise

    found = reproduce_h200(data, device)
    if not json:
        lines = [
            (each.file, each.rows, f"{each.mean:.1%}", f"{each.largest:.1%}", f"{each.within:.0%}")
            for each in summarise(found)
        ]
        columns = ("file", "values", "mean distance", "largest", "within 10 %")
        print_table(f"Measured on {device}, all values", columns, lines)
        if not rows:
            found = [row for row in found if row.what.startswith(("D_layers", "layer"))]
    if found:
        _print("h200", f"Measured on {device}", found, json)


def _draw(rows: Sequence["ComparisonRow"], folder: Path) -> None:
    """NanoFlow's figures as pictures."""
    from report.reproduction_plots import bars, heat_map, latency_curves, layer_utilisation
    from sim.machine.token_maps import memory_map, network_map
    from sim.machine.tokens import time_tokens
    from sim.machine.utilisation import utilisation

    timing = time_tokens()
    used = {name: utilisation(timeline, timing.case.times) for name, timeline in timing.timelines.items()}

    def part(start: str) -> list["ComparisonRow"]:
        return [row for row in rows if row.what.startswith(start)]

    figures = {
        "memory_map": heat_map(memory_map(), "T_mem / T_compute at the largest batch"),
        "network_map": heat_map(network_map(), "T_net / T_compute of eight GPUs"),
        "throughput": bars(part("offline throughput, "), "Offline throughput, LLaMA-2-70B", "tokens/s/GPU"),
        "ablation": bars(part("ablation"), "Ablation, 512 + 1024", "tokens/s/GPU"),
        "latency": latency_curves(part("normalised latency")),
        "utilisation": layer_utilisation(used),
    }
    for name, picture in figures.items():
        write_whole(folder / f"{name}.svg", picture)
    note(f"figures: {folder}")


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
