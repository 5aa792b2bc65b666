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
    nano-operation that is ready. The newer iteration's best goes first if at the end of some priority its chain is dead
    and the older one's still lives.

    Timing
    ------
    A choice comes in the clock after ``older`` and ``newer`` (latency 1): the chains lie before registers.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    mine : In(n_descriptors) of every unit, its places
    unit_begins, class_ends : In(n_descriptors), places that are the first of their unit; the last of their priority in
        it, none behind the places in use
    older, newer : In(n_descriptors), the places whose nano-operation is ready in this clock, in the older or the newer
        iteration, unless it is held back
    held_older, held_newer : In(n_descriptors), it is
    ready : Out(n_descriptors), register: the places whose nano-operation was ready in the clock before
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
                "class_ends": In(n),
                "older": In(n),
                "newer": In(n),
                "held_older": In(n),
                "held_newer": In(n),
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
        unit_ends = Cat(self.unit_begins[1:], 1)
        older_chain = _chain(m, "older", self.older, self.held_older, unit_ends)
        newer_chain = _chain(m, "newer", self.newer, self.held_newer, unit_ends)
        older, newer = self.older & ~self.held_older, self.newer & ~self.held_newer
        names = ("best_older", "best_newer", "no_older", "some_newer")
        best_older, best_newer, no_older, some_newer = (Signal(n, name=name) for name in names)
        m.d.sync += [
            self.ready.eq(older | newer),
            best_older.eq(older_chain & older),
            best_newer.eq(newer_chain & newer),
            # up to and with the place, among its unit's
            no_older.eq(self.class_ends & ~older & (older_chain ^ ~unit_ends)),
            some_newer.eq(newer | (newer_chain ^ unit_ends)),
        ]
        for unit, mine in enumerate(self.mine):
            m.d.comb += [
                self.valid[unit].eq(
                    Cat(here.any for first in (self.first_older, self.first_newer) for here in first[unit].banks).any()
                ),
                self.is_newer[unit].eq((no_older & some_newer & mine).any()),
            ]
            for best, first in ((best_older, self.first_older[unit]), (best_newer, self.first_newer[unit])):
                chosen = best & mine
                for bank, here in enumerate(first.banks):
                    one_hot = chosen[bank * BANK : (bank + 1) * BANK]
                    m.d.comb += [here.any.eq(one_hot.any()), here.place.eq(_encode(one_hot))]
        return m


def _chain(m: Module, name: str, may: Value, held: Value, ends: Value) -> Value:
    """A carry that enters at place 0 and after every end, and dies at a stop: at what may be one and is not held.

    Returns whether it arrives: at a stop as it is, elsewhere inverted if the place is no end. An adder does it: both
    summands 1 at an end make a carry, both 0 at a stop end it, one of each passes it on.
    """
    n = len(may)
    total = Signal(n + 1, name=f"{name}_total")
    m.d.comb += total.eq(Cat(1, ~(may & ~ends) | held) + Cat(1, ends))
    return total[1:]


def _encode(chosen: Value) -> Value:
    """The place of the one bit that is set, or 0."""
    n = len(chosen)
    return Cat(Cat(chosen[place] for place in range(n) if place >> bit & 1).any() for bit in range(index_bits(n)))
