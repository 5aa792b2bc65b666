"""Plots of result rows and timelines, as SVG bytes."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from sim.machine.timeline import TimelineEntry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "frame_rates", "frame_speedups", "schedule", "token_throughput"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b7280", "#000000")
"""Okabe and Ito's, told apart by every kind of sight."""

_OPERATION_COLOURS = (
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
    figure, all_axes = _figure(width=9.0, height=3.2, columns=len(apps))
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
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", frameon=False, fontsize=8, ncols=2)
    return _svg(figure)


@_styled
def token_throughput(rows: Sequence[Any]) -> bytes:
    """Tokens a second and GPU of every execution, ours beside the published; its share of the optimum on top."""
    cases = dict.fromkeys((row.model, row.device, row.prompt, row.decode) for row in rows)
    groups = list(dict.fromkeys((row.model, row.device, row.prompt, row.decode, row.execution) for row in rows))
    figure, axes = _figure(width=9.0, height=3.4)
    for shift, published, colour, label in ((-0.2, False, COLOURS[0], "ours"), (0.2, True, COLOURS[6], "published")):
        found = [
            (groups.index((row.model, row.device, row.prompt, row.decode, row.execution)), row)
            for row in rows
            if (row.source == "published") is published
        ]
        places = [index + shift for index, _ in found]
        bars = axes.bar(places, [row.tokens_per_s_per_gpu for _, row in found], 0.38, color=colour, label=label)
        axes.bar_label(bars, [f"{100 * row.fraction_of_optimal:.1f} %" for _, row in found], fontsize=7)
    alone = len(cases) == 1
    axes.set_xticks(
        range(len(groups)), [e if alone else f"{e}\n{m}\n{p} + {d}" for m, _, p, d, e in groups], fontsize=7
    )
    title = "{} on {}, {} + {} tokens".format(*next(iter(cases))) if alone else None
    axes.set(ylabel="tokens/s/GPU (label: share of optimal)", title=title)
    axes.margins(y=0.15)
    axes.legend(frameon=False, ncols=2, fontsize=7)
    return _svg(figure)


@_styled
def schedule(timelines: Mapping[str, Sequence[TimelineEntry]], *, layer: int) -> bytes:
    """One layer of each timeline, above one another on one time axis: a row a unit, a colour an operation.

    What other layers run meanwhile is drawn pale.
    """
    operations = dict.fromkeys(entry.operation for entries in timelines.values() for entry in entries)
    colours = {operation: _OPERATION_COLOURS[n % len(_OPERATION_COLOURS)] for n, operation in enumerate(operations)}
    windows = {name: _window(entries, layer) for name, entries in timelines.items()}
    longest = max(end - start for start, end in windows.values())
    counts = [len({entry.unit for entry in entries}) for entries in timelines.values()]
    height = 1.6 + sum(0.32 * n + 0.45 for n in counts)
    figure, grid = _figure(width=10.0, height=height, rows=len(timelines), ratios=[n + 0.6 for n in counts])
    all_axes = [grid] if len(timelines) == 1 else list(grid)
    for axes, (name, entries) in zip(all_axes, timelines.items(), strict=True):
        start, end = windows[name]
        units = list(dict.fromkeys(entry.unit for entry in entries))
        for entry in entries:
            if entry.end_us <= start or entry.start_us >= start + longest:
                continue
            left, length = entry.start_us - start, entry.end_us - entry.start_us
            row, own = units.index(entry.unit), entry.layer == layer
            axes.broken_barh(
                [(left, length)], (row - 0.4, 0.8), facecolor=colours[entry.operation], edgecolor="white",
                linewidth=0.5, alpha=1.0 if own else 0.25,
            )  # fmt: skip
            if own and length > 0.0085 * len(entry.operation) * longest:
                where = (left + length / 2, row)
                axes.text(*where, entry.operation, ha="center", va="center", color="white", fontsize=6)
        axes.set_yticks(range(len(units)), units)
        axes.set(xlim=(0, longest), ylim=(len(units) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
        axes.set_title(f"{name}: iteration {layer} in flight for {end - start:,.0f} us", loc="left", fontsize=9)
    all_axes[-1].set_xlabel("microseconds (pale: other iterations)")
    _operation_legend(figure, colours)
    return _svg(figure)


def _window(entries: Sequence[TimelineEntry], layer: int) -> tuple[float, float]:
    mine = [entry for entry in entries if entry.layer == layer]
    return min(entry.start_us for entry in mine), max(entry.end_us for entry in mine)


def _operation_legend(figure: "Figure", colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=operation) for operation, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False, fontsize=7)


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
