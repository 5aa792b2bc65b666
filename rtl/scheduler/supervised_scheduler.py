"""The scheduler unit with what a host needs when things go wrong, or on to the next program."""

from dataclasses import replace

from amaranth.hdl import Cat, Elaboratable, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.load_check import FAULT_BITS
from arch.scheduler import SchedulerConfig
from rtl.scheduler.drop_tracker import DropTracker
from rtl.scheduler.interrupt_causes import InterruptCauses
from rtl.scheduler.load_checker import LoadChecker
from rtl.scheduler.program_buffer import ProgramBuffer
from rtl.scheduler.scheduler_unit import CYCLE_BITS, SchedulerUnit
from rtl.scheduler.signature import LoadTable, load_signature
from rtl.scheduler.supervision_signature import completion_signature, offer_layout, supervision_members
from rtl.scheduler.trace_stream import trace_members
from rtl.scheduler.unit_guard import UnitGuard

__all__ = ["SupervisedScheduler", "scheduler_of"]


def scheduler_of(config: SchedulerConfig, matrix: wiring.Component | None = None) -> wiring.Component:
    """The scheduler unit as its configuration wants it: bare, or supervised or buffered."""
    unit = SupervisedScheduler if config.supervised or config.buffered else SchedulerUnit
    return unit(config, matrix)


