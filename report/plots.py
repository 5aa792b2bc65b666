"""Plots of result rows and timelines, as SVG bytes."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from report.perfetto import TimelineEntry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "frame_rates", "frame_speedups", "schedule", "token_throughput"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b7280", "#000000")
"""Okabe and Ito's, told apart by every kind of sight."""

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


def _styled(plot: Callable[..., bytes]) -> Callable[..., bytes]:
    """Run ``plot`` under the house style, leaving matplotlib's settings of the process alone."""

    @wraps(plot)
    def styled(*arguments: Any, **options: Any) -> bytes:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return plot(*arguments, **options)

    return styled


@_styled
def frame_speedups(rows: Sequence[Any], averages: Sequence[Any], encoding: str, resolution: str) -> bytes:
    """Speed-up over cluster size for each app with the rest fused, their mean and the published mean."""
    figure, axes = _figure(width=7.2, height=3.6)
    for number, app in enumerate(dict.fromkeys(row.app for row in rows)):
        mine = [
            row
            for row in rows
            if (row.app, row.encoding, row.resolution, row.mode) == (app, encoding, resolution, "ngpc_fused_rest")
        ]
        axes.plot([r.n_nfp for r in mine], [r.speedup for r in mine], "o-", color=COLOURS[number], label=app)
    mean = [a for a in averages if (a.encoding, a.resolution) == (encoding, resolution)]
    axes.plot([a.n_nfp for a in mean], [a.speedup for a in mean], "k-", linewidth=2.2, label="mean")
    axes.plot([a.n_nfp for a in mean], [a.published_speedup for a in mean], "k:", label="published mean")
    sizes = sorted({row.n_nfp for row in rows if row.n_nfp})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"NGPC-{size}" for size in sizes])
    axes.set(ylabel="speed-up over the GPU alone", title=f"{encoding}, {resolution}, rest fused", ylim=(0, None))
    axes.legend(frameon=False, ncols=2)
    return _svg(figure)


@_styled
def frame_rates(rows: Sequence[Any], encoding: str, n_nfp: int) -> bytes:
    """Frames a second at every resolution, GPU alone beside NGPC with the rest fused, and the usual targets."""
    apps = list(dict.fromkeys(row.app for row in rows))
    figure, all_axes = _figure(width=9.0, height=3.0, columns=len(apps))
    for axes, app in zip([all_axes] if len(apps) == 1 else all_axes, apps, strict=True):
        mine = [row for row in rows if row.app == app and row.encoding == encoding and row.n_nfp in (0, n_nfp)]
        resolutions = list(dict.fromkeys(row.resolution for row in mine))
        for shift, mode, colour in ((-0.2, "gpu_only", COLOURS[6]), (0.2, "ngpc_fused_rest", COLOURS[0])):
            rates = [next(r.fps for r in mine if (r.resolution, r.mode) == (name, mode)) for name in resolutions]
            label = "GPU alone" if mode == "gpu_only" else f"with NGPC-{n_nfp}"
            axes.bar([x + shift for x in range(len(resolutions))], rates, 0.4, color=colour, label=label)
        for target in (30, 60, 120):
            axes.axhline(target, color="#d55e00", linewidth=0.7, linestyle="--")
        axes.set_yscale("log")
        axes.set_xticks(range(len(resolutions)), resolutions)
        axes.set_title(app)
    first = all_axes if len(apps) == 1 else all_axes[0]
    first.set_ylabel("frames/s (dashed: 30, 60, 120)")
    first.legend(frameon=False, fontsize=7)
    return _svg(figure)


@_styled
def token_throughput(rows: Sequence[Any]) -> bytes:
    """Tokens a second and GPU for every case, one bar an execution; its share of the optimum on top."""
    cases = list(dict.fromkeys((row.model, row.device, row.prompt, row.decode) for row in rows))
    executions = list(dict.fromkeys(row.execution for row in rows))
    figure, axes = _figure(width=9.0, height=3.4)
    width = 0.8 / len(executions)
    for number, execution in enumerate(executions):
        found = [
            (index, row)
            for index, case in enumerate(cases)
            for row in rows
            if (row.model, row.device, row.prompt, row.decode) == case and row.execution == execution
        ]
        places = [index + (number + 0.5) * width - 0.4 for index, _ in found]
        bars = axes.bar(
            places, [r.tokens_per_s_per_gpu for _, r in found], width * 0.95, color=COLOURS[number], label=execution
        )
        axes.bar_label(bars, [f"{100 * row.fraction_of_optimal:.0f} %" for _, row in found], fontsize=6)
    axes.set_xticks(range(len(cases)), [f"{m}\n{d}\n{p} + {q}" for m, d, p, q in cases], fontsize=7)
    axes.set(ylabel="tokens/s/GPU (label: share of optimal)")
    axes.legend(frameon=False, ncols=len(executions), fontsize=7)
    return _svg(figure)


@_styled
def schedule(timelines: Mapping[str, Sequence[TimelineEntry]], *, layers: Sequence[int] | None = None) -> bytes:
    """Timelines above one another on one time axis, a row a unit, a colour an operation.

    ``layers`` picks iterations of the loop; the axis starts at the first nano-operation drawn.
    """
    drawn = {
        name: [entry for entry in entries if layers is None or entry.layer in layers]
        for name, entries in timelines.items()
    }
    operations = dict.fromkeys(entry.operation for entries in drawn.values() for entry in entries)
    colours = {operation: COLOURS[number % len(COLOURS)] for number, operation in enumerate(operations)}
    counts = [len({entry.unit for entry in entries}) for entries in drawn.values()]
    figure, all_axes = _figure(
        width=10.0, height=0.9 + sum(0.34 * n + 0.5 for n in counts), rows=len(drawn), ratios=counts
    )
    longest = max(_span(entries) for entries in drawn.values())
    for axes, (name, entries) in zip([all_axes] if len(drawn) == 1 else all_axes, drawn.items(), strict=True):
        origin = min(entry.start_us for entry in entries)
        units = list(dict.fromkeys(entry.unit for entry in entries))
        for entry in entries:
            left, length = entry.start_us - origin, entry.end_us - entry.start_us
            height = units.index(entry.unit)
            colour = colours[entry.operation]
            axes.broken_barh([(left, length)], (height - 0.4, 0.8), facecolor=colour, edgecolor="white", linewidth=0.5)
            if length > 0.045 * longest:
                axes.text(
                    left + length / 2, height, entry.operation, ha="center", va="center", color="white", fontsize=6
                )
        axes.set_yticks(range(len(units)), units)
        axes.set(xlim=(0, longest), ylim=(len(units) - 0.5, -0.5))
        axes.set_title(f"{name}: {_span(entries):,.1f} us", loc="left")
    (all_axes if len(drawn) == 1 else all_axes[-1]).set_xlabel("microseconds")
    return _svg(figure)


def _span(entries: Sequence[TimelineEntry]) -> float:
    return max(entry.end_us for entry in entries) - min(entry.start_us for entry in entries)


def _figure(
    *, width: float, height: float, rows: int = 1, columns: int = 1, ratios: Sequence[int] | None = None
) -> Any:
    """A figure and its axes, drawn without a screen."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(rows, columns, height_ratios=ratios)


def _svg(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
