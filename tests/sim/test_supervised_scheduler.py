"""The supervised unit's cycle model keeps the rules, as a judge sees them who knows nothing of guards."""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest

from arch.errors import InputError
from arch.program import Program
from arch.scheduler import SchedulerConfig
from arch.supervision import Cause, Decision
from sim.engine.scheduler import simulate
from sim.engine.scheduler_programs import random_program
from sim.engine.supervised_scheduler import SupervisedRun, run_script
from sim.engine.supervision_script import Action, Command, Fate, Script
from sim.engine.supervision_scripts import random_script

CONFIG = SchedulerConfig(
    n_descriptors=16, n_operations=8, n_units=4, n_pools=2, supervised=True, watchdog_bits=8, buffered=True
)
ACCEPT_CLK = 15
At = tuple[int, int]


def one_program(seed: str, **fate: object) -> Script:
    """A random program, one kind of trouble, nothing else."""
    rng = random.Random(seed)
    program = random_program(rng, CONFIG)
    fates = [Fate(clocks=rng.randint(1, 30), bad_iteration=0, **fate) for _ in program.nano_operations]
    commands = (Command(action=Action.START, at=0), Command(action=Action.END, at=2000))
    return Script(programs=[program], fates=[fates], commands=commands, watchdog_limits=(0,) * CONFIG.n_units)


def window(run: SupervisedRun) -> tuple[int, int]:
    """From the clock a program begins to that of its end."""
    begins = next(event.clock for event in run.world_events if event.begins)
    return begins, next(event.clock for event in run.world_events if event.done)


