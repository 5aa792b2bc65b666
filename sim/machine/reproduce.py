"""The NGPC study's numbers beside ours: one row each, with the ratio and, where they differ, the reason."""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from itertools import count
from typing import Any

from arch.errors import check_one_of
from arch.field import APPS
from arch.mlp_engine import MlpEngineConfig
from arch.presets import FIELDS
from sim.machine.cluster_batch import (
    CLOCK_HZ,
    ENCODINGS,
    NGPC_TABLE_BYTES,
    cluster_clk,
    field_of,
    preset_nfp,
    preset_rate,
)
from sim.machine.frame import RESOLUTIONS, frame_pipeline, frame_row, frame_table
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_columns import FrameRow
from sim.machine.frame_traffic import point_traffic
from sim.machine.nfp_rate import lanes_clk_per_point, nfp_for, nfp_rate
from sim.machine.silicon import nfp_silicon

__all__ = ["STUDIES", "ReproducedRow", "reproduce"]

STUDIES = ("ngpc",)

_SIZES = (8, 16, 32, 64)
_LEVEL_ENGINES = 16
_CLOSE = 0.1

_LAYERS = (
    "one layer a clock and the points of the frame bound a small cluster; the study must have counted fewer clocks"
)
_SHARES = "the mean shares bound every application; 58 needs one whose rest is 17 % of its frame"
_LIMITS = {
    "ngpc": _LAYERS,
    "memory": "points and results keep the memory busy, which the study leaves out of its frames",
    "rest": "the fused rest bounds it, by the mean share; per-application shares are not published",
    "launch": "the host's launches bound it, a batch of 2^18 points each; the study's batches are not known",
}
"""Why a row differs, by what limits its frames."""
_FISSION = "split arrays take 2 to 3 clocks a point; the study's curve asks for about one"

_REASONS = {
    "fit, speed-up at NGPC-8": _LAYERS,
    "fit, cap": "the mean shares give one bound to all applications; the fit gives each its own",
    "frame rate": "points a pixel and shares of each application are not published",
    "bandwidth": "exactly 300 + 200, 150 bytes a 4K pixel in the study; we count points a pixel and bytes a point",
    "part of peak bandwidth": "as for the bandwidth",
    "area": "16 MiB in bare 7 nm cells alone exceed the area published for a whole processor",
    "power": "table reads and logic at work, without leakage and wires; the study's breakdown is unknown",
}
_KERNEL_REASONS = {
    "encoding": "more lookups than 16 level engines with a point in every clock can do at 1 GHz",
    "mlp": "more than 262,144 multipliers at 1 GHz can do; how the study normalises it is unknown",
}

_UNITS = {
    "gap to 4K at 60 frames a second": "times",
    "average speed-up": "times",
    "average speed-up with fission": "times",
    "speed-up of an application": "times",
    "largest speed-up": "times",
    "Amdahl bound": "times",
    "speed-up needed for 8K at 120 frames a second": "times",
    "rest of a frame": "%",
    "fit, speed-up at NGPC-8": "times",
    "fit, cap": "times",
    "clocks a query, every multiplier busy": "clk",
    "kernel speed-up": "times",
    "plateau": "processors",
    "frame rate": "frames/s",
    "bandwidth": "GiB/s",
    "part of peak bandwidth": "",
    "area": "%",
    "power": "%",
}


@dataclass(frozen=True, kw_only=True)
class ReproducedRow:
    """One number of the study beside ours.

    Parameters
    ----------
    section : kind of number
    case : which one
    unit : of both values
    ours : our value
    source : ``cycle_model``, ``calibrated`` or ``modelled``
    published, mark : the study's value and how it is known; None where it gives none
    ratio : ours over published
    reason : why they differ by more than 10 percent; empty if they do not
    """

    section: str
    case: str
    unit: str
    ours: float
    source: str
    published: float | None = None
    mark: str | None = None
    ratio: float | None = None
    reason: str = ""


