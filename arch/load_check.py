"""What the scheduler unit's load checker refuses: the rules of :class:`arch.program.Program` on loaded words.

A program that was packed from a :class:`arch.program.Program` breaks none of them; words from elsewhere may. Everything
that would let the unit stand still, forget a nano-operation or oversubscribe a pool is refused with a code.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from arch.descriptor import Descriptor, PackedProgram, PredecessorField

__all__ = ["FAULT_BITS", "Arrival", "LoadFault", "Verdict", "check_order", "check_packed"]

FAULT_BITS = 4

Arrival = tuple[int, int, int]
"""Unit, priority and index of a descriptor word."""


class LoadFault(IntEnum):
    """Why a program is refused. The lower code wins where one descriptor breaks several rules."""

    NONE = 0
    """It is accepted."""
    COUNT = 1
    """No iterations."""
    NO_CHUNKS = 2
    """A nano-operation works on no chunk."""
    UNIT = 3
    """A nano-operation is for a unit that the build does not have."""
    OPERATION = 4
    """A nano-operation is part of an operation that the build has no row for."""
    SHARE = 5
    """A share is larger than its pool."""
    OVERLAP = 6
    """Chunks overlap those of an earlier nano-operation of the same operation."""
    OPERATION_CHUNKS = 7
    """The chunks loaded for an operation are not those of its nano-operations together; the index is a row's."""
    AWAITED_OPERATION = 8
    """An awaited operation has no nano-operation."""
    LAYER_OFFSET = 9
    """A layer offset is -2."""
    AWAITED_CHUNKS = 10
    """An elementwise wait is for chunks the awaited operation does not have."""
    ANNOUNCE = 11
    """A start is awaited of an operation with a nano-operation that does not announce its start."""
    CIRCLE = 12
    """Waits close a circle; the nano-operation is the first that could never be issued because of it."""
    ORDER = 13
    """Descriptors did not come in one go, each once, by unit, then priority, then index. The nano-operation is the
    first that came too late or twice; the last one of the program if some are missing or too many."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong, and where.

    Parameters
    ----------
    fault : the first rule broken, ``NONE`` if none is
    index : descriptor (of ``OPERATION_CHUNKS`` operation) where it was found; 0 of ``NONE`` and ``COUNT``
    """

    fault: LoadFault
    index: int = 0


def check_packed(packed: PackedProgram, arrival: Sequence[Arrival] | None = None) -> Verdict:
    """The verdict on a program, which may hold any words: no rule is taken for granted.

    Rules are tried in five passes: the order in which the descriptors were loaded, and over the body what a descriptor
    says of itself, the chunks of the operations, what each wait names, and circles.

    Parameters
    ----------
    packed : the words
    arrival : the descriptor words in the order they were loaded; by default that of ``packed.load_words()``
    """
    for check in (_control, lambda packed: check_order(packed, arrival), _own, _operations, _waits, _circles):
        for verdict in check(packed):
            return verdict
    return Verdict(fault=LoadFault.NONE)


def check_order(packed: PackedProgram, arrival: Sequence[Arrival] | None) -> Iterator[Verdict]:
    """What is wrong with the order of the descriptor words; nothing by default."""
    if arrival is None:
        return
    seen: set[int] = set()
    for before, after in itertools.pairwise([(-1, -1, -1), *arrival]):
        if after <= before or after[2] in seen:
            yield Verdict(fault=LoadFault.ORDER, index=after[2])
        seen.add(after[2])
    last = len(packed.descriptors) - 1
    if len(arrival) != last + 1 or max(seen) != last:
        yield Verdict(fault=LoadFault.ORDER, index=last)


def _control(packed: PackedProgram) -> Iterator[Verdict]:
    if packed.count == 0:
        yield Verdict(fault=LoadFault.COUNT)


def _own(packed: PackedProgram) -> Iterator[Verdict]:
    config = packed.config
    covered: dict[int, int] = {}
    for index, descriptor in enumerate(packed.descriptors):
        above = [share > free for share, free in zip(descriptor.shares, packed.capacities, strict=True)]
        broken = {
            LoadFault.NO_CHUNKS: descriptor.chunks == 0,
            LoadFault.UNIT: descriptor.unit >= config.n_units,
            LoadFault.OPERATION: descriptor.operation >= config.n_operations,
            LoadFault.SHARE: any(above),
            LoadFault.OVERLAP: covered.get(descriptor.operation, 0) & descriptor.chunks != 0,
        }
        yield from (Verdict(fault=fault, index=index) for fault, found in broken.items() if found)
        covered[descriptor.operation] = covered.get(descriptor.operation, 0) | descriptor.chunks


def _unions(packed: PackedProgram) -> dict[int, int]:
    """By row, the chunks of its nano-operations."""
    unions: dict[int, int] = {}
    for descriptor in packed.descriptors:
        unions[descriptor.operation] = unions.get(descriptor.operation, 0) | descriptor.chunks
    return unions


def _operations(packed: PackedProgram) -> Iterator[Verdict]:
    for row, chunks in sorted(_unions(packed).items()):
        loaded = packed.operation_chunks[row] if row < len(packed.operation_chunks) else 0
        if loaded != chunks:
            yield Verdict(fault=LoadFault.OPERATION_CHUNKS, index=row)


def _waits(packed: PackedProgram) -> Iterator[Verdict]:
    unions = _unions(packed)
    silent = {descriptor.operation for descriptor in packed.descriptors if not descriptor.announce_start}
    for index, descriptor in enumerate(packed.descriptors):
        for wait in descriptor.predecessors:
            broken = {
                LoadFault.AWAITED_OPERATION: wait.operation not in unions,
                LoadFault.LAYER_OFFSET: wait.layer_offset == -2,
                LoadFault.AWAITED_CHUNKS: not wait.all and descriptor.chunks & ~unions.get(wait.operation, 0) != 0,
                LoadFault.ANNOUNCE: wait.start and wait.operation in silent,
            }
            yield from (Verdict(fault=fault, index=index) for fault, found in broken.items() if found)


def _circles(packed: PackedProgram) -> Iterator[Verdict]:
    """Circles, found by issuing whatever can be issued while two iterations are open.

    All iterations before them are complete and none after them is open. If everything of the older one can be issued,
    it retires, and the same can be said of the next two: what was issued of the newer meanwhile only helps. If not, the
    rest of it can never be issued. So one such step decides for any number of iterations.
    """
    unions = _unions(packed)
    issued: list[set[int]] = [set(), set()]
    rows: list[dict[int, int]] = [{}, {}]

    def met(descriptor: Descriptor, newer: int, wait: PredecessorField) -> bool:
        iteration = newer + wait.layer_offset
        if iteration < 0:
            return True
        needed = unions[wait.operation] if wait.all else descriptor.chunks
        return iteration < 2 and not needed & ~rows[iteration].get(wait.operation, 0)

    progress = True
    while progress:
        progress = False
        for index, descriptor in enumerate(packed.descriptors):
            for newer in (0, 1):
                if index not in issued[newer] and all(met(descriptor, newer, wait) for wait in descriptor.predecessors):
                    issued[newer].add(index)
                    rows[newer][descriptor.operation] = rows[newer].get(descriptor.operation, 0) | descriptor.chunks
                    progress = True
    stuck = set(range(len(packed.descriptors))) - issued[0]
    if stuck:
        yield Verdict(fault=LoadFault.CIRCLE, index=min(stuck))
