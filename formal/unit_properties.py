"""The scheduler unit running any small program among units that do anything: what must never happen."""

from dataclasses import replace

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, ResetSignal, Signal, Value

from arch.scheduler import SchedulerConfig
from arch.supervision import Decision
from formal.symbolic_matrix import SymbolicMatrix
from formal.symbolic_program import SymbolicProgram
from rtl.scheduler.scheduler_unit import SchedulerUnit
from rtl.scheduler.supervised_scheduler import SupervisedScheduler, scheduler_of

__all__ = ["PROPERTIES", "UnitProperties"]

PROPERTIES = ("dependence", "once", "shares", "completion", "progress")
CONFIG = SchedulerConfig(n_descriptors=8, n_operations=2, n_units=2, n_pools=1, n_chunks=2, share_bits=2)


class UnitProperties(Elaboratable):
    """One property of the unit, on a build of 8 descriptors, 2 operations, 2 units, 1 pool and 2 chunks.

    The program is any (``SymbolicProgram``); who waits for whom in it is given (``SymbolicMatrix``). Units accept when
    they like and complete when they like; they also raise completions that nothing explains. One nano-operation and one
    iteration, chosen freely, are watched.

    Parameters
    ----------
    name : one of ``PROPERTIES``
        ``dependence``: a nano-operation is offered only after everything its predecessors name has happened.
        ``once``: offered to its own unit, in an existing iteration, and never again after it was accepted; an offer
        stands until it is accepted; a unit that works is offered nothing.
        ``shares``: what is offered or in flight never holds more than a pool has.
        ``completion``: at the end every nano-operation of every iteration has been accepted and is complete.
        ``progress``: on a program that ``arch.program`` accepts, the unit never stays busy with nothing offered and
        nothing in flight for more than 5 clocks: no deadlock, no completion lost.
    n_nanos, max_count : bounds of the program
    supervised : units may also complete with an error, hang beyond a watchdog and complete late; the host has what
        failed done again or treats it as done, whenever it likes. For ``dependence`` and ``shares``
    """

    def __init__(self, name: str, *, n_nanos: int, max_count: int, supervised: bool = False) -> None:
        self.name, self.n_nanos, self.max_count = name, n_nanos, max_count
        watchdog = {"supervised": True, "watchdog_bits": 2} if supervised else {}
        self.config = replace(CONFIG, **watchdog)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        program = SymbolicProgram(CONFIG, n_nanos=self.n_nanos, n_predecessors=2, max_count=self.max_count)
        m.submodules.unit = unit = scheduler_of(self.config, SymbolicMatrix(program))
        m.d.comb += [Assume(~ResetSignal()), Assume(program.connect(m) & program.in_order_of_choice())]
        loaded, started = program.load(m, unit.load), Signal()
        m.d.comb += unit.start.eq(loaded & ~started)
        with m.If(loaded):
            m.d.sync += started.eq(1)
        self._drive(m, unit)
        # the watched nano-operation
        self.index, self.iteration = Signal(3), Signal(2)
        m.d.comb += [self.index.eq(AnyConst(3)), self.iteration.eq(AnyConst(2))]
        m.d.comb += Assume((self.index <= program.control.last) & (self.iteration < program.count))
        getattr(self, f"_{self.name}")(m, unit, program)
        return m

    def _drive(self, m: Module, unit: SchedulerUnit) -> None:
        """The units, and what they are at: ``self.works``, ``self.at`` and ``self.at_iteration``, by unit."""
        self.works, self.at, self.at_iteration, self.accepted, self.ended = [], [], [], [], []
        for number, (issue, complete) in enumerate(zip(unit.issue, unit.complete, strict=True)):
            works = Signal(name=f"works{number}")
            at, at_iteration = Signal(3, name=f"at{number}"), Signal(16, name=f"at_iteration{number}")
            accepted, ended = Signal(name=f"accepted{number}"), Signal(name=f"ended{number}")
            m.d.comb += [
                issue.ready.eq(AnySeq(1)),
                complete.valid.eq(AnySeq(1)),
                complete.index.eq(AnySeq(3)),
                accepted.eq(issue.valid & issue.ready),
            ]
            if self.config.supervised:
                m.d.comb += ended.eq(self._supervise(m, unit, number, at))
            else:
                m.d.comb += ended.eq(works & complete.valid & (complete.index == at))
            with m.If(accepted):
                m.d.sync += [works.eq(1), at.eq(issue.payload.index), at_iteration.eq(issue.payload.iteration)]
            with m.Elif(ended):
                m.d.sync += works.eq(0)
            for values, value in (
                (self.works, works), (self.at, at), (self.at_iteration, at_iteration),
                (self.accepted, accepted), (self.ended, ended),
            ):  # fmt: skip
                values.append(value)

    def _supervise(self, m: Module, unit: SupervisedScheduler, number: int, at: Value) -> Value:
        """What the host does; returns the end of what is at hand: a completion without an error, or the host's word."""
        issue, complete, resolve = unit.issue[number], unit.complete[number], unit.resolve[number]
        attempt, runs, fits = Signal(2, name=f"attempt{number}"), Signal(name=f"runs{number}"), Signal()
        m.d.comb += [
            complete.error.eq(AnySeq(1)),
            complete.attempt.eq(AnySeq(2)),
            unit.watchdog_limit[number].eq(AnySeq(2)),
            resolve.eq(AnySeq(2)),
            Assume(resolve != Decision.DROP),
            fits.eq(runs & ~unit.failed[number] & (complete.index == at) & (complete.attempt == attempt)),
        ]
        with m.If(issue.valid & issue.ready):
            m.d.sync += [runs.eq(1), attempt.eq(issue.payload.attempt)]
        with m.Elif(unit.failed[number] | complete.valid & fits):
            m.d.sync += runs.eq(0)
        return complete.valid & fits & ~complete.error | unit.failed[number] & (resolve == Decision.DONE)

    def _watched(self, index: Value, iteration: Value) -> Value:
        return (index == self.index) & (iteration == self.iteration)

    def _dependence(self, m: Module, unit: SchedulerUnit, program: SymbolicProgram) -> None:
        number = Signal()
        m.d.comb += number.eq(AnyConst(1))
        fields = [
            Mux(number, Cat(*program.predecessor(n, 1), program.needed(n, 1)),
                Cat(*program.predecessor(n, 0), program.needed(n, 0)))
            for n in range(self.n_nanos)
        ]  # fmt: skip
        chosen = Signal(len(fields[0]))
        m.d.comb += chosen.eq(_select(fields, self.index))
        m.d.comb += Assume(program.legal())
        valid, operation, offset, start = chosen[0], chosen[1], chosen[2:4].as_signed(), chosen[4]
        needed = chosen[6:]
        awaited, seen = Signal(4), Signal(CONFIG.n_chunks)
        m.d.comb += awaited.eq(self.iteration + offset)
        outside = (awaited[-1] == 1) | (awaited >= program.count)
        new = 0
        for accepted, ended, issue, at, at_iteration in zip(
            self.accepted, self.ended, unit.issue, self.at, self.at_iteration, strict=True
        ):
            happens = Mux(start, accepted, ended)
            who = Mux(start, issue.payload.index, at)
            when = Mux(start, issue.payload.iteration, at_iteration)
            of_operation = _select([nano.operation for nano in program.descriptors], who) == operation
            chunks = _select([nano.chunks for nano in program.descriptors], who)
            new = new | Mux(happens & of_operation & (when == awaited), chunks, 0)
        m.d.sync += seen.eq(seen | new)
        for issue in unit.issue:
            offered = issue.valid & self._watched(issue.payload.index, issue.payload.iteration)
            m.d.comb += Assert(~(offered & valid) | outside | ~(needed & ~seen).any())

    def _once(self, m: Module, unit: SchedulerUnit, program: SymbolicProgram) -> None:
        was_accepted = Signal()
        for number, issue in enumerate(unit.issue):
            index, iteration = issue.payload.index, issue.payload.iteration
            mine = _select([nano.unit for nano in program.descriptors], index) == number
            exists = (index <= program.control.last) & (iteration < program.count)
            watched = self._watched(index, iteration)
            waited, payload = Signal(name=f"waited{number}"), Signal(19, name=f"payload{number}")
            m.d.sync += [waited.eq(issue.valid & ~issue.ready), payload.eq(issue.payload.as_value())]
            m.d.comb += [
                Assert(~issue.valid | mine & exists & ~self.works[number]),
                Assert(~(issue.valid & watched & was_accepted)),
                Assert(~waited | issue.valid & (issue.payload.as_value() == payload)),
            ]
            with m.If(issue.valid & issue.ready & watched):
                m.d.sync += was_accepted.eq(1)
        m.d.comb += Assert(~Cat(issue.valid & self._watched(issue.payload.index, issue.payload.iteration)
                                for issue in unit.issue).all())  # fmt: skip

    def _shares(self, m: Module, unit: SchedulerUnit, program: SymbolicProgram) -> None:
        held = 0
        for issue, works, at in zip(unit.issue, self.works, self.at, strict=True):
            share = _select([nano.share0 for nano in program.descriptors], Mux(works, at, issue.payload.index))
            held = held + Mux(works | issue.valid, share, 0)
        m.d.comb += Assert(held <= program.control.capacity0)

    def _completion(self, m: Module, unit: SchedulerUnit, program: SymbolicProgram) -> None:
        complete = Signal()
        for ended, at, at_iteration in zip(self.ended, self.at, self.at_iteration, strict=True):
            with m.If(ended & self._watched(at, at_iteration)):
                m.d.sync += complete.eq(1)
        m.d.comb += Assert(~unit.done | complete)

    def _progress(self, m: Module, unit: SchedulerUnit, program: SymbolicProgram) -> None:
        limit = 5
        idle = Signal(range(limit + 2))
        nothing = unit.busy & ~Cat(self.works, (issue.valid for issue in unit.issue)).any()
        m.d.comb += [Assume(program.legal() & program.free_of_circles(m)), Assert(idle <= limit)]
        m.d.sync += idle.eq(Mux(nothing, idle + 1, 0))


def _select(values: list[Value], index: Value) -> Value:
    """The value of that number; the solver may ask for one that is not there and gets 0."""
    result = 0
    for number, value in enumerate(values):
        result = result | Mux(index == number, value, 0)
    return result
