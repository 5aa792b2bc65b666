"""From a plan to a program of the scheduler unit whose own decisions keep the plan.

Data dependencies come first. They leave the unit free to issue early what the plan holds back, so the program is run
on the cycle model, and where that is slower than the plan, nano-operations get a wait for the *start* of the one the
plan has before them on their unit, or less urgency. An operation whose scoreboard row cannot say which of its parts is
meant is split into one operation a part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from arch.errors import InputError
from arch.program import MAX_PREDECESSORS, NanoOperation, Predecessor, Program, chunk_mask
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import simulate
from sim.search.layer_plan import LayerPlan, PlannedOperation
from sim.search.solo_table import CHUNK_ROWS, SoloTable

__all__ = ["CLOCK_HZ", "plan_program", "steady_period_us"]

CLOCK_HZ = 1_000_000_000
_LAYERS = 24
_CLOSE = 1.0005
"""A replay this close to the plan keeps it: what is left are the three clocks from a completion to the next issue."""

_LEAST_URGENT = 3

_SOURCES = {
    "Attention": ("KQV", 0),
    "AttentionAllGather": ("Attention", 0),
    "OutputCollective": ("O", 0),
    "Down": ("UpGate", 0),
    "DownAllReduce": ("Down", 0),
}


def plan_program(plan: LayerPlan, table: SoloTable, *, name: str, count: int) -> Program:
    """The program of a plan, ``count`` layers long, with the solo times of the table as durations.

    Descriptors stand in the order of their planned starts; decode chunks come first in the batch.
    """
    masks = _masks(plan)
    ordered = tuple(sorted(plan.operations, key=lambda each: (each.start_us, each.name)))
    program = Program(
        name=name,
        units=("gemm", "gemv", "network") if table.networked else ("gemm", "gemv"),
        chunk_rows=CHUNK_ROWS,
        n_chunks=table.n_chunks,
        count=count,
        nano_operations=tuple(
            NanoOperation(
                name=each.name,
                operation=each.operation,
                unit=each.unit,
                chunks=masks[each.name],
                duration_us=table.us[each.kernel][masks[each.name].bit_count()],
                predecessors=_data_waits(each, plan, table),
            )
            for each in ordered
        ),
    )
    return _keep_order(program, plan, ordered)


def steady_period_us(program: Program, layers: int = _LAYERS) -> float:
    """Steady period of a program whose nano-operations do not slow one another, on the cycle model."""
    body = replace(program, count=layers)
    return simulate(body, SchedulerConfig.for_program(body), clock_hz=CLOCK_HZ).steady_period_clk * 1e6 / CLOCK_HZ


def _masks(plan: LayerPlan) -> dict[str, int]:
    """Chunks of every nano-operation: parts take decode chunks from the front and prefill chunks behind them."""
    n_decode = sum(part.decode_chunks for batch in plan.nano_batches for part in batch.parts)
    next_decode, next_prefill = 0, n_decode
    decode: dict[tuple[int, int], int] = {}
    every: dict[tuple[int, int], int] = {}
    for number, batch in enumerate(plan.nano_batches):
        for index, part in enumerate(batch.parts):
            first, second = next_decode + part.decode_chunks, next_prefill + part.prefill_chunks
            decode[number, index] = chunk_mask(next_decode, first) if part.decode_chunks else 0
            every[number, index] = decode[number, index] | (
                chunk_mask(next_prefill, second) if part.prefill_chunks else 0
            )
            next_decode, next_prefill = first, second
    prefill = sum(every.values()) - sum(decode.values())
    masks = {}
    for each in plan.operations:
        if each.kernel == "PrefillAttention":
            masks[each.name] = prefill
        elif each.part >= 0:
            masks[each.name] = (decode if each.kernel == "DecodeAttention" else every)[each.batch, each.part]
        else:
            masks[each.name] = sum(mask for (number, _), mask in every.items() if number == each.batch)
    return masks


def _data_waits(each: PlannedOperation, plan: LayerPlan, table: SoloTable) -> tuple[Predecessor, ...]:
    operation, offset = each.operation, 0
    if operation == "KQV":
        source, offset = "DownAllReduce" if table.networked else "Down", -1
    elif operation == "O":
        gathers = table.networked and plan.nano_batches[each.batch].output == "all_gather"
        source = "AttentionAllGather" if gathers else "Attention"
    elif operation == "UpGate":
        source = "OutputCollective" if table.networked else "O"
    else:
        source, offset = _SOURCES[operation]
    return (Predecessor(operation=source, layer_offset=offset),)


def _keep_order(program: Program, plan: LayerPlan, ordered: Sequence[PlannedOperation]) -> Program:
    """Change the program where it helps until a replay takes no longer than the plan, then undo what it does not need.

    The best single change first; where none helps by itself, every wait of the plan's order together.
    """
    goal = plan.period_us * _CLOSE
    pairs = [pair for unit in program.units for pair in _ring(plan, ordered, unit)]
    best = steady_period_us(program)
    while best > goal:
        trials = [trial for pair in pairs for trial in _changes(program, ordered, pair)]
        periods = [steady_period_us(trial) for trial in trials]
        if not periods or min(periods) >= best:
            break
        best = min(periods)
        program = trials[periods.index(best)]
    if best > goal:
        everything = program
        for pair in pairs:
            everything = next(_changes(everything, ordered, pair), everything)
        if steady_period_us(everything) < best:
            program = everything
    return _without_idle_waits(program, goal)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """``after`` follows ``before`` of the layer ``offset`` away on the ring of their unit."""

    before: PlannedOperation
    after: PlannedOperation
    offset: int


def _ring(plan: LayerPlan, ordered: Sequence[PlannedOperation], unit: str) -> list[_Pair]:
    """Neighbours in the order in which a unit goes through its nano-operations in every period."""
    period = plan.period_us
    places = [
        (each.start_us % period, int(each.start_us // period), each.name) for each in ordered if each.unit == unit
    ]
    by_name = {each.name: each for each in ordered}
    ring = sorted(places)
    pairs = []
    for index, (_, turn, name) in enumerate(ring):
        _, turn_before, before = ring[index - 1]
        # what runs a turn late belongs to the layer before; the last of the ring runs a turn before the first
        offset = turn - turn_before - (index == 0)
        if before != name and -1 <= offset <= 1:
            pairs.append(_Pair(before=by_name[before], after=by_name[name], offset=offset))
    return pairs


def _changes(program: Program, ordered: Sequence[PlannedOperation], pair: _Pair) -> Iterator[Program]:
    """Programs that hold a pair's order: by a wait for a start, or by less urgency of the one that comes after."""
    name = pair.before.name
    before = next(nano for nano in program.nano_operations if nano.name == name)
    wait = _start_wait(program, ordered, pair)
    if wait is None:
        split = _split(program, before.operation)
        if split is not None:
            wait = Predecessor(operation=name, layer_offset=pair.offset, event="start", scope="all")
            yield from _valid(_with_wait(split, pair.after.name, wait))
    else:
        yield from _valid(_with_wait(program, pair.after.name, wait))
    if before.priority < _LEAST_URGENT:
        yield _replaced(program, pair.after.name, priority=before.priority + 1)


