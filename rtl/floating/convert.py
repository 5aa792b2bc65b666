"""From a wider format to a narrower one."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FloatFormat
from rtl.floating.number import Unpack
from rtl.floating.shift import StickyRightShift

__all__ = ["Narrow"]


class Narrow(wiring.Component):
    """Round a number to nearest even in a narrower format.

    Timing: latency ``LATENCY`` = 2 enabled clocks (shift of what becomes subnormal, rounding), initiation interval 1.

    Numerics: IEEE 754 ``convertFormat`` with subnormal outcomes; NaN becomes ``target.nan``. The source's subnormals
    are taken as zero of their sign, which is what they round to.

    Parameters
    ----------
    source, target : formats; the source's smallest normal number must round to zero in the target

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    i : In(source.width)
    o : Out(target.width)
    """

    LATENCY = 2

    def __init__(self, source: FloatFormat, target: FloatFormat) -> None:
        if source.bias < target.bias + target.mantissa_bits + 1 or source.mantissa_bits < target.mantissa_bits + 2:
            raise ValueError(f"Source must have more exponents and a longer mantissa than the target, not {source!r}")
        self.source = source
        self.target = target
        super().__init__({"en": In(1, init=1), "i": In(source.width), "o": Out(target.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source, target = self.source, self.target
        m.submodules.unpack = unpack = Unpack(source)
        number = unpack.o

        # biased exponent in the target; below 1 the significand moves down instead
        exponent = Signal(signed(source.exponent_bits + 1))
        furthest = target.significand_bits + 1
        amount = Signal(furthest.bit_length())
        m.d.comb += [
            unpack.i.eq(self.i),
            exponent.eq(number.exponent - (source.bias - target.bias)),
            amount.eq(Mux(exponent >= 1, 0, Mux(exponent < 1 - furthest, furthest, 1 - exponent))),
        ]
        m.submodules.shift = shift = StickyRightShift(source.significand_bits, len(amount))
        m.d.comb += [
            shift.i.eq(Mux(number.significand[-1], number.significand, 0)),
            shift.amount.eq(amount),
        ]

        significand, biased = Signal(source.significand_bits + 1), Signal(source.exponent_bits)
        sign, infinite, nan = Signal(), Signal(), Signal()
        kept = significand[-target.significand_bits :]
        below = significand[: -target.significand_bits]
        up = below[-1] & (below[:-1].any() | kept[0])
        rounded = Signal(source.exponent_bits + target.mantissa_bits)
        unsigned = Signal(target.width - 1)
        m.d.comb += rounded.eq(Cat(Const(0, target.mantissa_bits), biased) + kept + up)
        with m.If(infinite | (rounded[target.mantissa_bits :] >= target.special)):
            m.d.comb += unsigned.eq(target.special << target.mantissa_bits)
        with m.Else():
            m.d.comb += unsigned.eq(rounded)
        with m.If(self.en):
            m.d.sync += [
                significand.eq(shift.o),
                # the hidden bit, where there is one, adds the last one
                biased.eq(Mux(exponent >= 1, exponent - 1, 0)),
                sign.eq(number.sign),
                infinite.eq(number.infinite),
                nan.eq(number.nan),
                self.o.eq(Mux(nan, target.nan, Cat(unsigned, sign))),
            ]
        return m