def reproduce(
    study: str = "ngpc", update: Callable[[int, int], None] = lambda done, total: None
) -> list[ReproducedRow]:
    """Every number of the study's evaluation.

    Raises
    ------
    InputError
        If there is no such study.
    """
    check_one_of("study", study, STUDIES)
    text = tomllib.loads((resources.files("workloads") / "reproduce" / f"{study}.toml").read_text("utf-8"))
    baseline = FrameBaseline.named("rtx3090")
    frames = frame_table(update=update)
    return [
        *_gaps(text, baseline),
        *_speedups(text, baseline, frames),
        *_fission(baseline),
        *_amdahl(text, baseline),
        *_fit(text, baseline, frames),
        *_kernels(text, baseline),
        *_plateaus(text, baseline),
        *_frame_rates(text, frames),
        *_bandwidth(text, baseline),
        *_silicon(text, baseline),
    ]


def _row(
    section: str, case: str, ours: float, source: str, published: Any = None, *, reason: str | None = None
) -> ReproducedRow:
    unit = _UNITS[section]
    if published is None:
        return ReproducedRow(section=section, case=case, unit=unit, ours=ours, source=source)
    value, mark = (
        (published.value, published.mark) if hasattr(published, "mark") else (published["value"], published["mark"])
    )
    ratio = ours / value
    return ReproducedRow(
        section=section, case=case, unit=unit, ours=ours, source=source, published=value, mark=mark, ratio=ratio,
        reason="" if abs(ratio - 1) <= _CLOSE else reason or _REASONS[section],
    )  # fmt: skip


def _fused(frames: list[FrameRow], **case: Any) -> list[FrameRow]:
    return [
        row
        for row in frames
        if row.mode == "ngpc_fused_rest" and all(getattr(row, name) == value for name, value in case.items())
    ]


def _limits(rows: Iterable[FrameRow], **instead: str) -> str:
    """Why the mean of some rows differs: what limits them, and the reason that goes with the most frequent limit."""
    found = Counter(row.limiter for row in rows).most_common()
    limits = ", ".join(f"{limiter} {count}" for limiter, count in found)
    reason = (_LIMITS | instead)[found[0][0]]
    return reason if len(found) == 1 else f"applications limited by {limits}: {reason}"


