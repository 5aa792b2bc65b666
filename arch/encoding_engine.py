"""The grid encoding engine as hardware: its build-time parameters, and what the host loads into its registers.

Every level is described by registers, so one build serves every field that fits. A level's rows are spread over
banks by three or four selectable bits of the row index; the same layout is used by the loader, the RTL and
the cycle model.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from arch.bank_layout import bank_of, choose_bank_bits, squeeze
from arch.errors import InputError, check_integer, check_one_of
from arch.grid import GridConfig, GridLevel
from arch.load import DATA_BITS
from arch.number_format import (
    COORDINATE,
    FP32,
    LEVEL_SCALE,
    WEIGHT_FRACTION_BITS,
    FloatProfile,
    IntegerProfile,
    hardware_profile,
)

__all__ = [
    "COUNTER_BITS",
    "EncodingEngineConfig",
    "EngineCounter",
    "LevelLayout",
    "fitting_engine",
    "level_layouts",
]

_MAX_TABLE_ROWS = 1 << 24

COUNTER_BITS = 32
"""Width of an engine's counters; they wrap."""


class EngineCounter(IntEnum):
    """What a physical level engine counts: each clock of a run is exactly one of the first six.

    A run lasts from the transfer of the first point into an empty engine to the transfer of the features of a point
    marked ``last`` that leaves the engine empty, both clocks included. Engines without a level count nothing.
    """

    LOOKUPS = 0
    """A lookup was issued."""
    POINT = 1
    """Nothing to issue: no point was offered, or one is just on its way into the point FIFO."""
    CONFLICT = 2
    """Held while a lookup with bank conflicts is served, whether there is something to issue or not."""
    OUTPUT = 3
    """Nothing to issue: a point was offered, but ``points_in_flight`` of them are inside; features are not taken."""
    LOAD = 4
    """Nothing to issue: a load word keeps points out."""
    PEER = 5
    """Nothing to issue: a point was offered, but another engine's point FIFO is full."""
    REUSED = 6
    """Not a clock but a lookup, one of LOOKUPS: it read no bank, its cell being the last one of its level."""


