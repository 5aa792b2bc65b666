"""The systolic MLP engine as hardware: its build-time parameters, and how a network is cut into its tiles."""

from dataclasses import dataclass
from math import gcd

from arch.activation_table import INTEGER_ACTIVATIONS, PRE_ACTIVATION_BITS, STRAIGHT_ACTIVATIONS
from arch.errors import InputError, check_integer, check_multiple
from arch.mlp import MlpConfig
from arch.number_format import IntegerProfile, integer_profile

__all__ = [
    "ACCUMULATE_CYCLES",
    "ACTIVATION_CYCLES",
    "MAX_ACTIVATION_TABLES",
    "READ_CYCLES",
    "REQUANTIZE_CYCLES",
    "START_CYCLES",
    "STREAM_CYCLES",
    "LayerTiles",
    "MlpEngineConfig",
    "layer_tiles",
]

MAX_ACTIVATION_TABLES = 7
"""Most tables of an engine: a layer register numbers them in three bits, 0 for none."""

READ_CYCLES = 2
"""From an activation's address to the array's inputs: the memory, then the choice of the row tile."""

ACCUMULATE_CYCLES = 1
"""From the array's outputs to the partial sum."""

REQUANTIZE_CYCLES = 6
"""From the partial sum to the activation: sign, two half products, their sum, coarse shift, fine shift, rounding."""

ACTIVATION_CYCLES = 5
"""Behind requantisation in an engine with tables: memory, coefficients, product, sum, rounding."""

STREAM_CYCLES = 2
"""From the activation to ``outputs.valid``: the write, then the read of the output buffer."""

START_CYCLES = 2
"""From the transfer that closes a nano-batch to the first address of its first pass, on an idle array."""


@dataclass(frozen=True, kw_only=True)
class MlpEngineConfig:
    """Build-time parameters of the systolic MLP engine.

    Parameters
    ----------
    rows : processing elements along the reduction (inputs of a tile), a multiple of 4 from 4 to 128
    cols : processing elements along the outputs of a tile, a multiple of 4 from 4 to 128
    nano_batch : points streamed through a tile before its weights change
    max_width : widest layer, a multiple of both rows and cols, at most 128
    max_layers : most layers of a network, 1 to 8
    weight_tiles : tiles of weights the weight memory holds
    arithmetic : ``int8`` or ``int16``
    activation_tables : tables for activations that are not straight on both sides of zero, 0 (none built) to 7
    """

    rows: int = 64
    cols: int = 64
    nano_batch: int = 256
    max_width: int = 64
    max_layers: int = 8
    weight_tiles: int = 16
    arithmetic: str = "int8"
    activation_tables: int = 0

    def __post_init__(self) -> None:
        check_multiple("rows", self.rows, 4, 4, 128)
        check_multiple("cols", self.cols, 4, 4, 128)
        check_integer("nano_batch", self.nano_batch, 1, 4096)
        check_multiple("max_width", self.max_width, 4, 4, 128)
        for name, side in (("rows", self.rows), ("cols", self.cols)):
            if self.max_width % side:
                raise InputError(f"max_width must be a multiple of {name} = {side}, not {self.max_width}")
        check_integer("max_layers", self.max_layers, 1, 8)
        check_integer("weight_tiles", self.weight_tiles, 1, 4096)
        check_integer("activation_tables", self.activation_tables, 0, MAX_ACTIVATION_TABLES)
        integer_profile(self.arithmetic)

    @property
    def profile(self) -> IntegerProfile:
        """The arithmetic profile."""
        return integer_profile(self.arithmetic)

    @property
    def macs(self) -> int:
        """Multiply-accumulates a clock."""
        return self.rows * self.cols

    @property
    def partial_sum_bits(self) -> int:
        """Width of a sum of ``rows`` products; exact, so the array never overflows."""
        return self.profile.value_bits + self.profile.weight_bits + (self.rows - 1).bit_length()

    @property
    def activations(self) -> tuple[str, ...]:
        """Activations the engine computes."""
        return INTEGER_ACTIVATIONS if self.activation_tables else STRAIGHT_ACTIVATIONS

    @property
    def requantize_bits(self) -> int:
        """Width of a requantised sum: a pre-activation's in an engine with tables, else a value's."""
        return PRE_ACTIVATION_BITS if self.activation_tables else self.profile.value_bits

    @property
    def activate_cycles(self) -> int:
        """From the partial sum to the activation."""
        return REQUANTIZE_CYCLES + (ACTIVATION_CYCLES if self.activation_tables else 0)

    @property
    def lane_values(self) -> int:
        """Activations written together: what row tiles and column tiles have in common."""
        return gcd(self.rows, self.cols)

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
        """From the array's inputs to its outputs: ``rows + cols - 1`` hops, product and sum registers included."""
        return self.rows + self.cols + 1

    @property
    def latency_cycles(self) -> int:
        """From the address of a vector in the last pass to its ``outputs.valid``: ``rows + cols + 12``; tables: 17."""
        return READ_CYCLES + self.array_cycles + ACCUMULATE_CYCLES + self.activate_cycles + STREAM_CYCLES

    @property
    def min_pass_cycles(self) -> int:
        """Fewest clocks of a pass: ``rows + cols + 12`` (17 with tables).

        A pass reads what the pass before it wrote (``latency_cycles - 1``), the next tile's weights are loaded
        behind the swap (``rows + cols + 2``), and an output buffer must be read empty one pass after it was filled
        (``latency_cycles``); the longest counts. A nano-batch of at least so many vectors leaves no bubble.
        """
        return self.latency_cycles

    def pass_cycles(self, n_vectors: int) -> int:
        """Clocks of each pass over a nano-batch of ``n_vectors``."""
        return max(n_vectors, self.min_pass_cycles)


@dataclass(frozen=True, kw_only=True)
class LayerTiles:
    """A layer cut into tiles of ``rows x cols``.

    Tiles are run column tile by column tile, the row tiles of one column tile one after the other so that their
    partial sums meet in the accumulators. Tile (row, col) is number ``first + col * row_tiles + row`` in the
    weight memory; rows and columns past the layer's edge hold zeros.
    """

    first: int
    row_tiles: int
    col_tiles: int

    @property
    def tiles(self) -> int:
        """Tiles of the layer, each one pass of the nano-batch."""
        return self.row_tiles * self.col_tiles


def layer_tiles(network: MlpConfig, engine: MlpEngineConfig) -> tuple[LayerTiles, ...]:
    """Cut ``network`` for ``engine``; raises InputError with what does not fit."""
    if len(network.layers) > engine.max_layers:
        raise InputError(
            f"layers of the network must be at most the engine's max_layers = {engine.max_layers}, "
            f"not {len(network.layers)}"
        )
    tiles = []
    first = 0
    for number, layer in enumerate(network.layers):
        for side, width in (("inputs", layer.n_in), ("outputs", layer.n_out)):
            if width > engine.max_width:
                raise InputError(
                    f"{side} of layer {number} must be at most the engine's max_width = {engine.max_width}, not {width}"
                )
        if layer.activation not in engine.activations:
            raise InputError(
                f"activation of layer {number} must be one of {', '.join(engine.activations)} on this MLP engine, "
                f"not {layer.activation!r}"
            )
        cut = LayerTiles(first=first, row_tiles=-(-layer.n_in // engine.rows), col_tiles=-(-layer.n_out // engine.cols))
        tiles.append(cut)
        first += cut.tiles
    if first > engine.weight_tiles:
        raise InputError(
            f"weight_tiles of the MLP engine must be at least {first} for this network, not {engine.weight_tiles}"
        )
    return tuple(tiles)
