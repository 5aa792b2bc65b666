"""The order among the ready nano-operations of a unit."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import BANK, first_layout

__all__ = ["OldestFirst"]


class OldestFirst(wiring.Component):
    """Choose for every unit: the most urgent priority, of those the older iteration, of those the lowest place.

    Descriptors lie in the table by unit and priority, so each iteration's best is its first one among a unit's
    neighbours. A carry chain finds it for all units: a carry enters at the first place of every unit and dies at a
    nano-operation that is ready. The newer iteration's best goes first only if no ready one of the older lies before it
    nor, as a third chain from the other end says, follows it in its priority.

    Timing
    ------
    A choice comes in the clock after ``older`` and ``newer`` (latency 1).

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    mine : In(n_descriptors) of every unit, its places
    unit_begins, class_begins : In(n_descriptors), places that are the first of their unit, of their priority in it
    older, newer : In(n_descriptors), the places whose nano-operation is ready in the next clock, in the older or the
        newer iteration
    ready : Out(n_descriptors), the places whose nano-operation is ready
    valid : Out(n_units), the unit has a candidate
    is_newer : Out(n_units), the newer iteration's goes first
    first_older, first_newer : Out(first) of every unit, the place of either iteration's best
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        n = config.n_descriptors
        super().__init__(
            {
                "mine": In(n).array(config.n_units),
                "unit_begins": In(n),
                "class_begins": In(n),
                "older": In(n),
                "newer": In(n),
                "ready": Out(n),
                "valid": Out(config.n_units),
                "is_newer": Out(config.n_units),
                "first_older": Out(first_layout(config)).array(config.n_units),
                "first_newer": Out(first_layout(config)).array(config.n_units),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n = self.config.n_descriptors
        older, newer = Signal(n), Signal(n)
        m.d.sync += [older.eq(self.older), newer.eq(self.newer)]
        unit_ends = Cat(self.unit_begins[1:], 1)
        older_chain = _chain(m, "older", self.older, unit_ends)
        newer_chain = _chain(m, "newer", self.newer, unit_ends)
        follows_chain = _chain(m, "follows", self.older[::-1], self.class_begins[::-1])[::-1]
        m.d.comb += self.ready.eq(older | newer)
        # where a newer one goes before all older ones of its unit, if it is ready
        goes_first = Signal(n)
        m.d.comb += goes_first.eq(~(older_chain ^ unit_ends) & ~(follows_chain ^ self.class_begins))
        for unit, mine in enumerate(self.mine):
            m.d.comb += [
                self.valid[unit].eq((self.ready & mine).any()),
                self.is_newer[unit].eq((goes_first & (newer & mine)).any()),
            ]
            for chosen, first in (
                (older_chain & (older & mine), self.first_older[unit]),
                (newer_chain & (newer & mine), self.first_newer[unit]),
            ):
                for bank, here in enumerate(first.banks):
                    one_hot = chosen[bank * BANK : (bank + 1) * BANK]
                    m.d.comb += [here.any.eq(one_hot.any()), here.place.eq(_encode(one_hot))]
        return m


def _chain(m: Module, name: str, stops: Value, ends: Value) -> Value:
    """A carry that enters at place 0 and after every end, and dies at a stop; in the clock after ``stops``.

    Returns whether it arrives: at a stop as it is, elsewhere inverted if the place is no end. An adder does it: both
    summands 1 at an end make a carry, both 0 at a stop end it, one of each passes it on.
    """
    n = len(stops)
    passes = Signal(n, name=f"{name}_passes")
    total = Signal(n + 1, name=f"{name}_total")
    m.d.sync += passes.eq(~stops | ends)
    m.d.comb += total.eq(Cat(1, passes) + Cat(1, ends))
    return total[1:]


def _encode(chosen: Value) -> Value:
    """The place of the one bit that is set, or 0."""
    n = len(chosen)
    return Cat(Cat(chosen[place] for place in range(n) if place >> bit & 1).any() for bit in range(index_bits(n)))
