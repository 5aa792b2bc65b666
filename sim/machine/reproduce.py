"""The NGPC study's numbers beside ours: one row each, with the ratio and, where they differ, the reason."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from math import ceil
from typing import Any

from arch.errors import check_one_of
from arch.field import APPS
from arch.mlp_engine import MlpEngineConfig
from arch.presets import FIELDS
from sim.machine.cluster_batch import ENCODINGS, NGPC_TABLE_BYTES, preset_rate
from sim.machine.frame import RESOLUTIONS, FrameRow, frame_pipeline, frame_row, frame_table
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_traffic import point_traffic
from sim.machine.nfp_rate import nfp_for, nfp_rate
from sim.machine.silicon import nfp_silicon

__all__ = ["STUDIES", "ReproducedRow", "reproduce"]

STUDIES = ("ngpc",)

_SIZES = (8, 16, 32, 64)
_CLOCK_HZ = 1e9
_CLOSE = 0.1

_LAYERS = (
    "one layer a clock and the points of the frame bound a small cluster; the study must have counted fewer clocks"
)
_REASONS = {
    "average speed-up": _LAYERS,
    "average speed-up with fission": "split arrays take 2 to 3 clocks a point; the study's curve asks for about one",
    "speed-up of an application": f"only averages are published; {_LAYERS}",
    "largest speed-up": "the mean shares bound every application; 58 needs one whose rest is 17 % of its frame",
    "fit, speed-up at NGPC-8": _LAYERS,
    "fit, cap": "the mean shares give one bound to all applications; the fit gives each its own",
    "kernel speed-up": "more than 262,144 multipliers at 1 GHz can do; how the study normalises it is unknown",
    "plateau": "where the fused rest takes as long as the cluster; per-application shares are not published",
    "frame rate": "points a pixel and shares of each application are not published",
    "bandwidth": "exactly 300 + 200, 150 bytes a 4K pixel in the study; we count points a pixel and bytes a point",
    "part of peak bandwidth": "as for the bandwidth",
    "area": "16 MiB in bare 7 nm cells alone exceed the area published for a whole processor",
    "power": "table reads and logic at work, without leakage and wires; the study's breakdown is unknown",
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


def _row(section: str, case: str, ours: float, source: str, published: Any = None) -> ReproducedRow:
    unit = _UNITS[section]
    if published is None:
        return ReproducedRow(section=section, case=case, unit=unit, ours=ours, source=source)
    value, mark = (
        (published.value, published.mark) if hasattr(published, "mark") else (published["value"], published["mark"])
    )
    ratio = ours / value
    return ReproducedRow(
        section=section, case=case, unit=unit, ours=ours, source=source, published=value, mark=mark, ratio=ratio,
        reason="" if abs(ratio - 1) <= _CLOSE else _REASONS[section],
    )  # fmt: skip


def _fused(frames: list[FrameRow], **case: Any) -> list[FrameRow]:
    return [
        row
        for row in frames
        if row.mode == "ngpc_fused_rest" and all(getattr(row, name) == value for name, value in case.items())
    ]


def _gaps(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    width, height = RESOLUTIONS["4k"]
    for app, published in text["gap_4k60"].items():
        gap = baseline.frame_ms(app, "hashgrid", width * height) * 60e-3
        yield _row("gap to 4K at 60 frames a second", app, gap, "calibrated", published)


def _speedups(text: dict, baseline: FrameBaseline, frames: list[FrameRow]) -> Iterator[ReproducedRow]:
    largest, means = 0.0, []
    for encoding in ENCODINGS:
        for size in _SIZES:
            rows = _fused(frames, encoding=encoding, n_nfp=size, resolution="fhd")
            published = baseline.average_speedup[encoding][size]
            mean = sum(row.speedup for row in rows) / len(rows)
            means.append(mean)
            case = f"{encoding}, NGPC-{size}"
            yield _row("average speed-up", case, mean, "cycle_model", published)
            abstract = text["average_speedup_abstract"][encoding].get(str(size))
            if abstract:
                yield _row("average speed-up", f"{case}, short", mean, "cycle_model", abstract)
            for row in rows:
                largest = max(largest, row.speedup)
                yield _row("speed-up of an application", f"{row.app}, {case}", row.speedup, row.source, published)
    known = text["largest_speedup"]
    nerf = max(row.speedup for row in _fused(frames, app="nerf"))
    for case, ours, published in (
        ("end to end", largest, known["end_to_end"]),
        ("end to end, abstract", largest, known["end_to_end_abstract"]),
        ("end to end, another description", largest, known["up_to"]),
        ("nerf, limit", nerf, known["nerf_limit"]),
        ("smallest average", min(means[:4]), known["smallest_average"]),
        ("largest average", max(means), known["largest_average"]),
    ):
        yield _row("largest speed-up", case, ours, "cycle_model", published)


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
        yield _row("average speed-up with fission", f"hashgrid, NGPC-{size}", mean, "cycle_model", published)


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
            rate = preset_rate(app, encoding)
            points = baseline.points_per_pixel(app) * pixels
            frame_s = baseline.frame_ms(app, encoding, pixels) * 1e-3
            for kernel, clocks in (("encoding", rate.encoding_clk_per_point), ("mlp", rate.mlp_clk_per_point)):
                cluster_s = points * clocks / _SIZES[-1] / _CLOCK_HZ
                ratios[kernel].append(frame_s * text[f"{kernel}_share"][encoding]["value"] / cluster_s)
        for kernel, values in ratios.items():
            published = text["kernel_speedup"][encoding][kernel]
            case = f"{kernel}, {encoding}, NGPC-64"
            yield _row("kernel speed-up", case, sum(values) / len(values), "cycle_model", published)


def _plateaus(text: dict, baseline: FrameBaseline) -> Iterator[ReproducedRow]:
    for app, published in text["plateau"].items():
        pipeline = frame_pipeline(
            baseline, app=app, encoding="hashgrid", resolution="fhd", n_nfp=1, mode="ngpc_fused_rest"
        )
        size = ceil(pipeline.ngpc_us / pipeline.rest_us)
        yield _row("plateau", f"{app}, hashgrid", size, "calibrated", published)


def _frame_rates(text: dict, frames: list[FrameRow]) -> Iterator[ReproducedRow]:
    claims = {(app, claim["resolution"]): claim for app, claim in text["frame_rate"].items()}
    for row in _fused(frames, encoding="hashgrid", n_nfp=64):
        published = claims.get((row.app, row.resolution))
        case = f"{row.app}, {row.resolution}, NGPC-64"
        yield _row("frame rate", case + (", at least" if published else ""), row.fps, row.source, published)
        missed = text["missed_frame_rate"].get(row.app)
        if missed and missed["resolution"] == row.resolution:
            yield _row("frame rate", f"{case}, less than", row.fps, row.source, missed)


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
        watts = silicon.watts(nfp_rate(field, nfp).clk_per_point, _CLOCK_HZ)
        for size in _SIZES:
            area = 100 * size * silicon.mm2 / text["gpu"]["die_mm2"]["value"]
            power = 100 * size * watts / text["gpu"]["power_w"]["value"]
            case = f"NGPC-{size}, {banks}, of the RTX 3090's"
            yield _row("area", f"{case} die", area, "modelled", text["area_percent"][str(size)])
            yield _row("power", case, power, "modelled", text["power_percent"][str(size)])
