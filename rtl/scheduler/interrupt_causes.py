"""The interrupt of the scheduler unit."""

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.supervision import CAUSE_BITS

__all__ = ["InterruptCauses"]


class InterruptCauses(wiring.Component):
    """Keep what happened until it is cleared, and hold the line while something enabled is kept.

    Timing
    ------
    An event shows in ``causes`` in the clock after, in ``interrupt`` in the one after that.

    Members
    -------
    events : In, by ``arch.supervision.Cause``, one clock each
    clear : In, forget these; an event of the same clock is kept
    enable : In, those that raise the line
    causes : Out
    interrupt : Out(1)
    """

    events: In(CAUSE_BITS)
    clear: In(CAUSE_BITS)
    enable: In(CAUSE_BITS)
    causes: Out(CAUSE_BITS)
    interrupt: Out(1)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.d.sync += [
            self.causes.eq(self.causes & ~self.clear | self.events),
            self.interrupt.eq((self.causes & self.enable).any()),
        ]
        return m
