"""The nano-batch operation scheduler."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.load_check import FAULT_BITS
from arch.scheduler import SchedulerConfig
from rtl.scheduler.chunk_scoreboard import ChunkScoreboard
from rtl.scheduler.credit_pools import CreditPools
from rtl.scheduler.descriptor_table import DescriptorTable
from rtl.scheduler.event_arbiter import EventArbiter, of_lowest
from rtl.scheduler.issue_slot import IssueSlot
from rtl.scheduler.load_checker import LoadChecker
from rtl.scheduler.loop_control import LoopControl
from rtl.scheduler.signature import (
    BANK_BITS,
    Completion,
    LoadTable,
    control_layout,
    event_layout,
    footprint_layout,
    issue_layout,
    load_signature,
)
from rtl.scheduler.trace_stream import TraceStream, trace_members

__all__ = ["CYCLE_BITS", "SchedulerUnit"]

CYCLE_BITS = 48


class _Parts:
    """The blocks of the unit, by name."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.loop = LoopControl(config)
        self.scoreboard = ChunkScoreboard(config)
        self.pools = CreditPools(config)
        self.table = DescriptorTable(config)
        self.slots = [IssueSlot(config) for _ in range(config.n_units)]


class SchedulerUnit(wiring.Component):
    """Issue the nano-operations of a loop to their units, in dependence order and within their shares.

    The host loads descriptors, the chunks of every operation and a control word, and pulses ``start``. Every
    nano-operation of every iteration is then issued exactly once, never before what it waits for, never beyond a pool's
    capacity, never to a unit that still works; ``done`` follows the last completion. ``docs/engines/scheduler``
    defines the decision of every clock; ``sim/engine/scheduler.py`` is its model.

    Timing
    ------
    First issue 2 clocks after ``start``. From a completion to the ``valid`` of what waited for it 3 clocks, from an
    awaited start 4; from a completion to the next nano-operation of the same unit 3; to one that lacked credits only 2.
    Each event of another unit that is served first adds one clock, and so does each unit whose shares are admitted
    first. ``done`` comes 2 clocks after the last completion.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load : In(stream), table, address, data; taken while idle
    start : In(1), run the loaded program; ignored while busy
    busy : Out(1)
    done : Out(1), one clock at the end of the program, the last of ``busy``
    issue : Out(stream) of every unit, descriptor index and iteration of the nano-operation to execute
    complete : In(completion) of every unit, earliest the clock after the handshake at ``issue``
    protocol_error : Out(1), a completion came that no nano-operation in flight explains; it was ignored. Until start
    cycle : Out(48), clocks since ``start``; holds after ``done``
    refused : Out(1), with ``check_load``: ``start`` found an illegal program, which does not run; one clock
    fault, fault_index : Out, with ``check_load``: why and where, as :mod:`rtl.scheduler.load_checker` says

    trace, trace_lost, stalls, credits : with ``trace``: as :class:`rtl.scheduler.trace_stream.TraceStream` says
    begins : Out(1), with ``supervised`` or ``buffered``: the program begins
    base, turn_older, turn_parity : Out, with ``supervised``: the older iteration in flight, and of every place whether
        its next iteration is that one, and that one's parity

    With ``check_load`` a program begins, and ``cycle`` counts, from the clock the checker accepts it in.

    Notes
    -----
    The ready rule is NanoFlow's: two nano-operations depend on each other iff their operations do and their ranges
    of the batch meet (Zhu et al., OSDI 2025, section 4.1).
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        n_places = config.n_descriptors
        turns = {"base": Out(COUNT_BITS), "turn_older": Out(n_places), "turn_parity": Out(n_places)}
        verdict = {"refused": Out(1), "fault": Out(FAULT_BITS), "fault_index": Out(index_bits(config.n_descriptors))}
        super().__init__(
            {
                "load": In(load_signature(config)),
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "issue": Out(stream.Signature(issue_layout(config))).array(config.n_units),
                "complete": In(Completion(config)).array(config.n_units),
                "protocol_error": Out(1),
                "cycle": Out(CYCLE_BITS),
                **(verdict if config.check_load else {}),
                **(trace_members(config) if config.trace else {}),
                **(turns if config.supervised else {}),
                **({"begins": Out(1)} if config.supervised or config.buffered else {}),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        parts = _Parts(config)
        m.submodules.loop = loop = parts.loop
        m.submodules.scoreboard = parts.scoreboard
        m.submodules.pools = pools = parts.pools
        m.submodules.table = table = parts.table
        for unit, slot in enumerate(parts.slots):
            m.submodules[f"slot{unit}"] = slot
        starting = Signal()
        begins, busy = self._start(m, loop.window.running | loop.done)
        m.d.comb += [
            starting.eq(begins),
            self.busy.eq(busy),
            self.done.eq(loop.done),
            loop.start.eq(starting),
            table.start.eq(starting),
            table.clear.eq(~loop.window.running),
            table.window.eq(loop.window),
            table.retire.eq(loop.retire),
        ]
        with m.If(starting):
            m.d.sync += self.cycle.eq(1)
        with m.Elif(loop.window.running):
            m.d.sync += self.cycle.eq(self.cycle + 1)

        control = self._load(m, parts)
        m.d.comb += [table.last.eq(control.last), loop.last.eq(control.last)]
        m.d.comb += [pools.fill.eq(starting)]
        m.d.comb += [pools.capacities[pool].eq(control[f"capacity{pool}"]) for pool in range(config.n_pools)]

        for unit, slot in enumerate(parts.slots):
            wiring.connect(m, slot.issue, wiring.flipped(self.issue[unit]))
            wiring.connect(m, wiring.flipped(self.complete[unit]), slot.complete)
            m.d.comb += [
                slot.base.eq(loop.base),
                slot.choice_valid.eq(table.choice_valid[unit]),
                slot.choice.eq(table.choice[unit]),
                table.picks[unit].eq(slot.pick),
                slot.turn_parity.eq(table.parity[unit]),
                slot.index.eq(table.footprint[unit].index),
                pools.request[unit].eq(slot.request),
                pools.takes[unit].eq(table.footprint[unit].takes_shares),
                pools.bank[unit].eq(slot.pick[BANK_BITS:]),
                pools.shares[unit].eq(table.shares[unit]),
                slot.grant.eq(pools.grant[unit]),
                table.granted[unit].eq(pools.grant[unit]),
            ]
        if config.trace:
            self._trace(m, starting, parts)
        if config.supervised or config.buffered:
            m.d.comb += self.begins.eq(starting)
        if config.supervised:
            m.d.comb += [
                self.base.eq(loop.base),
                self.turn_older.eq(table.turn_older),
                self.turn_parity.eq(table.turn_parity),
            ]
        with m.If(starting):
            m.d.sync += self.protocol_error.eq(0)
        with m.Elif(Cat(slot.unexpected for slot in parts.slots).any()):
            m.d.sync += self.protocol_error.eq(1)

        event_valid, event = self._next_event(m, parts)
        self._apply(m, event_valid, event, parts)
        return m

    def _trace(self, m: Module, starting: Signal, parts: _Parts) -> None:
        """Show the trace block what happens; nothing comes back from it."""
        m.submodules.trace = trace = TraceStream(self.config)
        wiring.connect(m, trace.records, wiring.flipped(self.trace))
        m.d.comb += [
            trace.clear.eq(starting),
            trace.cycle.eq(self.cycle),
            trace.retire.eq(parts.loop.retire),
            trace.old.eq(parts.loop.window.old),
            trace.ready.eq(parts.table.ready),
            trace.granted.eq(parts.pools.grant),
            self.trace_lost.eq(trace.lost),
        ]
        m.d.comb += [self.credits[pool].eq(trace.credits[pool]) for pool in range(self.config.n_pools)]
        for unit, slot in enumerate(parts.slots):
            m.d.comb += [
                trace.place[unit].eq(slot.pick),
                trace.parity[unit].eq(slot.turn_parity),
                trace.request[unit].eq(slot.request),
                trace.started[unit].eq(slot.started),
                trace.completed[unit].eq(slot.completed),
                trace.working[unit].eq(slot.in_flight),
                trace.index[unit].eq(slot.issue.payload.index),
                trace.iteration[unit].eq(slot.issue.payload.iteration),
                trace.shares[unit].eq(parts.table.footprint[unit].shares),
                self.stalls[unit].eq(trace.stalls[unit]),
            ]

    def _start(self, m: Module, running: Value) -> tuple[Value, Value]:
        """Whether the program begins in this clock, that of ``start`` or of the checker's consent; and ``busy``."""
        asked = self.start & ~self.busy
        if not self.config.check_load:
            return asked, running
        m.submodules.checker = checker = LoadChecker(self.config)
        m.d.comb += [
            checker.check.eq(asked),
            checker.load_valid.eq(self.load.valid & self.load.ready),
            checker.load.eq(self.load.payload),
            self.refused.eq(checker.refused),
            self.fault.eq(checker.fault),
            self.fault_index.eq(checker.index),
        ]
        return checker.accepted, running | checker.busy | checker.accepted

    def _load(self, m: Module, parts: _Parts) -> data.View:
        """Sort load words into the tables; the control word is kept here."""
        table, scoreboard, word = parts.table, parts.scoreboard, self.load.payload
        control = Signal(control_layout(self.config))
        loaded = data.View(control_layout(self.config), word.data[: control.as_value().shape().width])
        taken, offers_control = Signal(), Signal()
        m.d.comb += [
            self.load.ready.eq(~self.busy),
            taken.eq(self.load.valid & self.load.ready),
            offers_control.eq(self.load.valid & (word.table == LoadTable.CONTROL)),
            table.load_valid.eq(taken & (word.table == LoadTable.DESCRIPTOR)),
            table.load_index.eq(word.address),
            table.load_descriptor.as_value().eq(word.data),
            table.load_last.eq(taken & (word.table != LoadTable.DESCRIPTOR)),
            scoreboard.load_valid.eq(taken & (word.table == LoadTable.OPERATION)),
            scoreboard.load_operation.eq(word.address),
            scoreboard.load_chunks.eq(word.data),
            # a start may follow in the next clock, when the loop must know already
            parts.loop.count.eq(control.count),
            parts.loop.next_count.eq(Mux(offers_control, loaded.count, control.count)),
        ]
        with m.If(offers_control & self.load.ready):
            m.d.sync += control.eq(loaded)
        return control

    def _next_event(self, m: Module, parts: _Parts) -> tuple[Signal, data.View]:
        """Choose the start or completion that is applied in the next clock, and register all it changes."""
        n_units = self.config.n_units
        m.submodules.arbiter = arbiter = EventArbiter(self.config)
        scoreboard, valid, event = parts.scoreboard, Signal(), Signal(event_layout(self.config))
        m.d.comb += scoreboard.asks.eq(arbiter.asks)
        next_event = [Signal(event_layout(self.config), name=f"event_of{unit}") for unit in range(n_units)]
        for unit, slot in enumerate(parts.slots):
            # looked up by the pick, which stands since the clock before at least when an event comes of it
            footprint = Signal(footprint_layout(self.config), name=f"in_flight{unit}")
            raises_start = Signal(name=f"raises_start{unit}")
            m.d.sync += footprint.eq(parts.table.footprint[unit])
            m.d.comb += [
                # a handshake comes so late in its clock that it is an event only in the next
                raises_start.eq(slot.accepted & footprint.announce_start),
                arbiter.starts[unit].eq(raises_start),
                arbiter.completions[unit].eq(slot.completed),
                scoreboard.operation[unit].eq(footprint.operation),
                scoreboard.start[unit].eq(arbiter.waiting[unit] | raises_start),
                scoreboard.chunks[unit].eq(footprint.chunks),
                scoreboard.parity[unit].eq(slot.parity),
                next_event[unit].start.eq(arbiter.start),
                next_event[unit].completed.eq(~arbiter.start),
                next_event[unit].unit.eq(1 << unit),
                next_event[unit].parity.eq(slot.parity),
                next_event[unit].operation.eq(footprint.operation),
                next_event[unit].shares.eq(Mux(arbiter.start, 0, footprint.shares)),
            ]
        m.d.sync += [
            valid.eq(arbiter.valid),
            event.eq(of_lowest(arbiter.asks, [candidate.as_value() for candidate in next_event])),
        ]
        return valid, event

    def _apply(self, m: Module, valid: Signal, event: data.View, parts: _Parts) -> None:
        """Let an event change the scoreboard; a completion also frees its unit and credits and moves the loop."""
        loop, scoreboard, table, pools = parts.loop, parts.scoreboard, parts.table, parts.pools
        m.d.comb += [
            scoreboard.valid.eq(valid),
            # the older iteration's half is emptied when it retires; at the end the other one is empty anyway
            scoreboard.clear.eq(loop.retire << loop.window.old),
            table.event_operation.eq(event.operation),
            table.event_started.eq(event.start),
            table.event_completed.eq(event.completed),
            table.event_parity.eq(event.parity),
            table.event_row.eq(scoreboard.row),
            table.event_full.eq(scoreboard.full),
            loop.completed.eq(event.completed),
            loop.parity.eq(event.parity),
            pools.returned.eq(event.shares),
        ]
        for unit, slot in enumerate(parts.slots):
            m.d.comb += slot.released.eq(event.completed & event.unit[unit])
