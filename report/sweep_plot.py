"""The design space as a plot: points a second against area, one Pareto front a clock."""

from collections.abc import Sequence
from typing import Any

from report.plot_style import COLOURS, new_figure, styled, svg

__all__ = ["sweep_plot"]


@styled
def sweep_plot(points: Sequence[Any]) -> bytes:
    """SVG of design points as of :mod:`sim.machine.sweep`: dots for all of them, a line through each clock's front."""
    figure, axes = new_figure(width=7.2, height=4.4)
    for number, clock in enumerate(sorted({point.clock_ghz for point in points})):
        colour = COLOURS[number % len(COLOURS)]
        mine = [point for point in points if point.clock_ghz == clock]
        front = sorted((point for point in mine if point.pareto), key=lambda point: point.mm2)
        axes.plot([p.mm2 for p in mine], [p.gpoints_per_s for p in mine], ".", color=colour, alpha=0.35, markersize=4)
        label = f"{clock:g} GHz, front of {len(front)}"
        axes.plot(
            [p.mm2 for p in front], [p.gpoints_per_s for p in front], "o-", color=colour, markersize=3, label=label
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    first = points[0]
    axes.set(
        xlabel="area of the cluster, mm2 in 7 nm, modelled",
        ylabel="billions of points a second",
        title=f"{first.app} {first.encoding}, {len(points)} clusters",
    )
    axes.legend(frameon=False)
    return svg(figure)
