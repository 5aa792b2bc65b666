"""What all plots share: colours that every kind of sight tells apart, the house style, SVG bytes."""

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

__all__ = ["COLOURS", "OPERATION_COLOURS", "new_figure", "styled", "svg"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b7280", "#000000")
"""Okabe and Ito's, told apart by every kind of sight."""

OPERATION_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#b5478f", "#b8860b", "#2a8fbd", "#5b5f97", "#7a4b2a", "#3d7d3d", "#a8324e",
    "#4c6a92", "#8a6d9b", "#1f6f6f", "#6b7280", "#9c4a00", "#3b3b3b",
)  # fmt: skip
"""A decoder layer has up to fifteen operations; all are dark enough for white text."""

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e8ee",
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "open-ngpc",
}


def styled(plot: Callable[..., bytes]) -> Callable[..., bytes]:
    """Run ``plot`` under the house style, leaving matplotlib's settings of the process alone."""

    @wraps(plot)
    def in_style(*arguments: Any, **options: Any) -> bytes:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return plot(*arguments, **options)

    return in_style


def new_figure(
    *, width: float, height: float, rows: int = 1, columns: int = 1, ratios: Sequence[int] | None = None
) -> Any:
    """A figure and its axes, drawn without a screen."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(rows, columns, height_ratios=ratios)


def svg(figure: Any) -> bytes:
    """The figure as SVG; equal figures give equal bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
