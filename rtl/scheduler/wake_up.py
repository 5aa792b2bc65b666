"""Which descriptors are ready: what they wait for, and what of it has happened."""

import itertools

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.bit_count import ones
from rtl.scheduler.signature import column_layout, totals_layout, window_layout

__all__ = ["WakeUp"]


class WakeUp(wiring.Component):
    """Count for every descriptor the events it waits for, and say whether its next nano-operation is ready.

    A descriptor goes through the iterations in order; the next one it has not been issued in is its *turn*: the older
    or the newer of the two in flight, or the one after them. For every descriptor the awaited events of its own
    iteration and those of the iteration before are counted, each by the parity of the iteration they happen in; those
    of the iteration after only happen in the newer one. What a unit's event means to all descriptors is its column; up
    to ``n_units`` columns are counted in a clock.

    An event is counted *before* it happens, in the clock after its nano-operation was granted. Until it happens it is
    *pending*, and its column, kept here, holds back all that wait for it. So no sum and no comparison lies between an
    event and those it sets free.

    A nano-operation is ready iff the counts of its turn have reached their totals and no pending event holds it back,
    but for events of iterations outside the loop or retired. In an iteration past the two in flight nothing happens.

    Timing
    ------
    ``older`` and ``newer`` are combinational from registers. An event that is counted shows in the second clock after
    ``even`` or ``odd``, one that happens in the clock after, when it is no longer pending; ``taken`` and ``retire`` in
    the clock after.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    columns : In(column) of every unit, who waits for the next event of its nano-operation
    shows : In(n_units), keep the column
    even, odd, newest : In(n_units), the event of the kept column is counted in the next clock, in an iteration of that
        parity; in the newer one of this clock
    pends_older, pends_newer : In(n_units), registers: it has yet to happen, in the older or the newer iteration
    totals : In(totals), how many events each place waits for
    counted : Out(totals), counts of even iterations and of the iteration after
    enabled : In(n_descriptors), the places in use
    next_enabled : In(n_descriptors), those of the next run
    clear : In(1), back to the state before a run
    counts : In(1), count nevertheless; no run begins in the two clocks after
    window : In(window), the iterations in flight
    retire : In(1), the older one ends in this clock; the next time is several clocks later
    taken : In(n_descriptors), the places issued in the clock before
    older, newer : Out(n_descriptors), ready in this clock, in the older or newer iteration, unless held back
    held_older, held_newer : Out(n_descriptors), a pending event holds it back
    turn_older, turn_parity : Out(n_descriptors), its turn is in the older iteration; parity of its turn
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        n, n_units = config.n_descriptors, config.n_units
        super().__init__(
            {
                "columns": In(column_layout(config)).array(n_units),
                "shows": In(n_units),
                "even": In(n_units),
                "odd": In(n_units),
                "newest": In(n_units),
                "pends_older": In(n_units),
                "pends_newer": In(n_units),
                "totals": In(totals_layout(config)),
                "counted": Out(totals_layout(config)),
                "enabled": In(n),
                "next_enabled": In(n),
                "clear": In(1),
                "counts": In(1),
                "window": In(window_layout()),
                "retire": In(1),
                "taken": In(n),
                "older": Out(n),
                "newer": Out(n),
                "held_older": Out(n),
                "held_newer": Out(n),
                "turn_older": Out(n),
                "turn_parity": Out(n),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n, window = self.config.n_descriptors, self.window
        columns = [Signal(column_layout(self.config), name=f"column{unit}") for unit in range(self.config.n_units)]
        for unit, column in enumerate(columns):
            with m.If(self.shows[unit]):
                m.d.sync += column.eq(self.columns[unit])
        in_older, in_newer = self._take_turns(m)
        # counts are cleared in the clock after a retirement: nothing of the iteration that opens has happened by then
        retired, idle = Signal(), Signal()
        m.d.sync += retired.eq(self.retire)
        m.d.comb += idle.eq(self.clear & ~self.counts)
        opens = {"even": retired & window.old, "odd": retired & ~window.old, "newest": retired}
        met, none = {}, {"same": Signal(n, name="none_same"), "after": Signal(n, name="none_after")}
        for offset, when in (
            ("same", "even"), ("same", "odd"), ("before", "even"), ("before", "odd"), ("after", "newest"),
        ):  # fmt: skip
            now = self._count(m, offset, when, columns, idle | opens[when])
            met[offset, when] = self._compare(m, offset, when, now, opens=opens[when], none=none.get(offset))
        # where nothing is counted yet all waits are met only if there are none
        with m.If(idle):
            m.d.sync += [none["same"].eq(met["same", "even"]), none["after"].eq(met["after", "newest"])]

        def each(value: Value) -> Value:
            return value.replicate(n)

        def held(older: str, newer: str) -> Value:
            """By what pends in the older and in the newer iteration."""
            held = [
                each(of_older) & column[older] | each(of_newer) & column[newer]
                for column, of_older, of_newer in zip(columns, self.pends_older, self.pends_newer, strict=True)
            ]
            # a tree of gates: in a row they would stay one
            while len(held) > 1:
                held = [
                    left | right for left, right in itertools.zip_longest(held[::2], held[1::2], fillvalue=Const(0))
                ]
            return held[0]

        old = each(window.old)
        same = old & met["same", "odd"] | ~old & met["same", "even"]
        after = met["after", "newest"] & (none["after"] | each(~retired)) | each(window.old_is_last)
        # what the turn of the newer iteration waits for, by the parity of that iteration
        waits = [met["same", "even"] & met["before", "odd"], met["same", "odd"] & met["before", "even"]]
        opened = (none["same"] | each(~retired)) & (none["after"] | each(window.new_is_last))
        m.d.comb += [
            self.older.eq(in_older & (same & after)),
            self.newer.eq((in_newer[0] & waits[0] | in_newer[1] & waits[1]) & opened),
            self.held_older.eq(held("same", "after")),
            self.held_newer.eq(held("before", "same")),
        ]
        return m

    def _count(self, m: Module, offset: str, when: str, columns: list[data.View], forgets: Value) -> list[Signal]:
        """Count one kind of wait for every place; returns the counts, with the events of this clock."""
        config, n, name = self.config, self.config.n_descriptors, f"{offset}_{when}"
        happens, numbers = Signal(config.n_units, name=f"{name}_happens"), []
        m.d.sync += happens.eq(getattr(self, when))
        for place in range(n):
            count, now = (Signal(index_bits(n), name=f"{name}_{what}{place}") for what in ("count", "now"))
            hits = [happens[unit] & column[offset][place] for unit, column in enumerate(columns)]
            # the last unit's goes in as the carry of an adder
            m.d.comb += now.eq((Cat(1, count) + Cat(hits[-1], *ones(hits[:-1])))[1:])
            m.d.sync += count.eq(Mux(forgets, 0, now))
            numbers.append(now)
            if when != "odd":
                m.d.comb += self.counted[offset][place].eq(count)
        return numbers

    def _compare(
        self, m: Module, offset: str, when: str, now: list[Signal], *, opens: Value, none: Signal | None
    ) -> Signal:
        """Which places have met all waits of one kind, a register: where an iteration opens, those of ``none``."""
        met = Signal(len(now), name=f"{offset}_{when}_met")
        for place, number in enumerate(now):
            differs = number ^ self.totals[offset][place]
            low, high = ~differs[:2].any(), ~differs[2:].any()
            if none is None:
                # nobody asks before the next retirement
                m.d.sync += met[place].eq(low & high)
            else:
                # as gates, with the sum's last bits at the end
                m.d.sync += met[place].eq((low | opens) & (opens & none[place] | ~opens & high))
        return met

    def _take_turns(self, m: Module) -> tuple[Signal, list[Signal]]:
        """Whose turn is in the older iteration, and in the newer one if that is even, and if it is odd."""
        n, old = self.config.n_descriptors, self.window.old
        older, newer = Signal(n), [Signal(n, name=f"newer{parity}") for parity in range(2)]
        moves_on = ~self.window.old_is_last.replicate(n)
        of_newer = Signal(n)
        m.d.comb += [
            of_newer.eq((newer[0] | newer[1]) & ~self.taken | older & self.taken & moves_on),
            # a place that is not in use waits for ever
            self.turn_older.eq(older | ~self.enabled),
        ]
        # when the older one ends all of it has been issued: what is not of the newer one opens with the next
        opens = self.enabled & self.window.has_next.replicate(n) & ~of_newer
        retire = self.retire.replicate(n)
        m.d.sync += older.eq(older & ~self.taken | retire & of_newer)
        for parity, turn in enumerate(newer):
            stays = (old != parity).replicate(n) & of_newer
            comes = (old == parity).replicate(n) & opens
            m.d.sync += turn.eq(~retire & stays | retire & comes)
        m.d.sync += self.turn_parity.eq(self.turn_parity ^ self.taken)
        with m.If(self.clear):
            m.d.sync += [older.eq(self.next_enabled), newer[0].eq(0), newer[1].eq(0), self.turn_parity.eq(0)]
        return older, newer
