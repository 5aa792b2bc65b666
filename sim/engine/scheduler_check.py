"""An independent judge of timelines: from the program alone it says whether a run was legal.

It knows nothing of counts, parities or picks. It is what the RTL and the cycle model are both held against.
"""

import itertools
from collections.abc import Iterator, Mapping

from arch.program import NanoOperation, Predecessor, Program

__all__ = ["IterationOfNano", "violations"]

IterationOfNano = tuple[int, int]
"""(iteration, index of the nano-operation)."""


def violations(
    program: Program,
    issue_clk: Mapping[IterationOfNano, int],
    complete_clk: Mapping[IterationOfNano, int],
    *,
    wake_up_clk: int = 1,
) -> Iterator[str]:
    """Every rule the run broke, one sentence each; nothing if it was legal.

    Parameters
    ----------
    program : what was to be run
    issue_clk, complete_clk : clock of the issue and of the completion of every nano-operation of every iteration
    wake_up_clk : least clocks from an event to an issue that waited for it
    """
    due = {(iteration, index) for iteration in range(program.count) for index in range(len(program.nano_operations))}
    for what, clocks in (("issued", issue_clk), ("completed", complete_clk)):
        for key in sorted(due - clocks.keys()):
            yield f"{_name(program, key)} was never {what}"
        for key in sorted(clocks.keys() - due):
            yield f"{key} was {what} but is not in the program"
    if issue_clk.keys() != due or complete_clk.keys() != due:
        return
    yield from _dependences(program, issue_clk, complete_clk, wake_up_clk)
    yield from _window(program, issue_clk, complete_clk)
    yield from _units(program, issue_clk, complete_clk)
    yield from _pools(program, issue_clk, complete_clk)


def _name(program: Program, key: IterationOfNano) -> str:
    iteration, index = key
    return f"{program.nano_operations[index].name} of iteration {iteration}"


def _meets(nano: NanoOperation, other: NanoOperation, predecessor: Predecessor) -> bool:
    return other.operation == predecessor.operation and bool(predecessor.scope == "all" or nano.chunks & other.chunks)


def _dependences(program: Program, issue_clk: Mapping, complete_clk: Mapping, wake_up_clk: int) -> Iterator[str]:
    waits = [
        (index, other_index, predecessor)
        for index, nano in enumerate(program.nano_operations)
        for predecessor in nano.predecessors
        for other_index, other in enumerate(program.nano_operations)
        if _meets(nano, other, predecessor)
    ]
    for index, other_index, predecessor in waits:
        clocks = complete_clk if predecessor.event == "done" else issue_clk
        for iteration in range(program.count):
            awaited = (iteration + predecessor.layer_offset, other_index)
            if 0 <= awaited[0] < program.count and issue_clk[iteration, index] < clocks[awaited] + wake_up_clk:
                yield (
                    f"{_name(program, (iteration, index))} was issued at {issue_clk[iteration, index]}, too early for "
                    f"the {predecessor.event} of {_name(program, awaited)} at {clocks[awaited]}"
                )


def _window(program: Program, issue_clk: Mapping, complete_clk: Mapping) -> Iterator[str]:
    indices = range(len(program.nano_operations))
    for iteration in range(program.count - 2):
        closed = max(complete_clk[iteration, index] for index in indices)
        for index in indices:
            if issue_clk[iteration + 2, index] <= closed:
                yield f"{_name(program, (iteration + 2, index))} was issued while iteration {iteration} was in flight"


def _units(program: Program, issue_clk: Mapping, complete_clk: Mapping) -> Iterator[str]:
    for unit in program.units:
        runs = sorted(
            (issue_clk[key], complete_clk[key], key)
            for key in issue_clk
            if program.nano_operations[key[1]].unit == unit
        )
        for (_, end, first), (begin, _, second) in itertools.pairwise(runs):
            if begin <= end:
                yield f"{_name(program, second)} was issued before {_name(program, first)} on {unit} was complete"


def _pools(program: Program, issue_clk: Mapping, complete_clk: Mapping) -> Iterator[str]:
    for pool in program.pools:
        changes = []
        for key, clock in issue_clk.items():
            share = program.nano_operations[key[1]].shares.get(pool.name, 0)
            # held from the clock of the issue to that of the completion, both included
            changes += [(clock, share), (complete_clk[key] + 1, -share)]
        held = 0
        for clock, change in sorted(changes):
            held += change
            if held > pool.capacity:
                yield f"pool {pool.name} of {pool.capacity} credits was oversubscribed at {clock}: {held}"
