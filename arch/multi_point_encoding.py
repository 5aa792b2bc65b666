"""The multi-point encoding: several points a clock where a grid has fewer levels than there are level engines.

NGPC (ISCA 2023, section 5) maps 16 levels to 16 engines, 8 levels to 2 points a clock and 2 levels to 8. Here
``points_per_clock`` grid encoding engines, the *sections*, stand side by side. A *lane* is as many sections as have an
engine for every level of the grid, and takes a point of its own in every clock; each lane holds a copy of the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import ENGINE_ADDRESS_SHIFT, LEVEL_ADDRESS_SHIFT, encoding_image
from arch.errors import InputError, check_instance, check_integer, check_one_of
from arch.grid import GridConfig
from arch.load import LoadImage, LoadTarget

__all__ = ["MultiPointConfig", "multi_point_image"]


@dataclass(frozen=True, kw_only=True)
class MultiPointConfig:
    """Build-time parameters of the multi-point encoding.

    Parameters
    ----------
    engine : all level engines together: their number, most levels of a grid, the table of each; without counters
        and ``reuse_cells``
    points_per_clock : most points of a transfer: 2, 4, 8 or 16, at most ``engine.level_parallel``
    """

    engine: EncodingEngineConfig
    points_per_clock: int

    def __post_init__(self) -> None:
        check_instance("engine", self.engine, EncodingEngineConfig)
        check_one_of("points_per_clock", self.points_per_clock, (2, 4, 8, 16))
        if self.points_per_clock > self.engine.level_parallel:
            raise InputError(
                f"points_per_clock must be at most level_parallel = {self.engine.level_parallel}, "
                f"not {self.points_per_clock}"
            )
        if self.engine.floating:
            raise InputError(
                f"arithmetic of a multi-point encoding must be int8 or int16, not {self.engine.arithmetic}"
            )
        for name in ("counters", "reuse_cells"):
            if getattr(self.engine, name):
                raise InputError(f"{name} of a multi-point encoding's engines must be False, not True")
        if self.engine.bank_ports == 1:
            raise InputError("bank_ports of a multi-point encoding's engines must be 2, not 1")

    @property
    def section_engines(self) -> int:
        """Level engines of a section."""
        return self.engine.level_parallel // self.points_per_clock

    @cached_property
    def section(self) -> EncodingEngineConfig:
        """Each section: a grid encoding engine of its share of the level engines."""
        engines = self.section_engines
        return replace(self.engine, level_parallel=engines, n_levels=engines * self.engine.levels_per_engine)

    def lanes(self, n_levels: int) -> int:
        """Points of a full transfer for a grid of so many levels: a power of two."""
        check_integer("n_levels", n_levels, 1, self.engine.n_levels)
        return max(1, min(self.points_per_clock, self.engine.level_parallel >> (n_levels - 1).bit_length()))

    def lane_of(self, section: int, n_levels: int) -> int:
        """Lane that a section belongs to, that is which point of a transfer it takes."""
        return section * self.lanes(n_levels) // self.points_per_clock

    def section_levels(self, section: int, n_levels: int) -> int:
        """Levels that a section looks up; 0 if it stays idle."""
        lane_engines = self.engine.level_parallel // self.lanes(n_levels)
        engines = range(section * self.section_engines, (section + 1) * self.section_engines)
        local = [engine % lane_engines for engine in engines]
        return sum(len(range(engine, n_levels, lane_engines)) for engine in local)


def multi_point_image(
    grid: GridConfig, config: MultiPointConfig, tables_raw: np.ndarray, level_shifts: Sequence[int]
) -> LoadImage:
    """Load words that put ``grid`` into every lane; arguments and refusals are those of ``encoding_image``.

    Addresses are those of one grid encoding engine with all level engines. Lane i's copy of level l has the number
    ``i * level_parallel / lanes + l``, as if the grid went on.
    """
    image = encoding_image(grid, config.engine, tables_raw, level_shifts)
    lanes = config.lanes(grid.n_levels)
    per_lane = config.engine.level_parallel // lanes
    shift = np.where(image.target == LoadTarget.LEVEL_REGISTER, LEVEL_ADDRESS_SHIFT, ENGINE_ADDRESS_SHIFT)
    copied = image.target != LoadTarget.ENCODING_CONTROL
    whole = image
    for lane in range(1, lanes):
        address = (image.address[copied] + (lane * per_lane << shift[copied])).astype(np.uint32)
        whole += LoadImage(target=image.target[copied], address=address, data=image.data[copied])
    return whole
