"""Multiplication and addition with one rounding."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FloatFormat
from rtl.floating.number import Unpack
from rtl.floating.round_nearest import RoundNearest
from rtl.floating.shift import StickyRightShift

__all__ = ["FusedMultiplyAdd"]


class FusedMultiplyAdd(wiring.Component):
    """``a * b + c`` rounded once, to nearest even.

    Timing: latency ``LATENCY`` = 6 enabled clocks, initiation interval 1. Stages: product; alignment of the addend;
    sum; and the three of ``RoundNearest``.

    Numerics: IEEE 754 ``fusedMultiplyAdd`` with subnormals; every NaN is ``number_format.nan``. An exact sum of zero is
    +0 unless both terms are negative.

    Parameters
    ----------
    number_format : of all four numbers

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    a, b, c : In(width)
    o : Out(width)

    Notes
    -----
    The product stands and the addend moves. From the lowest bit up the window of the sum has: a margin of p bits (p =
    bits of a significand), the 2 p of the product, a gap of 3, and the p bits where the addend is at distance 0. There
    the product is less than an eighth of the addend's last bit, so that one further up would give the same sum but for
    the exponent. The margin is for an addend that cancels the product of a subnormal and a normal number.
    """

    LATENCY = 3 + RoundNearest.LATENCY

    def __init__(self, number_format: FloatFormat) -> None:
        self.number_format = number_format
        width = number_format.width
        super().__init__({"en": In(1, init=1), "a": In(width), "b": In(width), "c": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.number_format.significand_bits
        window = 4 * bits + 3

        product, addend, distance, state = self._multiply(m)
        m.submodules.align = align = StickyRightShift(window, len(distance))
        m.d.comb += [align.i.eq(addend << (window - bits)), align.amount.eq(distance)]
        standing, aligned, aligned_state = Signal(window + 1), Signal(window + 1), Signal(state.shape())

        forward, backward = Signal(window + 1), Signal(signed(window + 2))
        m.d.comb += [
            forward.eq(standing + (aligned ^ aligned_state.subtract.replicate(window + 1)) + aligned_state.subtract),
            backward.eq(aligned - standing),
        ]
        reverse = aligned_state.subtract & (backward > 0)
        magnitude, summed_state = Signal(window + 1), Signal(state.shape())
        with m.If(self.en):
            m.d.sync += [
                standing.eq(product << (bits + 1)),
                aligned.eq(align.o),
                aligned_state.eq(state),
                magnitude.eq(Mux(reverse, backward, forward)),
                summed_state.eq(aligned_state),
                # the difference of equal terms is +0
                summed_state.negative.eq(
                    Mux(
                        aligned_state.subtract & ~aligned_state.infinite,
                        aligned_state.negative & (backward < 0) | ~aligned_state.negative & (backward > 0),
                        aligned_state.negative,
                    )
                ),
            ]

        m.submodules.round_nearest = round_nearest = RoundNearest(
            self.number_format, width=window + 1, exponent_bits=len(state.top)
        )
        m.d.comb += [
            round_nearest.en.eq(self.en),
            round_nearest.sign.eq(summed_state.negative),
            round_nearest.magnitude.eq(magnitude),
            round_nearest.exponent.eq(summed_state.top),
            round_nearest.infinite.eq(summed_state.infinite),
            round_nearest.nan.eq(summed_state.nan),
            self.o.eq(round_nearest.o),
        ]
        return m

    def _multiply(self, m: Module) -> tuple[Signal, Signal, Signal, data.View]:
        """First stage: the product, the addend, how far down it goes, and all that has to be known about the sum.

        ``top`` is the biased exponent of the window's highest bit; ``negative`` the sign of the product, or of the
        outcome where that is infinite; ``subtract`` says that the addend has the other sign.
        """
        number_format = self.number_format
        bits, exponent_bits = number_format.significand_bits, number_format.exponent_bits + 2
        parts = []
        for name in ("a", "b", "c"):
            m.submodules[f"unpack_{name}"] = unpack = Unpack(number_format)
            m.d.comb += unpack.i.eq(getattr(self, name))
            parts.append(unpack.o)
        a, b, c = parts

        product, addend = Signal(2 * bits), Signal(bits)
        distance = Signal((4 * bits + 4).bit_length())
        layout = {"top": exponent_bits, "negative": 1, "subtract": 1, "infinite": 1, "nan": 1}
        state = Signal(data.StructLayout(layout))

        down, furthest = Signal(signed(exponent_bits + 1)), (1 << len(distance)) - 1
        # a product of zero has no exponent that could push the addend down
        nothing = (a.significand == 0) | (b.significand == 0)
        with m.If(~nothing):
            m.d.comb += down.eq(a.exponent + b.exponent - c.exponent - number_format.bias + bits + 4)
        negative, infinite = Signal(), Signal()
        m.d.comb += [negative.eq(a.sign ^ b.sign), infinite.eq(a.infinite | b.infinite)]
        with m.If(self.en):
            m.d.sync += [
                product.eq(a.significand * b.significand),
                addend.eq(c.significand),
                distance.eq(Mux(down < 0, 0, Mux(down > furthest, furthest, down))),
                state.top.eq(c.exponent + Mux(down < 0, 0, down)),
                state.negative.eq(Mux(c.infinite & ~infinite, c.sign, negative)),
                state.subtract.eq(negative ^ c.sign),
                state.infinite.eq(infinite | c.infinite),
                state.nan.eq(
                    Cat(a.nan, b.nan, c.nan).any()
                    | a.infinite & (b.significand == 0)
                    | b.infinite & (a.significand == 0)
                    | infinite & c.infinite & (negative ^ c.sign)
                ),
            ]
        return product, addend, distance, state
