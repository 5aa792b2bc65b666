"""Cycle model of a supervised scheduler unit: the same decisions in the same clock as
``rtl/scheduler/supervised_scheduler.py``, among units that fail and a host that does something about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from arch.descriptor import PackedProgram, pack_program
from arch.errors import InputError
from arch.scheduler import SchedulerConfig
from arch.supervision import Cause, Decision
from sim.engine.program_buffer import ProgramFeed
from sim.engine.scheduler_guard import At, DropModel, GuardModel, Pulse
from sim.engine.scheduler_state import Pick, SchedulerState
from sim.engine.supervision_script import Action, Fate, Script

__all__ = ["SupervisedRun", "UnitEvent", "WorldEvent", "run_script"]


@dataclass(frozen=True)
class UnitEvent:
    """What happened at a unit in a clock.

    Parameters
    ----------
    clock, unit : since the script began; where
    issued : descriptor, iteration and attempt of a handshake, or None
    completed : descriptor, attempt and ``error`` of a completion at the port, or None
    failed : an ``arch.supervision.FailureCause`` if error status begins, or None
    """

    clock: int
    unit: int
    issued: tuple[int, int, int] | None = None
    completed: tuple[int, int, bool] | None = None
    failed: int | None = None


@dataclass(frozen=True)
class WorldEvent:
    """What happened to the whole unit in a clock, among it a change of ``dropped``: how many nano-operations were."""

    clock: int
    begins: bool = False
    done: bool = False
    aborted: bool = False
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class SupervisedRun:
    """A script that was run.

    Parameters
    ----------
    unit_events, world_events : in order of clocks, of units in a clock
    dropped : of every program that began, the nano-operations that were dropped, as (descriptor, iteration)
    causes : mask of ``arch.supervision.Cause`` at the end
    end_clk : clock of the ``END`` command
    """

    unit_events: list[UnitEvent]
    world_events: list[WorldEvent]
    dropped: list[list[At]]
    causes: int
    end_clk: int


def run_script(script: Script, config: SchedulerConfig, *, max_clk: int = 1 << 20) -> SupervisedRun:
    """Follow a script on a supervised unit.

    Raises
    ------
    InputError
        If the unit cannot follow the script, or it does not end within ``max_clk`` clocks.
    """
    if not config.supervised:
        raise InputError("supervised of the scheduler must be True for a script, not False")
    script.check(config)
    return _Run(script, config).run(max_clk)


@dataclass
class _Execution:
    """What a unit works at."""

    index: int
    attempt: int
    error: bool
    due_clk: int | None


@dataclass
class _UnitModel:
    """A unit from outside: what it executes, and an execution before that one which has not completed."""

    main: _Execution | None = None
    older: _Execution | None = None
    since_shown: int = 0
    since_failed: int = 0
    failure: At | None = None
    n_failures: int = 0
    was_failed: bool = False

    def pulse(self, clock: int) -> Pulse | None:
        """The completion of this clock; the older execution's waits while the other one's is due."""
        if self.main is not None and self.main.due_clk == clock:
            ended, self.main = self.main, None
        elif self.older is not None and self.older.due_clk <= clock:
            ended, self.older = self.older, None
        else:
            return None
        return Pulse(ended.index, ended.attempt, ended.error)

    def failures_of(self, at: At) -> int:
        return self.n_failures if self.failure == at else 0

    def accept(self, clock: int, at: At, attempt: int, fate: Fate) -> None:
        if self.main is not None and self.main.due_clk is not None:
            self.older = self.main
        bad = at[1] == fate.bad_iteration and self.failures_of(at) < fate.n_bad
        clocks = fate.bad_clocks if bad else fate.clocks
        self.main = _Execution(at[0], attempt, bad and fate.bad_error, clock + clocks if clocks else None)


@dataclass
class _Run:
    script: Script
    config: SchedulerConfig
    unit_events: list[UnitEvent] = field(default_factory=list)
    world_events: list[WorldEvent] = field(default_factory=list)
    dropped: list[list[At]] = field(default_factory=list)

    def __post_init__(self) -> None:
        config, script = self.config, self.script
        packed = [pack_program(program, config) for program in script.programs]
        self._fates = {id(one): fates for one, fates in zip(packed, script.fates, strict=True)}
        self._feed = ProgramFeed(packed, buffered=config.buffered)
        self._guards = [GuardModel(limit) for limit in script.watchdog_limits]
        self._units = [_UnitModel() for _ in range(config.n_units)]
        self._drops = DropModel(config.n_operations)
        self._core: SchedulerState | None = None
        self._program: PackedProgram | None = None
        self._stops, self._discards, self._wipe = False, False, False
        self._causes, self._began_clk, self._n_started, self._commands = 0, 0, 0, list(script.commands)
        self._n_dropped = 0

    def run(self, max_clk: int) -> SupervisedRun:
        clock = 0
        while clock < max_clk:
            if self._clock(clock):
                return SupervisedRun(
                    unit_events=_merged(self.unit_events),
                    world_events=self.world_events,
                    dropped=self.dropped,
                    causes=self._causes,
                    end_clk=clock,
                )
            clock = self._following(clock)
        raise InputError(f"clocks of the script must be at most {max_clk}, not more")

    def _clock(self, clock: int) -> bool:
        """One clock; returns whether it is that of the end."""
        running, stops, wipe = self._core is not None, self._stops, self._wipe
        ended = running and not self._core.running
        busy = running or self._feed.asked or stops
        n_dropped = len(self._drops.dropped)
        self._before = None if self._core is None else self._core.asking()
        offers = self._feed.n_loaded <= self._n_started
        action = self._act(clock, busy)
        if action is Action.END:
            return True
        start = action in (Action.START, Action.AGAIN)
        begins = self._feed.step(
            clock, offers=offers, start=start, running=running, done=ended, stops=stops, cancel=wipe
        )
        heard = self._hear(clock)
        shown = self._offer(clock, heard, stops=stops, dropping=self._drops.dropping)
        self._resolve(clock, stops=stops)
        done = ended and not stops
        self._note(clock, begins=begins is not None, done=done, aborted=wipe, n_dropped=n_dropped)
        happened = {Cause.DONE} if done else set()
        happened |= {Cause.ABORTED} if wipe else set()
        for _, what in heard.values():
            happened |= {cause for name, cause in _CAUSES.items() if what is not None and name in what}
        self._causes |= sum(1 << cause for cause in happened)
        if ended:
            self._core = None
        if begins is not None:
            self._begin(clock, begins)
        # an abort wins over a program that begins in its clock
        self._end_clock(clock, action, shown, busy=busy)
        return False

    def _act(self, clock: int, busy: bool) -> Action | None:
        """The command that is carried out in this clock."""
        command = self._commands[0]
        if clock - self._began_clk < command.at or not self._may(command.action, busy):
            return None
        self._n_started += command.action is Action.START
        self._commands.pop(0)
        return command.action

    def _may(self, action: Action, busy: bool) -> bool:
        """Whether the host would carry that out now."""
        if action in (Action.START, Action.AGAIN):
            heard = not self._feed.asked if self.config.buffered else not busy
            return heard and (action is Action.AGAIN or self._feed.n_loaded > self._n_started)
        return action is not Action.END or not busy

    def _hear(self, clock: int) -> dict[int, tuple[bool, str | None]]:
        """Completions and watchdogs, by unit: whether the scheduler is told, and what happened."""
        heard = {}
        for unit, (guard, model) in enumerate(zip(self._guards, self._units, strict=True)):
            pulse = model.pulse(clock)
            heard[unit] = guard.hear(clock, pulse)
            if pulse is not None:
                completed = (pulse.index, pulse.attempt, pulse.error)
                self.unit_events.append(UnitEvent(clock=clock, unit=unit, completed=completed))
        return heard

    def _offer(self, clock: int, heard: Mapping, *, stops: bool, dropping: bool) -> dict[int, At | None]:
        """The scheduler's clock, with the guards between it and the units; returns what was shown to the units."""
        shown: dict[int, At | None] = {}

        def accept(offers: Mapping[int, Pick]) -> int:
            accepted = 0
            for unit, guard in enumerate(self._guards):
                offer = offers.get(unit)
                at = None if offer is None else (offer.index, self._core.iteration(offer.parity))
                shown[unit] = guard.show(at, stop=stops, dropping=dropping)
                accepted |= guard.takes(clock, shown[unit], self._ready(clock, unit, shown[unit])) << unit
            return accepted

        if self._core is not None and self._core.running:
            self._core.step(sum(told << unit for unit, (told, _) in heard.items()), accept)
        else:
            accept({})
        return shown

    def _ready(self, clock: int, unit: int, shown: At | None) -> bool:
        """Whether the unit accepts what is shown; if so it begins."""
        model = self._units[unit]
        if shown is None:
            model.since_shown = 0
            return False
        fate = self._fates[id(self._program)][shown[0]]
        if model.since_shown < fate.accept_clk:
            model.since_shown += 1
            return False
        model.since_shown = 0
        attempt = self._guards[unit].attempt
        model.accept(clock, shown, attempt, fate)
        self.unit_events.append(UnitEvent(clock=clock, unit=unit, issued=(*shown, attempt)))
        return True

    def _resolve(self, clock: int, *, stops: bool) -> None:
        """The drop tracker, and the host's decisions."""
        asks = {unit: guard.asks for unit, guard in enumerate(self._guards) if guard.asks is not None}
        answer = self._drops.step(clock, asks)
        if answer is not None:
            self._guards[answer[0]].answered(answer[1], stop=stops)
        for unit, (guard, model) in enumerate(zip(self._guards, self._units, strict=True)):
            if guard.failed and not model.was_failed:
                model.n_failures = model.failures_of(guard.held) + 1
                model.failure, model.since_failed = guard.held, 0
                self.unit_events.append(UnitEvent(clock=clock, unit=unit, failed=int(guard.cause)))
            decision = Decision.NONE
            if guard.failed:
                fate = self._fates[id(self._program)][guard.held[0]]
                if model.since_failed == fate.decide_clk:
                    decision = fate.decisions[model.n_failures > 1]
                model.since_failed += 1
            model.was_failed = guard.failed
            guard.decide(Decision.DROP if self.script.drop_failed else decision, stop=stops)

    def _note(self, clock: int, *, begins: bool, done: bool, aborted: bool, n_dropped: int) -> None:
        if begins or done or aborted or n_dropped != self._n_dropped:
            event = WorldEvent(clock=clock, begins=begins, done=done, aborted=aborted, dropped=n_dropped)
            self.world_events.append(event)
        self._n_dropped = n_dropped

    def _end_clock(self, clock: int, action: Action | None, shown: Mapping[int, At | None], *, busy: bool) -> None:
        """Registers take their next values; a program may begin with the next clock."""
        stops, wipe = self._stops, self._wipe
        quiet = all(guard.quiet(shown[unit]) for unit, guard in enumerate(self._guards))
        self._wipe = stops and not wipe and (self._discards or quiet)
        aborts = action in (Action.ABORT, Action.DISCARD) and busy
        self._stops = (stops or aborts) and not wipe
        self._discards = (self._discards or (aborts and action is Action.DISCARD)) and not wipe
        for unit, guard in enumerate(self._guards):
            guard.end_clock(clear=wipe, shown=shown[unit])
        if wipe:
            self._core = None
            self._drops.abandon()

    def _begin(self, clock: int, packed: PackedProgram) -> None:
        self._core, self._program, self._began_clk = SchedulerState(packed), packed, clock + 1
        self._drops.begin(packed)
        self.dropped.append(self._drops.dropped)
        for model in self._units:
            model.failure = None

    def _following(self, clock: int) -> int:
        """The next clock in which something can change."""
        core = self._core
        loads = self._feed.loading and self._feed.n_loaded <= self._n_started and (self.config.buffered or core is None)
        rests = not (self._stops or self._wipe or loads) and self._feed.rests and self._drops.serving is None
        rests &= all(guard.rests for guard in self._guards) and self._n_dropped == len(self._drops.dropped)
        rests &= all(guard.failed == model.was_failed for guard, model in zip(self._guards, self._units, strict=True))
        if not rests or (core is not None and (not core.running or core.offered or not core.quiet(self._before))):
            return clock + 1
        command_clk = self._began_clk + self._commands[0].at
        if command_clk <= clock + 1 and self._may(self._commands[0].action, core is not None or self._feed.asked):
            return clock + 1
        due = [command_clk]
        for guard, model in zip(self._guards, self._units, strict=True):
            due += [one.due_clk for one in (model.main, model.older) if one is not None and one.due_clk is not None]
            due += [] if guard.expiry_clk is None else [guard.expiry_clk]
            if guard.failed:
                wait = self._fates[id(self._program)][guard.held[0]].decide_clk - model.since_failed
                due += [clock + 1 + wait] if wait >= 0 else []
        following = min((one for one in due if one > clock), default=clock + 1)
        for guard, model in zip(self._guards, self._units, strict=True):
            model.since_failed += (following - clock - 1) * guard.failed
        return following


_CAUSES = {
    "failed": Cause.FAILED,
    "watchdog": Cause.WATCHDOG,
    "late": Cause.LATE,
    "unexpected": Cause.PROTOCOL,
}


def _merged(events: list[UnitEvent]) -> list[UnitEvent]:
    """One event a clock and unit."""
    merged: dict[tuple[int, int], UnitEvent] = {}
    for event in events:
        key = (event.clock, event.unit)
        said = {name: value for name, value in vars(event).items() if value is not None}
        merged[key] = replace(merged[key], **said) if key in merged else event
    return [merged[key] for key in sorted(merged)]
