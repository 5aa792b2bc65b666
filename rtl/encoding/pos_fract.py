"""Cell and fraction of a position at one level's scale."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.number_format import COORDINATE, LEVEL_SCALE, WEIGHT_FRACTION_BITS

__all__ = ["CELL_BITS", "PosFract"]

CELL_BITS = LEVEL_SCALE.integer_bits + 1
"""Bits of a cell number: the half cell carries the largest scale into one bit more."""

_HALF = 12
"""Bits of half a coordinate and of half a scale."""


class PosFract(wiring.Component):
    """Find the cell of a point and its fraction inside it, every dimension at once.

    Timing: latency ``config.pos_fract_latency`` = 3 enabled clocks, initiation interval 1. Four multipliers of 12 bits
    a dimension stand between registers, nothing before or behind them, if the inputs come from registers.

    Numerics: docs/numerics.md, "Grid encoding" steps 2 and 3, exact; coordinates above 1 read as 1.

    Parameters
    ----------
    config : the engine

    Members
    -------
    en : In(1), the pipeline moves
    three_dims : In(1), low while a 3-dimensional build runs 2-dimensional grids: dimension 2 gives cell 0, fraction 0
    position : In(n_pos_dims x 24 bits)
    scale : In(24)
    cell : Out(n_pos_dims x 15 bits)
    fraction : Out(n_pos_dims x 8 bits)

    Notes
    -----
    tiny-cuda-nn's ``pos_fract``, in fixed point.
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        dims = config.n_pos_dims
        super().__init__(
            {
                "en": In(1),
                "three_dims": In(1),
                "position": In(data.ArrayLayout(unsigned(COORDINATE.width), dims)),
                "scale": In(LEVEL_SCALE.width),
                "cell": Out(data.ArrayLayout(unsigned(CELL_BITS), dims)),
                "fraction": Out(data.ArrayLayout(unsigned(WEIGHT_FRACTION_BITS), dims)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dropped = self.config.position_fraction_bits - WEIGHT_FRACTION_BITS
        half_cell = 1 << WEIGHT_FRACTION_BITS - 1
        scale = Signal.like(self.scale)
        with m.If(self.en):
            m.d.sync += scale.eq(self.scale)
        for dim in range(self.config.n_pos_dims):
            raw = self.position[dim]
            one = raw[COORDINATE.fraction_bits]
            inside = raw[: COORDINATE.fraction_bits]
            parts = {}
            for x, side in ((inside[:_HALF], "low"), (inside[_HALF:], "high")):
                for s, part in ((self.scale[:_HALF], "low"), (self.scale[_HALF:], "high")):
                    parts[side, part] = Signal(2 * _HALF, name=f"{side}_{part}_{dim}")
                    with m.If(self.en):
                        m.d.sync += parts[side, part].eq(x * s)
            is_one = Signal(name=f"is_one_{dim}")
            outer = Cat(parts["low", "low"], parts["high", "high"])
            inner = parts["low", "high"] + parts["high", "low"]
            product = Signal(COORDINATE.width + LEVEL_SCALE.width, name=f"product_{dim}")
            moved = Signal(CELL_BITS + WEIGHT_FRACTION_BITS, name=f"moved_{dim}")
            m.d.comb += moved.eq(product[dropped:] + half_cell)
            used = self.three_dims if dim == 2 else 1
            with m.If(self.en):
                m.d.sync += [
                    is_one.eq(one),
                    product.eq(Mux(is_one, scale << COORDINATE.fraction_bits, outer + (inner << _HALF))),
                    self.fraction[dim].eq(Mux(used, moved[:WEIGHT_FRACTION_BITS], 0)),
                    self.cell[dim].eq(Mux(used, moved[WEIGHT_FRACTION_BITS:], 0)),
                ]
        return m
