"""The loop over the body, two iterations in flight."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.bit_count import ones
from rtl.scheduler.signature import window_layout

__all__ = ["LoopControl"]


class LoopControl(wiring.Component):
    """Count what is issued and follow it to its end; retire the older iteration when its body is complete and let the
    next one in.

    Timing
    ------
    ``retire`` comes in the clock of the last completion of the oldest iteration, and the iteration after the next
    opens in the clock after. ``done`` is high for one clock, the second after the last retirement. While it does not
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
    even, odd : In(n_units), registers: in the clock before a nano-operation was granted, of an iteration of that parity
    works_even, works_odd : In(n_units), registers: it has been granted and is not complete
    ends : In(n_units), it is complete
    base : Out(16), the older iteration in flight
    window : Out(window), what the ready check needs to know of the loop
    retire : Out(1), the older iteration ends in this clock
    clear : Out(1), nothing runs, or no longer: nothing is issued or complete until the next ``start``
    busy, done : Out(1), registers: a program runs, or ends; it has ended
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "last": In(index_bits(config.n_descriptors)),
                "count": In(COUNT_BITS),
                "next_count": In(COUNT_BITS),
                **{name: In(config.n_units) for name in ("even", "odd", "works_even", "works_odd", "ends")},
                "base": Out(COUNT_BITS),
                "window": Out(window_layout()),
                "retire": Out(1),
                "clear": Out(1),
                "busy": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        window, closes = self.window, Signal()
        m.d.comb += [
            # what ends is heard last
            self.retire.eq(self._issued(m) & ~(self._works() & ~self.ends).any()),
            self.clear.eq(~window.running | closes),
        ]
        m.d.sync += [
            closes.eq(self.retire & window.old_is_last),
            self.busy.eq(self.start | window.running),
            self.done.eq(closes),
        ]
        with m.If(self.start):
            m.d.sync += window.running.eq(1)
        with m.Elif(closes):
            m.d.sync += window.running.eq(0)
        self._move(m)
        return m

    def _issued(self, m: Module) -> Value:
        """All of the older iteration has been granted, up to the clock before."""
        width = index_bits(self.config.n_descriptors) + 1
        all_of_it, issued = Signal(width), []
        m.d.comb += all_of_it.eq(self.last + 1)
        for parity, granted in enumerate((self.even, self.odd)):
            # of the iteration of that parity, those that have not been granted; never 0 while nothing runs
            left, kept = Signal(width, name=f"left{parity}", init=1), Signal(width, name=f"kept{parity}")
            n_granted, of_older = Cat(ones(list(granted))), self.window.old == parity
            issued.append(of_older & (left == n_granted))
            m.d.comb += kept.eq(left - n_granted)
            stays = Mux(self.clear, all_of_it, kept)
            m.d.sync += left.eq(Mux(self.retire, Mux(of_older, all_of_it, stays), stays))
        return issued[0] | issued[1]

    def _works(self) -> Value:
        """Units that work at the older iteration."""
        old = self.window.old.replicate(self.config.n_units)
        return ~old & self.works_even | old & self.works_odd

    def _move(self, m: Module) -> None:
        """The window moves on by an iteration at a retirement, and back while nothing runs."""
        window, count = self.window, self.next_count
        # iterations retire several clocks apart, as the descriptor that ends one has yet to be issued in the next
        after_next_is_last = Signal()
        m.d.sync += after_next_is_last.eq(self.base + 4 == self.count)
        for bit, moved, at_first in (
            (window.old, ~window.old, 0),
            (window.old_is_last, window.new_is_last, count == 1),
            (window.new_is_last, window.next_is_last, count == 2),
            (window.next_is_last, after_next_is_last, count == 3),
            (window.has_next, window.has_next & ~window.next_is_last, count > 2),
        ):
            # as gates: an enable would hear of the retirement later; nothing retires while nothing runs
            stays = window.running & bit | ~window.running & at_first
            m.d.sync += bit.eq(~self.retire & stays | self.retire & moved)
        with m.If(self.retire):
            m.d.sync += self.base.eq(self.base + 1)
        with m.If(~window.running):
            m.d.sync += self.base.eq(0)
