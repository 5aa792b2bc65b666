"""Plots of result rows and timelines, as SVG bytes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from report.plot_style import COLOURS, OPERATION_COLOURS, new_figure, styled, svg
from sim.machine.timeline import TimelineEntry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["frame_rates", "frame_speedups", "schedule", "token_throughput"]


@styled
def frame_speedups(rows: Sequence[Any], averages: Sequence[Any], encoding: str, resolution: str) -> bytes:
    """Speed-up over cluster size for each app with the rest fused, their mean and the published mean."""
    figure, axes = new_figure(width=7.2, height=3.6)
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
    return svg(figure)


@styled
def frame_rates(rows: Sequence[Any], encoding: str, n_nfp: int) -> bytes:
    """Frames a second at every resolution, GPU alone beside NGPC with the rest fused, and the usual targets."""
    apps = list(dict.fromkeys(row.app for row in rows))
    figure, all_axes = new_figure(width=9.0, height=3.2, columns=len(apps))
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
    return svg(figure)


@styled
def token_throughput(rows: Sequence[Any]) -> bytes:
    """Tokens a second and GPU of every execution, ours beside the published; its share of the optimum on top."""
    cases = dict.fromkeys((row.model, row.device, row.prompt, row.decode) for row in rows)
    groups = list(dict.fromkeys((row.model, row.device, row.prompt, row.decode, row.execution) for row in rows))
    figure, axes = new_figure(width=9.0, height=3.4)
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
    return svg(figure)


@styled
def schedule(timelines: Mapping[str, Sequence[TimelineEntry]], *, layer: int) -> bytes:
    """One layer of each timeline, above one another on one time axis: a row a unit, a colour an operation.

    What other layers run meanwhile is drawn pale.
    """
    operations = dict.fromkeys(entry.operation for entries in timelines.values() for entry in entries)
    colours = {operation: OPERATION_COLOURS[n % len(OPERATION_COLOURS)] for n, operation in enumerate(operations)}
    windows = {name: _window(entries, layer) for name, entries in timelines.items()}
    longest = max(end - start for start, end in windows.values())
    counts = [len({entry.unit for entry in entries}) for entries in timelines.values()]
    height = 1.6 + sum(0.32 * n + 0.45 for n in counts)
    figure, grid = new_figure(width=10.0, height=height, rows=len(timelines), ratios=[n + 0.6 for n in counts])
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
    return svg(figure)


def _window(entries: Sequence[TimelineEntry], layer: int) -> tuple[float, float]:
    mine = [entry for entry in entries if entry.layer == layer]
    return min(entry.start_us for entry in mine), max(entry.end_us for entry in mine)


def _operation_legend(figure: "Figure", colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=operation) for operation, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False, fontsize=7)
