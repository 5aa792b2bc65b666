"""The nano-batch operation scheduler."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.load_check import FAULT_BITS
from arch.scheduler import SchedulerConfig
from rtl.scheduler.chunk_scoreboard import ChunkScoreboard
from rtl.scheduler.credit_pools import CreditPools
from rtl.scheduler.descriptor_table import DescriptorTable
from rtl.scheduler.event_arbiter import EventArbiter
from rtl.scheduler.issue_slot import IssueSlot
from rtl.scheduler.load_checker import LoadChecker
from rtl.scheduler.loop_control import LoopControl
from rtl.scheduler.signature import (
    Completion,
    LoadTable,
    control_layout,
    event_layout,
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
    First issue 2 clocks after ``start``. From a completion (or an awaited start) to the ``valid`` of what waited for it
    3 clocks; from a completion to the next nano-operation of the same unit 3 clocks; to one that lacked credits only 2.
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
    done : Out(1), one clock at the end of the program
    issue : Out(stream) of every unit, descriptor index and iteration of the nano-operation to execute
    complete : In(completion) of every unit, earliest the clock after the handshake at ``issue``
    protocol_error : Out(1), a completion came that no nano-operation in flight explains; it was ignored. Until start
    cycle : Out(48), clocks since ``start``; holds after ``done``
    refused : Out(1), with ``check_load``: ``start`` found an illegal program, which does not run; one clock
    fault, fault_index : Out, with ``check_load``: why and where, as :mod:`rtl.scheduler.load_checker` says

    trace, trace_lost, stalls, credits : with ``trace``: as :class:`rtl.scheduler.trace_stream.TraceStream` says

    With ``check_load`` a program begins, and ``cycle`` counts, from the clock the checker accepts it in.

    Notes
    -----
    The ready rule is NanoFlow's: two nano-operations depend on each other iff their operations do and their ranges
    of the batch meet (Zhu et al., OSDI 2025, section 4.1).
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
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
        begins, busy = self._start(m, loop.window.running)
        m.d.comb += [
            starting.eq(begins),
            self.busy.eq(busy),
            self.done.eq(loop.done),
            loop.start.eq(starting),
            table.clear.eq(starting),
            table.window.eq(loop.window),
            table.retire.eq(loop.retire),
        ]
        with m.If(starting):
            m.d.sync += self.cycle.eq(1)
        with m.Elif(loop.window.running if config.check_load else self.busy):
            m.d.sync += self.cycle.eq(self.cycle + 1)

        control = self._load(m, table, parts.scoreboard)
        m.d.comb += [table.last.eq(control.last), loop.last.eq(control.last), loop.count.eq(control.count)]
        m.d.comb += [pools.fill.eq(starting)]
        m.d.comb += [pools.capacities[pool].eq(control[f"capacity{pool}"]) for pool in range(config.n_pools)]

        for unit, slot in enumerate(parts.slots):
            wiring.connect(m, slot.issue, wiring.flipped(self.issue[unit]))
            wiring.connect(m, wiring.flipped(self.complete[unit]), slot.complete)
            m.d.comb += [
                slot.clear.eq(starting),
                slot.base.eq(loop.base),
                slot.choice_valid.eq(table.choice_valid[unit]),
                slot.choice.eq(table.choice[unit]),
                table.picks[unit].eq(slot.pick),
                pools.request[unit].eq(slot.request),
                pools.shares[unit].eq(table.footprint[unit].shares),
                slot.grant.eq(pools.grant[unit]),
                table.granted[unit].eq(pools.grant[unit]),
            ]
        if config.trace:
            self._trace(m, starting, parts)
        with m.If(starting):
            m.d.sync += self.protocol_error.eq(0)
        with m.Elif(Cat(slot.unexpected for slot in parts.slots).any()):
            m.d.sync += self.protocol_error.eq(1)

        event_valid, event = self._next_event(m, starting, parts)
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
                trace.place[unit].eq(slot.pick.index),
                trace.parity[unit].eq(slot.pick.parity),
                trace.request[unit].eq(slot.request),
                trace.started[unit].eq(slot.started),
                trace.completed[unit].eq(slot.completed),
                trace.working[unit].eq(slot.in_flight),
                trace.index[unit].eq(slot.issue.payload.index),
                trace.iteration[unit].eq(slot.issue.payload.iteration),
                trace.shares[unit].eq(parts.pools.shares[unit]),
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

    def _load(self, m: Module, table: DescriptorTable, scoreboard: ChunkScoreboard) -> data.View:
        """Sort load words into the tables; the control word is kept here."""
        word = self.load.payload
        control = Signal(control_layout(self.config))
        taken = Signal()
        m.d.comb += [
            self.load.ready.eq(~self.busy),
            taken.eq(self.load.valid & self.load.ready),
            table.load_valid.eq(taken & (word.table == LoadTable.DESCRIPTOR)),
            table.load_index.eq(word.address),
            table.load_descriptor.as_value().eq(word.data),
            scoreboard.load_valid.eq(taken & (word.table == LoadTable.OPERATION)),
            scoreboard.load_operation.eq(word.address),
            scoreboard.load_chunks.eq(word.data),
        ]
        with m.If(taken & (word.table == LoadTable.CONTROL)):
            m.d.sync += control.as_value().eq(word.data)
        return control

    def _next_event(self, m: Module, starting: Signal, parts: _Parts) -> tuple[Signal, data.View]:
        """Choose the start or completion that is applied in the next clock, and register all it changes."""
        m.submodules.arbiter = arbiter = EventArbiter(self.config)
        valid = Signal()
        event = Signal(event_layout(self.config))
        m.d.comb += arbiter.clear.eq(starting)
        for unit, slot in enumerate(parts.slots):
            m.d.comb += [
                arbiter.starts[unit].eq(slot.started & parts.table.footprint[unit].announce_start),
                arbiter.completions[unit].eq(slot.completed),
            ]
        m.d.sync += [valid.eq(arbiter.valid & ~starting), event.start.eq(arbiter.start), event.unit.eq(arbiter.unit)]
        with m.Switch(arbiter.unit):
            for unit, slot in enumerate(parts.slots):
                with m.Case(unit):
                    m.d.sync += [
                        event.parity.eq(slot.pick.parity),
                        event.footprint.eq(parts.table.footprint[unit]),
                    ]
        return valid, event

    def _apply(self, m: Module, valid: Signal, event: data.View, parts: _Parts) -> None:
        """Let an event change the scoreboard; a completion also frees its unit and credits and moves the loop."""
        loop, scoreboard, table, pools = parts.loop, parts.scoreboard, parts.table, parts.pools
        completed = Signal()
        m.d.comb += [
            completed.eq(valid & ~event.start),
            scoreboard.valid.eq(valid),
            scoreboard.operation.eq(event.footprint.operation),
            scoreboard.start.eq(event.start),
            scoreboard.parity.eq(event.parity),
            scoreboard.chunks.eq(event.footprint.chunks),
            # at start both halves are emptied, on retirement that of the older iteration
            scoreboard.clear.eq(Mux(loop.start, 0b11, loop.retire << loop.window.old)),
            table.event_valid.eq(valid),
            table.event_operation.eq(event.footprint.operation),
            table.event_start.eq(event.start),
            table.event_parity.eq(event.parity),
            table.event_row.eq(scoreboard.row),
            table.event_full.eq(scoreboard.full),
            loop.completed.eq(completed),
            loop.parity.eq(event.parity),
            pools.give_back.eq(completed),
            pools.returned.eq(event.footprint.shares),
        ]
        for unit, slot in enumerate(parts.slots):
            m.d.comb += slot.released.eq(completed & (event.unit == unit))
