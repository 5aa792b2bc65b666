"""NanoFlow's figures drawn from our rows: heat maps, bars, latency curves, and what a layer uses of the machine."""

from collections.abc import Mapping, Sequence
from typing import Any

from report.plot_style import COLOURS, new_figure, styled, svg

__all__ = ["bars", "heat_map", "latency_curves", "layer_utilisation"]


@styled
def heat_map(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Rows of a map (``model``, perhaps ``device``, and a number a column) as coloured cells, 1 being white."""
    from matplotlib.colors import TwoSlopeNorm

    columns = [name for name, value in rows[0].items() if isinstance(value, float)]
    values = [[row[name] for name in columns] for row in rows]
    highest = max(max(line) for line in values)
    figure, axes = new_figure(width=1.5 + 0.72 * len(columns), height=1.0 + 0.36 * len(rows))
    axes.imshow(values, cmap="RdBu_r", norm=TwoSlopeNorm(vcenter=1.0, vmin=0.0, vmax=max(highest, 1.01)), aspect="auto")
    axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=30)
    axes.set_yticks(range(len(rows)), [row["model"] for row in rows], fontsize=8)
    axes.grid(visible=False)
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            axes.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=7)
    axes.set_title(title, loc="left", fontsize=9)
    return svg(figure)


@styled
def bars(rows: Sequence[Any], title: str, unit: str) -> bytes:
    """Rows of a comparison, ours beside the reference, the last word of each ``what`` before its unit as its name."""
    figure, axes = new_figure(width=7.2, height=3.2)
    places = range(len(rows))
    for shift, values, colour, label in (
        (-0.2, [row.ours for row in rows], COLOURS[0], "ours"),
        (0.2, [row.reference for row in rows], COLOURS[6], "published"),
    ):
        drawn = axes.bar([place + shift for place in places], values, 0.38, color=colour, label=label)
        axes.bar_label(drawn, fmt="%.4g", fontsize=7)
    axes.set_xticks(places, [row.what.split(", ")[-2] for row in rows], fontsize=8)
    axes.set(ylabel=unit)
    axes.set_title(title, loc="left", fontsize=9)
    axes.legend(frameon=False)
    return svg(figure)


@styled
def latency_curves(rows: Sequence[Any]) -> bytes:
    """Normalised latency against request rate, a colour a trace, the published points dashed."""
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        _, trace, rate, _ = row.what.split(", ")
        curves.setdefault(trace, []).append((float(rate.split()[0]), row.ours, row.reference))
    figure, axes = new_figure(width=7.2, height=3.4)
    for number, (trace, points) in enumerate(curves.items()):
        rates, ours, published = zip(*points, strict=True)
        axes.plot(rates, ours, "o-", color=COLOURS[number], label=trace)
        axes.plot(rates, published, "x--", color=COLOURS[number], label=f"{trace}, published")
    axes.axhline(0.2, color=COLOURS[6], linewidth=0.8)
    axes.set(xlabel="requests a second", ylabel="seconds a token of the answer", ylim=(0, 0.7))
    axes.legend(frameon=False, ncols=2, fontsize=7)
    return svg(figure)


@styled
def layer_utilisation(used: Mapping[str, Any]) -> bytes:
    """Compute, memory and network of the peaks over one period, above one another for every execution."""
    figure, grid = new_figure(width=8.0, height=0.8 + 1.7 * len(used), rows=len(used))
    all_axes = [grid] if len(used) == 1 else list(grid)
    for axes, (name, each) in zip(all_axes, used.items(), strict=True):
        for colour, (resource, parts) in zip(COLOURS, each.parts.items(), strict=False):
            label = f"{resource}, {each.mean(resource):.0%} on the mean"
            axes.stairs(100 * parts, each.edges_us, color=colour, label=label)
        axes.set(ylim=(0, 105), ylabel="% of the peak", xlim=(0, each.edges_us[-1]))
        axes.set_title(name, loc="left", fontsize=9)
        axes.legend(frameon=False, ncols=3, fontsize=7, loc="upper right")
    all_axes[-1].set_xlabel("microseconds of a steady layer")
    return svg(figure)
