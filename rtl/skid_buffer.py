"""Two registers in a stream: no combinational path from one side to the other."""

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

__all__ = ["SkidBuffer"]


class SkidBuffer(Component):
    """Pass a stream on in order, nothing lost and nothing twice; all outputs are registers.

    *Timing*: latency 1 clock, initiation interval 1; holds at most two payloads.

    Parameters
    ----------
    shape : shape of a payload

    Members
    -------
    i : In(stream of shape)
    o : Out(stream of shape)

    Attributes
    ----------
    spare, spare_full : the second register, and whether it holds a payload
    """

    def __init__(self, shape: ShapeLike) -> None:
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})
        self.spare = Signal.like(Value.cast(self.o.payload))
        self.spare_full = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o = Value.cast(self.i.payload), Value.cast(self.o.payload)
        spare, spare_full = self.spare, self.spare_full
        m.d.comb += self.i.ready.eq(~spare_full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += spare_full.eq(0)
            with m.If(spare_full):
                m.d.sync += [self.o.valid.eq(1), o.eq(spare)]
            with m.Else():
                m.d.sync += [self.o.valid.eq(self.i.valid), o.eq(i)]
        with m.Elif(self.i.valid & ~spare_full):
            m.d.sync += [spare.eq(i), spare_full.eq(1)]
        return m
