"""What came out of a run: when every nano-operation of every iteration ran, and what it held meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from arch.program import Program
from sim.engine.scheduler import SchedulerTimeline

__all__ = ["Timeline", "TimelineEntry"]


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """One nano-operation of one iteration.

    Parameters
    ----------
    nano_operation, operation, unit : names, as in the program
    layer : iteration of the loop body, 0 first
    start_us, end_us : microseconds from the start of the program
    shares : credits held from start to end, by pool
    waited_for : what let it go last: ``dependency``, ``unit`` or ``share``
    """

    nano_operation: str
    operation: str
    unit: str
    layer: int
    start_us: float
    end_us: float
    shares: Mapping[str, int]
    waited_for: str

    @property
    def duration_us(self) -> float:
        """Time from issue to completion."""
        return self.end_us - self.start_us


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A whole run, in order of issue.

    Parameters
    ----------
    program : what was run
    entries : every nano-operation of every iteration
    makespan_us : from the start of the program to its end
    period_us : time of one iteration in the middle half of the loop, where it repeats itself
    source : ``rtl`` or ``cycle_model``
    """

    program: Program
    entries: tuple[TimelineEntry, ...]
    makespan_us: float
    period_us: float
    source: str = "cycle_model"

    @classmethod
    def of(cls, run: SchedulerTimeline, clock_hz: float) -> "Timeline":
        """The scheduler model's run with clocks turned into microseconds."""
        shares = {nano.name: nano.shares for nano in run.program.nano_operations}
        us = 1e6 / clock_hz
        return cls(
            program=run.program,
            entries=tuple(
                TimelineEntry(
                    nano_operation=entry["name"],
                    operation=entry["operation"],
                    unit=entry["unit"],
                    layer=entry["iteration"],
                    start_us=entry["issue_clk"] * us,
                    end_us=entry["complete_clk"] * us,
                    shares=shares[entry["name"]],
                    waited_for=entry["waited_for"],
                )
                for entry in run.entries()
            ),
            makespan_us=run.makespan_clk * us,
            period_us=run.steady_period_clk * us,
        )

    def layer(self, number: int) -> tuple[TimelineEntry, ...]:
        """Entries of one iteration, in order of issue."""
        return tuple(entry for entry in self.entries if entry.layer == number)

    @cached_property
    def unit_busy(self) -> dict[str, float]:
        """Part of the makespan each unit is busy."""
        busy = dict.fromkeys(self.program.units, 0.0)
        for entry in self.entries:
            busy[entry.unit] += entry.duration_us
        return {unit: time / self.makespan_us for unit, time in busy.items()}

    def peak_share(self, pool: str) -> int:
        """Most credits of a pool held at any one time; a return and a grant at one instant do not add up."""
        changes = []
        for entry in self.entries:
            credits = entry.shares.get(pool, 0)
            changes += [(entry.start_us, 1, credits), (entry.end_us, 0, -credits)]
        held = peak = 0
        for _, _, credits in sorted(changes):
            held += credits
            peak = max(peak, held)
        return peak
