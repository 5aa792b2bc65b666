"""Multiplication."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FloatFormat
from rtl.delay_line import DelayLine
from rtl.floating.number import Unpack
from rtl.floating.round_nearest import RoundNearest
from rtl.floating.shift import StickyRightShift

__all__ = ["Multiply"]


class Multiply(wiring.Component):
    """``a * b``, rounded to nearest even.

    Timing: latency ``LATENCY`` = 5 enabled clocks, initiation interval 1. Stages: product; shift of what is below the
    smallest normal number; and the three of ``RoundNearest``.

    Numerics: IEEE 754 with subnormals; every NaN is ``number_format.nan``.

    Parameters
    ----------
    number_format : of all three numbers

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    a, b : In(width)
    o : Out(width)
    """

    LATENCY = 2 + RoundNearest.LATENCY

    def __init__(self, number_format: FloatFormat) -> None:
        self.number_format = number_format
        width = number_format.width
        super().__init__({"en": In(1, init=1), "a": In(width), "b": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number_format = self.number_format
        width, exponent_bits = 2 * number_format.significand_bits, number_format.exponent_bits + 1
        m.submodules.unpack_a = unpack_a = Unpack(number_format)
        m.submodules.unpack_b = unpack_b = Unpack(number_format)
        m.d.comb += [unpack_a.i.eq(self.a), unpack_b.i.eq(self.b)]
        a, b = unpack_a.o, unpack_b.o

        # biased exponent of the product's highest bit; below 1 the product moves down instead
        exponent = Signal(signed(exponent_bits + 1))
        product, amount, top = Signal(width), Signal(width.bit_length()), Signal(exponent_bits)
        furthest = (1 << len(amount)) - 1
        m.submodules.align = align = StickyRightShift(width, len(amount))
        m.submodules.special = special = DelayLine(3, clocks=2)
        m.submodules.round_nearest = round_nearest = RoundNearest(
            number_format, width=width + 1, exponent_bits=exponent_bits
        )
        m.d.comb += [
            exponent.eq(a.exponent + b.exponent - (number_format.bias - 1)),
            align.i.eq(product),
            align.amount.eq(amount),
            special.en.eq(self.en),
            special.i.eq(
                Cat(
                    a.sign ^ b.sign,
                    a.infinite | b.infinite,
                    a.nan | b.nan | a.infinite & (b.significand == 0) | b.infinite & (a.significand == 0),
                )
            ),
            round_nearest.en.eq(self.en),
            Cat(round_nearest.sign, round_nearest.infinite, round_nearest.nan).eq(special.o),
            self.o.eq(round_nearest.o),
        ]
        magnitude, magnitude_top = Signal(width + 1), Signal(exponent_bits)
        m.d.comb += [round_nearest.magnitude.eq(magnitude), round_nearest.exponent.eq(magnitude_top)]
        with m.If(self.en):
            m.d.sync += [
                product.eq(a.significand * b.significand),
                amount.eq(Mux(exponent >= 1, 0, Mux(exponent < 1 - furthest, furthest, 1 - exponent))),
                top.eq(Mux(exponent >= 1, exponent, 1)),
                magnitude.eq(align.o),
                magnitude_top.eq(top),
            ]
        return m
