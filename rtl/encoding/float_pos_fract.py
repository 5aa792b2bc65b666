"""Cell and fraction of a position at one level's scale, in the floating-point arithmetic of tiny-cuda-nn."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FP32
from rtl.delay_line import DelayLine
from rtl.floating.fraction import FromFixed
from rtl.floating.fused_multiply_add import FusedMultiplyAdd
from rtl.floating.number import Unpack
from rtl.floating.shift import StickyRightShift

__all__ = ["CELL_BITS", "FloatPosFract"]

CELL_BITS = 32
"""Bits of a cell number: as the library's, modulo 2**32."""

_HALF = 0x3F000000  # 0.5 in fp32
_POINT = FP32.significand_bits


class FloatPosFract(wiring.Component):
    """Find the cell of a coordinate and its fraction inside it, one dimension.

    ``p = fma(scale, position, 0.5)`` in fp32, ``cell = floor(p)`` modulo 2**32 and ``fraction = p - floor(p)``, rounded
    to fp32. Cells beyond int32 saturate and the fraction of what is no number is NaN, as on the GPU.

    Timing: latency ``LATENCY`` = 10 enabled clocks, initiation interval 1. Stages: the six of ``FusedMultiplyAdd``;
    fixed point; floor; and the two of ``FromFixed``.

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    scale, position : In(32), fp32
    cell : Out(32)
    fraction : Out(32), fp32

    Notes
    -----
    ``reference.grid_encoding.level_cells``, bit for bit. The fraction of a number from 1/2 up is a multiple of 2**-24,
    and that of a negative one is rounded to such, so both go through fixed point; a positive number below 1/2 is its
    own fraction.
    """

    LATENCY = FusedMultiplyAdd.LATENCY + 2 + FromFixed.LATENCY

    def __init__(self) -> None:
        super().__init__(
            {
                "en": In(1, init=1),
                "scale": In(FP32.width),
                "position": In(FP32.width),
                "cell": Out(CELL_BITS),
                "fraction": Out(FP32.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.multiply_add = multiply_add = FusedMultiplyAdd(FP32)
        m.submodules.unpack = unpack = Unpack(FP32)
        m.submodules.below_half = below_half = StickyRightShift(_POINT + 1, (_POINT + 1).bit_length())
        m.submodules.from_fixed = from_fixed = FromFixed(FP32)
        scaled = unpack.o

        # fixed point: a number from 1/2 up moves up; a smaller one down, which leaves a bit for ties and a sticky one
        half, furthest = FP32.bias - 1, (1 << len(below_half.amount)) - 1
        smaller = scaled.exponent < half
        down = (half - scaled.exponent)[: FP32.exponent_bits]
        moved_up = Signal(_POINT + CELL_BITS - 1)
        m.d.comb += [
            multiply_add.en.eq(self.en),
            multiply_add.a.eq(self.scale),
            multiply_add.b.eq(self.position),
            multiply_add.c.eq(_HALF),
            unpack.i.eq(multiply_add.o),
            moved_up.eq(scaled.significand << (scaled.exponent - half)[:5]),
            below_half.i.eq(scaled.significand << 1),
            below_half.amount.eq(Mux(down > furthest, furthest, down)),
        ]
        part, whole, negative, huge = Signal(_POINT + 2), Signal(CELL_BITS), Signal(), Signal()
        invalid, own, magnitude = Signal(), Signal(), Signal(FP32.width - 1)
        with m.If(self.en):
            m.d.sync += [
                part.eq(Mux(smaller, below_half.o, Cat(Const(0, 2), moved_up[:_POINT]))),
                whole.eq(Mux(smaller, 0, moved_up[_POINT:])),
                negative.eq(scaled.sign),
                huge.eq(scaled.exponent >= FP32.bias + CELL_BITS - 1),
                invalid.eq(scaled.infinite | scaled.nan),
                own.eq(smaller & ~scaled.sign),
                magnitude.eq(multiply_add.o),
            ]

        # floor: below zero the next cell down, and what the one above leaves of the fraction
        nothing, between = Signal(), Signal()
        rest, cell, fixed = Signal(_POINT + 3), Signal(CELL_BITS), Signal(_POINT + 1)
        m.d.comb += [
            nothing.eq(invalid & (magnitude[: FP32.mantissa_bits] != 0)),
            between.eq(negative & (part != 0)),
            rest.eq(Mux(between, (1 << (_POINT + 2)) - part, part)),
        ]
        with m.If(self.en):
            m.d.sync += fixed.eq(Mux(huge, 0, rest[2:] + (rest[1] & (rest[0] | rest[2]))))
            with m.If(nothing):
                m.d.sync += cell.eq(0)
            with m.Elif(huge):
                m.d.sync += cell.eq(Mux(negative, 1 << (CELL_BITS - 1), (1 << (CELL_BITS - 1)) - 1))
            with m.Elif(between):
                m.d.sync += cell.eq(~whole)
            with m.Else():
                m.d.sync += cell.eq(Mux(negative, -whole, whole))

        m.submodules.cells = cells = DelayLine(CELL_BITS, clocks=FromFixed.LATENCY)
        m.submodules.waiting = waiting = DelayLine(FP32.width + 1, clocks=1 + FromFixed.LATENCY)
        was_invalid, was_own, own_magnitude = waiting.o[0], waiting.o[1], waiting.o[2:]
        m.d.comb += [
            from_fixed.en.eq(self.en),
            from_fixed.i.eq(fixed),
            cells.en.eq(self.en),
            cells.i.eq(cell),
            waiting.en.eq(self.en),
            waiting.i.eq(Cat(invalid, own, magnitude)),
            self.cell.eq(cells.o),
            self.fraction.eq(Mux(was_invalid, FP32.nan, Mux(was_own, own_magnitude, from_fixed.o))),
        ]
        return m
