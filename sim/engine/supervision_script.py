"""What happens to a supervised scheduler unit from outside: programs, units that fail, what the host does about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from arch.errors import InputError, check_integer
from arch.program import Program
from arch.scheduler import SchedulerConfig
from arch.supervision import Decision

__all__ = ["AFTERWARDS_CLK", "Action", "Command", "Fate", "Script"]

AFTERWARDS_CLK = 1 << 16
"""Most clocks of an execution, a delay or a limit in a script."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of a descriptor's nano-operations.

    Parameters
    ----------
    clocks : from the handshake to the completion, when all goes well
    accept_clk : clocks its offers stand before they are accepted
    bad_iteration, n_bad : in that iteration the first ``n_bad`` executions go wrong
    bad_clocks : how long those take; 0: they never complete
    bad_error : they complete with an error; otherwise well, if too late for the watchdog
    decide_clk : clocks in error status until the host decides
    decisions : what it decides for the first failure in a row of one nano-operation, and for those after
    """

    clocks: int
    accept_clk: int = 0
    bad_iteration: int = 0
    n_bad: int = 0
    bad_clocks: int = 0
    bad_error: bool = False
    decide_clk: int = 0
    decisions: tuple[Decision, Decision] = (Decision.DROP, Decision.DROP)

    def __post_init__(self) -> None:
        check_integer("clocks of a fate", self.clocks, 1, AFTERWARDS_CLK - 1)
        check_integer("bad_clocks of a fate", self.bad_clocks, 0, AFTERWARDS_CLK - 1)
        check_integer("accept_clk of a fate", self.accept_clk, 0, 15)
        check_integer("n_bad of a fate", self.n_bad, 0, 3)
        check_integer("decide_clk of a fate", self.decide_clk, 0, 255)
        if Decision.NONE in self.decisions:
            raise InputError("decisions of a fate must be REISSUE, DONE or DROP, not NONE")


class Action(IntEnum):
    """What the host does."""

    START = 0
    ABORT = 1
    DISCARD = 2
    END = 3
    """It looks at what happened; once nothing runs."""
    AGAIN = 4
    """Start what stands in the tables, when no words are left."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """An action of the host, ``at`` clocks after the last program began (or the script) at the earliest.

    A start also waits until that many programs are loaded, and until the unit would hear it.
    """

    action: Action
    at: int


@dataclass(frozen=True, kw_only=True)
class Script:
    """A run of a supervised unit.

    Parameters
    ----------
    programs : each is loaded once the one before has been asked for, as soon as the unit takes words
    fates : of the nano-operations of each program
    commands : one after the other; as many starts as programs
    watchdog_limits : clocks by unit, 0 for ever
    drop_failed : what fails is dropped without asking
    """

    programs: Sequence[Program]
    fates: Sequence[Sequence[Fate]]
    commands: Sequence[Command]
    watchdog_limits: Sequence[int]
    drop_failed: bool = False

    def check(self, config: SchedulerConfig) -> None:
        """Refuse a script that this unit cannot follow."""
        starts = sum(command.action is Action.START for command in self.commands)
        check_integer("starts of a script", starts, len(self.programs), len(self.programs))
        check_integer("programs of a script", len(self.programs), 1, 4)
        for program, fates in zip(self.programs, self.fates, strict=True):
            config.check_fits(program)
            check_integer(f"fates of {program.name}", len(fates), *2 * (len(program.nano_operations),))
        check_integer("number of watchdog_limits", len(self.watchdog_limits), config.n_units, config.n_units)
        for limit in self.watchdog_limits:
            check_integer("a watchdog limit", limit, 0, 2**config.watchdog_bits - 1)
