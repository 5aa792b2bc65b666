"""The order among the ready nano-operations of a unit."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig

__all__ = ["OldestFirst"]


class OldestFirst(wiring.Component):
    """Choose for every unit: the most urgent priority, of those the older iteration, of those the lowest place.

    Descriptors lie in the table by unit and priority, so each iteration's best is its first one among a unit's
    neighbours. A carry chain finds it for all units: a carry enters at the first place of every unit and dies at a
    nano-operation that is ready. The newer iteration's best goes first only if no ready one of the older lies before it
    nor, as a third chain from the other end says, follows it in its priority.

    Timing
    ------
    Combinational (latency 0).

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    mine : In(n_descriptors) of every unit, its places
    unit_begins, class_begins : In(n_descriptors), places that are the first of their unit, of their priority in it
    ready : In(n_descriptors), the places whose nano-operation is ready
    older : In(n_descriptors), those where it is of the older iteration
    first_older, first_newer : Out(n_descriptors), the best places of all units in either iteration
    newer : Out(n_units), the newer iteration's goes first
    choice_valid : Out(n_units), the unit has a candidate
    choice : Out of every unit, the place of the best
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        n = config.n_descriptors
        super().__init__(
            {
                "mine": In(n).array(config.n_units),
                "unit_begins": In(n),
                "class_begins": In(n),
                "ready": In(n),
                "older": In(n),
                "first_older": Out(n),
                "first_newer": Out(n),
                "newer": Out(config.n_units),
                "choice_valid": Out(config.n_units),
                "choice": Out(index_bits(n)).array(config.n_units),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n = self.config.n_descriptors
        older, newer = Signal(n), Signal(n)
        unit_ends = Cat(self.unit_begins[1:], 1)
        m.d.comb += [older.eq(self.ready & self.older), newer.eq(self.ready & ~self.older)]
        no_older = _carries(m, "older", older, unit_ends)
        no_newer = _carries(m, "newer", newer, unit_ends)
        none_follows = _carries(m, "follows", older[::-1], self.class_begins[::-1])[::-1]
        m.d.comb += [
            self.first_older.eq(older & no_older),
            self.first_newer.eq(newer & no_newer & no_older & none_follows),
        ]
        for unit in range(self.config.n_units):
            mine = self.mine[unit]
            m.d.comb += [
                self.newer[unit].eq((self.first_newer & mine).any()),
                self.choice_valid[unit].eq((self.ready & mine).any()),
                self.choice[unit].eq(
                    Mux(self.newer[unit], _encode(self.first_newer & mine), _encode(self.first_older & mine))
                ),
            ]
        return m


def _carries(m: Module, name: str, stops: Value, ends: Value) -> Value:
    """Where a carry arrives that enters at place 0 and after every end, and dies at a stop.

    Right for stops; elsewhere too. An adder does it: both summands 1 at an end make a carry, both 0 at a stop end it.
    """
    n = len(stops)
    passes = Signal(n, name=f"{name}_passes")
    total = Signal(n + 1, name=f"{name}_total")
    m.d.comb += [passes.eq(~stops | ends), total.eq(Cat(1, passes) + Cat(1, ends))]
    # the sum is passes ^ ends ^ carry
    return total[1:] ^ passes ^ ends


def _encode(chosen: Value) -> Value:
    """The place of the one bit that is set, or 0."""
    n = len(chosen)
    return Cat(Cat(chosen[place] for place in range(n) if place >> bit & 1).any() for bit in range(index_bits(n)))
