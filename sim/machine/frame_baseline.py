"""Frame times of a GPU, each figure with its mark, and what follows from them by arithmetic.

One GPU's frames are published (RTX 3090). Another is described by how it differs: the time of the kernels around the
field as a multiple, the field's kernels as a multiple or as measured nanoseconds a point.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import workloads
from arch.errors import check_one_of
from arch.presets import preset

__all__ = ["Figure", "FrameBaseline"]

_FHD_PIXELS = 1920 * 1080
_MARKS = ("A", "M", "S", "R-high", "R-mid", "R-low", "D")
"""Surest first."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with its origin (marks as in ``workloads/frames``)."""

    value: float
    mark: str

    def __post_init__(self) -> None:
        check_one_of("mark of a figure", self.mark, _MARKS)


@dataclass(frozen=True, kw_only=True)
class FrameBaseline:
    """Frame times of one GPU.

    Parameters
    ----------
    gpu : name of the device
    fhd_hashgrid_ms : per app, one 1920x1080 frame with the hash grid
    kernel_share : per encoding, part of the frame spent in encoding and MLP kernels
    fused_rest_speedup : of the remaining kernels when fused into one
    launch_us : one launch from the host
    average_speedup : per encoding and cluster size, as published
    ns_per_point : per app, relative cost of a point on a GPU
    rest_scale, kernel_scale : what this GPU takes for the kernels around the field and for the field's own, in times
        of the published GPU's; None for that GPU itself
    kernel_ns_per_point : per encoding and app, measured cost of a point on this GPU; stands before ``kernel_scale``
    kernel_nj_per_point : the same of the board's energy, where measured
    """

    gpu: str
    fhd_hashgrid_ms: Mapping[str, Figure]
    kernel_share: Mapping[str, Figure]
    fused_rest_speedup: Figure
    launch_us: Figure
    average_speedup: Mapping[str, Mapping[int, Figure]]
    ns_per_point: Mapping[str, Figure]
    rest_scale: Figure | None = None
    kernel_scale: Figure | None = None
    kernel_ns_per_point: Mapping[str, Mapping[str, Figure]] | None = None
    kernel_nj_per_point: Mapping[str, Mapping[str, Figure]] | None = None

    @classmethod
    def named(cls, gpu: str) -> "FrameBaseline":
        """The baseline of ``workloads/frames/<gpu>.toml``; raises InputError naming the choices if there is none."""
        files = {path.stem: path for path in sorted((Path(workloads.__file__).parent / "frames").glob("*.toml"))}
        return _load(preset("gpu", files, gpu))

    def rest_ms(self, app: str, pixels: int) -> float:
        """Kernels around the field, in proportion to the pixels and the same for every encoding."""
        published = self.fhd_hashgrid_ms[app].value * (1 - self.kernel_share["hashgrid"].value) * pixels / _FHD_PIXELS
        return published * (self.rest_scale.value if self.rest_scale else 1.0)

    def kernel_ms(self, app: str, encoding: str, pixels: int) -> float:
        """Kernels of the field: the encoding's published share on top of the rest, or as measured on this GPU."""
        if self.kernel_ns_per_point is not None:
            return self.points_per_pixel(app) * pixels * self.kernel_ns_per_point[encoding][app].value * 1e-6
        share = self.kernel_share[encoding].value
        published = self.rest_ms(app, pixels) / (self.rest_scale.value if self.rest_scale else 1.0)
        return published * share / (1 - share) * (self.kernel_scale.value if self.kernel_scale else 1.0)

    def frame_ms(self, app: str, encoding: str, pixels: int) -> float:
        """A frame on the GPU alone."""
        return self.rest_ms(app, pixels) + self.kernel_ms(app, encoding, pixels)

    def frame_mark(self, app: str, encoding: str, pixels: int) -> str:
        """Mark of :meth:`frame_ms`: the published figure's own, D for what is derived from it."""
        return self.fhd_hashgrid_ms[app].mark if self.is_published(encoding, pixels) else "D"

    def is_published(self, encoding: str, pixels: int) -> bool:
        """Whether :meth:`frame_ms` is a published figure as it stands."""
        return self.rest_scale is None and encoding == "hashgrid" and pixels == _FHD_PIXELS

    def points_per_pixel(self, app: str) -> float:
        """Field queries of a pixel: 1 for gia; for the others from published times and measured cost ratios.

        Points = kernel time / cost of a point, where gia's known count gives this GPU's cost of a gia point and
        ``ns_per_point`` the ratio of the app's cost to gia's.
        """
        time_ratio = self.fhd_hashgrid_ms[app].value / self.fhd_hashgrid_ms["gia"].value
        return time_ratio * self.ns_per_point["gia"].value / self.ns_per_point[app].value


def _figures(table: Mapping[str, Mapping]) -> dict[str, Figure]:
    return {name: Figure(**entry) for name, entry in table.items()}


@cache
def _load(path: Path) -> FrameBaseline:
    text = tomllib.loads(path.read_text(encoding="utf-8"))
    if "base" in text:
        measured, energy = text.get("kernel_ns_per_point"), text.get("kernel_nj_per_point")
        return replace(
            FrameBaseline.named(text["base"]),
            gpu=text["gpu"],
            average_speedup={},
            rest_scale=Figure(**text["rest_scale"]),
            kernel_scale=Figure(**text["kernel_scale"]) if "kernel_scale" in text else None,
            kernel_ns_per_point=measured and {encoding: _figures(table) for encoding, table in measured.items()},
            kernel_nj_per_point=energy and {encoding: _figures(table) for encoding, table in energy.items()},
        )
    return FrameBaseline(
        gpu=text["gpu"],
        fhd_hashgrid_ms=_figures(text["fhd_hashgrid_ms"]),
        kernel_share=_figures(text["kernel_share"]),
        fused_rest_speedup=Figure(**text["fused_rest"]["speedup"]),
        launch_us=Figure(**text["launch"]["microseconds"]),
        average_speedup={
            encoding: {int(n_nfp): Figure(**entry) for n_nfp, entry in table.items()}
            for encoding, table in text["average_speedup"].items()
        },
        ns_per_point=_figures(text["ns_per_point_h200"]),
    )
