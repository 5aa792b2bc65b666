"""The true remainder of table indices, for tiles whose rows are no power of two."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import RECIPROCAL_BITS, TILE_STRIDE_BITS
from rtl.delay_line import DelayLine
from rtl.encoding.pos_fract import CELL_BITS

__all__ = ["TileLayout", "TileRemainder", "first_cell_bits"]

_INDEX_BITS = 32
_HALF = 16


class TileLayout(data.StructLayout):
    """Registers of a tile: ``stride_1`` and ``stride_2`` of its level, ``both``, ``reciprocal`` and ``shift``.

    ``arch.encoding_image.LevelRegister`` says how the host makes them. A level that needs no remainder has a
    reciprocal of 0.
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        super().__init__(
            {
                "stride_1": TILE_STRIDE_BITS[0],
                "stride_2": TILE_STRIDE_BITS[1],
                "both": config.index_bits - 1,
                "reciprocal": RECIPROCAL_BITS,
                "shift": 5,
            }
        )


def first_cell_bits(config: EncodingEngineConfig) -> int:
    """Bits of what ``CornerIndex`` takes as the cell of dimension 0: a cell, or the index of a tile's row."""
    return max(CELL_BITS, config.index_bits) if config.tile_remainder else CELL_BITS


class TileRemainder(wiring.Component):
    """Reduce the index of a cell's first corner to the rows of its tile; other cells pass unchanged.

    A reduced cell leaves as (row, 0, 0): ``CornerIndex`` adds the corners' steps, reduced by the host, and wraps once.
    One division a cell, by a reciprocal: the quotient is right or one too small, and the remainder corrects that.

    Timing: latency ``config.tile_remainder_latency`` = 9 enabled clocks, initiation interval 1. Two multipliers for
    the index, four of 16 bits for the quotient, one of ``index_bits`` for the remainder.

    Numerics: docs/numerics.md, "Grid encoding" step 5. Exact while the index is below 2^32, as it is for every cell of
    a level with a dense index.

    Parameters
    ----------
    config : the engine

    Members
    -------
    en : In(1), the pipeline moves
    cell : In(n_pos_dims x 15 bits)
    tile : In(TileLayout)
    limit : In(index_bits), rows of the tile
    first : Out(first_cell_bits), row of a reduced cell, dimension 0 of others
    others : Out((n_pos_dims - 1) x 15 bits), 0 in a reduced cell
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        dims = config.n_pos_dims
        super().__init__(
            {
                "en": In(1),
                "cell": In(data.ArrayLayout(unsigned(CELL_BITS), dims)),
                "tile": In(TileLayout(config)),
                "limit": In(config.index_bits),
                "first": Out(first_cell_bits(config)),
                "others": Out(data.ArrayLayout(unsigned(CELL_BITS), dims - 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        bits, dims = config.index_bits, config.n_pos_dims

        def delayed(name: str, value: object, clocks: int) -> Signal:
            m.submodules[name] = line = DelayLine(unsigned(len(value)), clocks)
            m.d.comb += [line.i.eq(value), line.en.eq(self.en)]
            return line.o

        strides = [self.tile.stride_1, self.tile.stride_2]
        terms = [Signal(_INDEX_BITS, name=f"term_{dim}") for dim in range(dims)]
        index = Signal(_INDEX_BITS)
        parts = [Signal(2 * _HALF, name=f"part_{number}") for number in range(4)]
        inner = Signal(2 * _HALF + 1)
        outer = Signal(4 * _HALF)
        product = Signal(4 * _HALF)
        quotient = Signal(bits)
        taken = Signal(bits)
        rest = Signal(bits)
        excess = Signal(bits + 1)

        reciprocal = delayed("reciprocal_delay", self.tile.reciprocal, 2)
        shift = delayed("shift_delay", self.tile.shift, 5)
        limit = delayed("limit_delay", self.limit, 6)
        last_limit = delayed("last_limit_delay", limit, 2)
        dividend = delayed("index_delay", index[:bits], 5)
        reduces = delayed("reduces_delay", self.tile.reciprocal[-1], 8)
        cell = delayed("cell_delay", self.cell.as_value(), 8)
        m.d.comb += excess.eq(rest - last_limit)
        with m.If(self.en):
            m.d.sync += [
                *(
                    term.eq(self.cell[dim] * strides[dim - 1] if dim else self.cell[0])
                    for dim, term in enumerate(terms)
                ),
                index.eq(sum(terms[1:], start=terms[0])),
                parts[0].eq(index[:_HALF] * reciprocal[:_HALF]),
                parts[1].eq(index[:_HALF] * reciprocal[_HALF:]),
                parts[2].eq(index[_HALF:] * reciprocal[:_HALF]),
                parts[3].eq(index[_HALF:] * reciprocal[_HALF:]),
                inner.eq(parts[1] + parts[2]),
                outer.eq(Cat(parts[0], parts[3])),
                product.eq(outer + (inner << _HALF)),
                quotient.eq(product[RECIPROCAL_BITS - 1 :] >> shift),
                taken.eq(quotient * limit),
                rest.eq(dividend - taken),
                self.first.eq(Mux(reduces, Mux(excess[bits], rest, excess[:bits]), cell[:CELL_BITS])),
                self.others.eq(Mux(reduces, 0, cell[CELL_BITS:])),
            ]
        return m