def _start_wait(program: Program, ordered: Sequence[PlannedOperation], pair: _Pair) -> Predecessor | None:
    """A wait for the start of ``before``, if an operation and scope say that and nothing later."""
    nanos = {nano.name: nano for nano in program.nano_operations}
    starts = {each.name: each.start_us for each in ordered}
    before, after = nanos[pair.before.name], nanos[pair.after.name]
    siblings = [nano for nano in nanos.values() if nano.operation == before.operation]
    if all(starts[nano.name] <= starts[before.name] for nano in siblings):
        return Predecessor(operation=before.operation, layer_offset=pair.offset, event="start", scope="all")
    meeting = [nano for nano in siblings if nano.chunks & after.chunks]
    covered = not after.chunks & ~program.operation_chunks(before.operation)
    if covered and before in meeting and all(starts[nano.name] <= starts[before.name] for nano in meeting):
        return Predecessor(operation=before.operation, layer_offset=pair.offset, event="start")
    return None


def _split(program: Program, operation: str) -> Program | None:
    """The program with every nano-operation of ``operation`` an operation of its own; None if the waits do not fit."""
    parts = [nano for nano in program.nano_operations if nano.operation == operation]
    nanos = []
    for nano in program.nano_operations:
        waits: list[Predecessor] = []
        for wait in nano.predecessors:
            met = [part for part in parts if wait.scope == "all" or part.chunks & nano.chunks]
            named = [replace(wait, operation=part.name, scope="all") for part in met]
            waits += named if wait.operation == operation else [wait]
        if len(waits) > MAX_PREDECESSORS:
            return None
        own = nano.name if nano.operation == operation else nano.operation
        nanos.append(replace(nano, operation=own, predecessors=tuple(waits)))
    return replace(program, nano_operations=tuple(nanos))


def _with_wait(program: Program, name: str, wait: Predecessor) -> Program | None:
    """The program with one more wait; None if that is one too many, known already, or closes a circle."""
    known = next(nano for nano in program.nano_operations if nano.name == name).predecessors
    if wait in known or len(known) == MAX_PREDECESSORS:
        return None
    try:
        return _replaced(program, name, predecessors=(*known, wait))
    except InputError:
        return None


def _valid(program: Program | None) -> Iterator[Program]:
    if program is not None:
        yield program


def _replaced(program: Program, name: str, **changes: Any) -> Program:
    nanos = [replace(nano, **changes) if nano.name == name else nano for nano in program.nano_operations]
    return replace(program, nano_operations=tuple(nanos))


def _without_idle_waits(program: Program, goal: float) -> Program:
    """The program without the waits for starts that a replay is as fast without."""
    best = steady_period_us(program)
    for nano in program.nano_operations:
        for wait in nano.predecessors:
            if wait.event == "start":
                mine = next(each for each in program.nano_operations if each.name == nano.name).predecessors
                without = _replaced(program, nano.name, predecessors=tuple(each for each in mine if each != wait))
                period = steady_period_us(without)
                if period <= max(best, goal):
                    program, best = without, min(best, period)
    return program
