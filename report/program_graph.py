"""A program as a picture: its nano-operations by unit, and what each of them waits for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from arch.program import NanoOperation, Predecessor, Program
from arch.program_text import chunk_ranges
from report.plot_style import OPERATION_COLOURS, new_figure, styled, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["program_graph"]

_WIDTH, _HEIGHT = 0.82, 0.66
"""Size of a box; a column of boxes is 1 wide, a row of them 1 high."""


@styled
def program_graph(program: Program) -> bytes:
    """SVG of the loop body: a lane a unit, a column a step of waiting, a colour an operation.

    An arrow leads from what is awaited to what waits: solid for its end, dashed for its start. Waits for another
    iteration do not lead through the picture; they end in a label that names the operation and the iteration.
    """
    columns = _columns(program)
    places, lanes = _places(program, columns)
    n_rows = sum(lanes.values())
    n_columns = 1 + max(columns.values())
    figure, axes = new_figure(width=1.6 + 0.95 * n_columns, height=1.0 + 0.62 * n_rows)
    colours = {
        operation: OPERATION_COLOURS[number % len(OPERATION_COLOURS)]
        for number, operation in enumerate(program.operations)
    }
    _draw_lanes(axes, lanes, n_columns)
    for nano in program.nano_operations:
        _draw_waits(axes, program, nano, places, colours)
    for nano in program.nano_operations:
        _draw_box(axes, nano, places[nano.name], colours[nano.operation])
    axes.set(xlim=(-1.3, n_columns - 0.4), ylim=(n_rows - 0.4, -0.6), xticks=[], yticks=[])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    waits = "solid: waits for the end, dashed: for the start, +1 and -1: of another iteration"
    axes.set_title(f"{program.name}, {program.count} iterations ({waits})", loc="left", fontsize=9)
    return svg(figure)


def _columns(program: Program) -> dict[str, int]:
    """Longest way to each nano-operation by waits within an iteration."""
    columns: dict[str, int] = {}

    def column(nano: NanoOperation) -> int:
        if nano.name not in columns:
            before = [column(other) for other, wait in program.waits_for(nano) if not wait.layer_offset]
            columns[nano.name] = 1 + max(before, default=-1)
        return columns[nano.name]

    for nano in program.nano_operations:
        column(nano)
    return columns


def _places(program: Program, columns: Mapping[str, int]) -> tuple[dict[str, tuple[float, float]], dict[str, int]]:
    """Centre of each box, and rows of each unit's lane: as many as it has boxes in its fullest column."""
    places: dict[str, tuple[float, float]] = {}
    lanes: dict[str, int] = {}
    for unit in program.units:
        top = sum(lanes.values())
        filled: dict[int, int] = {}
        for nano in program.nano_operations:
            if nano.unit == unit:
                column = columns[nano.name]
                places[nano.name] = (column, top + filled.get(column, 0))
                filled[column] = filled.get(column, 0) + 1
        lanes[unit] = max(filled.values(), default=1)
    return places, lanes


def _draw_lanes(axes: "Axes", lanes: Mapping[str, int], n_columns: int) -> None:
    top = 0
    for number, (unit, rows) in enumerate(lanes.items()):
        if number % 2 == 0:
            axes.axhspan(top - 0.5, top + rows - 0.5, color="#f3f4f6", zorder=0)
        axes.text(-1.25, top + (rows - 1) / 2, unit, ha="left", va="center", fontsize=9, weight="bold")
        top += rows


def _draw_waits(
    axes: "Axes",
    program: Program,
    nano: NanoOperation,
    places: Mapping[str, tuple[float, float]],
    colours: Mapping[str, str],
) -> None:
    x, y = places[nano.name]
    for other, wait in program.waits_for(nano):
        if not wait.layer_offset:
            start = places[other.name]
            axes.annotate(
                "", (x - _WIDTH / 2, y), (start[0] + _WIDTH / 2, start[1]), zorder=1,
                arrowprops={**_arrow(wait), "color": colours[other.operation]},
            )  # fmt: skip
    away = dict.fromkeys(wait for wait in nano.predecessors if wait.layer_offset)
    if away:
        said = "\n".join(f"{wait.operation} {wait.layer_offset:+d}" for wait in away)
        axes.text(x, y - _HEIGHT / 2, said, ha="center", va="bottom", fontsize=5.5, color="#4b5563")


def _arrow(wait: Predecessor) -> dict[str, Any]:
    return {
        "arrowstyle": "-|>",
        "linestyle": "--" if wait.event == "start" else "-",
        "linewidth": 0.8,
        "alpha": 0.8,
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 7,
    }


def _draw_box(axes: "Axes", nano: NanoOperation, place: tuple[float, float], colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner, _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=0.08", facecolor=colour, edgecolor="white",
            zorder=2,
        )
    )  # fmt: skip
    chunks = ", ".join(f"{first}-{stop - 1}" for first, stop in chunk_ranges(nano.chunks))
    held = ", ".join(f"{pool} {share}" for pool, share in nano.shares.items() if share)
    small = f"{chunks}; {nano.duration_us:.4g} us" + (f"\n{held}" if held else "")
    for text, shift, size, weight in ((nano.name, -0.14, min(6, 80 / len(nano.name)), "bold"), (small, 0.16, 5, None)):
        # a dollar sign would begin a formula
        axes.text(
            x, y + shift, text.replace("$", r"\$"), ha="center", va="center", color="white", fontsize=size,
            weight=weight, zorder=3,
        )  # fmt: skip