class SupervisedScheduler(wiring.Component):
    """A :class:`SchedulerUnit` among guards (``supervised``) and behind a buffer of programs (``buffered``).

    ``docs/engines/scheduler/supervision.md`` and ``chaining.md`` say what they do, and in which clock;
    ``sim/engine/supervised_scheduler.py`` is the model. The unit itself knows of neither: to it a failed nano-operation
    is in flight, and an abort is a reset.

    Timing
    ------
    That of the unit; no clock is added while nothing was dropped. A start takes the clocks chaining.md says.

    Parameters
    ----------
    config : the scheduler unit, with one of the two options at least
    matrix : as the unit's

    Members
    -------
    load, start, busy, done, issue, complete, protocol_error, cycle : as the unit's; issue and completion of supervised
        builds also have ``attempt``, completions ``error``
    refused, fault, fault_index, trace, trace_lost, stalls, credits : as the unit's, with its options
    begins : Out(1), a program begins
    resolve : In(2) of every unit, an ``arch.supervision.Decision``
    drop_failed : In(1), decide ``DROP`` wherever something fails
    watchdog_limit : In of every unit, with ``watchdog_bits``
    failed : Out(n_units), units in error status
    status : Out(status) of every unit
    probe, issued : In, Out(16), how many iterations of the descriptor at that place have been issued
    abort, abort_discard : In(1), end the program; without waiting for what is in flight
    aborted : Out(1), the abort is complete
    dropped : Out(32), nano-operations dropped since the program began
    events : Out, by ``arch.supervision.Cause``, what happens in this clock
    interrupt, causes, enable, clear : as :class:`rtl.scheduler.interrupt_causes.InterruptCauses` says

    All from ``resolve`` on with ``supervised`` only.
    """

    def __init__(self, config: SchedulerConfig, matrix: wiring.Component | None = None) -> None:
        self.config, self._matrix = config, matrix
        n_units, index = config.n_units, index_bits(config.n_descriptors)
        verdict = {"refused": Out(1), "fault": Out(FAULT_BITS), "fault_index": Out(index)}
        super().__init__(
            {
                "load": In(load_signature(config)),
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "issue": Out(stream.Signature(offer_layout(config))).array(n_units),
                "complete": In(completion_signature(config)).array(n_units),
                "protocol_error": Out(1),
                "cycle": Out(CYCLE_BITS),
                **(verdict if config.check_load else {}),
                **(trace_members(config) if config.trace else {}),
                "begins": Out(1),
                **(supervision_members(config) if config.supervised else {}),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        check_inside = config.check_load and not config.buffered
        unit = SchedulerUnit(replace(config, check_load=check_inside), self._matrix)
        self._wipe = Signal()
        m.submodules.unit = ResetInserter(self._wipe)(unit)
        # an abort is under way
        self._stops = Signal()
        m.d.comb += [self.done.eq(unit.done & ~self._stops), self.cycle.eq(unit.cycle), self.begins.eq(unit.begins)]
        if config.buffered:
            self._buffer(m, unit)
        else:
            self._load(m, unit)
            if check_inside:
                self._show_verdict(m, unit, unit.fault_index)
        if config.trace:
            wiring.connect(m, unit.trace, wiring.flipped(self.trace))
            m.d.comb += [getattr(self, name).eq(getattr(unit, name)) for name in ("trace_lost",)]
            m.d.comb += [mine.eq(its) for mine, its in zip(self.stalls, unit.stalls, strict=True)]
            m.d.comb += [mine.eq(its) for mine, its in zip(self.credits, unit.credits, strict=True)]
        if config.supervised:
            self._supervise(m, unit)
        else:
            m.d.comb += self.protocol_error.eq(unit.protocol_error)
            for mine, its in zip(self.issue, unit.issue, strict=True):
                wiring.connect(m, its, wiring.flipped(mine))
            for mine, its in zip(self.complete, unit.complete, strict=True):
                wiring.connect(m, wiring.flipped(mine), its)
        return m

    def _load(self, m: Module, unit: SchedulerUnit) -> None:
        """Without a buffer: straight into the tables, which an abort leaves without a program."""
        taken, loaded = Signal(), Signal()
        m.d.comb += [
            unit.load.payload.eq(self.load.payload),
            unit.load.valid.eq(self.load.valid & ~self._stops),
            self.load.ready.eq(unit.load.ready & ~self._stops),
            taken.eq(self.load.valid & self.load.ready),
            unit.start.eq(self.start & loaded & ~self.busy),
            self.busy.eq(unit.busy | self._stops),
        ]
        with m.If(taken):
            m.d.sync += loaded.eq(loaded | (self.load.payload.table == LoadTable.CONTROL))
        with m.If(self._wipe):
            m.d.sync += loaded.eq(0)

    def _show_verdict(self, m: Module, source: wiring.Component, index: Value) -> None:
        m.d.comb += [self.refused.eq(source.refused), self.fault.eq(source.fault), self.fault_index.eq(index)]

    def _buffer(self, m: Module, unit: SchedulerUnit) -> None:
        m.submodules.buffer = buffer = ProgramBuffer(self.config)
        wiring.connect(m, wiring.flipped(self.load), buffer.load)
        wiring.connect(m, buffer.o, unit.load)
        m.d.comb += [
            buffer.start.eq(self.start),
            buffer.cancel.eq(self._wipe),
            buffer.running.eq(unit.busy),
            buffer.done.eq(unit.done),
            unit.start.eq(buffer.start_unit),
            self.busy.eq(unit.busy | buffer.asked | self._stops),
        ]
        if not self.config.check_load:
            m.d.comb += buffer.accepted.eq(buffer.check)
            return
        m.submodules.checker = checker = LoadChecker(self.config)
        m.d.comb += [
            checker.check.eq(buffer.check),
            checker.load_valid.eq(self.load.valid & self.load.ready),
            checker.load.eq(self.load.payload),
            buffer.accepted.eq(checker.accepted),
            buffer.refused.eq(checker.refused),
        ]
        self._show_verdict(m, checker, checker.index)

    def _supervise(self, m: Module, unit: SchedulerUnit) -> None:
        config = self.config
        m.submodules.tracker = tracker = ResetInserter(self._wipe)(DropTracker(config))
        m.submodules.interrupts = interrupts = InterruptCauses()
        stops, discards, unexpected = self._stops, Signal(), Signal()
        guards = [UnitGuard(config) for _ in range(config.n_units)]
        for number, guard in enumerate(guards):
            m.submodules[f"guard{number}"] = guard
            wiring.connect(m, unit.issue[number], guard.offer)
            wiring.connect(m, guard.complete, unit.complete[number])
            wiring.connect(m, guard.issue, wiring.flipped(self.issue[number]))
            wiring.connect(m, wiring.flipped(self.complete[number]), guard.completion)
            m.d.comb += [
                guard.resolve.eq(self.resolve[number]),
                guard.drop.eq(self.drop_failed),
                guard.stop.eq(stops),
                guard.clear.eq(self._wipe),
                guard.dropping.eq(tracker.dropping),
                guard.answer.eq(tracker.answer[number]),
                guard.hit.eq(tracker.hit),
                tracker.asks[number].eq(guard.asks),
                tracker.marks[number].eq(guard.marks),
                tracker.at[number].eq(guard.at),
                self.status[number].eq(guard.status),
                self.failed[number].eq(guard.failed),
            ]
            if config.watchdog_bits:
                m.d.comb += guard.limit.eq(self.watchdog_limit[number])
        m.d.comb += [
            tracker.load_valid.eq(unit.load.valid & unit.load.ready),
            tracker.load.eq(unit.load.payload),
            tracker.begin.eq(unit.begins),
            self.dropped.eq(tracker.dropped),
        ]
        # what is quiet in one clock is wiped in the next
        m.d.sync += [
            stops.eq((stops | self.abort & self.busy) & ~self._wipe),
            discards.eq((discards | self.abort & self.busy & self.abort_discard) & ~self._wipe),
            self._wipe.eq(stops & ~self._wipe & (discards | Cat(guard.quiet for guard in guards).all())),
        ]
        m.d.comb += self.aborted.eq(self._wipe)
        with m.If(unit.begins | self._wipe):
            m.d.sync += self.protocol_error.eq(0)
        with m.If(unexpected):
            m.d.sync += self.protocol_error.eq(1)
        events = {
            "done": self.done,
            "refused": self.refused if config.check_load else 0,
            "aborted": self.aborted,
            "failed": Cat(guard.erred for guard in guards).any(),
            "watchdog": Cat(guard.expired for guard in guards).any(),
            "late": Cat(guard.late for guard in guards).any(),
            "protocol": unexpected,
        }
        m.d.comb += [
            unexpected.eq(Cat(guard.unexpected for guard in guards).any()),
            self.events.eq(Cat(event for event in events.values())),
            interrupts.events.eq(self.events),
            interrupts.clear.eq(self.clear),
            interrupts.enable.eq(self.enable),
            self.causes.eq(interrupts.causes),
            self.interrupt.eq(interrupts.interrupt),
        ]
        # what is not of the older iteration is of the newer, or of the one after it
        after = Mux(unit.turn_parity.bit_select(self.probe, 1) == unit.base[0], 2, 1)
        m.d.comb += self.issued.eq(unit.base + Mux(unit.turn_older.bit_select(self.probe, 1), 0, after))
