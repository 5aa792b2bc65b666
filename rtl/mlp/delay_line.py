"""A value some clocks later."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib.wiring import Component, In, Out

__all__ = ["DelayLine"]


class DelayLine(Component):
    """Delay a plain value by a fixed number of clocks.

    Timing: latency ``cycles``, initiation interval 1, never stalls. A single bit is 0 after reset; wider values are
    what they were.

    Parameters
    ----------
    shape : of the value
    cycles : clocks of delay; 0 is a wire

    Members
    -------
    i : In(shape)
    o : Out(shape)
    """

    def __init__(self, shape: Shape, cycles: int) -> None:
        self.shape = Shape.cast(shape)
        self.cycles = cycles
        super().__init__({"i": In(shape), "o": Out(shape)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.cycles == 0:
            m.d.comb += self.o.eq(self.i)
            return m
        if self.shape.width == 1:
            # one packed register shifts faster in simulation than single bits
            line = Signal(self.cycles)
            m.d.sync += line.eq(line << 1 | self.i)
            m.d.comb += self.o.eq(line[-1])
            return m
        value = self.i
        for number in range(self.cycles):
            stage = Signal(self.shape, name=f"stage_{number}", reset_less=True)
            m.d.sync += stage.eq(value)
            value = stage
        m.d.comb += self.o.eq(value)
        return m
