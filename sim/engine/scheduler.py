"""Cycle model of the scheduler unit: the same decisions in the same clock as ``rtl/scheduler``.

Clocks in which nothing can change are skipped, so the cost is that of the events: about 6 stepped clocks a
nano-operation, however long the nano-operations are.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from arch.descriptor import PackedProgram, pack_program
from arch.errors import InputError, check_integer, check_positive
from arch.program import Program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler_state import SchedulerState

__all__ = [
    "START_WAKE_UP_CLK",
    "TURN_CLK",
    "WAKE_UP_CLK",
    "Rates",
    "SchedulerTimeline",
    "durations_in_clocks",
    "simulate",
]

_MOST_DURATION_CLK = 1 << 40

WAKE_UP_CLK = 3
"""Clocks from a completion to the issue of a nano-operation that waited for it."""

START_WAKE_UP_CLK = 4
"""The same from an awaited start, counted from its handshake."""

TURN_CLK = 3
"""Clocks from an issue until its descriptor is looked at for the next iteration; its unit is busy that long."""

Durations = Sequence[int] | Callable[[int, int], int]
Rates = Callable[[tuple[int, ...]], Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class SchedulerTimeline:
    """When every nano-operation of every iteration ran, in clocks; ``start`` is clock 0.

    All arrays are (count, nano-operations) int64.

    Parameters
    ----------
    program : what was run
    opened_clk : first clock in which its iteration was in flight
    ready_clk : first clock in which all it waits for was met, though not before the third after its descriptor was
        issued in the iteration before: until then the hardware does not look
    issue_clk : clock of the handshake at the issue port; credits are held and the unit is busy from here
    complete_clk : clock of the completion pulse
    share_wait_clk : clocks it stood chosen before its unit without credits
    makespan_clk : the clock in which the unit reports the end of the program
    """

    program: Program
    opened_clk: np.ndarray
    ready_clk: np.ndarray
    issue_clk: np.ndarray
    complete_clk: np.ndarray
    share_wait_clk: np.ndarray
    makespan_clk: int

    @property
    def cycles_model(self) -> int:
        """Clocks of the whole program, from ``start`` to ``done``."""
        return self.makespan_clk

    @property
    def dependency_wait_clk(self) -> np.ndarray:
        """Clocks from the opening of the iteration until all predecessors were met."""
        return self.ready_clk - self.opened_clk

    @property
    def unit_wait_clk(self) -> np.ndarray:
        """Clocks it was ready while its unit was busy or served a more urgent or older one."""
        return self.issue_clk - self.ready_clk - 1 - self.share_wait_clk

    @property
    def steady_period_clk(self) -> float:
        """Clocks an iteration takes in the middle half of the loop; the makespan if the body runs once."""
        ends = self.complete_clk.max(axis=1)
        first, last = len(ends) // 4, (3 * len(ends)) // 4
        if first == last:
            return float(self.makespan_clk)
        return float(ends[last] - ends[first]) / (last - first)

    def waited_for(self, iteration: int, index: int) -> str:
        """What let it go last: ``share``, ``unit`` or ``dependency``."""
        if self.share_wait_clk[iteration, index]:
            return "share"
        return "unit" if self.unit_wait_clk[iteration, index] else "dependency"

    def entries(self) -> Iterator[dict[str, int | str]]:
        """One dictionary a nano-operation and iteration, in order of issue."""
        dependency, unit = self.dependency_wait_clk, self.unit_wait_clk
        order = np.lexsort((self.complete_clk.ravel(), self.issue_clk.ravel()))
        for iteration, index in zip(*np.unravel_index(order, self.issue_clk.shape), strict=True):
            nano = self.program.nano_operations[index]
            yield {
                "name": nano.name,
                "operation": nano.operation,
                "unit": nano.unit,
                "iteration": int(iteration),
                "ready_clk": int(self.ready_clk[iteration, index]),
                "issue_clk": int(self.issue_clk[iteration, index]),
                "complete_clk": int(self.complete_clk[iteration, index]),
                "dependency_wait_clk": int(dependency[iteration, index]),
                "unit_wait_clk": int(unit[iteration, index]),
                "share_wait_clk": int(self.share_wait_clk[iteration, index]),
                "waited_for": self.waited_for(iteration, index),
            }


def durations_in_clocks(program: Program, clock_hz: float) -> tuple[int, ...]:
    """The nano-operations' own durations, rounded to clocks, at least one; raises InputError beyond 2^40 clocks."""
    check_positive("clock_hz", clock_hz)
    longest = max(program.nano_operations, key=lambda nano: nano.duration_us)
    if longest.duration_us * clock_hz / 1e6 > _MOST_DURATION_CLK:
        raise InputError(
            f"duration_us of {longest.name} must be at most 2^40 clocks of {clock_hz:g} Hz, not {longest.duration_us:g}"
        )
    return tuple(max(1, round(nano.duration_us * clock_hz / 1e6)) for nano in program.nano_operations)