@dataclass
class Seen:
    """What was seen of the one program of a run, by (descriptor, iteration): clocks of issues, of the completion, of
    error status; when it had been dropped."""

    issues: dict[At, list[int]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[At, int] = field(default_factory=dict)
    failures: dict[At, list[int]] = field(default_factory=lambda: defaultdict(list))
    dropped: dict[At, int] = field(default_factory=dict)


def see(run: SupervisedRun) -> Seen:
    """Only what the ports say."""
    begins, done = window(run)
    seen = Seen()
    executing: dict[tuple[int, int, int], At] = {}
    at: dict[int, At] = {}
    for event in run.unit_events:
        if not begins <= event.clock <= done:
            continue
        if event.failed is not None:
            seen.failures[at[event.unit]].append(event.clock)
            executing = {key: value for key, value in executing.items() if key[0] != event.unit}
        if event.completed is not None:
            index, attempt, error = event.completed
            key = (event.unit, index, attempt)
            if key in executing and not error:
                assert executing[key] not in seen.ends
                seen.ends[executing.pop(key)] = event.clock
        if event.issued is not None:
            index, iteration, attempt = event.issued
            at[event.unit] = (index, iteration)
            executing[event.unit, index, attempt] = (index, iteration)
            seen.issues[index, iteration].append(event.clock)
    assert len(set(run.dropped[0])) == len(run.dropped[0])
    for event in run.world_events:
        for number in range(len(seen.dropped), event.dropped):
            seen.dropped[run.dropped[0][number]] = event.clock
    return seen


def judge(script: Script, run: SupervisedRun) -> int:
    """Look at the one program of a run that ended; returns how many nano-operations were issued after all."""
    seen = see(run)
    for iteration in range(script.programs[0].count):
        for index, fate in enumerate(script.fates[0]):
            one = (index, iteration)
            decisions = [fate.decisions[number > 0] for number in range(len(seen.failures[one]))]
            if script.drop_failed:
                decisions = [Decision.DROP] * len(decisions)
            _ends_once(one, decisions, seen)
    _held_and_dropped(script.programs[0], seen)
    return len(seen.issues)


def _ends_once(one: At, decisions: list[Decision], seen: Seen) -> None:
    assert Decision.REISSUE not in decisions[1:], one
    how = [one in seen.ends, one in seen.dropped, bool(decisions) and decisions[-1] is Decision.DONE]
    assert sum(how) == 1, (one, how)
    if decisions and decisions[-1] is Decision.DROP:
        assert one in seen.dropped
    if one in seen.dropped and not decisions:
        assert one not in seen.issues
    else:
        assert len(seen.issues[one]) == 1 + decisions.count(Decision.REISSUE), one


def _held_and_dropped(program: Program, seen: Seen) -> None:
    nanos, issues, ends, dropped = program.nano_operations, seen.issues, seen.ends, seen.dropped
    for index, nano in enumerate(nanos):
        for iteration in range(program.count):
            one = (index, iteration)
            awaited = [
                ((other, iteration + wait.layer_offset), wait.event)
                for wait in nano.predecessors
                for other, candidate in enumerate(nanos)
                if candidate.operation == wait.operation
                and (wait.scope == "all" or candidate.chunks & nano.chunks)
                and 0 <= iteration + wait.layer_offset < program.count
            ]
            hangs = [there for there, _ in awaited if there in dropped]
            if one in dropped and not seen.failures[one]:
                assert any(dropped[there] < dropped[one] for there in hangs), one
            if one not in issues:
                continue
            first = issues[one][0]
            # what hangs on it was offered before
            assert all(first <= dropped[there] + ACCEPT_CLK for there in hangs), one
            for there, event in awaited:
                if there in dropped:
                    continue
                if event == "start":
                    assert issues[there][0] < first, (one, there)
                elif there in ends:
                    assert ends[there] < first, (one, there)
                else:
                    assert seen.failures[there][-1] < first, (one, there)


def test_random_scripts_lose_nothing_and_hold_what_waits(seed: int) -> None:
    n_issued = n_failed = n_dropped = 0
    for number in range(60):
        script = random_script(random.Random(f"{seed} {number}"), CONFIG)
        script = replace(
            script,
            programs=script.programs[:1],
            fates=script.fates[:1],
            # attempts count modulo 4: the judge cannot tell a later one from a late one either
            commands=(Command(action=Action.START, at=0), Command(action=Action.END, at=2500)),
            watchdog_limits=[limit if limit == 0 else 250 for limit in script.watchdog_limits],
        )
        run = run_script(script, CONFIG)
        n_issued += judge(script, run)
        n_failed += sum(event.failed is not None for event in run.unit_events)
        n_dropped += len(run.dropped[0])
    assert n_issued > 500
    assert n_failed > 50
    assert n_dropped > 50


@pytest.mark.parametrize("number", range(8))
def test_undisturbed_it_is_the_bare_units_model(seed: int, number: int) -> None:
    script = one_program(f"{seed} {number}")
    run = run_script(script, CONFIG)
    begins, done = window(run)
    model = simulate(script.programs[0], CONFIG, durations_clk=[fate.clocks for fate in script.fates[0]])
    issued = {event.issued[:2]: event.clock - begins for event in run.unit_events if event.issued is not None}
    assert issued == {(k, i): int(model.issue_clk[i, k]) for i, k in zip(*model.issue_clk.nonzero(), strict=True)}
    assert done - begins == model.makespan_clk
    assert run.causes == 1 << Cause.DONE


def test_errors_of_everything_treated_as_done_take_the_time_of_the_decisions(seed: int) -> None:
    """A failed nano-operation that is decided at once ends two clocks after the error: error status, then told."""
    script = one_program(f"{seed}", n_bad=1, bad_clocks=7, bad_error=True, decisions=(Decision.DONE, Decision.DONE))
    script = replace(script, programs=[replace(script.programs[0], count=1)])
    run = run_script(script, CONFIG)
    begins, done = window(run)
    model = simulate(script.programs[0], CONFIG, durations_clk=[7 + 2] * len(script.fates[0]))
    assert done - begins == model.makespan_clk


def test_the_watchdog_and_reissue_take_their_time(seed: int) -> None:
    """Limit 20: error status in clock 21, the offer again in 22."""
    script = one_program(f"{seed}", n_bad=1, bad_clocks=0, decisions=(Decision.REISSUE, Decision.DROP))
    fates = [replace(fate, clocks=5) for fate in script.fates[0]]
    program = replace(script.programs[0], count=1)
    script = replace(script, programs=[program], fates=[fates], watchdog_limits=(20,) * CONFIG.n_units)
    run = run_script(script, CONFIG)
    begins, done = window(run)
    model = simulate(program, CONFIG, durations_clk=[22 + 5] * len(fates))
    assert done - begins == model.makespan_clk
    assert run.causes == 1 << Cause.DONE | 1 << Cause.WATCHDOG


def test_what_a_script_must_be() -> None:
    script = one_program("0")
    with pytest.raises(InputError, match=r"^supervised of the scheduler must be True for a script, not False$"):
        run_script(script, SchedulerConfig())
    with pytest.raises(InputError, match=r"^starts of a script must be an integer from 1 to 1, not 0$"):
        run_script(replace(script, commands=script.commands[1:]), CONFIG)
    with pytest.raises(InputError, match=r"^decisions of a fate must be REISSUE, DONE or DROP, not NONE$"):
        Fate(clocks=1, decisions=(Decision.NONE, Decision.DROP))
    with pytest.raises(InputError, match=r"^clocks of the script must be at most 100, not more$"):
        run_script(script, CONFIG, max_clk=100)
