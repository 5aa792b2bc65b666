"""Published frame times of a GPU, each figure with its mark, and what follows from them by arithmetic."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
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
    """Published frame times of one GPU.

    Parameters
    ----------
    gpu : name of the device
    fhd_hashgrid_ms : per app, one 1920x1080 frame with the hash grid
    kernel_share : per encoding, part of the frame spent in encoding and MLP kernels
    fused_rest_speedup : of the remaining kernels when fused into one
    launch_us : one launch from the host
    average_speedup : per encoding and cluster size, as published
    ns_per_point : per app, relative cost of a point on a GPU
    """

    gpu: str
    fhd_hashgrid_ms: Mapping[str, Figure]
    kernel_share: Mapping[str, Figure]
    fused_rest_speedup: Figure
    launch_us: Figure
    average_speedup: Mapping[str, Mapping[int, Figure]]
    ns_per_point: Mapping[str, Figure]

    @classmethod
    def named(cls, gpu: str) -> "FrameBaseline":
        """The baseline of ``workloads/frames/<gpu>.toml``; raises InputError naming the choices if there is none."""
        files = {path.stem: path for path in sorted((Path(workloads.__file__).parent / "frames").glob("*.toml"))}
        return _load(preset("gpu", files, gpu))

    def rest_ms(self, app: str, pixels: int) -> float:
        """Kernels around the field, in proportion to the pixels and the same for every encoding."""
        return self.fhd_hashgrid_ms[app].value * (1 - self.kernel_share["hashgrid"].value) * pixels / _FHD_PIXELS

    def frame_ms(self, app: str, encoding: str, pixels: int) -> float:
        """A frame on the GPU alone: the rest, and the encoding's published share on top of it."""
        return self.rest_ms(app, pixels) / (1 - self.kernel_share[encoding].value)

    def frame_mark(self, app: str, encoding: str, pixels: int) -> str:
        """Mark of :meth:`frame_ms`: the published figure's own, D for what is derived from it."""
        return self.fhd_hashgrid_ms[app].mark if self.is_published(encoding, pixels) else "D"

    def is_published(self, encoding: str, pixels: int) -> bool:
        """Whether :meth:`frame_ms` is a published figure as it stands."""
        return encoding == "hashgrid" and pixels == _FHD_PIXELS

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
