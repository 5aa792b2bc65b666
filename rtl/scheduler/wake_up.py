"""Which descriptors are ready: what they wait for, and what of it has happened."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import column_layout, totals_layout, window_layout

__all__ = ["WakeUp"]


class WakeUp(wiring.Component):
    """Count for every descriptor the events it waits for, and say whether its next nano-operation will be ready.

    A descriptor goes through the iterations in order; the next one it has not been issued in is its *turn*: the older
    or the newer of the two in flight, or the one after them, for which it is *parked*. For every descriptor the awaited
    events of its own iteration and those of the iteration before are counted, each by the parity of the iteration they
    happen in; those of the iteration after only happen in the newer one. What a unit's event means to all descriptors
    is its column; up to ``n_units`` columns are counted in a clock.

    A nano-operation is ready iff the counts of its turn have reached their totals, but for those of iterations outside
    the loop or retired. In an iteration past the two in flight nothing happens.

    Timing
    ------
    ``older`` and ``newer`` are of the next clock. An event shows in them in the clock after, a retirement and ``start``
    at once; that a nano-operation was ``taken`` in the clock after, which is soon enough, since its unit then works for
    two more clocks at least.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    columns : In(column) of every unit, who waits for its event
    even, odd, newest : In(n_units), the unit's event happens in this clock, in an iteration of that parity; in one that
        is the newer of the two in the next clock
    totals : In(totals), how many events each place waits for
    counted : Out(totals), counts of even iterations and of the iteration after
    enabled : In(n_descriptors), the places in use
    start : In(1), the first two iterations open
    clear : In(1), back to the state before the start; ``start`` wins
    counts : In(1), count nevertheless
    window : In(window), the iterations in flight
    retire : In(1), the older one ends with events of the clock before
    taken : In(n_descriptors), the places issued in the clock before
    older, newer : Out(n_descriptors), ready in the next clock, in the older or newer iteration
    turn_older, turn_parity : Out(n_descriptors), its turn is in the older iteration; parity of its turn
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        n, n_units = config.n_descriptors, config.n_units
        super().__init__(
            {
                "columns": In(column_layout(config)).array(n_units),
                "even": In(n_units),
                "odd": In(n_units),
                "newest": In(n_units),
                "totals": In(totals_layout(config)),
                "counted": Out(totals_layout(config)),
                "enabled": In(n),
                "start": In(1),
                "clear": In(1),
                "counts": In(1),
                "window": In(window_layout()),
                "retire": In(1),
                "taken": In(n),
                "older": Out(n),
                "newer": Out(n),
                "turn_older": Out(n, init=(1 << n) - 1),
                "turn_parity": Out(n),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n, window = self.config.n_descriptors, self.window
        parked = self._take_turns(m)
        # counts are cleared in the clock after a retirement, and look as if cleared in it already: nothing of the
        # iteration that opens has happened by then
        retired, forgets = Signal(), [Signal(name=f"forgets{parity}") for parity in range(2)]
        m.d.sync += retired.eq(self.retire)
        m.d.comb += [
            forget.eq(self.clear & ~self.counts | retired & (window.old != parity))
            for parity, forget in enumerate(forgets)
        ]
        met = {
            (offset, when): self._count(m, offset, when, getattr(self, when), forget)
            for offset, when, forget in (
                ("same", "even", forgets[0]),
                ("same", "odd", forgets[1]),
                ("before", "even", forgets[0]),
                ("before", "odd", forgets[1]),
                ("after", "newest", forgets[0] | forgets[1]),
            )
        }
        # where nothing is counted yet all waits are met only if there are none
        none_same, none_after = Signal(n), Signal(n)
        with m.If(self.clear & ~self.counts):
            m.d.sync += [none_same.eq(met["same", "even"]), none_after.eq(met["after", "newest"])]

        def each(value: Value) -> Value:
            return value.replicate(n)

        # the iteration after the turn's is outside the loop, or nothing of it is awaited
        older, newer, opened = Signal(n), Signal(n), Signal(n)
        old = each(window.old)
        m.d.comb += [
            older.eq(
                _select(old, met["same", "odd"], met["same", "even"])
                & (met["after", "newest"] & (none_after | each(~retired)) | each(window.old_is_last))
            ),
            newer.eq(
                _select(
                    old,
                    met["same", "even"] & met["before", "odd"],
                    met["same", "odd"] & met["before", "even"],
                )
                & (none_same | each(~retired))
                & (none_after | each(window.new_is_last))
            ),
            opened.eq(
                _select(old, met["before", "even"], met["before", "odd"])
                & none_same
                & (none_after | each(window.next_is_last))
            ),
        ]
        in_older = self.turn_older & (~parked | self.enabled & each(self.start))
        in_newer = ~self.turn_older & ~parked & newer
        in_opened = ~self.turn_older & parked & self.enabled & each(window.has_next) & opened
        # when the older one ends all of it has been issued
        m.d.comb += [
            self.older.eq(in_older & older | in_newer & each(self.retire)),
            self.newer.eq(_select(each(self.retire), in_opened, in_newer)),
        ]
        return m

    def _count(self, m: Module, offset: str, when: str, happens: Value, forget: Value) -> Signal:
        """Count one kind of wait for every place; returns which places will have met all of them in the next clock."""
        config, n, name = self.config, self.config.n_descriptors, f"{offset}_{when}"
        columns = []
        for unit in range(config.n_units):
            column = Signal(n, name=f"{name}_column{unit}")
            m.d.sync += column.eq(Mux(happens[unit], self.columns[unit][offset], 0))
            columns.append(column)
        met = Signal(n, name=f"{name}_met")
        for place in range(n):
            count, now = (Signal(index_bits(n), name=f"{name}_{what}{place}") for what in ("count", "now"))
            hits = [column[place] for column in columns]
            # the last unit's goes in as the carry of an adder
            total = Cat(1, count) + Cat(hits[-1], *_ones(hits[:-1]))
            m.d.comb += [now.eq(total[1:]), met[place].eq(now == self.totals[offset][place])]
            m.d.sync += count.eq(Mux(forget, 0, now))
            if when != "odd":
                m.d.comb += self.counted[offset][place].eq(count)
        return met

    def _take_turns(self, m: Module) -> Signal:
        """Whose turn is in which iteration; returns those that are parked, among them the ones that have ended."""
        n = self.config.n_descriptors
        older, parity = self.turn_older, self.turn_parity
        parked, later = Signal(n, init=(1 << n) - 1), Signal(n)
        m.d.comb += later.eq(parked | self.taken)
        m.d.sync += parity.eq(parity ^ self.taken)
        with m.If(self.retire):
            # what is not parked was issued in the older iteration and waits its turn in the newer, now the older
            m.d.sync += [
                older.eq(~later),
                parked.eq(later & ~(self.enabled & self.window.has_next.replicate(n))),
            ]
        with m.Else():
            m.d.sync += [
                older.eq(older & ~self.taken),
                parked.eq(parked | self.taken & (~older | self.window.old_is_last.replicate(n))),
            ]
        with m.If(self.clear):
            m.d.sync += [older.eq(Const(-1, n)), parked.eq(Const(-1, n)), parity.eq(0)]
        with m.If(self.start):
            m.d.sync += parked.eq(~self.enabled)
        return parked


def _select(which: Value, yes: Value, no: Value) -> Value:
    """Bit by bit a choice of two."""
    return which & yes | ~which & no


def _ones(bits: Sequence[Value]) -> list[Value]:
    """How many bits are set, lowest bit first, as gates: adders would cost a carry chain each."""
    columns, number = [list(bits)], []
    while columns:
        column = columns.pop(0)
        carries = []
        while len(column) > 1:
            a, b = column.pop(0), column.pop(0)
            c = column.pop(0) if column else Const(0)
            column.append(a ^ b ^ c)
            carries.append(a & b | a & c | b & c)
        number += column
        if carries:
            if not columns:
                columns.append([])
            columns[0] += carries
    return number
