"""Fractions: numbers from 0 to 1, as floating point and as fixed point."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FloatFormat
from rtl.floating.number import Unpack
from rtl.floating.shift import LeadingZeros, StickyRightShift

__all__ = ["FromFixed", "OneMinus"]


class FromFixed(wiring.Component):
    """The number that a fixed-point fraction stands for; exact.

    Timing: latency ``LATENCY`` = 2 enabled clocks (count of leading zeros, shift), initiation interval 1.

    Parameters
    ----------
    number_format : format of the number, p bits of significand

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    i : In(p + 1), in units of 2**-p: 0 .. 1
    o : Out(width)
    """

    LATENCY = 2

    def __init__(self, number_format: FloatFormat) -> None:
        self.number_format = number_format
        super().__init__(
            {"en": In(1, init=1), "i": In(number_format.significand_bits + 1), "o": Out(number_format.width)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number_format = self.number_format
        m.submodules.leading_zeros = leading_zeros = LeadingZeros(len(self.i))
        count, waiting = Signal.like(leading_zeros.o), Signal.like(self.i)
        normalized, exponent = Signal.like(self.i), Signal(number_format.exponent_bits)
        m.d.comb += [
            leading_zeros.i.eq(self.i),
            normalized.eq(waiting << count),
            exponent.eq(number_format.bias - count),
        ]
        mantissa = normalized[-1 - number_format.mantissa_bits : -1]
        with m.If(self.en):
            m.d.sync += [
                count.eq(leading_zeros.o),
                waiting.eq(self.i),
                self.o.eq(Mux(normalized[-1], Cat(mantissa, exponent, Const(0, 1)), 0)),
            ]
        return m


class OneMinus(wiring.Component):
    """``1 - i`` for a number from 0 to 1, rounded to nearest even.

    Timing: latency ``LATENCY`` = 4 enabled clocks, initiation interval 1. Stages: the fraction in fixed point; the
    difference; and the two of ``FromFixed``.

    Numerics: IEEE 754 subtraction. The difference of any fraction below 1/2 lies where a significand of p bits counts
    in 2**-p, and the others are multiples of it; so it is rounded as fixed point. ``i`` above 1 gives nothing useful.

    Parameters
    ----------
    number_format : of both numbers, p bits of significand

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    i : In(width)
    o : Out(width)
    """

    LATENCY = 2 + FromFixed.LATENCY

    def __init__(self, number_format: FloatFormat) -> None:
        self.number_format = number_format
        super().__init__({"en": In(1, init=1), "i": In(number_format.width), "o": Out(number_format.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number_format = self.number_format
        bits = number_format.significand_bits
        m.submodules.unpack = unpack = Unpack(number_format)
        # the bit below 2**-p decides a tie, the sticky one whether it is one
        amount_bits = (bits + 2).bit_length()
        furthest = (1 << amount_bits) - 1
        distance = number_format.bias - unpack.o.exponent
        m.submodules.align = align = StickyRightShift(bits + 2, amount_bits)
        m.submodules.from_fixed = from_fixed = FromFixed(number_format)
        fraction = Signal(bits + 3)  # p + 1 bits, the tie's, the sticky one
        rest, difference = Signal(bits + 3), Signal(bits + 1)
        m.d.comb += [
            unpack.i.eq(self.i),
            align.i.eq(unpack.o.significand << 2),
            align.amount.eq(Mux(distance > furthest, furthest, distance)),
            rest.eq((1 << (bits + 2)) - fraction),
            from_fixed.en.eq(self.en),
            from_fixed.i.eq(difference),
            self.o.eq(from_fixed.o),
        ]
        with m.If(self.en):
            m.d.sync += [
                fraction.eq(align.o),
                difference.eq(rest[2:] + (rest[1] & (rest[0] | rest[2]))),
            ]
        return m
