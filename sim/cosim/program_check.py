"""A program on the scheduler's RTL beside the same program on its cycle model, clock by clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from arch.program import Program
from arch.scheduler import SchedulerConfig
from sim.cosim.scheduler import SchedulerRun, run_program
from sim.engine.scheduler import Rates, SchedulerTimeline, durations_in_clocks, simulate

__all__ = ["CLOCK_HZ", "ProgramCheck", "check_program"]

CLOCK_HZ = 10_000_000
"""Ten clocks a microsecond, so that a decoder layer is some 20,000 clocks and eight of them a second or two."""


@dataclass(frozen=True, kw_only=True)
class ProgramCheck:
    """Both runs of a program.

    Parameters
    ----------
    rtl, model : what they did, in clocks
    clock_hz : clock both ran at
    """

    rtl: SchedulerRun
    model: SchedulerTimeline
    clock_hz: float

    @property
    def mismatches(self) -> int:
        """Nano-operations that were issued or completed in another clock."""
        differ = (self.rtl.issue_clk != self.model.issue_clk) | (self.rtl.complete_clk != self.model.complete_clk)
        return int(np.count_nonzero(differ))

    @property
    def equal(self) -> bool:
        """Whether the RTL's timeline is the model's, to the last clock."""
        return not self.mismatches and self.rtl.cycles == self.model.cycles_model

    @property
    def period_us(self) -> float:
        """Steady period of the RTL's run: of the middle half of its layers."""
        ends = self.rtl.complete_clk.max(axis=1)
        first, last = len(ends) // 4, (3 * len(ends)) // 4
        clocks = self.rtl.cycles if first == last else float(ends[last] - ends[first]) / (last - first)
        return clocks * 1e6 / self.clock_hz

    def as_json(self) -> dict[str, object]:
        """What commands with ``--rtl`` print of it."""
        return {
            "layers": self.model.program.count,
            "clock_mhz": self.clock_hz / 1e6,
            "period_us": self.period_us,
            "cycles_rtl": self.rtl.cycles,
            "cycles_model": self.model.cycles_model,
            "mismatches": self.mismatches,
        }


def check_program(
    program: Program,
    *,
    layers: int = 8,
    clock_hz: float = CLOCK_HZ,
    durations_clk: Sequence[int] | None = None,
    rates: Rates | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ProgramCheck:
    """Run the first ``layers`` of a program on both; the run is bounded by twice the model's.

    Parameters
    ----------
    program : what to run
    layers : iterations of it
    clock_hz : of the scheduler
    durations_clk : solo clocks of every nano-operation; by default those of the program
    rates : how nano-operations slow one another, as for :func:`sim.engine.scheduler.simulate`; each then takes in the
        RTL's run what it took in the model's, iteration by iteration, and both must decide the same in every clock
    progress : called with nano-operations completed and in all
    """
    body = replace(program, count=min(layers, program.count))
    config = SchedulerConfig.for_program(body)
    solo = durations_in_clocks(body, clock_hz) if durations_clk is None else tuple(durations_clk)
    model = simulate(body, config, durations_clk=solo, rates=rates)
    taken = np.array(solo) if rates is None else model.complete_clk - model.issue_clk
    run = run_program(body, config, taken, max_cycles=2 * model.makespan_clk + 1000, progress=progress)
    return ProgramCheck(rtl=run, model=model, clock_hz=clock_hz)
