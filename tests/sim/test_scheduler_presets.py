"""Every program of ``workloads/programs`` on the scheduler unit's RTL: one timeline with the cycle model."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from arch.scheduler import SchedulerConfig
from arch.workload import load_program, preset_names
from sim.cosim.scheduler import SchedulerSimulator
from sim.engine.scheduler import durations_in_clocks, simulate
from sim.engine.scheduler_measures import credit_clk, stall_clk

CONFIG = SchedulerConfig(n_units=5, n_pools=2, n_chunks=32, trace=True)
"""Large enough for all of them, and the build of ``test_scheduler_rtl.py``."""

LAYERS = 6
CLOCK_HZ = 1e6

pytestmark = pytest.mark.cosim


@pytest.fixture(scope="module")
def simulator() -> Iterator[SchedulerSimulator]:
    with SchedulerSimulator(CONFIG) as built:
        yield built


@pytest.mark.parametrize("name", preset_names("program"))
def test_rtl_and_model_have_one_timeline(name: str, simulator: SchedulerSimulator) -> None:
    program = replace(load_program(name), count=LAYERS)
    durations = durations_in_clocks(program, CLOCK_HZ)
    model = simulate(program, CONFIG, durations_clk=durations)
    run = simulator.run(program, durations, max_cycles=model.makespan_clk + 100)
    assert (run.issue_clk == model.issue_clk).all()
    assert (run.complete_clk == model.complete_clk).all()
    assert run.cycles == model.makespan_clk
    assert (run.complete_clk - run.issue_clk == durations).all()
    assert (run.trace.ready_clk == model.ready_clk).all()
    assert run.trace.stalls == stall_clk(model)
    assert run.trace.credits == credit_clk(model)
