"""Programs of nano-operations: what the scheduler unit is given to run.

A program is the body of a loop: the nano-operations of one decoder layer or one
frame, each with the chunks of the batch it works on, the unit that executes it,
the shares it holds meanwhile and the operations it waits for. The body is
executed ``count`` times; a predecessor's ``layer_offset`` says in which
iteration, relative to one's own, the awaited operation runs.

Two nano-operations depend on each other iff their operations do and their
chunks meet (NanoFlow, section 4.1); that is what scope ``elementwise`` means.
"""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from arch.errors import InputError, check_instance, check_integer, check_one_of, check_positive

__all__ = ["MAX_CHUNKS", "MAX_PREDECESSORS", "NanoOperation", "Pool", "Predecessor", "Program", "chunk_mask"]

MAX_CHUNKS = 64
MAX_PREDECESSORS = 4


def check_name(what: str, name: object) -> None:
    """Refuse anything but printable text of 1 .. 64 characters: names stand in tables, files and traces."""
    if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
        raise InputError(f"{what} must be 1 to 64 printable characters, not {reprlib.repr(name)}")


def check_tuple(what: str, values: object, kind: type) -> None:
    """Refuse anything but a tuple of ``kind``."""
    if not isinstance(values, tuple):
        raise InputError(f"{what} must be a tuple of {kind.__name__}, not {reprlib.repr(values)}")
    for value in values:
        if not isinstance(value, kind):
            raise InputError(f"{what} must be a tuple of {kind.__name__}, not one with {reprlib.repr(value)}")


def chunk_mask(first: int, stop: int) -> int:
    """Bit mask of the chunks ``first`` .. ``stop - 1``."""
    check_integer("first chunk", first, 0, MAX_CHUNKS - 1)
    check_integer("stop chunk", stop, first + 1, MAX_CHUNKS)
    return (1 << stop) - (1 << first)