def _gaps(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    width, height = RESOLUTIONS["4k"]
    for app, published in text["gap_4k60"].items():
        gap = baseline.frame_ms(app, "hashgrid", width * height) * 60e-3
        yield _row("gap to 4K at 60 frames a second", app, gap, "calibrated", published)


def _speedups(text: dict, baseline: FrameBaseline, frames: list[FrameRow]) -> Iterator[ReproducedRow]:
    means = []
    for encoding in ENCODINGS:
        for size in _SIZES:
            rows = _fused(frames, encoding=encoding, n_nfp=size, resolution="fhd")
            published = baseline.average_speedup[encoding][size]
            mean = sum(row.speedup for row in rows) / len(rows)
            means.append(mean)
            case = f"{encoding}, NGPC-{size}"
            yield _row("average speed-up", case, mean, "cycle_model", published, reason=_limits(rows))
            abstract = text["average_speedup_abstract"][encoding].get(str(size))
            if abstract:
                yield _row("average speed-up", f"{case}, short", mean, "cycle_model", abstract, reason=_limits(rows))
            for row in rows:
                reason = f"only averages are published; {_LIMITS[row.limiter]}"
                yield _row(
                    "speed-up of an application",
                    f"{row.app}, {case}",
                    row.speedup,
                    row.source,
                    published,
                    reason=reason,
                )
    known = text["largest_speedup"]
    largest, nerf = (
        max(_fused(frames, **case), key=lambda row: row.speedup) for case in ({}, {"app": "nerf"})
    )  # fmt: skip
    end_to_end = f"{largest.app}, {largest.resolution}: {_SHARES}"
    for case, ours, published, reason in (
        ("end to end", largest.speedup, known["end_to_end"], end_to_end),
        ("end to end, abstract", largest.speedup, known["end_to_end_abstract"], end_to_end),
        ("end to end, another description", largest.speedup, known["up_to"], end_to_end),
        ("nerf, limit", nerf.speedup, known["nerf_limit"], _LIMITS[nerf.limiter]),
        ("smallest average", min(means[:4]), known["smallest_average"], _LAYERS),
        ("largest average", max(means), known["largest_average"], _SHARES),
    ):
        yield _row("largest speed-up", case, ours, "cycle_model", published, reason=reason)


def _fission(baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    rates = {}
    for app in APPS:
        field = FIELDS[f"{app}_hash"]
        nfp = nfp_for(field)
        rates[app] = nfp_rate(field, replace(nfp, mlp=replace(nfp.mlp, fission=True)))
    for size in _SIZES:
        case = {"encoding": "hashgrid", "resolution": "fhd", "n_nfp": size, "mode": "ngpc_fused_rest"}
        rows = [frame_row(baseline, app=app, **case, rate=rates[app]) for app in APPS]
        mean = sum(row.speedup for row in rows) / len(rows)
        published = baseline.average_speedup["hashgrid"][size]
        case = f"hashgrid, NGPC-{size}"
        reason = _limits(rows, ngpc=_FISSION)
        yield _row("average speed-up with fission", case, mean, "cycle_model", published, reason=reason)


def _amdahl(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    for encoding in ENCODINGS:
        bound = 1 / (1 - baseline.kernel_share[encoding].value)
        fused = bound * baseline.fused_rest_speedup.value
        yield _row("Amdahl bound", f"{encoding}, rest as it is", bound, "calibrated", text["amdahl"][encoding])
        yield _row("Amdahl bound", f"{encoding}, fused", fused, "calibrated", text["amdahl_fused"][encoding])


def _fit(text: dict, baseline: FrameBaseline, frames: list[FrameRow]) -> Iterator[ReproducedRow]:
    """What follows from the published numbers by arithmetic, and the fit that would meet them all."""
    width, height = RESOLUTIONS["8k"]
    for app, published in text["needed_8k120"].items():
        needed = baseline.frame_ms(app, "hashgrid", width * height) * 120e-3
        yield _row("speed-up needed for 8K at 120 frames a second", app, needed, "calibrated", published)
    rest = 100 * baseline.fused_rest_speedup.value / text["largest_speedup"]["end_to_end"]["value"]
    case = "largest speed-up, hashgrid"
    yield _row("rest of a frame", case, rest, "calibrated", text["rest_percent"]["largest_speedup"])
    cap = baseline.fused_rest_speedup.value / (1 - baseline.kernel_share["hashgrid"].value)
    for app, published in text["fit"]["k"].items():
        (row,) = _fused(frames, app=app, encoding="hashgrid", n_nfp=8, resolution="fhd")
        yield _row("fit, speed-up at NGPC-8", app, row.speedup, row.source, published)
        yield _row("fit, cap", app, cap, "calibrated", text["fit"]["cap"][app])
    packed = FIELDS["gia_hash"].macs / MlpEngineConfig().macs
    yield _row("clocks a query, every multiplier busy", "gia", packed, "calibrated", text["packed_clocks"]["gia"])


def _kernels(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    pixels = 1920 * 1080
    for encoding in ENCODINGS:
        ratios: dict[str, list[float]] = {"encoding": [], "mlp": []}
        for app in APPS:
            rate, nfp = preset_rate(app, encoding), preset_nfp(app, encoding)
            lookups_clk = lanes_clk_per_point(field_of(app, encoding), nfp, _LEVEL_ENGINES)
            points = baseline.points_per_pixel(app) * pixels
            frame_s = baseline.frame_ms(app, encoding, pixels) * 1e-3
            for kernel, clocks in (("encoding", lookups_clk), ("mlp", rate.mlp_clk_per_point)):
                cluster_s = points * clocks / _SIZES[-1] / CLOCK_HZ
                ratios[kernel].append(frame_s * text[f"{kernel}_share"][encoding]["value"] / cluster_s)
        for kernel, values in ratios.items():
            published = text["kernel_speedup"][encoding][kernel]
            case = f"{kernel}, {encoding}, NGPC-64"
            mean = sum(values) / len(values)
            yield _row("kernel speed-up", case, mean, "cycle_model", published, reason=_KERNEL_REASONS[kernel])


def _plateaus(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    for app, published in text["plateau"].items():
        pipeline = frame_pipeline(
            baseline, app=app, encoding="hashgrid", resolution="fhd", n_nfp=1, mode="ngpc_fused_rest"
        )
        others = {"rest": pipeline.rest_us, "memory": pipeline.memory_us, "launch": pipeline.launch_us}
        limiter = max(others, key=others.__getitem__)
        slowest_clk = others[limiter] * 1e-6 * CLOCK_HZ
        size = next(n for n in count(1) if cluster_clk(app, "hashgrid", n, pipeline.batch_points) <= slowest_clk)
        yield _row("plateau", f"{app}, hashgrid", size, "calibrated", published, reason=_LIMITS[limiter])


def _frame_rates(text: dict, frames: list[FrameRow]) -> Iterator[ReproducedRow]:
    claims = {(app, claim["resolution"]): claim for app, claim in text["frame_rate"].items()}
    for row in _fused(frames, encoding="hashgrid", n_nfp=64):
        published = claims.get((row.app, row.resolution))
        case = f"{row.app}, {row.resolution}, NGPC-64"
        reached = "reached" if published and row.fps >= published["value"] else f"not reached; {_REASONS['frame rate']}"
        yield _row(
            "frame rate", case + (", at least" if published else ""), row.fps, row.source, published, reason=reached
        )
        missed = text["missed_frame_rate"].get(row.app)
        if missed and missed["resolution"] == row.resolution:
            as_said = "less, as the study says" if row.fps < missed["value"] else "more than the study says"
            yield _row("frame rate", f"{case}, less than", row.fps, row.source, missed, reason=as_said)


def _bandwidth(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    width, height = RESOLUTIONS["4k"]
    known = text["bandwidth_4k60_gib_per_s"]
    ours, parts = {}, {}
    for app in APPS:
        traffic = point_traffic(FIELDS[f"{app}_hash"])
        points_per_s = baseline.points_per_pixel(app) * width * height * 60
        ours[app] = points_per_s * traffic.total / 2**30
        parts[app] = (points_per_s * traffic.bytes_in / 2**30, points_per_s * traffic.bytes_out / 2**30)
    peak = 936e9 / 2**30
    smallest = min(ours, key=ours.__getitem__)
    for case, value, published in (
        ("nerf", ours["nerf"], known["nerf"]),
        ("nerf, points", parts["nerf"][0], known["nerf_in"]),
        ("nerf, results", parts["nerf"][1], known["nerf_out"]),
        (f"smallest ({smallest})", ours[smallest], known["smallest"]),
        ("nsdf", ours["nsdf"], None),
        ("nvr", ours["nvr"], None),
    ):
        yield _row("bandwidth", f"{case}, 4K at 60", value, "calibrated", published)
    for case, app, published in (
        ("nerf", "nerf", known["nerf_part_of_peak"]),
        (f"smallest ({smallest})", smallest, known["smallest_part_of_peak"]),
    ):
        yield _row("part of peak bandwidth", f"{case}, 4K at 60", ours[app] / peak, "calibrated", published)


def _silicon(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    """The study's 1 MiB a level engine; with the default's dual-port banks and with single-port ones."""
    field = FIELDS["nerf_hash"]
    for ports, banks in ((1, "single-port banks"), (2, "dual-port banks")):
        nfp = nfp_for(field, bank_ports=ports)
        silicon = nfp_silicon(nfp, field, NGPC_TABLE_BYTES)
        watts = silicon.watts(nfp_rate(field, nfp).clk_per_point, CLOCK_HZ)
        for size in _SIZES:
            area = 100 * size * silicon.mm2 / text["gpu"]["die_mm2"]["value"]
            power = 100 * size * watts / text["gpu"]["power_w"]["value"]
            case = f"NGPC-{size}, {banks}, of the RTX 3090's"
            yield _row("area", f"{case} die", area, "modelled", text["area_percent"][str(size)])
            yield _row("power", case, power, "modelled", text["power_percent"][str(size)])
