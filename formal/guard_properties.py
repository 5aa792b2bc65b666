"""A unit's guard among a unit, a scheduler and a host that do anything they may: proved for ever by induction."""

from abc import ABC, abstractmethod

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, ResetSignal, Signal, Value

from arch.scheduler import SchedulerConfig
from arch.supervision import Decision, FailureCause
from rtl.scheduler.unit_guard import GuardState, UnitGuard

__all__ = ["ErrorsProperties", "WatchdogProperties"]

CONFIG = SchedulerConfig(
    n_descriptors=8, n_operations=2, n_units=2, n_chunks=2, share_bits=2, supervised=True, watchdog_bits=3
)


class _Guarded(Elaboratable, ABC):
    """The guard in its environment, and what has happened, noted without it.

    Environment: an offer of the scheduler holds until it is taken or cleared, and none comes while one is inside; an
    answer comes to who asks; ``clear`` comes while stopped. Units complete whenever and whatever they like.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.guard = guard = self.guard = UnitGuard(CONFIG)
        offer, issue, heard = guard.offer, guard.issue, guard.completion
        for port in (guard.limit, guard.resolve, guard.drop, guard.stop, guard.dropping, guard.hit, issue.ready,
                     heard.valid, heard.index, heard.error, heard.attempt, offer.valid):  # fmt: skip
            m.d.comb += port.eq(AnySeq(len(port)))
        payload = offer.payload.as_value()
        m.d.comb += [
            Assume(~ResetSignal()),
            payload.eq(AnySeq(len(payload))),
            guard.clear.eq(AnySeq(1) & guard.stop),
            guard.answer.eq(AnySeq(1) & guard.asks),
        ]
        self.waits, self.waiting = waits, waiting = Signal(), Signal.like(payload)
        m.d.sync += [waits.eq(offer.valid & ~offer.ready & ~guard.clear), waiting.eq(payload)]
        # from the scheduler, and not told of as complete; at the unit; failed and not decided; told without a unit
        self.inside, self.works, self.undecided, self.excused = Signal(), Signal(), Signal(), Signal()
        self.index, self.attempt, self.limit, self.clocks = Signal(3), Signal(2), Signal(3), Signal(4)
        m.d.comb += [
            Assume(~waits | offer.valid & (payload == waiting)),
            Assume(~(self.inside & offer.valid)),
        ]
        accepted, taken = Signal(), Signal()
        self.ends, self.overdue = Signal(), Signal()
        m.d.comb += [
            accepted.eq(issue.valid & issue.ready),
            taken.eq(offer.valid & offer.ready),
            self.ends.eq(self.works & heard.valid & (heard.index == self.index) & (heard.attempt == self.attempt)),
            self.overdue.eq(self.works & ~self.ends & (self.limit != 0) & (self.clocks == self.limit)),
        ]
        m.d.sync += self.clocks.eq(Mux(self.clocks.all(), self.clocks, self.clocks + 1))
        with m.If(taken):
            m.d.sync += [self.inside.eq(1), self.index.eq(offer.payload.index)]
        with m.If(accepted):
            m.d.sync += [
                self.works.eq(1),
                self.attempt.eq(issue.payload.attempt),
                self.limit.eq(guard.limit),
                self.clocks.eq(1),
            ]
        with m.If(self.ends | self.overdue):
            m.d.sync += [self.works.eq(0), self.undecided.eq(self.overdue | heard.error)]
        decision = Mux(guard.drop, Decision.DROP, guard.resolve)
        with m.If(self.undecided & ~guard.stop & (decision != Decision.NONE)):
            m.d.sync += [self.undecided.eq(0), self.excused.eq(decision != Decision.REISSUE)]
        with m.If(guard.answer & guard.hit & ~self.inside):
            m.d.sync += self.excused.eq(1)
        with m.If(guard.complete.valid):
            m.d.sync += [self.inside.eq(0), self.excused.eq(0)]
        with m.If(guard.clear):
            m.d.sync += [self.inside.eq(0), self.works.eq(0), self.undecided.eq(0), self.excused.eq(0)]
        self._invariants(m)
        self._claim(m)
        return m

    def _invariants(self, m: Module) -> None:
        """The guard's own notes are the truth."""
        guard = self.guard

        def is_in(*states: GuardState) -> Value:
            return Cat(guard.state == state for state in states).any()

        inside = is_in(GuardState.WORK, GuardState.FAILED, GuardState.REISSUE, GuardState.MARK, GuardState.COMPLETE)
        offered = is_in(GuardState.CHECK, GuardState.OFFER, GuardState.SKIP)
        m.d.comb += [
            Assert(~offered | self.waits & (guard.at.as_value() == self.waiting)),
            Assert(self.inside == inside),
            Assert(self.works == is_in(GuardState.WORK)),
            Assert(self.undecided == is_in(GuardState.FAILED)),
            Assert(self.excused == is_in(GuardState.MARK, GuardState.COMPLETE, GuardState.SKIP)),
            Assert(~is_in(GuardState.FAILED, GuardState.MARK) | (guard.status.cause != FailureCause.NONE)),
            Assert(guard.state.as_value() <= GuardState.COMPLETE.value),
            Assert(~self.works | (guard.status.attempt == self.attempt)),
            Assert(~self.inside | (guard.status.index == self.index)),
            Assert(~self.works | (guard.armed == (self.limit != 0))),
            Assert(~(self.works & guard.armed) | (guard.left + self.clocks == self.limit + 1)),
            Assert(~(self.works & guard.armed) | (self.clocks != 0) & (guard.left != 0)),
        ]

    @abstractmethod
    def _claim(self, m: Module) -> None:
        """Add the property's assertions."""


class ErrorsProperties(_Guarded):
    """The scheduler hears of a completion once for each nano-operation it handed over, and only if its unit completed
    the present execution without an error, or the host decided so, or it is dropped: what waits for a failed one is
    held. The unit is offered nothing while it works, and an offer stands until it is accepted or cleared."""

    def _claim(self, m: Module) -> None:
        guard, heard = self.guard, self.guard.completion
        told = guard.complete.valid
        waited, payload = Signal(), Signal.like(guard.issue.payload.as_value())
        m.d.sync += [
            waited.eq(guard.issue.valid & ~guard.issue.ready & ~guard.clear),
            payload.eq(guard.issue.payload.as_value()),
        ]
        m.d.comb += [
            Assert(~told | self.inside & (guard.complete.index == self.index)),
            Assert(~told | self.excused | self.ends & ~heard.error),
            Assert(~(told & self.undecided)),
            # nor is one lost
            Assert(~(self.ends & ~heard.error) | told),
            Assert(~(guard.issue.valid & self.works)),
            Assert(~waited | guard.issue.valid & (guard.issue.payload.as_value() == payload)),
            Assert(guard.failed == (self.undecided | self.excused & self.inside & (guard.status.cause != 0))),
        ]


class WatchdogProperties(_Guarded):
    """An execution that has not completed ``limit`` clocks after its handshake puts the unit into error status in the
    next clock, with the watchdog as its cause, and in no other clock; 0 is no limit."""

    def _claim(self, m: Module) -> None:
        guard = self.guard
        fired = Signal()
        m.d.sync += fired.eq(self.overdue & ~guard.clear)
        m.d.comb += [
            Assert(~(self.works & (self.limit != 0)) | (self.clocks <= self.limit)),
            Assert(guard.expired == self.overdue),
            Assert(~fired | guard.failed & (guard.status.cause == FailureCause.WATCHDOG)),
        ]
