"""Random programs on the scheduler unit's RTL in blocks of cycles: every clock is the cycle model's."""

import random

import pytest

from arch.program import NanoOperation, Predecessor, Program
from arch.scheduler import SchedulerConfig
from sim.cosim.scheduler import SchedulerSimulator, SchedulerTrace
from sim.engine.scheduler import WAKE_UP_CLK, SchedulerTimeline, simulate
from sim.engine.scheduler_check import violations
from sim.engine.scheduler_measures import credit_clk, stall_clk
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_pools=2, n_chunks=32, trace=True)
"""Four units: with more a trace of one record a clock is not whole when all of them complete every fourth clock."""
FIVE = SchedulerConfig(n_units=5, n_pools=2, n_chunks=32)
LARGE = SchedulerConfig(n_descriptors=64, n_operations=32, n_units=8, n_pools=4, n_chunks=64, share_bits=8)


def check_trace(trace: SchedulerTrace, model: SchedulerTimeline, what: str) -> None:
    assert (trace.ready_clk == model.ready_clk).all(), what
    assert (trace.issued_clk == model.issue_clk).all(), what
    assert (trace.started_clk == model.issue_clk).all(), what
    assert (trace.completed_clk == model.complete_clk).all(), what
    assert trace.stalls == stall_clk(model), what
    assert trace.credits == credit_clk(model), what


def run_random_programs(config: SchedulerConfig, seed: int, n_programs: int) -> int:
    """Run them one after the other on one unit without reset; returns how many nano-operations were issued."""
    n_issued = 0
    with SchedulerSimulator(config) as simulator:
        for number in range(n_programs):
            rng = random.Random(f"{seed} {number}")
            program = random_program(rng, config)
            durations = [rng.choice((1, 1, 2, 3, 5, rng.randint(1, 60))) for _ in program.nano_operations]
            model = simulate(program, config, durations_clk=durations)
            run = simulator.run(program, durations, max_cycles=model.makespan_clk + 50)
            what = f"program {number} of seed {seed}"
            assert (run.issue_clk == model.issue_clk).all(), what
            assert (run.complete_clk == model.complete_clk).all(), what
            assert run.cycles == model.makespan_clk, what
            if config.trace:
                check_trace(run.trace, model, what)
            keys = [(k, n) for k in range(program.count) for n in range(len(program.nano_operations))]
            clocks = ({key: int(clock[key]) for key in keys} for clock in (run.issue_clk, run.complete_clk))
            assert list(violations(program, *clocks, wake_up_clk=WAKE_UP_CLK)) == [], what
            n_issued += len(keys)
    return n_issued


@pytest.mark.cosim
@pytest.mark.parametrize("count", [300, 65535])
def test_iterations_are_counted_in_sixteen_bits(count: int) -> None:
    """Far more of them than 8 bits number; records of the trace have the iteration, too."""
    nano = NanoOperation(name="a", operation="a", unit="u", chunks=1, duration_us=1.0)
    other = NanoOperation(
        name="b", operation="b", unit="v", chunks=1, duration_us=1.0, predecessors=(Predecessor(operation="a"),)
    )
    program = Program(
        name="long", units=("u", "v"), chunk_rows=1, n_chunks=1, nano_operations=(nano, other), count=count
    )
    model = simulate(program, CONFIG, durations_clk=[1, 1])
    with SchedulerSimulator(CONFIG) as simulator:
        run = simulator.run(program, [1, 1], max_cycles=model.makespan_clk + 50)
    assert run.issue_clk.shape == (count, 2) and run.issue_clk.min() > 0
    assert (run.issue_clk == model.issue_clk).all() and (run.complete_clk == model.complete_clk).all()
    assert run.cycles == model.makespan_clk
    check_trace(run.trace, model, f"{count} iterations")


@pytest.mark.cosim
def test_a_hundred_programs_run_as_the_model_says(seed: int) -> None:
    assert run_random_programs(CONFIG, seed, 100) > 2000


@pytest.mark.cosim
@pytest.mark.long
@pytest.mark.parametrize(
    ("config", "n_programs"), [(CONFIG, 2000), (FIVE, 500), (LARGE, 200)], ids=["default", "five", "large"]
)
def test_thousands_of_programs_run_as_the_model_says(config: SchedulerConfig, n_programs: int, seed: int) -> None:
    assert run_random_programs(config, seed + 1, n_programs) > 20 * n_programs
