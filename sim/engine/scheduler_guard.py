"""The guards of a supervised scheduler unit and what was dropped, as ``rtl/scheduler/unit_guard.py`` and
``drop_tracker.py`` have them."""

from dataclasses import dataclass
from enum import Enum, auto

from arch.descriptor import PackedProgram, index_bits
from arch.program import MAX_PREDECESSORS
from arch.supervision import ATTEMPT_BITS, Decision, FailureCause

__all__ = ["At", "DropModel", "GuardModel", "Pulse"]

At = tuple[int, int]
"""(descriptor, iteration)."""

_DECIDED_CLK, _NOTE_CLK = 2 + MAX_PREDECESSORS, 2


class _State(Enum):
    IDLE = auto()
    CHECK = auto()
    OFFER = auto()
    WORK = auto()
    FAILED = auto()
    REISSUE = auto()
    MARK = auto()
    SKIP = auto()
    COMPLETE = auto()


@dataclass(frozen=True)
class Pulse:
    """A completion at a unit's port."""

    index: int
    attempt: int
    error: bool


class DropModel:
    """Dropped chunks of every operation and iteration, and the one question that is being answered."""

    def __init__(self, n_operations: int) -> None:
        self._n_rows = 4 << index_bits(n_operations)
        self.begin(None)
        self.serving: tuple[int, bool, At] | None = None
        self._answer_clk = 0

    def begin(self, packed: PackedProgram | None) -> None:
        """A program begins, or there is none: nothing is dropped."""
        self._packed = packed
        self._rows: dict[At, int] = {}
        self.dropped: list[At] = []

    def abandon(self) -> None:
        """An abort: the question is forgotten too."""
        self.begin(None)
        self.serving = None

    @property
    def dropping(self) -> bool:
        """Something was dropped."""
        return bool(self.dropped)

    def step(self, clock: int, asks: dict[int, tuple[bool, At]]) -> tuple[int, bool] | None:
        """One clock: who asks (unit: it is a note, of what). Returns the unit whose answer is there, and the answer."""
        if self.serving is None:
            if asks:
                unit = min(asks)
                marks, at = asks[unit]
                self.serving = unit, marks, at
                sweep = 0 if self.dropping else self._n_rows
                self._answer_clk = clock + (_NOTE_CLK + sweep if marks else _DECIDED_CLK)
            return None
        if clock != self._answer_clk:
            return None
        unit, marks, at = self.serving
        self.serving = None
        hit = marks or self._hangs(at)
        if hit:
            descriptor = self._packed.descriptors[at[0]]
            row = (descriptor.operation, at[1])
            self._rows[row] = self._rows.get(row, 0) | descriptor.chunks
            self.dropped.append(at)
        return unit, hit

    def _hangs(self, at: At) -> bool:
        index, iteration = at
        descriptor = self._packed.descriptors[index]
        for wait in descriptor.predecessors:
            there = self._rows.get((wait.operation, iteration + wait.layer_offset), 0)
            if there & (there if wait.all else descriptor.chunks):
                return True
        return False


class GuardModel:
    """One unit's guard. ``limit`` is its watchdog's, 0 for ever."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._state = _State.IDLE
        self.attempt = 0
        self.cause = FailureCause.NONE
        self.held: At = (0, 0)
        self._began_clk = 0
        self._next: _State | None = None

    @property
    def failed(self) -> bool:
        """Error status."""
        decided = self._state is _State.COMPLETE and self.cause is not FailureCause.NONE
        return self._state in (_State.FAILED, _State.MARK) or decided

    @property
    def asks(self) -> tuple[bool, At] | None:
        """What it asks the drop tracker."""
        return (self._state is _State.MARK, self.held) if self._state in (_State.CHECK, _State.MARK) else None

    @property
    def rests(self) -> bool:
        """Whether nothing changes without an event."""
        return self._state in (_State.IDLE, _State.WORK, _State.FAILED)

    @property
    def expiry_clk(self) -> int | None:
        """The clock in which the watchdog runs out."""
        return self._began_clk + self._limit if self._limit and self._state is _State.WORK else None

    def hear(self, clock: int, pulse: Pulse | None) -> tuple[bool, str | None]:
        """A clock's completion, if any. Returns whether the scheduler is told of a completion, and what happened."""
        state, self._next = self._state, None
        late = pulse is not None and pulse.attempt != self.attempt
        fits = pulse is not None and not late and state is _State.WORK and pulse.index == self.held[0]
        what = "late" if late else "unexpected" if pulse is not None and not fits else None
        if fits and not pulse.error:
            self._next = _State.IDLE
            return True, None
        if fits or clock == self.expiry_clk:
            what = "failed" if fits else "watchdog"
            self._new_attempt, self._new_cause = True, FailureCause.ERROR if fits else FailureCause.WATCHDOG
            self._next = _State.FAILED
            return False, f"{what} late" if late else what
        if state is _State.COMPLETE:
            self._next = _State.IDLE
        return state is _State.COMPLETE, what

    _new_attempt = False
    _new_cause: FailureCause | None = None

    def show(self, offer: At | None, *, stop: bool, dropping: bool) -> At | None:
        """What is offered to the unit in this clock; ``offer`` is the scheduler's."""
        if self._state is _State.IDLE:
            if offer is None or stop:
                return None
            self.held, self._new_cause = offer, FailureCause.NONE
            self._next = _State.CHECK if dropping else _State.OFFER
            return None if dropping else offer
        if self._state is _State.REISSUE:
            self._new_cause = FailureCause.NONE
        return self.held if self._state in (_State.OFFER, _State.REISSUE) else None

    def takes(self, clock: int, shown: At | None, ready: bool) -> bool:
        """The unit accepts or not. Returns whether the scheduler's offer is accepted."""
        if self._state is _State.SKIP:
            self._next = _State.COMPLETE
            return True
        if shown is None or not ready:
            return False
        ours = self._state is _State.REISSUE
        self._next, self._began_clk = _State.WORK, clock
        return not ours

    def decide(self, decision: Decision, *, stop: bool) -> None:
        """What the host says in this clock."""
        after = {Decision.REISSUE: _State.REISSUE, Decision.DONE: _State.COMPLETE, Decision.DROP: _State.MARK}
        if self._state is _State.FAILED and not stop and decision in after:
            self._next = after[decision]

    def answered(self, hit: bool, *, stop: bool) -> None:
        """The drop tracker's answer."""
        if self._state is _State.MARK:
            self._next = _State.COMPLETE
        else:
            self._next = _State.SKIP if hit else _State.IDLE if stop else _State.OFFER

    def quiet(self, shown: At | None) -> bool:
        """Nothing is offered to the unit and nothing in flight."""
        return self._state in (_State.CHECK, _State.FAILED) or (self._state is _State.IDLE and shown is None)

    def end_clock(self, *, clear: bool, shown: At | None) -> None:
        """Registers take their next values."""
        if clear:
            self._new_attempt |= shown is not None or self._state is _State.WORK
            self._next = _State.IDLE
        if self._new_attempt:
            self.attempt = (self.attempt + 1) % (1 << ATTEMPT_BITS)
        if self._new_cause is not None:
            self.cause = self._new_cause
        self._new_attempt, self._new_cause = False, None
        if self._next is not None:
            self._state = self._next