def simulate(
    program: Program,
    config: SchedulerConfig,
    *,
    durations_clk: Durations | None = None,
    rates: Rates | None = None,
    clock_hz: float = 1e9,
) -> SchedulerTimeline:
    """Run a program; units accept at once.

    Parameters
    ----------
    program : what to run
    config : the unit it runs on
    durations_clk : clocks from issue to completion, at least 1: one a nano-operation, or a function of its index
        and iteration; by default ``duration_us`` at ``clock_hz``
    rates : how fast nano-operations that run side by side progress: given the ascending indices of those running,
        their rates in the same order, 1 being the speed of ``durations_clk``. Called again whenever the set
        changes (once for each set: results are kept). Without it every rate is 1 and the result is the RTL's.
    clock_hz : turns ``duration_us`` into clocks

    Raises
    ------
    InputError
        If the program does not fit the unit, or a duration or rate is not positive.
    """
    packed = pack_program(program, config)
    if durations_clk is None:
        durations_clk = durations_in_clocks(program, clock_hz)
    if not callable(durations_clk):
        check_integer("number of durations_clk", len(durations_clk), len(packed.descriptors), len(packed.descriptors))
        durations_clk = _constant(durations_clk)
    return _Run(program, packed, durations_clk, rates).run()


def _constant(durations_clk: Sequence[int]) -> Callable[[int, int], int]:
    return lambda index, iteration: durations_clk[index]


class _Units:
    """What the units are doing: work left of each nano-operation in flight, and when it will complete."""

    def __init__(self, rates: Rates | None) -> None:
        self._rates = rates
        self._known: dict[tuple[int, ...], dict[int, float]] = {}
        self._at: dict[int, dict[int, float]] = {}
        self.running: dict[int, int] = {}
        self.end_clk: dict[int, int] = {}
        self._left: dict[int, float] = {}
        self._rate: dict[int, float] = {}
        self._since = 0

    def change(self, clock: int, completed: list[int], issued: list[tuple[int, int, int]]) -> None:
        """At ``clock`` units complete and others are issued (unit, index, duration)."""
        for unit in completed:
            del self.running[unit], self.end_clk[unit]
        if self._rates is None:
            for unit, index, duration in issued:
                self.running[unit] = index
                self.end_clk[unit] = clock + duration
            return
        for unit in completed:
            del self._left[unit], self._rate[unit]
        for unit in self._left:
            self._left[unit] -= self._rate[unit] * (clock - self._since)
        for unit, index, duration in issued:
            self.running[unit] = index
            self._left[unit] = float(duration)
        self._since = clock
        rates = self._rates_of(tuple(sorted(self.running.values())))
        for unit, index in self.running.items():
            self._rate[unit] = rates[index]
            # a hair less than the quotient, so that rounding errors do not cost a clock
            clocks = math.ceil(self._left[unit] / rates[index] * (1 - 1e-12))
            self.end_clk[unit] = clock + max(1, clocks)

    def _rates_of(self, running: tuple[int, ...]) -> dict[int, float]:
        if running not in self._known:
            rates = tuple(self._rates(running)) if running else ()
            if len(rates) != len(running):
                raise InputError(f"number of rates must be {len(running)}, not {len(rates)}")
            for index, rate in zip(running, rates, strict=True):
                check_positive(f"rate of nano-operation {index}", rate)
            self._known[running] = dict(zip(running, rates, strict=True))
        return self._known[running]


