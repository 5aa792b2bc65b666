"""What Sine does around the table of a column."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from arch.float_activation import LOW_BITS, SEGMENT_BITS
from arch.float_sine import (
    APART_FROM,
    BLOCK_FLIP,
    INFINITE,
    ITSELF_BELOW,
    NUMBER_BITS,
    NUMBERS_BITS,
    PI_SEGMENT,
)
from arch.number_format import FP16
from rtl.mlp.float_segment import SegmentLayout

__all__ = ["FloatSine"]

_NUMBER_EXPONENT_BITS = NUMBER_BITS - 1 - FP16.mantissa_bits


class FloatSine(Component):
    """Choose the word of an input, and make the segment that gives its outcome of what was read.

    A number of the word becomes a segment of that value alone. Without ``sine`` addresses and words are as in tables
    of segments.

    *Timing*: ``address``, ``itself`` and ``nan`` are combinational; ``word`` comes a clock behind its ``i``, and
    ``segment`` is combinational from it.

    *Numerics*: ``arch.float_sine``.

    Members
    -------
    sine : In(1), the table of ``i`` is Sine's
    i : In(16)
    address : Out(12), of the word
    itself : Out(1), the outcome is ``i``
    nan : Out(1), the outcome is no number
    word : In(SegmentLayout()), of the ``i`` a clock ago
    segment : Out(SegmentLayout()), of the same
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "sine": In(1),
                "i": In(FP16.width),
                "address": Out(SEGMENT_BITS),
                "itself": Out(1),
                "nan": Out(1),
                "word": In(SegmentLayout()),
                "segment": Out(SegmentLayout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        mantissa_bits = FP16.mantissa_bits
        magnitude, exponent = self.i[:-1], self.i[mantissa_bits:-1]
        apart = (exponent >= APART_FROM >> mantissa_bits) | (magnitude[LOW_BITS:] == PI_SEGMENT)
        block = exponent[:3] ^ BLOCK_FLIP
        of_segment = Cat(magnitude[LOW_BITS:mantissa_bits], block, block[-1].replicate(SEGMENT_BITS))[:SEGMENT_BITS]
        of_number = magnitude[NUMBERS_BITS:][:SEGMENT_BITS]
        m.d.comb += [
            self.address.eq(Mux(self.sine, Mux(apart, of_number, of_segment), self.i[LOW_BITS:])),
            self.itself.eq(self.sine & (exponent < ITSELF_BELOW >> mantissa_bits)),
            self.nan.eq((magnitude > INFINITE) | self.sine & (magnitude == INFINITE)),
        ]
        sign, is_number, which = Signal(reset_less=True), Signal(reset_less=True), Signal(NUMBERS_BITS, reset_less=True)
        m.d.sync += [sign.eq(self.sine & self.i[-1]), is_number.eq(self.sine & apart), which.eq(self.i)]
        m.d.comb += self._segment(m, self.word.as_value().word_select(which, NUMBER_BITS), is_number, sign)
        return m

    def _segment(self, m: Module, number: Signal, is_number: Signal, sign: Signal) -> list:
        """The word, or a segment of a number, with the sign of the input."""
        word, segment = self.word, self.segment
        mantissa, exponent = number[: FP16.mantissa_bits], number[FP16.mantissa_bits : -1]
        hidden = Signal()
        m.d.comb += hidden.eq(exponent != 0)
        # c0's highest bit is worth 2**-1 of the value's bit 25, whose exponent a segment has
        height = len(segment.c0) - FP16.significand_bits
        biased = Signal(_NUMBER_EXPONENT_BITS + 1)
        m.d.comb += biased.eq(Mux(hidden, exponent, 1) + 1)
        negative = Mux(is_number, number[-1], word.negative) ^ sign
        return [
            segment.c0.eq(Mux(is_number, Cat(Const(0, height), mantissa, hidden), word.c0)),
            segment.c1.eq(Mux(is_number, 0, word.c1)),
            segment.c2.eq(Mux(is_number, 0, word.c2)),
            segment.exponent.eq(Mux(is_number, biased, word.exponent)),
            segment.negative.eq(negative),
            segment.infinite_from.eq(Mux(is_number, 1 << LOW_BITS, word.infinite_from)),
        ]
