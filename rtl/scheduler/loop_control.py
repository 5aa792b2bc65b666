"""The loop over the body, two iterations in flight."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import window_layout

__all__ = ["LoopControl"]


class LoopControl(wiring.Component):
    """Count completions; retire the older iteration when its body is complete and let the next one in.

    Timing
    ------
    ``retire`` is combinational from ``completed`` (latency 0), so that the iteration after the next opens in the clock
    after the last completion of the oldest. ``done`` is high for one clock, the one after the last retirement.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    start : In(1), begin at iteration 0
    last : In, nano-operations of the body less one
    count : In(16), iterations
    completed : In(1), a nano-operation is complete
    parity : In(1), parity of its iteration
    base : Out(16), the older iteration in flight
    window : Out(window), what the ready check needs to know of the loop
    retire : Out(1), the older iteration ends with this completion
    done : Out(1), the program has ended
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "last": In(index_bits(config.n_descriptors)),
                "count": In(COUNT_BITS),
                "completed": In(1),
                "parity": In(1),
                "base": Out(COUNT_BITS),
                "window": Out(window_layout()),
                "retire": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        # completions of a whole body would need one value more; but those are never counted, they retire
        n_done = [Signal(index_bits(self.config.n_descriptors), name=f"n_done{parity}") for parity in range(2)]
        of_old = Mux(self.window.old, n_done[1], n_done[0])
        m.d.comb += self.retire.eq(self.completed & (self.parity == self.window.old) & (of_old == self.last))
        m.d.sync += self.done.eq(0)
        for parity in range(2):
            with m.If(self.completed & (self.parity == parity)):
                m.d.sync += n_done[parity].eq(Mux(self.retire, 0, n_done[parity] + 1))
        with m.If(self.retire):
            m.d.sync += [
                self.base.eq(self.base + 1),
                self.window.old.eq(~self.window.old),
                self.window.old_is_last.eq(self.window.new_is_last),
                self.window.new_is_last.eq(self.base + 3 == self.count),
            ]
            with m.If(self.window.old_is_last):
                m.d.sync += [self.window.running.eq(0), self.done.eq(1)]
        with m.If(self.start):
            m.d.sync += [
                self.base.eq(0),
                self.window.running.eq(1),
                self.window.old.eq(0),
                self.window.old_is_last.eq(self.count == 1),
                self.window.new_is_last.eq(self.count == 2),
                n_done[0].eq(0),
                n_done[1].eq(0),
            ]
        return m
