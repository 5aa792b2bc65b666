"""One segment of a float activation: a parabola over 16 neighbouring inputs, rounded."""

from amaranth.hdl import Module, Shape, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from arch.float_activation import COEFFICIENTS, LOW_BITS
from arch.number_format import FP16
from rtl.delay_line import DelayLine
from rtl.floating.round_nearest import RoundNearest

__all__ = ["FloatSegment", "SegmentLayout"]

_VALUE_BITS = 26
"""Bits of a segment's value: 19 in front of the point, to which a parabola may rise from 18, and 7 behind it."""


class SegmentLayout(data.StructLayout):
    """A table's word (``arch.float_activation.COEFFICIENTS``)."""

    def __init__(self) -> None:
        super().__init__({name: Shape(bits, is_signed) for name, (bits, _, is_signed) in COEFFICIENTS.items()})


class FloatSegment(Component):
    """Evaluate a segment for one of its inputs.

    *Timing*: latency ``LATENCY`` = 6, initiation interval 1, no stall. Stages: inner product and sum; outer product;
    sum; and the three of ``RoundNearest``.

    *Numerics*: ``arch.float_activation.FloatActivationTable.evaluate``; every NaN is ``FP16.nan``.

    Members
    -------
    segment : In(SegmentLayout())
    low : In(LOW_BITS), the input's lower bits
    nan : In(1), the input is no number
    o : Out(16)
    """

    LATENCY = 3 + RoundNearest.LATENCY

    def __init__(self) -> None:
        super().__init__({"segment": In(SegmentLayout()), "low": In(LOW_BITS), "nan": In(1), "o": Out(FP16.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        segment = self.segment
        exponent_bits = len(segment.exponent)
        low, later_low = Signal(signed(LOW_BITS)), Signal(signed(LOW_BITS))
        inner, outer = Signal(signed(21)), Signal(signed(25))
        value = Signal(signed(_VALUE_BITS + 1))
        base = [Signal(segment.c0.shape(), name=f"base_{stage}") for stage in range(2)]
        special = data.StructLayout({"exponent": exponent_bits, "negative": 1, "infinite": 1, "nan": 1})
        m.submodules.beside = beside = DelayLine(special, clocks=3)
        m.submodules.round_nearest = rounding = RoundNearest(FP16, width=_VALUE_BITS, exponent_bits=exponent_bits)
        m.d.comb += [
            # counted from the middle of the segment: the top bit inverted
            low.eq(self.low ^ (1 << (LOW_BITS - 1))),
            beside.i.exponent.eq(segment.exponent),
            beside.i.negative.eq(segment.negative),
            beside.i.infinite.eq(self.low >= segment.infinite_from),
            beside.i.nan.eq(self.nan),
            rounding.sign.eq(beside.o.negative),
            rounding.magnitude.eq(value),
            rounding.exponent.eq(beside.o.exponent),
            rounding.infinite.eq(beside.o.infinite),
            rounding.nan.eq(beside.o.nan),
            self.o.eq(rounding.o),
        ]
        m.d.sync += [
            inner.eq((segment.c1 << 4) + segment.c2 * low),
            later_low.eq(low),
            base[0].eq(segment.c0),
            outer.eq(inner * later_low),
            base[1].eq(base[0]),
            value.eq((base[1] << 3) + outer),
        ]
        return m
