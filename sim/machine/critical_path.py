"""Where a schedule loses time: the chain of nano-operations that sets its period, and what stands idle meanwhile.

The chain is walked backwards from the last nano-operation of a layer: what ended (or, for a wait for a start, began)
last before it was let go is what it waited for. Going back one whole layer closes the cycle whose length is the period.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from arch.program import NanoOperation
from sim.machine.timeline import Timeline, TimelineEntry

__all__ = ["IdleInterval", "PathStep", "critical_path", "idle_intervals"]

_SLACK_US = 0.05
"""Between an end and the issue it lets go: the scheduler's three clocks, at any clock above 60 MHz."""


@dataclass(frozen=True, kw_only=True)
class PathStep:
    """A nano-operation on the critical path.

    Parameters
    ----------
    entry : what ran
    reason : what the next one on the path waited for: ``dependency``, ``unit`` or ``share``; ``end`` for the last
    gap_us : time between this one (its start, if the wait was for that) and the issue of the next
    """

    entry: TimelineEntry
    reason: str
    gap_us: float


@dataclass(frozen=True, kw_only=True)
class IdleInterval:
    """A stretch of time in which the same units are idle."""

    start_us: float
    end_us: float
    running: tuple[str, ...]
    idle: tuple[str, ...]


def critical_path(timeline: Timeline, layer: int | None = None) -> tuple[PathStep, ...]:
    """Steps that end with the last nano-operation of ``layer`` (the middle one by default) and span one layer before.

    In order of time. Every step's issue follows the one before it by its ``gap_us``; what waited for credits
    follows the nano-operation that returned them last.
    """
    number = timeline.program.count // 2 if layer is None else layer
    last = max(timeline.layer(number), key=lambda entry: entry.end_us)
    steps = [PathStep(entry=last, reason="end", gap_us=0.0)]
    nanos = {nano.name: nano for nano in timeline.program.nano_operations}
    while len(steps) <= 2 * len(nanos):
        follower = steps[-1].entry
        found = _let_go_by(timeline, follower, nanos)
        if found is None:
            break
        entry, at_us = found
        steps.append(PathStep(entry=entry, reason=_reason(entry, follower, nanos), gap_us=follower.start_us - at_us))
        if (entry.nano_operation, entry.layer) == (last.nano_operation, last.layer - 1):
            break
        if entry.end_us <= last.end_us - timeline.period_us - _SLACK_US:
            break
    return tuple(reversed(steps))


def idle_intervals(timeline: Timeline, start_us: float, end_us: float) -> tuple[IdleInterval, ...]:
    """The window cut wherever something starts or ends, neighbours with the same units idle put together."""
    inside = [entry for entry in timeline.entries if entry.end_us > start_us and entry.start_us < end_us]
    edges = {start_us, end_us}
    edges |= {time for entry in inside for time in (entry.start_us, entry.end_us) if start_us < time < end_us}
    # the clocks between two nano-operations of a unit are no loss worth a line
    ordered = [start_us]
    for edge, after in pairwise([*sorted(edges), end_us]):
        if edge - start_us > _SLACK_US and after - edge > _SLACK_US:
            ordered.append(edge)
    intervals: list[IdleInterval] = []
    for left, right in pairwise([*ordered, end_us]):
        middle = (left + right) / 2
        running = [entry for entry in inside if entry.start_us <= middle < entry.end_us]
        busy = {entry.unit for entry in running}
        idle = tuple(unit for unit in timeline.program.units if unit not in busy)
        names = tuple(entry.nano_operation for entry in running)
        begin = left
        if intervals and intervals[-1].idle == idle:
            before = intervals.pop()
            begin, names = before.start_us, tuple(dict.fromkeys((*before.running, *names)))
        intervals.append(IdleInterval(start_us=begin, end_us=right, running=names, idle=idle))
    return tuple(intervals)


def _let_go_by(
    timeline: Timeline, follower: TimelineEntry, nanos: dict[str, NanoOperation]
) -> tuple[TimelineEntry, float] | None:
    """What happened last before ``follower`` was issued, among all it could have waited for, and when."""
    candidates = [
        (time, _reason(entry, follower, nanos) == "dependency", entry)
        for entry, time in _events(timeline, follower, nanos)
        if time <= follower.start_us and entry is not follower
    ]
    if not candidates:
        return None
    time, _, entry = max(candidates, key=lambda each: (each[0], each[1], each[2].start_us))
    return entry, time


def _events(
    timeline: Timeline, follower: TimelineEntry, nanos: dict[str, NanoOperation]
) -> Sequence[tuple[TimelineEntry, float]]:
    mine = nanos[follower.nano_operation]
    waits = {
        (other.name, follower.layer + wait.layer_offset, wait.event) for other, wait in timeline.program.waits_for(mine)
    }
    events = []
    for entry in timeline.entries:
        if (entry.nano_operation, entry.layer, "done") in waits:
            events.append((entry, entry.end_us))
        if (entry.nano_operation, entry.layer, "start") in waits:
            events.append((entry, entry.start_us))
        holds = entry.shares and follower.waited_for == "share"
        if entry.unit == follower.unit or holds:
            events.append((entry, entry.end_us))
    return events


def _reason(entry: TimelineEntry, follower: TimelineEntry, nanos: dict[str, NanoOperation]) -> str:
    """How ``follower`` depended on ``entry``; a data dependency counts more than having shared a unit."""
    operations = {wait.operation for wait in nanos[follower.nano_operation].predecessors}
    if entry.operation in operations:
        return "dependency"
    return "unit" if entry.unit == follower.unit else "share"
