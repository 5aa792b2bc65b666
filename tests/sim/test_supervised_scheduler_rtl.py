"""Errors, watchdogs, aborts and chained programs on the RTL: every event in the clock of the cycle model."""

import random

import pytest

from arch.scheduler import SchedulerConfig
from sim.cosim.supervised_scheduler import SupervisedSimulator
from sim.engine.scheduler_programs import random_program
from sim.engine.supervised_scheduler import SupervisedRun, run_script
from sim.engine.supervision_script import Action, Command, Fate, Script
from sim.engine.supervision_scripts import random_script

SMALL = SchedulerConfig(
    n_descriptors=8,
    n_operations=4,
    n_units=3,
    n_chunks=8,
    share_bits=4,
    supervised=True,
    watchdog_bits=7,
    buffered=True,
)
LARGE = SchedulerConfig(
    n_descriptors=16, n_operations=8, n_pools=2, supervised=True, watchdog_bits=8, buffered=True, check_load=True
)
BARE = SchedulerConfig(n_descriptors=16, n_operations=8, n_units=5, supervised=True, watchdog_bits=8)


def run_scripts(config: SchedulerConfig, seed: int, n_scripts: int) -> list[SupervisedRun]:
    """Follow random scripts."""
    scripts = [random_script(random.Random(f"{seed} {number}"), config) for number in range(n_scripts)]
    return follow(config, scripts, f"of seed {seed}")


def follow(config: SchedulerConfig, scripts: list[Script], which: str) -> list[SupervisedRun]:
    """Follow scripts on one unit, reset before each; returns what the model says, which the RTL said too."""
    runs = []
    with SupervisedSimulator(config) as simulator:
        for number, script in enumerate(scripts):
            model = run_script(script, config)
            counts = [sum(event.unit == unit for event in model.unit_events) for unit in range(config.n_units)]
            rtl = simulator.run(
                script,
                n_unit_events=counts,
                n_world_events=len(model.world_events),
                max_cycles=model.end_clk + 200,
            )
            what = f"script {number} {which}"
            assert rtl.unit_events == model.unit_events, what
            assert rtl.world_events == model.world_events, what
            assert (rtl.causes, rtl.end_clk, rtl.n_events) == (model.causes, model.end_clk, sum(counts)), what
            runs.append(model)
    return runs


def check_that_things_went_wrong(runs: list[SupervisedRun]) -> None:
    n_scripts = len(runs)
    assert sum(event.failed == 1 for run in runs for event in run.unit_events) > n_scripts / 2
    assert sum(event.failed == 2 for run in runs for event in run.unit_events) > n_scripts / 2
    assert sum(len(dropped) for run in runs for dropped in run.dropped) > n_scripts
    assert sum(event.aborted for run in runs for event in run.world_events) > n_scripts / 10
    assert sum(event.begins for run in runs for event in run.world_events) > n_scripts


@pytest.mark.cosim
@pytest.mark.parametrize("action", [Action.ABORT, Action.DISCARD])
def test_an_abort_in_any_clock_of_a_beginning(action: Action) -> None:
    """Asked for, passing into the tables, beginning, and in the very clock in which the program begins: it ends."""
    program = random_program(random.Random(3), SMALL)
    fates = [Fate(clocks=2) for _ in program.nano_operations]
    scripts = [
        Script(
            programs=[program, program],
            fates=[fates, fates],
            commands=[
                Command(action=Action.START, at=0),
                Command(action=action, at=at),
                Command(action=Action.START, at=0),
                Command(action=Action.END, at=300),
            ],
            watchdog_limits=[0] * SMALL.n_units,
            drop_failed=False,
        )
        for at in range(0, 90)
    ]
    events = [run.world_events for run in follow(SMALL, scripts, "of an abort")]
    assert any(event.begins and event.aborted for one in events for event in one)
    # the second program runs to its end
    assert all(one[-1].done for one in events) and sum(event.aborted for one in events for event in one) > 30


@pytest.mark.cosim
def test_thirty_scripts_run_as_the_model_says(seed: int) -> None:
    check_that_things_went_wrong(run_scripts(SMALL, seed, 30))


@pytest.mark.cosim
@pytest.mark.long
@pytest.mark.parametrize("config", [SMALL, LARGE, BARE], ids=["small", "checked", "bare"])
def test_hundreds_of_scripts_run_as_the_model_says(config: SchedulerConfig, seed: int) -> None:
    check_that_things_went_wrong(run_scripts(config, seed + 1, 500))
