"""Shapes and interfaces of supervised builds of the scheduler unit."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Member, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.scheduler import SchedulerConfig
from arch.supervision import ATTEMPT_BITS, CAUSE_BITS, DECISION_BITS
from rtl.scheduler.signature import Completion, issue_layout

__all__ = [
    "DROPPED_BITS",
    "GuardedCompletion",
    "UnitState",
    "completion_signature",
    "offer_layout",
    "status_layout",
    "supervision_members",
]

DROPPED_BITS = 32


class UnitState(enum.Enum, shape=unsigned(2)):
    """What a unit stands at; the numbers are those of ``arch.supervision.UnitState``."""

    IDLE = 0
    OFFERED = 1
    IN_FLIGHT = 2
    FAILED = 3


class GuardedCompletion(wiring.Signature):
    """As ``Completion``, and whether it is an error, and of which attempt.

    Parameters
    ----------
    config : the scheduler unit
    """

    def __init__(self, config: SchedulerConfig) -> None:
        members = {"valid": Out(1), "index": Out(index_bits(config.n_descriptors))}
        super().__init__({**members, "error": Out(1), "attempt": Out(ATTEMPT_BITS)})


def completion_signature(config: SchedulerConfig) -> wiring.Signature:
    """The completion port of a unit of this build."""
    return GuardedCompletion(config) if config.supervised else Completion(config)


def offer_layout(config: SchedulerConfig) -> data.StructLayout:
    """What an issue port of this build says: supervised ones also say the attempt."""
    plain = issue_layout(config)
    return data.StructLayout({**plain.members, "attempt": ATTEMPT_BITS}) if config.supervised else plain


def status_layout(config: SchedulerConfig) -> data.StructLayout:
    """What a unit stands at; ``cause`` is an ``arch.supervision.FailureCause``."""
    return data.StructLayout(
        {
            "state": UnitState,
            "cause": 2,
            "index": index_bits(config.n_descriptors),
            "iteration": COUNT_BITS,
            "attempt": ATTEMPT_BITS,
        }
    )


def supervision_members(config: SchedulerConfig) -> dict[str, Member]:
    """Ports by which a host supervises the units; :class:`rtl.scheduler.supervised_scheduler.SupervisedScheduler` has
    their meaning."""
    n_units = config.n_units
    return {
        "resolve": In(DECISION_BITS).array(n_units),
        "drop_failed": In(1),
        **({"watchdog_limit": In(config.watchdog_bits).array(n_units)} if config.watchdog_bits else {}),
        "failed": Out(n_units),
        "status": Out(status_layout(config)).array(n_units),
        "probe": In(index_bits(config.n_descriptors)),
        "issued": Out(COUNT_BITS),
        "abort": In(1),
        "abort_discard": In(1),
        "aborted": Out(1),
        "dropped": Out(DROPPED_BITS),
        "events": Out(CAUSE_BITS),
        "interrupt": Out(1),
        "causes": Out(CAUSE_BITS),
        "enable": In(CAUSE_BITS),
        "clear": In(CAUSE_BITS),
    }
