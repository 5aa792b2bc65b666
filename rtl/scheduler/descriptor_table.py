"""The descriptors of the loop body: which are ready, and which is the best for every unit."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import PRIORITY_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.oldest_first import OldestFirst
from rtl.scheduler.signature import (
    BANK_BITS,
    banks_layout,
    descriptor_layout,
    footprint_layout,
    shares_layout,
    wait_layout,
    window_layout,
)
from rtl.scheduler.wake_up import WakeUp

__all__ = ["DescriptorTable"]


class DescriptorTable(wiring.Component):
    """Hold the body, watch the scoreboard for it and show what each unit should execute next.

    Descriptors are written one after the other, by unit, then priority, then index: their place is the order in which
    they are chosen. ``load_last`` ends a body; the next descriptor after it is the first of another.

    Timing
    ------
    An event shows in ``choice`` in the clock after; ``choice`` and ``footprint`` are combinational from registers.
    A nano-operation granted in one clock may be chosen again from the third clock after it on.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_index, load_descriptor : In, writes a descriptor at the next place
    load_last : In(1), the body is complete
    start : In(1), begins a run of the descriptors at the places 0 .. ``last``
    clear : In(1), back to the state before ``start``; held while nothing runs
    last : In
    window : In(window), the iterations in flight
    retire : In(1), the older one ends with the event of this clock
    event_started, event_completed, event_operation, event_parity : In, an event at the scoreboard, and which
    event_row, event_full : In, the bitmap after it, and whether it holds every chunk of the operation
    choice_valid : Out(n_units), the unit has a ready nano-operation
    choice : Out of every unit, place of the best one
    picks : In of every unit, the place it stands at
    parity : Out(1) of every unit, parity of its next iteration; until two clocks after the grant
    footprint : Out(footprint) of every unit, what ``picks`` holds and marks
    ready : Out(n_descriptors), with ``trace``: whose next nano-operation has met all it waits for
    turn_older, turn_parity : Out(n_descriptors), with ``supervised``: each one's next iteration is the older one in
        flight, and its parity
    shares : Out(banks) of every unit, the shares where ``picks`` points to in every bank of places
    granted : In(n_units), ``picks``, the choice of the clock before, is taken
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        index = index_bits(config.n_descriptors)
        super().__init__(
            {
                "load_valid": In(1),
                "load_index": In(index),
                "load_descriptor": In(descriptor_layout(config)),
                "load_last": In(1),
                "start": In(1),
                "clear": In(1),
                "last": In(index),
                "window": In(window_layout()),
                "retire": In(1),
                "event_operation": In(index_bits(config.n_operations)),
                "event_started": In(1),
                "event_completed": In(1),
                "event_parity": In(1),
                "event_row": In(config.n_chunks),
                "event_full": In(1),
                "choice_valid": Out(config.n_units),
                "choice": Out(index).array(config.n_units),
                "picks": In(index).array(config.n_units),
                "parity": Out(1).array(config.n_units),
                "footprint": Out(footprint_layout(config)).array(config.n_units),
                "shares": Out(banks_layout(config)).array(config.n_units),
                "granted": In(config.n_units),
                **({"ready": Out(config.n_descriptors)} if config.trace else {}),
                **({"turn_older": Out(config.n_descriptors)} if config.supervised else {}),
                **({"turn_parity": Out(config.n_descriptors)} if config.supervised else {}),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        place = Signal(index_bits(config.n_descriptors))
        with m.If(self.load_valid):
            m.d.sync += place.eq(place + 1)
        with m.If(self.load_last):
            m.d.sync += place.eq(0)
        self._add_footprints(m, place)

        m.submodules.wake_up = wake_up = WakeUp(config)
        m.submodules.oldest_first = oldest_first = OldestFirst(config)
        self._hold(m, place, wake_up, oldest_first)
        m.d.comb += [
            wake_up.enabled.eq((2 << self.last) - 1),
            wake_up.start.eq(self.start),
            wake_up.clear.eq(self.clear),
            wake_up.window.eq(self.window),
            wake_up.retire.eq(self.retire),
            wake_up.taken.eq(self._find_taken(m, oldest_first)),
            wake_up.event_operation.eq(self.event_operation),
            wake_up.event_started.eq(self.event_started),
            wake_up.event_completed.eq(self.event_completed),
            wake_up.event_parity.eq(self.event_parity),
            wake_up.event_row.eq(self.event_row),
            wake_up.event_full.eq(self.event_full),
            oldest_first.ready.eq(wake_up.ready),
            oldest_first.older.eq(wake_up.older),
            self.choice_valid.eq(oldest_first.choice_valid),
        ]
        if config.trace:
            m.d.comb += self.ready.eq(wake_up.ready)
        if config.supervised:
            m.d.comb += [self.turn_older.eq(wake_up.older), self.turn_parity.eq(wake_up.parity)]
        for unit, pick in enumerate(self.picks):
            m.d.comb += [
                self.choice[unit].eq(oldest_first.choice[unit]),
                self.parity[unit].eq(wake_up.parity.bit_select(pick, 1)),
            ]
        return m

    def _add_footprints(self, m: Module, place: Signal) -> None:
        """What matters only once a nano-operation is chosen lies in a memory with a port for every unit."""
        config, picks = self.config, self.picks
        fields = {name: shape for name, shape in footprint_layout(config).members.items() if name != "shares"}
        layout = data.StructLayout(fields)
        m.submodules.footprints = footprints = memory.Memory(shape=layout, depth=config.n_descriptors, init=[])
        write, loaded = footprints.write_port(), self.load_descriptor
        shares = Signal(shares_layout(config))
        m.d.comb += [shares[n].eq(loaded[f"share{n}"]) for n in range(config.n_pools)]
        m.d.comb += [
            write.en.eq(self.load_valid),
            write.addr.eq(place),
            write.data.chunks.eq(loaded.chunks),
            write.data.operation.eq(loaded.operation),
            write.data.announce_start.eq(loaded.announce_start),
            write.data.index.eq(self.load_index),
            write.data.takes_shares.eq(shares.as_value().any()),
        ]
        for unit in range(config.n_units):
            footprint = data.View(footprint_layout(config), self.footprint[unit].as_value())
            read = footprints.read_port(domain="comb")
            m.d.comb += read.addr.eq(picks[unit])
            m.d.comb += [footprint[name].eq(read.data[name]) for name in fields]
            m.d.comb += footprint.shares.eq(self.shares[unit][picks[unit][BANK_BITS:]])
        for number in range(banks_layout(config).length):
            bank = memory.Memory(shape=shares_layout(config), depth=1 << BANK_BITS, init=[])
            m.submodules[f"shares{number}"] = bank
            write = bank.write_port()
            m.d.comb += [
                write.en.eq(self.load_valid & (place[BANK_BITS:] == number)),
                write.addr.eq(place),
                write.data.eq(shares),
            ]
            for unit in range(config.n_units):
                read = bank.read_port(domain="comb")
                m.d.comb += [read.addr.eq(picks[unit]), self.shares[unit][number].eq(read.data)]

    def _hold(self, m: Module, place: Signal, wake_up: WakeUp, oldest_first: OldestFirst) -> None:
        """What is compared in every clock lies in registers."""
        config, loaded = self.config, self.load_descriptor
        wait = Signal(wait_layout(config))
        m.d.comb += wait.chunks.eq(loaded.chunks)
        for number in range(config.n_predecessors):
            field = f"predecessor{number}"
            m.d.comb += [
                wait[f"operation{number}"].eq(loaded[f"{field}_operation"]),
                wait[f"offset{number}"].eq(Mux(loaded[f"{field}_valid"], loaded[f"{field}_layer_offset"], 0b10)),
                wait[f"start{number}"].eq(loaded[f"{field}_start"]),
                wait[f"all{number}"].eq(loaded[f"{field}_all"]),
            ]
        n = config.n_descriptors
        written, of_unit = Signal(n), Signal(config.n_units)
        before, unit_begins, class_begins = Signal(len(loaded.unit) + PRIORITY_BITS), Signal(), Signal()
        class_ = Cat(loaded.unit, loaded.priority)
        m.d.comb += [
            written.eq(self.load_valid << place),
            of_unit.eq(1 << loaded.unit),
            unit_begins.eq((place == 0) | (loaded.unit != before[: len(loaded.unit)])),
            class_begins.eq((place == 0) | (class_ != before)),
        ]
        with m.If(self.load_valid):
            m.d.sync += before.eq(class_)
        for at in range(n):
            held = Signal(wait_layout(config), name=f"wait{at}")
            m.d.comb += wake_up.waits[at].eq(held)
            with m.If(written[at]):
                m.d.sync += [
                    held.eq(wait),
                    oldest_first.unit_begins[at].eq(unit_begins),
                    oldest_first.class_begins[at].eq(class_begins),
                ]
                m.d.sync += [mine[at].eq(of_unit[unit]) for unit, mine in enumerate(oldest_first.mine)]

    def _find_taken(self, m: Module, oldest_first: OldestFirst) -> Value:
        """The places granted in the clock before; they were chosen two clocks ago."""
        taken = 0
        for name, first, of_these in (
            ("older", oldest_first.first_older, ~oldest_first.newer),
            ("newer", oldest_first.first_newer, oldest_first.newer),
        ):
            n = self.config.n_descriptors
            chosen, asked = Signal(n, name=f"chosen_{name}"), Signal(n, name=f"asked_{name}")
            counts, granted = (
                Signal.like(self.granted, name=f"counts_{name}"),
                Signal.like(self.granted, name=f"granted_{name}"),
            )
            m.d.sync += [chosen.eq(first), asked.eq(chosen), counts.eq(of_these), granted.eq(self.granted & counts)]
            of_unit = 0
            for unit, mine in enumerate(oldest_first.mine):
                of_unit |= mine & granted[unit].replicate(n)
            taken |= asked & of_unit
        return taken
