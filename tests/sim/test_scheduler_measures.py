"""Figures measured on the clocks of a run."""

import numpy as np

from arch.program import NanoOperation, Predecessor, Program
from sim.engine.scheduler_measures import last_event_clk, most_issues_in_a_clock


def body(*predecessors: Predecessor, count: int) -> Program:
    first = NanoOperation(name="a", operation="A", unit="x", chunks=1)
    second = NanoOperation(name="b", operation="B", unit="y", chunks=1, predecessors=predecessors)
    return Program(name="p", units=("x", "y"), chunk_rows=1, n_chunks=1, nano_operations=(first, second), count=count)


ISSUE = np.array([[2, 20], [40, 50], [90, 95], [130, 140]])
COMPLETE = np.array([[10, 30], [60, 70], [99, 97], [131, 150]])


def test_last_event_is_the_latest_of_predecessors_and_of_the_opening() -> None:
    done = last_event_clk(body(Predecessor(operation="A"), count=4), ISSUE, COMPLETE)
    assert done.tolist() == [[-1, 10], [-1, 60], [30, 99], [70, 131]]
    start = last_event_clk(body(Predecessor(operation="A", event="start"), count=4), ISSUE, COMPLETE)
    assert start.tolist() == [[-1, 2], [-1, 40], [30, 90], [70, 130]]


def test_offsets_outside_the_loop_are_no_events() -> None:
    back = last_event_clk(body(Predecessor(operation="A", layer_offset=-1), count=4), ISSUE, COMPLETE)
    assert back[:, 1].tolist() == [-1, 10, 60, 99]
    ahead = last_event_clk(body(Predecessor(operation="A", layer_offset=1), count=4), ISSUE, COMPLETE)
    assert ahead[:, 1].tolist() == [60, 99, 131, 70]
    alone = last_event_clk(body(Predecessor(operation="A", layer_offset=1), count=1), ISSUE[:1], COMPLETE[:1])
    assert alone.tolist() == [[-1, -1]]


def test_issues_are_counted_by_clock() -> None:
    assert most_issues_in_a_clock(np.array([[2, 2], [5, 2], [5, 7]])) == 3
