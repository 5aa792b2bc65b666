"""The descriptors of the loop body: which are ready, and which is the best for every unit."""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import PRIORITY_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.oldest_first import OldestFirst
from rtl.scheduler.share_banks import ShareBanks
from rtl.scheduler.signature import (
    column_layout,
    descriptor_layout,
    footprint_layout,
    shares_layout,
    totals_layout,
    window_layout,
)
from rtl.scheduler.wake_up import WakeUp

__all__ = ["DescriptorTable"]

_OF_UNITS = ("shows", "even", "odd", "newest", "pends_older", "pends_newer")
"""What passes on to WakeUp, a bit of every unit."""


class DescriptorTable(wiring.Component):
    """Hold the body, count what its descriptors wait for and show what each unit should execute next.

    Descriptors are written one after the other, by unit, then priority, then index: their place is the order in which
    they are chosen. ``load_last`` ends a body; the next descriptor after it is the first of another.

    Timing
    ------
    An event that happens shows in ``choice`` in the second clock after, and so does a retirement; ``choice`` and
    ``footprint`` are combinational from registers. A nano-operation granted in one clock may be chosen again from the
    third clock after it on.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_index, load_descriptor : In, writes a descriptor at the next place
    load_last : In(1), the body is complete
    clear : In(1), back to the state before a run; held while nothing runs
    next_last : In, the next run is of the descriptors at the places 0 .. ``next_last``
    window : In(window), the iterations in flight
    retire : In(1), the older one ends in this clock
    columns, shows, even, odd, newest, pends_older, pends_newer, totals, counts, counted : as
        :class:`rtl.scheduler.wake_up.WakeUp` says
    choice_valid : Out(n_units), the unit has a ready nano-operation
    fixed, fixed_at : In of every unit, ``choice`` is this place, whatever is best
    choice : Out of every unit, place of the best one
    choice_parity : Out(n_units), parity of its iteration
    shares : Out(shares) of every unit, those of the best one
    picks : In of every unit, the place it stands at
    footprint : Out(footprint) of every unit, what else ``picks`` points to
    granted : In(n_units), ``picks``, the choice of the clock before, is taken
    stands : In of every unit, what it was granted last
    ready : Out(n_descriptors), with ``trace``: whose next nano-operation has met all it waits for
    turn_older, turn_parity : Out(n_descriptors), with ``supervised``: each one's next iteration is the older one in
        flight, and its parity
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        index, n_units = index_bits(config.n_descriptors), config.n_units
        super().__init__(
            {
                "load_valid": In(1),
                "load_index": In(index),
                "load_descriptor": In(descriptor_layout(config)),
                "load_last": In(1),
                "clear": In(1),
                "next_last": In(index),
                "window": In(window_layout()),
                "retire": In(1),
                "columns": In(column_layout(config)).array(n_units),
                **{name: In(n_units) for name in _OF_UNITS},
                "totals": In(totals_layout(config)),
                "counts": In(1),
                "counted": Out(totals_layout(config)),
                "choice_valid": Out(n_units),
                "fixed": In(n_units),
                "fixed_at": In(index).array(n_units),
                "choice": Out(index).array(n_units),
                "choice_parity": Out(n_units),
                "shares": Out(shares_layout(config)).array(n_units),
                "picks": In(index).array(n_units),
                "footprint": Out(footprint_layout(config)).array(n_units),
                "granted": In(n_units),
                "stands": In(index).array(n_units),
                **({"ready": Out(config.n_descriptors)} if config.trace else {}),
                **({"turn_older": Out(config.n_descriptors)} if config.supervised else {}),
                **({"turn_parity": Out(config.n_descriptors)} if config.supervised else {}),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config, n = self.config, self.config.n_descriptors
        place = Signal(index_bits(n))
        with m.If(self.load_valid):
            m.d.sync += place.eq(place + 1)
        with m.If(self.load_last):
            m.d.sync += place.eq(0)
        self._add_footprints(m, place)

        m.submodules.wake_up = wake_up = WakeUp(config)
        m.submodules.oldest_first = oldest_first = OldestFirst(config)
        self._order(m, place, oldest_first)
        enabled = Signal(n)
        with m.If(self.clear):
            m.d.sync += enabled.eq(wake_up.next_enabled)
        m.d.comb += [
            wake_up.enabled.eq(enabled),
            wake_up.next_enabled.eq(~(Const((2 << n) - 2, n + 1) << self.next_last)),
            wake_up.clear.eq(self.clear),
            wake_up.window.eq(self.window),
            wake_up.retire.eq(self.retire),
            wake_up.taken.eq(self._find_taken(m)),
            *(getattr(wake_up, name).eq(getattr(self, name)) for name in _OF_UNITS),
            wake_up.totals.eq(self.totals),
            wake_up.counts.eq(self.counts),
            self.counted.eq(wake_up.counted),
            oldest_first.older.eq(wake_up.older),
            oldest_first.newer.eq(wake_up.newer),
            oldest_first.held_older.eq(wake_up.held_older),
            oldest_first.held_newer.eq(wake_up.held_newer),
            self.choice_valid.eq(oldest_first.valid & self.window.running.replicate(config.n_units)),
            *(mine.eq(its) for mine, its in zip(wake_up.columns, self.columns, strict=True)),
        ]
        self._choose(m, place, oldest_first)
        if config.trace:
            m.d.comb += self.ready.eq(oldest_first.ready)
        if config.supervised:
            m.d.comb += [self.turn_older.eq(wake_up.turn_older), self.turn_parity.eq(wake_up.turn_parity)]
        return m

    def _add_footprints(self, m: Module, place: Signal) -> None:
        """What is looked up of the one a unit stands at."""
        config = self.config
        layout = footprint_layout(config)
        m.submodules.footprints = footprints = memory.Memory(shape=layout, depth=config.n_descriptors, init=[])
        write = footprints.write_port()
        m.d.comb += [
            write.en.eq(self.load_valid),
            write.addr.eq(place),
            write.data.index.eq(self.load_index),
            write.data.announce_start.eq(self.load_descriptor.announce_start),
        ]
        for pick, footprint in zip(self.picks, self.footprint, strict=True):
            read = footprints.read_port(domain="comb")
            m.d.comb += [read.addr.eq(pick), footprint.eq(read.data)]

    def _choose(self, m: Module, place: Signal, oldest_first: OldestFirst) -> None:
        """The best of each unit, and its shares."""
        m.submodules.share_banks = banks = ShareBanks(self.config)
        m.d.comb += [banks.load_valid.eq(self.load_valid), banks.load_place.eq(place)]
        for pool in range(self.config.n_pools):
            m.d.comb += banks.load_shares[pool].eq(self.load_descriptor[f"share{pool}"])
        # of the clock in which the choice was made
        old = Signal()
        m.d.sync += old.eq(self.window.old)
        m.d.comb += [
            banks.is_newer.eq(oldest_first.is_newer),
            banks.fixed.eq(self.fixed),
            self.choice_parity.eq(oldest_first.is_newer ^ old.replicate(self.config.n_units)),
        ]
        for unit in range(self.config.n_units):
            m.d.comb += [
                banks.first_older[unit].eq(oldest_first.first_older[unit]),
                banks.first_newer[unit].eq(oldest_first.first_newer[unit]),
                banks.fixed_at[unit].eq(self.fixed_at[unit]),
                self.choice[unit].eq(banks.choice[unit]),
                self.shares[unit].eq(banks.shares[unit]),
            ]

    def _order(self, m: Module, place: Signal, oldest_first: OldestFirst) -> None:
        """Which places are whose, and where a unit's begin and a priority's end."""
        config, loaded = self.config, self.load_descriptor
        n = config.n_descriptors
        written, of_unit = Signal(n), Signal(config.n_units)
        before, unit_begins, class_begins = Signal(len(loaded.unit) + PRIORITY_BITS), Signal(), Signal()
        class_ = Cat(loaded.unit, loaded.priority)
        # a clock after the load, for which nobody waits
        m.d.sync += [
            written.eq(self.load_valid << place),
            of_unit.eq(1 << loaded.unit),
            unit_begins.eq((place == 0) | (loaded.unit != before[: len(loaded.unit)])),
            class_begins.eq((place == 0) | (class_ != before)),
        ]
        with m.If(self.load_valid):
            m.d.sync += before.eq(class_)
        for at in range(n):
            with m.If(written[at]):
                m.d.sync += [
                    oldest_first.unit_begins[at].eq(unit_begins),
                    *(mine[at].eq(of_unit[unit]) for unit, mine in enumerate(oldest_first.mine)),
                ]
            # it is the last of its priority until the next one belongs to the same
            with m.If(written[at : at + 2].any()):
                m.d.sync += oldest_first.class_ends[at].eq(written[at] | class_begins)
        # none of the body before is left
        with m.If(written[0]):
            m.d.sync += oldest_first.class_ends[1:].eq(0)

    def _find_taken(self, m: Module) -> Value:
        """The places granted in the clock before."""
        granted, taken = Signal.like(self.granted, name="was_granted"), 0
        m.d.sync += granted.eq(self.granted)
        for unit, stands in enumerate(self.stands):
            taken |= (granted[unit] << stands)[: self.config.n_descriptors]
        return taken
