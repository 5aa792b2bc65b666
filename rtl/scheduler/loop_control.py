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
    ``retire`` comes in the clock after the last completion of the oldest iteration, and the iteration after the next
    opens in the clock after that. ``done`` is high for one clock, the one after the last retirement. While it does not
    run, the window becomes that of the beginning of a run; that takes the clock of ``done``.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    start : In(1), begin at iteration 0
    last : In, nano-operations of the body less one
    count : In(16), iterations
    next_count : In(16), those of the next run: ``count``, or what is being loaded
    older, newer : In(n_units), units whose nano-operation is complete, of what in the next clock is the older or the
        newer iteration in flight
    base : Out(16), the older iteration in flight
    window : Out(window), what the ready check needs to know of the loop
    retire : Out(1), the older iteration ended with the completions of the clock before
    done : Out(1), the program has ended
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "last": In(index_bits(config.n_descriptors)),
                "count": In(COUNT_BITS),
                "next_count": In(COUNT_BITS),
                "older": In(config.n_units),
                "newer": In(config.n_units),
                "base": Out(COUNT_BITS),
                "window": Out(window_layout()),
                "retire": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        window = self.window
        width = index_bits(self.config.n_descriptors) + 1
        after = []
        for role, completed in (("older", self.older), ("newer", self.newer)):
            units, left = Signal(self.config.n_units, name=f"{role}_units"), Signal(width, name=f"{role}_left")
            n_completed = sum(units[unit] for unit in range(self.config.n_units))
            m.d.sync += units.eq(completed)
            after.append((left, n_completed, left - n_completed))
        (older_left, n_older, older_after), (newer_left, _, newer_after) = after
        m.d.comb += self.retire.eq(window.running & (older_left == n_older))
        m.d.sync += [
            older_left.eq(Mux(self.retire, newer_after, older_after)),
            newer_left.eq(Mux(self.retire, self.last + 1, newer_after)),
        ]
        # iterations retire several clocks apart, as the descriptor that ends one has yet to be issued in the next
        after_next_is_last = Signal()
        m.d.sync += [self.done.eq(0), after_next_is_last.eq(self.base + 4 == self.count)]
        with m.If(self.retire):
            m.d.sync += [
                self.base.eq(self.base + 1),
                window.old.eq(~window.old),
                window.old_is_last.eq(window.new_is_last),
                window.new_is_last.eq(window.next_is_last),
                window.next_is_last.eq(after_next_is_last),
                window.has_next.eq(window.has_next & ~window.next_is_last),
            ]
        with m.If(self.start):
            m.d.sync += window.running.eq(1)
        with m.Elif(self.retire & window.old_is_last):
            m.d.sync += [window.running.eq(0), self.done.eq(1)]
        with m.If(~window.running):
            m.d.sync += [
                self.base.eq(0),
                window.old.eq(0),
                window.old_is_last.eq(self.next_count == 1),
                window.new_is_last.eq(self.next_count == 2),
                window.next_is_last.eq(self.next_count == 3),
                window.has_next.eq(self.next_count > 2),
                older_left.eq(self.last + 1),
                newer_left.eq(self.last + 1),
            ]
        return m