class _Run:
    """One simulation: steps the registers at the clocks at which they can change, and notes what happens."""

    def __init__(
        self, program: Program, packed: PackedProgram, duration: Callable[[int, int], int], rates: Rates | None
    ) -> None:
        self._program = program
        self._duration = duration
        self._state = SchedulerState(packed)
        self._units = _Units(rates)
        shape = (packed.count, len(packed.descriptors))
        self._opened, self._ready, self._issue, self._complete = (np.zeros(shape, dtype=np.int64) for _ in range(4))
        self._share = np.zeros(shape, dtype=np.int64)
        self._seen = [0, 0]

    def run(self) -> SchedulerTimeline:
        state, units, clock = self._state, self._units, 1
        self._opened[:2] = clock
        while state.running:
            before, base = state.asking(), state.base
            completed = [unit for unit, end in units.end_clk.items() if end == clock]
            for unit in completed:
                pick = state.in_flight[unit]
                self._complete[state.iteration(pick.parity), pick.index] = clock
            granted = state.step(sum(1 << unit for unit in completed))
            self._note_ready(clock, base)
            issued = self._note_issue(clock, granted, before[0])
            if completed or issued:
                units.change(clock, completed, issued)
            if state.base != base:
                self._opened[state.base + 1 : state.base + 2] = clock + 1
                self._seen[base & 1] = 0
            clock = self._next(clock, before)
        return SchedulerTimeline(
            program=self._program,
            opened_clk=self._opened,
            ready_clk=self._ready,
            issue_clk=self._issue,
            complete_clk=self._complete,
            share_wait_clk=self._share,
            makespan_clk=clock,
        )

    def _next(self, clock: int, before: tuple) -> int:
        """The next clock at which a register can change."""
        state, units = self._state, self._units
        if not state.running or not state.quiet(before):
            return clock + 1
        if not units.end_clk:
            raise RuntimeError(f"program {self._program.name} stands still at clock {clock}")
        end = min(units.end_clk.values())
        for pick in state.pick:
            if pick is not None:  # chosen, and without credits in the clocks skipped
                self._share[state.iteration(pick.parity), pick.index] += end - clock - 1
        return end

    def _note_ready(self, clock: int, base: int) -> None:
        for parity in (0, 1):
            fresh = self._state.ready[parity] & ~self._seen[parity]
            self._seen[parity] |= fresh
            iteration = base + ((base ^ parity) & 1)
            while fresh:
                self._ready[iteration, (fresh & -fresh).bit_length() - 1] = clock
                fresh &= fresh - 1

    def _note_issue(self, clock: int, granted: int, before: list) -> list[tuple[int, int, int]]:
        issued = []
        for unit, pick in enumerate(before):
            if pick is None:
                continue
            # parity tells the iteration: at most two are in flight, and a retired one leaves no pick behind
            iteration = self._state.iteration(pick.parity)
            if not granted >> unit & 1:
                self._share[iteration, pick.index] += 1
                continue
            duration = self._duration(pick.index, iteration)
            check_integer(f"duration_clk of nano-operation {pick.index}", duration, 1, 1 << 48)
            self._issue[iteration, pick.index] = clock
            if iteration:
                turn = self._issue[iteration - 1, pick.index] + TURN_CLK
                self._ready[iteration, pick.index] = max(self._ready[iteration, pick.index], turn)
            issued.append((unit, pick.index, duration))
        return issued
