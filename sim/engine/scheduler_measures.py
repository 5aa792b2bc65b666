"""Figures of a scheduler run that are measured on its clocks alone, whoever produced them."""

import numpy as np

from arch.program import Program
from sim.engine.scheduler import SchedulerTimeline

__all__ = ["credit_clk", "last_event_clk", "most_issues_in_a_clock", "stall_clk"]


def last_event_clk(program: Program, issue_clk: np.ndarray, complete_clk: np.ndarray) -> np.ndarray:
    """Clock of the last event each nano-operation waited for, (iterations, nano-operations) int64.

    Events are the starts and completions its predecessors name, and the end of the iteration two before its own,
    which opens its iteration. -1 if it waited for nothing.

    Parameters
    ----------
    program : what was run
    issue_clk, complete_clk : (iterations, nano-operations), clock of every issue and completion
    """
    last = np.full(issue_clk.shape, -1, dtype=np.int64)
    last[2:] = complete_clk.max(axis=1)[:-2, None]
    row = {nano.name: index for index, nano in enumerate(program.nano_operations)}
    for index, nano in enumerate(program.nano_operations):
        for other, predecessor in program.waits_for(nano):
            clocks = (issue_clk if predecessor.event == "start" else complete_clk)[:, row[other.name]]
            offset, count = predecessor.layer_offset, len(clocks)
            waiting = slice(max(0, -offset), count - max(0, offset))
            awaited = slice(max(0, offset), count + min(0, offset))
            last[waiting, index] = np.maximum(last[waiting, index], clocks[awaited])
    return last


def most_issues_in_a_clock(issue_clk: np.ndarray) -> int:
    """The most nano-operations that were issued in one clock, over all units."""
    return int(np.unique(issue_clk, return_counts=True)[1].max())


def stall_clk(timeline: SchedulerTimeline) -> dict[str, list[int]]:
    """Clocks by unit that its nano-operations waited for predecessors, for the unit and for shares, and that it worked.

    They are what the hardware's trace counts: keys ``dependency``, ``unit``, ``share`` and ``busy``, in each one number
    a unit of the program.
    """
    program = timeline.program
    clocks = {
        "dependency": timeline.dependency_wait_clk,
        "unit": timeline.unit_wait_clk,
        "share": timeline.share_wait_clk,
        "busy": timeline.complete_clk - timeline.issue_clk,
    }
    of_unit = [[nano.unit == unit for nano in program.nano_operations] for unit in program.units]
    return {name: [int(values[:, mine].sum()) for mine in of_unit] for name, values in clocks.items()}


def credit_clk(timeline: SchedulerTimeline) -> list[int]:
    """Credits of each pool held by what works, summed over the clocks; one number a pool of the program."""
    program = timeline.program
    busy = (timeline.complete_clk - timeline.issue_clk).sum(axis=0)
    return [
        sum(
            nano.shares.get(pool.name, 0) * int(clocks)
            for nano, clocks in zip(program.nano_operations, busy, strict=True)
        )
        for pool in program.pools
    ]