@dataclass(frozen=True, kw_only=True)
class Predecessor:
    """One awaited operation.

    Parameters
    ----------
    operation : name of the awaited operation
    layer_offset : -1 the iteration before, 0 the same, +1 the one after; outside the loop counts as met
    event : ``done`` or ``start`` of its nano-operations
    scope : ``elementwise`` waits for one's own chunks, ``all`` for every chunk the operation has
    """

    operation: str
    layer_offset: int = 0
    event: str = "done"
    scope: str = "elementwise"

    def __post_init__(self) -> None:
        check_name("operation of a predecessor", self.operation)
        check_one_of("layer_offset", self.layer_offset, (-1, 0, 1))
        check_one_of("event", self.event, ("start", "done"))
        check_one_of("scope", self.scope, ("elementwise", "all"))


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A shared resource, counted in integer credits (``capacity`` of them)."""

    name: str
    capacity: int

    def __post_init__(self) -> None:
        check_name("name of a pool", self.name)
        check_integer(f"capacity of pool {self.name}", self.capacity, 1, 255)


@dataclass(frozen=True, kw_only=True)
class NanoOperation:
    """One operation on one nano-batch; a descriptor of the scheduler unit.

    Parameters
    ----------
    name : unique in the program
    operation : the operation this is a part of, by which predecessors name it
    unit : the unit that executes it, one nano-operation at a time
    chunks : bit mask of the chunks it works on
    shares : credits held from issue to completion, by pool name
    priority : 0 is most urgent, 3 least; among equals the older descriptor goes first
    duration_us : time it takes with the shares it holds, in microseconds; for the timing models
    predecessors : awaited operations, at most four
    """

    name: str
    operation: str
    unit: str
    chunks: int
    shares: Mapping[str, int] = field(default_factory=dict)
    priority: int = 0
    duration_us: float = 1.0
    predecessors: tuple[Predecessor, ...] = ()

    def __post_init__(self) -> None:
        check_name("name of a nano-operation", self.name)
        check_name(f"operation of {self.name}", self.operation)
        check_name(f"unit of {self.name}", self.unit)
        check_integer(f"chunks of {self.name}", self.chunks, 1, (1 << MAX_CHUNKS) - 1)
        check_integer(f"priority of {self.name}", self.priority, 0, 3)
        check_positive(f"duration_us of {self.name}", self.duration_us)
        check_instance(f"shares of {self.name}", self.shares, Mapping)
        check_tuple(f"predecessors of {self.name}", self.predecessors, Predecessor)
        check_integer(f"number of predecessors of {self.name}", len(self.predecessors), 0, MAX_PREDECESSORS)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A loop body of nano-operations in age order, oldest first.

    Parameters
    ----------
    name : what it is called in tables and traces
    units : names of the units, in the order of the hardware's issue ports
    pools : shared resources
    chunk_rows : rows of one chunk (tokens, points)
    n_chunks : chunks of the batch
    nano_operations : the body, oldest first
    count : iterations of the body

    Raises
    ------
    InputError
        If a name is unknown, chunks of one operation overlap, a share exceeds its pool or the body waits in a circle.
    """

    name: str
    units: tuple[str, ...]
    pools: tuple[Pool, ...] = ()
    chunk_rows: int
    n_chunks: int
    nano_operations: tuple[NanoOperation, ...]
    count: int = 1

    def __post_init__(self) -> None:
        check_integer("chunk_rows", self.chunk_rows, 1, 1 << 24)
        check_integer("n_chunks", self.n_chunks, 1, MAX_CHUNKS)
        check_integer("count", self.count, 1, (1 << 16) - 1)
        check_name("name of a program", self.name)
        check_tuple("units", self.units, str)
        check_tuple("pools", self.pools, Pool)
        check_tuple("nano_operations", self.nano_operations, NanoOperation)
        for unit in self.units:
            check_name("name of a unit", unit)
        check_integer("number of units", len(self.units), 1, 8)
        check_integer("number of nano-operations", len(self.nano_operations), 1, 64)
        _refuse_repeats("unit", self.units)
        _refuse_repeats("pool", [pool.name for pool in self.pools])
        _refuse_repeats("nano-operation", [nano.name for nano in self.nano_operations])
        capacity = {pool.name: pool.capacity for pool in self.pools}
        covered: dict[str, int] = {}
        for nano in self.nano_operations:
            check_one_of(f"unit of {nano.name}", nano.unit, self.units)
            if nano.chunks >> self.n_chunks:
                raise InputError(f"chunks of {nano.name} must lie below chunk {self.n_chunks}, not {nano.chunks:#x}")
            if covered.get(nano.operation, 0) & nano.chunks:
                raise InputError(
                    f"chunks of {nano.name} must not overlap those of another part of {nano.operation}, "
                    f"not {nano.chunks:#x}"
                )
            covered[nano.operation] = covered.get(nano.operation, 0) | nano.chunks
            for pool, share in nano.shares.items():
                check_one_of(f"pool of {nano.name}", pool, tuple(capacity))
                check_integer(f"share of {nano.name} in {pool}", share, 0, capacity[pool])
        for nano in self.nano_operations:
            for predecessor in nano.predecessors:
                check_one_of(f"predecessor of {nano.name}", predecessor.operation, tuple(covered))
                if predecessor.scope == "elementwise" and nano.chunks & ~covered[predecessor.operation]:
                    raise InputError(
                        f"chunks of {nano.name} must be among those of its predecessor {predecessor.operation}, "
                        f"not {nano.chunks:#x}"
                    )
        _refuse_circles(self)

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the operations in order of first appearance; the index is its number."""
        return tuple(dict.fromkeys(nano.operation for nano in self.nano_operations))

    def operation_chunks(self, operation: str) -> int:
        """Union of the chunks of the operation's nano-operations."""
        chunks = 0
        for nano in self.nano_operations:
            if nano.operation == operation:
                chunks |= nano.chunks
        return chunks

    def waits_for(self, nano: NanoOperation) -> Iterable[tuple[NanoOperation, Predecessor]]:
        """The nano-operations ``nano`` waits for, each with the predecessor entry that says so."""
        for predecessor in nano.predecessors:
            for other in self.nano_operations:
                meets = predecessor.scope == "all" or other.chunks & nano.chunks
                if other.operation == predecessor.operation and meets:
                    yield other, predecessor


def _refuse_repeats(what: str, names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise InputError(f"{what} names must be unique, not {name!r} twice")
        seen.add(name)


def _refuse_circles(program: Program) -> None:
    """Refuse waits that close a circle, unless they reach back to earlier iterations.

    A circle whose offsets sum to a negative number refers to earlier iterations and is fine; one that sums to
    zero or more can never start. With two iterations in flight every nano-operation also waits, at offset -2,
    for the whole iteration before the previous one (``_ITERATION_END`` stands for it). Longest-path relaxation
    finds a refused circle as one that keeps growing: a wait weighs ``n * offset + 1``, which over a circle of
    fewer than n waits is positive in sum exactly if the offsets sum to zero or more.
    """
    names = [nano.name for nano in program.nano_operations]
    n = len(names) + 3
    edges = [
        (other.name, nano.name, n * predecessor.layer_offset + 1)
        for nano in program.nano_operations
        for other, predecessor in program.waits_for(nano)
    ]
    edges += [(name, _ITERATION_END, 1) for name in names]
    edges += [(_ITERATION_END, name, -2 * n + 1) for name in names]
    reach = dict.fromkeys([*names, _ITERATION_END], 0)
    awaited: dict[str, str] = {}
    for _ in range(n):
        changed = None
        for before, after, weight in edges:
            if reach[before] + weight > reach[after]:
                reach[after] = reach[before] + weight
                awaited[after] = changed = before
        if changed is None:
            return
    for _ in names:  # what kept growing may only hang from the circle; as many steps back as there are names are on it
        changed = awaited[changed]
    circle = [changed, awaited[changed]]
    while circle[-1] != changed:
        circle.append(awaited[circle[-1]])
    raise InputError(f"the waits of program {program.name} must not form a circle, not {' <- '.join(circle)}")


_ITERATION_END = "the end of an iteration"
