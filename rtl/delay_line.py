"""A value some clocks later: what waits for a pipeline beside it."""

from amaranth.hdl import Cat, Module, Shape, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DelayLine"]


class DelayLine(wiring.Component):
    """Give each value again a fixed number of enabled clocks later. Starts with zeros.

    Timing: latency ``clocks`` enabled clocks, initiation interval 1.

    Parameters
    ----------
    shape : shape of a value
    clocks : enabled clocks of delay; 0 is a wire

    Members
    -------
    en : In(1), the line moves; left unconnected it always does
    i : In(shape)
    o : Out(shape)
    """

    def __init__(self, shape: ShapeLike, clocks: int) -> None:
        self.shape = shape
        self.clocks = clocks
        super().__init__({"en": In(1, init=1), "i": In(shape), "o": Out(shape)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        o = Value.cast(self.o)
        if self.clocks == 0:
            m.d.comb += o.eq(Value.cast(self.i))
            return m
        width = Shape.cast(self.shape).width
        if width == 1:
            # One packed register shifts faster in simulation than single bits.
            line = Signal(self.clocks)
            with m.If(self.en):
                m.d.sync += line.eq(Cat(self.i, line[:-1]))
            m.d.comb += o.eq(line[-1])
            return m
        value = Value.cast(self.i)
        for number in range(self.clocks):
            stage = Signal(width, name=f"stage_{number}")
            with m.If(self.en):
                m.d.sync += stage.eq(value)
            value = stage
        m.d.comb += o.eq(value)
        return m
