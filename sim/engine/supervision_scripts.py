"""Random scripts for supervised scheduler units: errors, hangs, aborts, chained programs."""

import random

from arch.program import Program
from arch.scheduler import SchedulerConfig
from arch.supervision import Decision
from sim.engine.scheduler_programs import random_program
from sim.engine.supervision_script import Action, Command, Fate, Script

__all__ = ["random_script"]


def random_script(rng: random.Random, config: SchedulerConfig) -> Script:
    """A script that ends: whatever hangs has a watchdog, or an abort that discards."""
    programs = [random_program(rng, config) for _ in range(rng.randint(1, 3))]
    watched = bool(config.watchdog_bits) and rng.random() < 0.7
    most = 2**config.watchdog_bits - 1
    limits = [min(most, rng.randint(10, 90)) if watched else 0 for _ in range(config.n_units)]
    commands: list[Command] = []
    for number in range(len(programs)):
        commands.append(Command(action=Action.START, at=rng.choice((0, 0, rng.randint(0, 400)))))
        if rng.random() < 0.3:
            action = rng.choice((Action.ABORT, Action.DISCARD))
            commands.append(Command(action=action, at=rng.randint(0, 300)))
            if action is Action.ABORT:
                commands.append(Command(action=Action.DISCARD, at=commands[-1].at + rng.randint(0, 200)))
        elif number == len(programs) - 1 and (config.buffered or not _aborts(commands)) and rng.random() < 0.5:
            commands.append(Command(action=Action.AGAIN, at=rng.choice((0, rng.randint(0, 400)))))
    commands.append(Command(action=Action.END, at=1500))
    return Script(
        programs=programs,
        fates=[_fates(rng, program, watched) for program in programs],
        commands=commands,
        watchdog_limits=limits,
        drop_failed=rng.random() < 0.2,
    )


def _aborts(commands: list[Command]) -> bool:
    return any(command.action in (Action.ABORT, Action.DISCARD) for command in commands)


def _fates(rng: random.Random, program: Program, watched: bool) -> list[Fate]:
    trouble = rng.choice((0.0, 0.1, 0.4))
    decisions = (Decision.REISSUE, Decision.REISSUE, Decision.DONE, Decision.DROP)
    fates = []
    for _ in program.nano_operations:
        error = not watched or rng.random() < 0.5
        fates.append(
            Fate(
                clocks=rng.choice((1, 1, 2, 3, 5, rng.randint(1, 60))),
                accept_clk=rng.choice((0, 0, 0, 1, rng.randint(0, 15))),
                bad_iteration=rng.randrange(program.count),
                n_bad=rng.randint(1, 3) if rng.random() < trouble else 0,
                bad_clocks=rng.randint(1, 60) if error else rng.choice((0, rng.randint(60, 300))),
                bad_error=error,
                decide_clk=rng.choice((0, 1, rng.randint(0, 100))),
                decisions=(rng.choice(decisions), rng.choice((Decision.DONE, Decision.DROP, Decision.DROP))),
            )
        )
    return fates
