"""The nano-batch operation scheduler."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.load_check import FAULT_BITS
from arch.scheduler import SchedulerConfig
from rtl.scheduler.credit_pools import CreditPools
from rtl.scheduler.dependency_matrix import DependencyMatrix
from rtl.scheduler.descriptor_table import DescriptorTable
from rtl.scheduler.issue_slot import IssueSlot
from rtl.scheduler.load_checker import LoadChecker
from rtl.scheduler.loop_control import LoopControl
from rtl.scheduler.signature import (
    Completion,
    LoadTable,
    control_layout,
    issue_layout,
    load_signature,
)
from rtl.scheduler.trace_stream import TraceStream, trace_members

__all__ = ["CYCLE_BITS", "SchedulerUnit"]

CYCLE_BITS = 48


class _Parts:
    """The blocks of the unit, by name."""

    def __init__(self, config: SchedulerConfig, matrix: wiring.Component | None) -> None:
        self.loop = LoopControl(config)
        self.matrix = DependencyMatrix(config) if matrix is None else matrix
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
    awaited start 4; from a completion to the next nano-operation of the same unit, or to one that lacked credits, 3.
    All units may complete, start and be issued to in the same clock. The completion of a nano-operation whose start is
    awaited counts in the third clock after the handshake at the earliest. ``done`` comes 2 clocks after the last
    completion counts.

    Parameters
    ----------
    config : the scheduler unit
    matrix : who waits for whom; by default a :class:`rtl.scheduler.dependency_matrix.DependencyMatrix`, that of the
        program loaded

    Members
    -------
    load : In(stream), table, address, data; taken while idle. The first word after the descriptors waits until the
        dependences have been worked out
    start : In(1), run the loaded program; ignored while busy and while a word waits
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

    def __init__(self, config: SchedulerConfig, matrix: wiring.Component | None = None) -> None:
        self.config, self._matrix = config, matrix
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
        parts = _Parts(config, self._matrix)
        m.submodules.loop = loop = parts.loop
        m.submodules.matrix = matrix = parts.matrix
        m.submodules.pools = pools = parts.pools
        m.submodules.table = table = parts.table
        for unit, slot in enumerate(parts.slots):
            m.submodules[f"slot{unit}"] = slot
        starting = Signal()
        begins, busy = self._start(m, loop.busy, matrix.building)
        m.d.comb += [
            starting.eq(begins),
            self.busy.eq(busy),
            self.done.eq(loop.done),
            loop.start.eq(starting),
            table.clear.eq(loop.clear),
            table.window.eq(loop.window),
            table.retire.eq(loop.retire),
            table.totals.eq(matrix.totals),
            table.counts.eq(matrix.lent),
            matrix.counted.eq(table.counted),
            pools.idle.eq(~loop.window.running),
        ]
        with m.If(starting):
            m.d.sync += self.cycle.eq(1)
        with m.Elif(loop.window.running):
            m.d.sync += self.cycle.eq(self.cycle + 1)

        control = self._load(m, parts)
        m.d.comb += loop.last.eq(control.last)
        m.d.comb += [pools.capacities[pool].eq(control[f"capacity{pool}"]) for pool in range(config.n_pools)]
        self._issue(m, parts)
        self._hear(m, parts)
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
        return m

    def _issue(self, m: Module, parts: _Parts) -> None:
        """From the choice for a unit to its port."""
        loop, matrix, table, pools = parts.loop, parts.matrix, parts.table, parts.pools
        for unit, slot in enumerate(parts.slots):
            wiring.connect(m, slot.issue, wiring.flipped(self.issue[unit]))
            wiring.connect(m, wiring.flipped(self.complete[unit]), slot.complete)
            m.d.comb += [
                slot.base.eq(loop.base),
                slot.old.eq(loop.window.old),
                slot.retire.eq(loop.retire),
                slot.choice_valid.eq(table.choice_valid[unit]),
                slot.choice.eq(table.choice[unit]),
                slot.choice_parity.eq(table.choice_parity[unit]),
                table.picks[unit].eq(slot.pick),
                table.fixed[unit].eq(slot.busy),
                table.fixed_at[unit].eq(slot.pick),
                slot.index.eq(table.footprint[unit].index),
                slot.announce_start.eq(table.footprint[unit].announce_start),
                pools.asks[unit].eq(slot.asks),
                pools.busy[unit].eq(slot.busy),
                pools.shares[unit].eq(table.shares[unit]),
                slot.certain.eq(pools.certain[unit]),
                slot.hopeful.eq(pools.hopeful[unit]),
                slot.fits.eq(pools.fits[unit]),
                table.granted[unit].eq(slot.grant),
                table.stands[unit].eq(slot.stands),
                # its columns are looked up as it is chosen
                matrix.places[unit].eq(table.choice[unit]),
                matrix.second[unit].eq(slot.busy),
            ]
        # while the matrix is built unit 0 stands where that says, and the columns of its totals pass there
        with m.If(matrix.lent):
            m.d.comb += [
                table.fixed[0].eq(1),
                table.fixed_at[0].eq(matrix.lent_place),
                matrix.second[0].eq(matrix.lent_second),
            ]

    def _hear(self, m: Module, parts: _Parts) -> None:
        """What is granted, starts and completes means: to those who wait, to the loop and to the pools."""
        loop, matrix, table, pools = parts.loop, parts.matrix, parts.table, parts.pools
        m.d.comb += [shown.eq(column) for shown, column in zip(table.columns, matrix.columns, strict=True)]
        for unit, slot in enumerate(parts.slots):
            counts = matrix.counts if unit == 0 else 0
            m.d.sync += [
                loop.even[unit].eq(slot.grant & ~slot.parity),
                loop.odd[unit].eq(slot.grant & slot.parity),
            ]
            m.d.comb += [
                table.shows[unit].eq(slot.shows),
                table.even[unit].eq(slot.even | counts),
                table.odd[unit].eq(slot.odd),
                table.newest[unit].eq(slot.newest | counts),
                table.pends_older[unit].eq(slot.pends_older),
                table.pends_newer[unit].eq(slot.pends_newer),
                loop.works_even[unit].eq(slot.works_even),
                loop.works_odd[unit].eq(slot.works_odd),
                loop.ends[unit].eq(slot.ends),
                pools.gives[unit].eq(slot.ends),
            ]

    def _trace(self, m: Module, starting: Signal, parts: _Parts) -> None:
        """Show the trace block what happens; nothing comes back from it."""
        m.submodules.trace = trace = TraceStream(self.config)
        wiring.connect(m, trace.records, wiring.flipped(self.trace))
        m.d.comb += [
            trace.clear.eq(starting),
            trace.cycle.eq(self.cycle),
            trace.ready.eq(parts.table.ready),
            trace.granted.eq(Cat(slot.grant for slot in parts.slots)),
            self.trace_lost.eq(trace.lost),
        ]
        # the iteration after the next opens in the clock after the retirement
        m.d.sync += [trace.retire.eq(parts.loop.retire), trace.old.eq(parts.loop.window.old)]
        m.d.comb += [self.credits[pool].eq(trace.credits[pool]) for pool in range(self.config.n_pools)]
        for unit, slot in enumerate(parts.slots):
            m.d.comb += [
                trace.place[unit].eq(slot.pick),
                trace.parity[unit].eq(slot.parity),
                trace.request[unit].eq(slot.request),
                trace.started[unit].eq(slot.started),
                trace.completed[unit].eq(slot.completed),
                trace.working[unit].eq(slot.in_flight),
                trace.index[unit].eq(slot.issue.payload.index),
                trace.iteration[unit].eq(slot.issue.payload.iteration),
                trace.shares[unit].eq(parts.pools.held[unit]),
                self.stalls[unit].eq(trace.stalls[unit]),
            ]

    def _start(self, m: Module, running: Value, building: Value) -> tuple[Value, Value]:
        """Whether the program begins in this clock, that of ``start`` or of the checker's consent; and ``busy``."""
        asked = self.start & ~self.busy & ~building
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
        table, matrix, word = parts.table, parts.matrix, self.load.payload
        control = Signal(control_layout(self.config))
        loaded = data.View(control_layout(self.config), word.data[: control.as_value().shape().width])
        taken, offers_control = Signal(), Signal()
        m.d.comb += [
            self.load.ready.eq(~self.busy & ~matrix.building),
            taken.eq(self.load.valid & self.load.ready),
            offers_control.eq(self.load.valid & (word.table == LoadTable.CONTROL)),
            table.load_valid.eq(taken & (word.table == LoadTable.DESCRIPTOR)),
            table.load_index.eq(word.address),
            table.load_descriptor.as_value().eq(word.data),
            # it waits until the matrix is built
            table.load_last.eq(self.load.valid & ~self.busy & (word.table != LoadTable.DESCRIPTOR)),
            matrix.load_valid.eq(table.load_valid),
            matrix.load_descriptor.eq(table.load_descriptor),
            matrix.load_last.eq(table.load_last),
            # a start may follow in the next clock, when loop and table must know already
            table.next_last.eq(Mux(offers_control, loaded.last, control.last)),
            parts.loop.count.eq(control.count),
            parts.loop.next_count.eq(Mux(offers_control, loaded.count, control.count)),
        ]
        with m.If(offers_control & self.load.ready):
            m.d.sync += control.eq(loaded)
        return control
