"""From an exact magnitude to a floating-point number: the one rounding of every operation."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FloatFormat
from rtl.floating.shift import LeadingZeros

__all__ = ["RoundNearest"]


class RoundNearest(wiring.Component):
    """Normalise a magnitude and round it to nearest, ties to even.

    Subnormals are kept and values beyond the largest number become infinity, as IEEE 754 has it. The lowest bit of the
    magnitude may be a sticky one: rounding sees on which side of a tie the exact value lies.

    Timing: latency 3 enabled clocks (count of leading zeros, shift, rounding), initiation interval 1.

    Parameters
    ----------
    number_format : format of the outcome
    width : bits of the magnitude, at least two more than a significand has
    exponent_bits : bits of ``exponent``

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    sign : In(1), of the outcome, kept for zero too
    magnitude : In(width)
    exponent : In(exponent_bits), biased exponent of a number whose leading one is the highest bit of ``magnitude``;
        at least 1
    infinite, nan : In(1), the outcome is infinity or NaN whatever the magnitude
    o : Out(number_format.width)
    """

    LATENCY = 3

    def __init__(self, number_format: FloatFormat, *, width: int, exponent_bits: int) -> None:
        if width < number_format.significand_bits + 2:
            raise ValueError(f"Width must be at least {number_format.significand_bits + 2}, not {width!r}")
        self.number_format = number_format
        self.width = width
        self.exponent_bits = exponent_bits
        super().__init__(
            {
                "en": In(1, init=1),
                "sign": In(1),
                "magnitude": In(width),
                "exponent": In(exponent_bits),
                "infinite": In(1),
                "nan": In(1),
                "o": Out(number_format.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number_format, width = self.number_format, self.width

        # count: no further than to the exponent of subnormals, where a bit set on purpose ends it
        m.submodules.leading_zeros = leading_zeros = LeadingZeros(width)
        floor = Signal(width)
        with m.If(self.exponent <= width):
            m.d.comb += floor.eq(Const(1 << (width - 1), width) >> (self.exponent - 1)[: (width - 1).bit_length()])
        m.d.comb += leading_zeros.i.eq(self.magnitude | floor)
        count = Signal.like(leading_zeros.o)
        magnitude, exponent = Signal(width), Signal(self.exponent_bits)

        shifted, biased = Signal(width), Signal(self.exponent_bits)

        kept = shifted[-number_format.significand_bits :]
        below = shifted[: -number_format.significand_bits]
        up = below[-1] & (below[:-1].any() | kept[0])
        # a hidden bit of 0, that of a subnormal, lowers the exponent field from 1 to 0; a carry out of the mantissa
        # raises it
        field_and_mantissa = Signal(self.exponent_bits + number_format.mantissa_bits)
        m.d.comb += field_and_mantissa.eq(
            Cat(Const(0, number_format.mantissa_bits), (biased - 1)[: self.exponent_bits]) + kept + up
        )

        sign = self._late(m, self.sign, "sign")
        nan = self._late(m, self.nan, "nan")
        infinite = self._late(m, self.infinite, "infinite")
        empty = Signal()
        unsigned = Signal(number_format.width - 1)
        with m.If(infinite | ~empty & (field_and_mantissa[number_format.mantissa_bits :] >= number_format.special)):
            m.d.comb += unsigned.eq(number_format.special << number_format.mantissa_bits)
        with m.Elif(~empty):
            m.d.comb += unsigned.eq(field_and_mantissa)
        with m.If(self.en):
            m.d.sync += [
                count.eq(leading_zeros.o),
                magnitude.eq(self.magnitude),
                exponent.eq(self.exponent),
                shifted.eq(magnitude << count),
                biased.eq(exponent - count),
                # the exponent of zero is anything, and so is its count
                empty.eq(magnitude == 0),
                self.o.eq(Mux(nan, number_format.nan, Cat(unsigned, sign))),
            ]
        return m

    def _late(self, m: Module, value: Signal, name: str) -> Signal:
        """``value`` two clocks later."""
        line = Signal(2, name=name)
        with m.If(self.en):
            m.d.sync += line.eq(Cat(value, line[0]))
        return line[1]