@dataclass(frozen=True, kw_only=True)
class EncodingEngineConfig:
    """Build-time parameters of the grid encoding engine.

    Parameters
    ----------
    n_pos_dims : most input dimensions, 2 or 3; a 3-dimensional build also runs 2-dimensional grids. In ``fp16`` also 4,
        for grids of 4 dimensions alone
    n_features_per_level : values per table row: 1, 2, 4 or 8
    n_levels : most levels of a grid, 1 to 16
    level_parallel : physical level engines: 1, 2, 4, 8 or 16, at most ``n_levels``;
        level l runs on engine ``l % level_parallel``
    table_rows : rows of one physical engine's feature table, over all banks; a multiple of their number
    bank_ports : ports of a bank that read: 2 for eight dual-port banks, which serve one lookup after the other; 1 for
        16 single-port banks with queues, which serve up to ``lookup_window`` lookups at once
    arithmetic : ``int8``, ``int16`` or ``fp16``, which gives a GPU's bits
    tile_remainder : levels may be tiles whose rows are no power of two, at the price of ``tile_remainder_latency``;
        not with ``fp16``, which takes a true remainder of every dense index
    reuse_cells : consecutive points in one cell of a level read its rows once, at the price of one clock of latency
    counters : physical engines count their clocks by :class:`EngineCounter`, readable through two more streams
    """

    n_pos_dims: int = 3
    n_features_per_level: int = 2
    n_levels: int = 16
    level_parallel: int = 1
    table_rows: int = 1 << 19
    arithmetic: str = "int8"
    bank_ports: int = 2
    tile_remainder: bool = False
    reuse_cells: bool = False
    counters: bool = False

    def __post_init__(self) -> None:
        hardware_profile(self.arithmetic)
        check_one_of("n_pos_dims of the encoding engine", self.n_pos_dims, (2, 3, 4) if self.floating else (2, 3))
        check_one_of("n_features_per_level", self.n_features_per_level, (1, 2, 4, 8))
        check_integer("n_levels of the encoding engine", self.n_levels, 1, 16)
        check_one_of("level_parallel", self.level_parallel, (1, 2, 4, 8, 16))
        if self.level_parallel > self.n_levels:
            raise InputError(f"level_parallel must be at most n_levels = {self.n_levels}, not {self.level_parallel}")
        check_one_of("bank_ports", self.bank_ports, (1, 2))
        check_integer("table_rows", self.table_rows, self.n_banks, _MAX_TABLE_ROWS)
        if self.table_rows % self.n_banks:
            raise InputError(f"table_rows must be a multiple of {self.n_banks}, not {self.table_rows}")
        check_one_of("tile_remainder", self.tile_remainder, (False,) if self.floating else (True, False))
        check_one_of("reuse_cells", self.reuse_cells, (True, False))
        check_one_of("counters", self.counters, (True, False))

    @property
    def profile(self) -> IntegerProfile | FloatProfile:
        """The arithmetic profile."""
        return hardware_profile(self.arithmetic)

    @property
    def floating(self) -> bool:
        """Whether it is the GPU's arithmetic."""
        return isinstance(self.profile, FloatProfile)

    @property
    def coordinate_bits(self) -> int:
        """Bits of a raw coordinate: ``COORDINATE``, or an fp32 number's."""
        return FP32.width if self.floating else COORDINATE.width

    @property
    def levels_per_engine(self) -> int:
        """Most levels one physical engine serves."""
        return -(-self.n_levels // self.level_parallel)

    @property
    def row_bits(self) -> int:
        """Bits of a table row: its features side by side."""
        return self.n_features_per_level * self.profile.value_bits

    @property
    def row_words(self) -> int:
        """Load words of a table row."""
        return -(-self.row_bits // DATA_BITS)

    @property
    def n_banks(self) -> int:
        """Banks of a feature table: 16 reads a clock, whatever their ports."""
        return 16 // self.bank_ports

    @property
    def bank_bits(self) -> int:
        """Bits of a bank number."""
        return (self.n_banks - 1).bit_length()

    @property
    def lookup_window(self) -> int:
        """Lookups that wait in front of the banks at once."""
        return 4 if self.bank_ports == 1 else 1

    @property
    def bank_rows(self) -> int:
        """Rows of one bank."""
        return self.table_rows // self.n_banks

    @property
    def n_corners(self) -> int:
        """Corners of a cell."""
        return 1 << self.n_pos_dims

    @property
    def index_bits(self) -> int:
        """Width of row index arithmetic: one bit more than a table index, for the wrap by conditional subtract."""
        return (self.table_rows - 1).bit_length() + 1

    @property
    def position_fraction_bits(self) -> int:
        """Fraction bits of coordinate times scale."""
        return COORDINATE.fraction_bits + LEVEL_SCALE.fraction_bits

    @property
    def interpolation_fraction_bits(self) -> int:
        """Fraction bits of an interpolated value before it is rounded."""
        return WEIGHT_FRACTION_BITS * self.n_pos_dims

    @property
    def point_fifo_depth(self) -> int:
        """Points that wait in front of each physical engine; decouples engines of different conflicts."""
        return 4

    @property
    def points_in_flight(self) -> int:
        """Most points between ``points`` and ``features``: credits, and the depth of each engine's output FIFO.

        More than ``latency``, so that a grid of one level per engine still takes a point a clock.
        """
        if self.floating:
            return 128 if self.n_pos_dims < 4 else 192
        return 48 if self.tile_remainder else 32

    @property
    def pos_fract_latency(self) -> int:
        """Clocks from coordinate and scale to cell and fraction: partial products, product, half cell; in ``fp16`` a
        fused multiply-add (6), fixed point, floor, and the fraction as a number (2)."""
        return 10 if self.floating else 3

    @property
    def tile_remainder_latency(self) -> int:
        """Clocks from cell to reduced cell: terms, index, three to the product with the reciprocal, quotient, its
        product, rest, correction; none without the option."""
        return 9 if self.tile_remainder else 0

    @property
    def corner_index_latency(self) -> int:
        """Clocks from cell to corner indices: products, two sums, wrap; in ``fp16`` ten to the remainder of the first
        corner's index, one a dimension, and one for sums past 2^32."""
        return 11 + self.n_pos_dims if self.floating else 4

    @property
    def fraction_weight_latency(self) -> int:
        """Clocks from fraction to interpolation weight, beside the corner indices; in ``fp16`` to the corners' weights:
        Smoothstep (11), 1 - t (4), a product for every dimension but the first (5 each), rounding (2)."""
        return 12 + 5 * self.n_pos_dims if self.floating else 1

    @property
    def cell_wait(self) -> int:
        """Clocks that a cell waits before its corner indices, so that they come beside the weights of ``fp16``."""
        rest = self.fraction_weight_latency - self.corner_index_latency - self.bank_select_latency
        return rest if self.floating else 0

    @property
    def bank_select_latency(self) -> int:
        """Clocks from index to bank and row: bank bits taken out."""
        return 1

    @property
    def bank_arbiter_latency(self) -> int:
        """Clocks from a lookup's banks and rows to its first addresses: ranks and first row, addresses."""
        return 2

    @property
    def feature_table_latency(self) -> int:
        """Clocks from address to feature words: the RAM, its output register."""
        return 2

    @property
    def corner_gather_latency(self) -> int:
        """Clocks from a lookup's last feature words to all its corners side by side: one to collect them, and with
        queues one to give the lookups out in order."""
        return 1 if self.bank_ports == 2 else 2

    @property
    def last_corners_latency(self) -> int:
        """Clocks from gathered corners to the corners that count; none without ``reuse_cells``."""
        return 1 if self.reuse_cells else 0

    @property
    def interpolate_latency(self) -> int:
        """Clocks from corners to features: difference and product per dimension, last sum, round; in ``fp16`` a fused
        multiply-add (6) a corner."""
        return 6 * self.n_corners if self.floating else 2 * self.n_pos_dims + 2

    @property
    def front_latency(self) -> int:
        """Clocks from the issue of a lookup to its first clock in the arbiter, the arbiter never busy before it.

        One for the issue register, one for the arbiter's ranks.
        """
        to_cell = self.pos_fract_latency + self.cell_wait
        to_index = to_cell + self.tile_remainder_latency + self.corner_index_latency
        return 1 + to_index + self.bank_select_latency + 1

    @property
    def back_latency(self) -> int:
        """Clocks from a lookup's last clock in the arbiter to its point's earliest transfer on ``features``.

        One each for the addresses and the output FIFO; nothing here ever waits.
        """
        to_corners = self.feature_table_latency + self.corner_gather_latency + self.last_corners_latency
        return 1 + to_corners + self.interpolate_latency + 1

    @property
    def latency(self) -> int:
        """Clocks from the transfer of a point to that of its features, one level per engine and no conflict.

        The first clock goes to the point FIFO. Each further level of an engine and each conflict adds one.
        """
        return 1 + self.front_latency + self.back_latency


@dataclass(frozen=True, kw_only=True)
class LevelLayout:
    """Where a level lives: the physical engine, the bank selector bits and the rows it fills in each bank.

    Parameters
    ----------
    level : the grid level
    engine : physical level engine that holds it
    bank_bits : three or four ascending bit positions of the row index that select the bank
    first_row : its first row in every bank
    rows : rows it takes in every bank
    """

    level: GridLevel
    engine: int
    bank_bits: tuple[int, ...]
    first_row: int
    rows: int

    @property
    def tiled(self) -> bool:
        """True if a dense level has fewer rows than vertices, so that its sums wrap more than once."""
        level = self.level
        return not level.hashed and level.strides[-1] * level.resolution > level.entries

    @property
    def flat(self) -> bool:
        """True if the level is too fine for a dense index, so that every corner is row 0."""
        return not any(self.level.strides)

    @property
    def needs_remainder(self) -> bool:
        """True if indices wrap by a true remainder: a tile smaller than its level, its rows no power of two."""
        return self.tiled and self.level.entries & self.level.entries - 1 != 0

    def place(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bank and row of each table index: the selector bits, and the index with those bits squeezed out."""
        index = np.asarray(index, dtype=np.int64)
        return bank_of(index, self.bank_bits), self.first_row + squeeze(index, self.bank_bits)


def level_layouts(
    grid: GridConfig, engine: EncodingEngineConfig, *, only: int | None = None
) -> tuple[LevelLayout, ...]:
    """Place every level of ``grid`` in ``engine``; raises InputError with what does not fit and by how much.

    With ``only``, that level alone is placed, as level 0 of the engine.
    """
    if grid.n_pos_dims > engine.n_pos_dims:
        raise InputError(
            f"n_pos_dims of the grid must be at most the engine's {engine.n_pos_dims}, not {grid.n_pos_dims}"
        )
    if engine.n_pos_dims == 4 and grid.n_pos_dims != 4:
        raise InputError(f"n_pos_dims of the grid must be the engine's 4, not {grid.n_pos_dims}")
    if grid.n_features_per_level != engine.n_features_per_level:
        raise InputError(
            f"n_features_per_level of the grid must be the engine's {engine.n_features_per_level}, "
            f"not {grid.n_features_per_level}"
        )
    levels = grid.levels
    if only is not None:
        check_integer("level", only, 0, grid.n_levels - 1)
        levels = levels[only : only + 1]
    if len(levels) > engine.n_levels:
        raise InputError(f"n_levels of the grid must be at most the engine's {engine.n_levels}, not {grid.n_levels}")
    layouts = []
    next_row = [0] * engine.level_parallel
    for number, level in enumerate(levels):
        physical = number % engine.level_parallel
        bank_bits = choose_bank_bits(level, grid.n_pos_dims, engine.n_banks)
        granule = 1 << (bank_bits[-1] + 1)
        rows = -(-level.entries // granule) * granule // engine.n_banks
        layouts.append(
            LevelLayout(level=level, engine=physical, bank_bits=bank_bits, first_row=next_row[physical], rows=rows)
        )
        next_row[physical] += rows
    needed = max(next_row) * engine.n_banks
    if needed > engine.table_rows:
        raise InputError(
            f"table_rows of the encoding engine must be at least {needed} for this grid, not {engine.table_rows}; "
            "take a larger engine, more level_parallel or a smaller log2_hashmap_size"
        )
    return tuple(layouts)


def fitting_engine(grid: GridConfig, *, level_parallel: int = 1, arithmetic: str = "int8") -> EncodingEngineConfig:
    """The smallest engine that holds ``grid`` on ``level_parallel`` physical engines."""
    engine = EncodingEngineConfig(
        n_pos_dims=grid.n_pos_dims,
        n_features_per_level=grid.n_features_per_level,
        n_levels=grid.n_levels,
        level_parallel=level_parallel,
        table_rows=_MAX_TABLE_ROWS,
        arithmetic=arithmetic,
    )
    layouts = level_layouts(grid, engine)
    rows = max(layout.first_row + layout.rows for layout in layouts)
    remainder = not engine.floating and any(layout.needs_remainder for layout in layouts)
    return replace(engine, table_rows=rows * engine.n_banks, tile_remainder=remainder)
