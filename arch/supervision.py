"""What supervised builds of the scheduler unit say of a unit in error, and what a host decides."""

from enum import IntEnum

__all__ = [
    "ATTEMPT_BITS",
    "CAUSE_BITS",
    "DECISION_BITS",
    "Cause",
    "Decision",
    "FailureCause",
    "UnitState",
]

ATTEMPT_BITS = 2
"""Width of the number that tells an execution from those given up before it."""

DECISION_BITS = 2


class Decision(IntEnum):
    """What becomes of a failed nano-operation."""

    NONE = 0
    """Not decided yet."""
    REISSUE = 1
    """It is offered to its unit again."""
    DONE = 2
    """It is treated as complete."""
    DROP = 3
    """It is dropped, and with it what waits for it."""


class UnitState(IntEnum):
    """What a unit stands at."""

    IDLE = 0
    """Nothing is offered to it."""
    OFFERED = 1
    """A nano-operation is offered and not accepted."""
    IN_FLIGHT = 2
    """It executes one."""
    FAILED = 3
    """Error status: its nano-operation failed, and the host has not decided or the decision is being carried out."""


class FailureCause(IntEnum):
    """Why a unit is in error status."""

    NONE = 0
    ERROR = 1
    """The unit said so."""
    WATCHDOG = 2
    """It did not complete in time."""


class Cause(IntEnum):
    """Bit of a cause of the interrupt."""

    DONE = 0
    """A program ended."""
    REFUSED = 1
    """The load checker refused a program."""
    ABORTED = 2
    """An abort is complete."""
    FAILED = 3
    """A unit completed with an error."""
    WATCHDOG = 4
    """A watchdog ran out."""
    LATE = 5
    """A completion came of an execution that was given up."""
    PROTOCOL = 6
    """A completion came that nothing explains."""


CAUSE_BITS = len(Cause)
