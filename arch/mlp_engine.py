"""The systolic MLP engine as hardware: its build-time parameters and the ways its array splits."""

from dataclasses import dataclass
from math import gcd

from arch.activation_table import INTEGER_ACTIVATIONS, PRE_ACTIVATION_BITS, STRAIGHT_ACTIVATIONS
from arch.errors import check_integer, check_multiple, check_one_of
from arch.float_activation import FLOAT_TABLE_ACTIVATIONS
from arch.mlp import CUTLASS_CHUNK, FULLY_FUSED_CHUNK
from arch.number_format import FloatProfile, IntegerProfile, hardware_profile

__all__ = [
    "ACCUMULATE_CYCLES",
    "ACTIVATION_CYCLES",
    "DOT_CYCLES",
    "FLOAT_ACTIVATE_CYCLES",
    "FLOAT_TABLE_CYCLES",
    "MAX_ACTIVATION_TABLES",
    "MAX_WEIGHT_TILES",
    "NO_WEIGHT",
    "POINT_BANKS",
    "READ_CYCLES",
    "REQUANTIZE_CYCLES",
    "SPLITS",
    "START_CYCLES",
    "STREAM_CYCLES",
    "MlpEngineConfig",
    "Split",
]

MAX_ACTIVATION_TABLES = 7
"""Most tables of an engine: a layer register numbers them in three bits, 0 for none."""

MAX_WEIGHT_TILES = 8192
"""Most tiles of an engine: eight layers of 128 x 128 weights on an array of 4 x 4."""

READ_CYCLES = 3
"""From an activation's address to the array's inputs: the memory, a register, then the choice of the row tile."""

ACCUMULATE_CYCLES = 1
"""From the array's outputs to the partial sum."""

REQUANTIZE_CYCLES = 6
"""From the partial sum to the activation: sign, two half products, their sum, coarse shift, fine shift, rounding."""

ACTIVATION_CYCLES = 5
"""Behind requantisation in an engine with tables: memory, coefficients, product, sum, rounding."""

NO_WEIGHT = 0x8000
"""Weight of a place of an ``fp16`` tile that has none: -0, which as a weight is loaded as +0."""

DOT_CYCLES = 8
"""From a dot unit's activations and accumulator to its sum (``rtl/floating/tensor_core_dot.py``)."""

FLOAT_ACTIVATE_CYCLES = 5
"""From the sum to the activation in ``fp16``: the product of LeakyReLU."""

FLOAT_TABLE_CYCLES = 8
"""The same in an engine with tables: memory, coefficients, two products, their sum, and three of rounding."""

STREAM_CYCLES = 2
"""From the activation to ``outputs.valid``: the write, then the read of the output buffer."""

START_CYCLES = 2
"""From the transfer that closes a nano-batch to the first address of its first pass, on an idle array."""

