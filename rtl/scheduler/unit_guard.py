"""What stands between a unit and the scheduler: errors, the watchdog, late completions."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.scheduler import SchedulerConfig
from arch.supervision import ATTEMPT_BITS, DECISION_BITS, Decision, FailureCause
from rtl.scheduler.signature import Completion, issue_layout
from rtl.scheduler.supervision_signature import GuardedCompletion, UnitState, offer_layout, status_layout

__all__ = ["GuardState", "UnitGuard"]


class GuardState(enum.Enum, shape=4):
    """What the guard is at."""

    IDLE = 0
    """The scheduler offers nothing, or the offer is held back."""
    CHECK = 1
    """Does what is offered hang on something dropped?"""
    OFFER = 2
    WORK = 3
    FAILED = 4
    """The host decides."""
    REISSUE = 5
    """Offered again; for the scheduler it is in flight."""
    MARK = 6
    """What failed is noted as dropped."""
    SKIP = 7
    """What is offered hangs on something dropped, and is taken instead of the unit."""
    COMPLETE = 8
    """The scheduler is told that it is complete."""


class UnitGuard(wiring.Component):
    """Pass a unit's nano-operations on, and keep from the scheduler those that fail until somebody decides.

    ``docs/engines/scheduler/supervision.md`` has the rules. A completion passes to the scheduler iff it is of what is
    in flight, of the present attempt, and no error.

    Timing
    ------
    Offers and completions pass in their clock; once something was dropped an offer is checked first. A watchdog that
    is ``limit`` at the handshake in clock t hears a completion in clock t + limit; in the next one the state is
    ``FAILED``.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    offer, complete : In(stream), Out(completion), the scheduler's side
    issue, completion : Out(stream), In(guarded completion), the unit's side
    limit : In(watchdog_bits), clocks a unit may take, 0 for ever; only with ``watchdog_bits``
    resolve : In(2), an ``arch.supervision.Decision``, heard while failed
    drop : In(1), decide ``DROP`` at once
    stop : In(1), offer nothing new, ignore decisions
    clear : In(1), forget what is offered or in flight
    dropping : In(1), something was dropped since the program began
    asks, marks : Out(1), is what is at hand dropped; it is, note it
    at : Out(issue), what is at hand
    answer, hit : In(1), the answer is there; it hangs on something dropped, or has been noted
    status : Out(status)
    failed : Out(1), error status
    quiet : Out(1), nothing is offered to the unit and nothing in flight
    late, unexpected, erred, expired : Out(1), what happened in this clock

    Attributes
    ----------
    state : what it is at
    left, armed : clocks the unit may still take, and whether that matters
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.state = Signal(GuardState)
        self._held, self._fits = Signal(issue_layout(config)), Signal()
        self._attempt, self._cause = Signal(ATTEMPT_BITS), Signal(2)
        self.left, self.armed = Signal(config.watchdog_bits), Signal()
        super().__init__(
            {
                "offer": In(stream.Signature(issue_layout(config))),
                "complete": Out(Completion(config)),
                "issue": Out(stream.Signature(offer_layout(config))),
                "completion": In(GuardedCompletion(config)),
                **({"limit": In(config.watchdog_bits)} if config.watchdog_bits else {}),
                "resolve": In(DECISION_BITS),
                "drop": In(1),
                "stop": In(1),
                "clear": In(1),
                "dropping": In(1),
                "asks": Out(1),
                "marks": Out(1),
                "answer": In(1),
                "hit": In(1),
                "at": Out(issue_layout(config)),
                "status": Out(status_layout(config)),
                "failed": Out(1),
                "quiet": Out(1),
                "late": Out(1),
                "unexpected": Out(1),
                "erred": Out(1),
                "expired": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        state, heard = self.state, self.completion
        held, attempt, cause, fits = self._held, self._attempt, self._cause, self._fits
        shown = self.issue.valid & self.issue.ready
        m.d.comb += [
            self.late.eq(heard.valid & (heard.attempt != attempt)),
            fits.eq(heard.valid & ~self.late & (state == GuardState.WORK) & (heard.index == held.index)),
            self.unexpected.eq(heard.valid & ~self.late & ~fits),
            self.erred.eq(fits & heard.error),
            self.complete.valid.eq(fits & ~heard.error | (state == GuardState.COMPLETE)),
            self.complete.index.eq(held.index),
            self.issue.payload.index.eq(Mux(state == GuardState.IDLE, self.offer.payload.index, held.index)),
            self.issue.payload.iteration.eq(
                Mux(state == GuardState.IDLE, self.offer.payload.iteration, held.iteration)
            ),
            self.issue.payload.attempt.eq(attempt),
            self.at.eq(held),
            self.failed.eq(self.status.state == UnitState.FAILED),
            self.status.cause.eq(cause),
            self.status.index.eq(held.index),
            self.status.iteration.eq(held.iteration),
            self.status.attempt.eq(attempt),
        ]
        self._watch(m, shown)
        with m.Switch(state):
            self._offer(m)
            self._work(m)
            self._skip(m)
        with m.If(shown):
            m.d.sync += state.eq(GuardState.WORK)
        with m.If(self.clear):
            m.d.sync += state.eq(GuardState.IDLE)
            # whoever may still complete does so late
            with m.If(self.issue.valid | (state == GuardState.WORK)):
                m.d.sync += attempt.eq(attempt + 1)
        return m

    def _offer(self, m: Module) -> None:
        """Until the unit has accepted."""
        state = self.state
        with m.Case(GuardState.IDLE):
            m.d.sync += self._held.eq(self.offer.payload)
            with m.If(~self.offer.valid | self.stop):
                m.d.comb += self.quiet.eq(1)
            with m.Elif(self.dropping):
                m.d.comb += self.quiet.eq(1)
                m.d.sync += state.eq(GuardState.CHECK)
            with m.Else():
                m.d.comb += [self.issue.valid.eq(1), self.offer.ready.eq(self.issue.ready)]
                m.d.sync += [state.eq(GuardState.OFFER), self._cause.eq(FailureCause.NONE)]
        with m.Case(GuardState.CHECK):
            m.d.comb += [self.asks.eq(1), self.quiet.eq(1)]
            m.d.sync += self._cause.eq(FailureCause.NONE)
            with m.If(self.answer):
                m.d.sync += state.eq(Mux(self.hit, GuardState.SKIP, Mux(self.stop, GuardState.IDLE, GuardState.OFFER)))
        with m.Case(GuardState.OFFER):
            m.d.comb += [self.issue.valid.eq(1), self.offer.ready.eq(self.issue.ready)]
            m.d.comb += self.status.state.eq(UnitState.OFFERED)
        with m.Case(GuardState.REISSUE):
            m.d.comb += [self.issue.valid.eq(1), self.status.state.eq(UnitState.OFFERED)]
            m.d.sync += self._cause.eq(FailureCause.NONE)

    def _work(self, m: Module) -> None:
        """From the handshake until the unit completes, or what failed is decided."""
        with m.Case(GuardState.WORK):
            m.d.comb += self.status.state.eq(UnitState.IN_FLIGHT)
            with m.If(self.erred | self.expired):
                m.d.sync += [
                    self.state.eq(GuardState.FAILED),
                    self._attempt.eq(self._attempt + 1),
                    self._cause.eq(Mux(self.erred, FailureCause.ERROR, FailureCause.WATCHDOG)),
                ]
            with m.Elif(self._fits):
                m.d.sync += self.state.eq(GuardState.IDLE)
        with m.Case(GuardState.FAILED):
            m.d.comb += [self.status.state.eq(UnitState.FAILED), self.quiet.eq(1)]
            self._decide(m)

    def _skip(self, m: Module) -> None:
        """What the scheduler is told instead of the unit's completion."""
        with m.Case(GuardState.MARK):
            m.d.comb += [self.asks.eq(1), self.marks.eq(1), self.status.state.eq(UnitState.FAILED)]
            with m.If(self.answer):
                m.d.sync += self.state.eq(GuardState.COMPLETE)
        with m.Case(GuardState.SKIP):
            m.d.comb += self.offer.ready.eq(1)
            m.d.sync += self.state.eq(GuardState.COMPLETE)
        with m.Case(GuardState.COMPLETE):
            with m.If(self._cause != FailureCause.NONE):
                m.d.comb += self.status.state.eq(UnitState.FAILED)
            m.d.sync += self.state.eq(GuardState.IDLE)

    def _decide(self, m: Module) -> None:
        """What the host decides becomes the next state."""
        after = {
            Decision.REISSUE: GuardState.REISSUE,
            Decision.DONE: GuardState.COMPLETE,
            Decision.DROP: GuardState.MARK,
        }
        with m.If(~self.stop), m.Switch(Mux(self.drop, Decision.DROP, self.resolve)):
            for decision, state in after.items():
                with m.Case(decision):
                    m.d.sync += self.state.eq(state)

    def _watch(self, m: Module, begins: Value) -> None:
        """Count the clocks of an execution down."""
        if not self.config.watchdog_bits:
            return
        left, armed = self.left, self.armed
        m.d.comb += self.expired.eq(armed & (left == 1) & ~self._fits & (self.state == GuardState.WORK))
        m.d.sync += left.eq(left - 1)
        with m.If(begins):
            m.d.sync += [left.eq(self.limit), armed.eq(self.limit != 0)]
