"""The frame program: march, encode and MLP, and composite overlap as NGPC's batches do."""

import numpy as np
import pytest

from arch.scheduler import SchedulerConfig
from arch.workload import load_program
from sim.engine.scheduler import WAKE_UP_CLK, simulate
from sim.engine.scheduler_check import violations

CLOCK_HZ = 100e6


def test_a_frame_takes_the_time_of_the_cluster_alone() -> None:
    program = load_program("nerf_frame_ngpc8")
    timeline = simulate(program, SchedulerConfig.for_program(program), clock_hz=CLOCK_HZ)
    keys = list(np.ndindex(timeline.issue_clk.shape))
    clocks = ({key: int(clock[key]) for key in keys} for clock in (timeline.issue_clk, timeline.complete_clk))
    assert list(violations(program, *clocks, wake_up_clk=WAKE_UP_CLK)) == []
    period_us = timeline.steady_period_clk / CLOCK_HZ * 1e6
    on_cluster = sum(nano.duration_us for nano in program.nano_operations if nano.unit == "nfp")
    assert period_us == pytest.approx(on_cluster, rel=1e-4)
    assert period_us == pytest.approx(231e3 / 12.94, rel=1e-4)
    assert sum(nano.duration_us for nano in program.nano_operations) > 1.3 * period_us