POINT_BANKS = 4
"""Points side by side in a row of the activation memories of an engine with fission; point p is in bank p mod 4."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """A way to split the array so that a layer serves several points a clock.

    Parameters
    ----------
    row_halves : 1, or 2: the upper and the lower half of the rows each hold the whole tile
    column_groups : 1, 2 or 4 groups of columns, each holding the whole tile
    """

    row_halves: int
    column_groups: int

    @property
    def points(self) -> int:
        """Points a clock."""
        return self.row_halves * self.column_groups

    def __str__(self) -> str:
        return f"{self.row_halves}x{self.column_groups}"


SPLITS = tuple(
    Split(row_halves=halves, column_groups=groups) for halves, groups in ((1, 1), (2, 1), (1, 2), (2, 2), (1, 4))
)
"""The splits of an engine with fission, by their number in a layer register: all of at most ``POINT_BANKS`` points."""


@dataclass(frozen=True, kw_only=True)
class MlpEngineConfig:
    """Build-time parameters of the systolic MLP engine.

    Parameters
    ----------
    rows : processing elements along the reduction (inputs of a tile), a multiple of 4 from 4 to 128; in ``fp16`` of
        ``chunk``
    cols : processing elements along the outputs of a tile, a multiple of 4 from 4 to 128
    nano_batch : points streamed through a tile before its weights change
    max_width : widest layer, a multiple of 4 from 4 to 128; of rows and cols too, if no tile is to reach past it
    max_layers : most layers of a network, 1 to 8
    weight_tiles : tiles of weights the weight memory holds
    arithmetic : ``int8``, ``int16`` or ``fp16``, which gives a GPU's bits
    activation_tables : tables for activations that are not straight on both sides of zero, 0 (none built) to 7
    sine : whether a table of ``fp16`` may be Sine's
    chunk : products that a dot unit of ``fp16`` adds in one step: 16 as FullyFusedMLP does, 8 as CutlassMLP does
    fission : whether the array can be split (``SPLITS``); nano_batch is then a multiple of 4. In ``fp16`` row halves
        need ``2 chunk`` rows
    side_first, side_inputs : elements ``side_first .. side_first + side_inputs - 1`` of an input vector wait for a
        second network, which reads them behind the first one's outputs (nerf: 32 and 16); 0 inputs: one network only
    """

    rows: int = 64
    cols: int = 64
    nano_batch: int = 256
    max_width: int = 64
    max_layers: int = 8
    weight_tiles: int = 16
    arithmetic: str = "int8"
    activation_tables: int = 0
    sine: bool = False
    chunk: int = FULLY_FUSED_CHUNK
    fission: bool = False
    side_first: int = 0
    side_inputs: int = 0

    def __post_init__(self) -> None:
        hardware_profile(self.arithmetic)
        if self.floating:
            check_one_of("chunk", self.chunk, (FULLY_FUSED_CHUNK, CUTLASS_CHUNK))
            check_multiple("rows of an engine of fp16", self.rows, self.chunk, self.chunk, 128)
        else:
            check_one_of("chunk of an integer engine", self.chunk, (FULLY_FUSED_CHUNK,))
        check_multiple("rows", self.rows, 4, 4, 128)
        check_multiple("cols", self.cols, 4, 4, 128)
        check_integer("nano_batch", self.nano_batch, 1, 4096)
        check_multiple("max_width", self.max_width, 4, 4, 128)
        check_integer("max_layers", self.max_layers, 1, 8)
        check_integer("weight_tiles", self.weight_tiles, 1, MAX_WEIGHT_TILES)
        check_integer("activation_tables", self.activation_tables, 0, MAX_ACTIVATION_TABLES)
        if self.sine:
            check_one_of("arithmetic of an engine with sine", self.arithmetic, ("fp16",))
            check_integer("activation_tables of an engine with sine", self.activation_tables, 1, MAX_ACTIVATION_TABLES)
        if self.fission:
            check_multiple("nano_batch of an engine with fission", self.nano_batch, POINT_BANKS, POINT_BANKS, 4096)
        check_integer("side_first", self.side_first, 0, self.max_width)
        check_integer("side_inputs", self.side_inputs, 0, self.max_width - self.side_first)

    @property
    def profile(self) -> IntegerProfile | FloatProfile:
        """The arithmetic profile."""
        return hardware_profile(self.arithmetic)

    @property
    def floating(self) -> bool:
        """Whether it is the GPU's arithmetic."""
        return isinstance(self.profile, FloatProfile)

    @property
    def macs(self) -> int:
        """Multiply-accumulates a clock."""
        return self.rows * self.cols

    @property
    def partial_sum_bits(self) -> int:
        """Width of a sum of ``rows`` products; exact in the integer profiles, so the array never overflows."""
        if self.floating:
            return self.profile.accumulator_bits
        return self.profile.value_bits + self.profile.weight_bits + (self.rows - 1).bit_length()

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits a layer may choose from; the number of a split is its place."""
        splits = SPLITS if self.fission else SPLITS[:1]
        return tuple(split for split in splits if not self.floating or self.rows // split.row_halves % self.chunk == 0)

    @property
    def has_routes(self) -> bool:
        """Whether a layer can choose its split or its place: engines with fission or side inputs."""
        return self.fission or self.side_inputs > 0

    @property
    def point_banks(self) -> int:
        """Points in a row of the activation memories, all read and written in one clock."""
        return max(split.points for split in self.splits)

    @property
    def entries(self) -> int:
        """Columns of the array at which activations can enter: the first of each column group."""
        return max(split.column_groups for split in self.splits)

    @property
    def activations(self) -> tuple[str, ...]:
        """Activations the engine computes."""
        if self.floating and self.activation_tables:
            return (*STRAIGHT_ACTIVATIONS, *FLOAT_TABLE_ACTIVATIONS, *(["Sine"] if self.sine else []))
        return INTEGER_ACTIVATIONS if self.activation_tables else STRAIGHT_ACTIVATIONS

    @property
    def requantize_bits(self) -> int:
        """Width of a requantised sum: a pre-activation's in an engine with tables, else a value's."""
        return PRE_ACTIVATION_BITS if self.activation_tables else self.profile.value_bits

    @property
    def activate_cycles(self) -> int:
        """From the partial sum to the activation."""
        if self.floating:
            return FLOAT_TABLE_CYCLES if self.activation_tables else FLOAT_ACTIVATE_CYCLES
        return REQUANTIZE_CYCLES + (ACTIVATION_CYCLES if self.activation_tables else 0)

    @property
    def lane_values(self) -> int:
        """Activations written together: what tiles of every split, the side inputs and ``max_width`` have in common."""
        sides = ((self.rows // split.row_halves, self.cols // split.column_groups) for split in self.splits)
        return gcd(self.max_width, self.side_first, self.side_inputs, *(side for pair in sides for side in pair))

    @property
    def n_lanes(self) -> int:
        """Lanes of a vector of ``max_width`` activations."""
        return self.max_width // self.lane_values

    @property
    def weight_rows(self) -> int:
        """Rows of the weight memory, one for each row of each tile."""
        return self.weight_tiles * self.rows

    @property
    def array_cycles(self) -> int:
        """From the array's inputs to its outputs: ``rows + cols - 1`` hops, product and sum registers included; in
        ``fp16`` ``rows / chunk`` dot units and ``cols - 1`` hops, the first register included."""
        if self.floating:
            return self.rows // self.chunk * DOT_CYCLES + self.cols
        return self.rows + self.cols + 1

    @property
    def latency_cycles(self) -> int:
        """From the address of a vector in the last pass to its ``outputs.valid``: ``rows + cols + 13``; tables: 18."""
        return READ_CYCLES + self.array_cycles + ACCUMULATE_CYCLES + self.activate_cycles + STREAM_CYCLES

    @property
    def prime_cycles(self) -> int:
        """Clocks behind a load word in which no vectors are taken: the first tile's weights go into the array."""
        return self.rows + 3

    @property
    def min_pass_cycles(self) -> int:
        """Fewest clocks of a pass: ``rows + cols + 13`` (18 with tables).

        A pass reads what the pass before it wrote (``latency_cycles - 1``), the next tile's weights are loaded
        behind the swap (``rows + cols + 2``), and an output buffer must be read empty one pass after it was filled
        (``latency_cycles``); the longest counts. A nano-batch of at least so many vectors leaves no bubble.
        """
        return max(self.latency_cycles, self.rows + self.cols + 4)

    def pass_cycles(self, beats: int, next_beats: int | None = None) -> int:
        """Clocks from the start of a pass to the start of the next one.

        Parameters
        ----------
        beats : clocks in which the pass reads, its vectors over the points a clock of its split
        next_beats : those of the next pass over the same nano-batch, if there is one. A faster pass must not overtake
            the slower one that writes what it reads: it starts as much later as it is short of ``min_pass_cycles``.
        """
        shortest = beats if next_beats is None else min(beats, next_beats)
        return beats + max(0, self.min_pass_cycles - shortest)
