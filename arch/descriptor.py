"""Bit layout of what the scheduler unit is loaded with, shared by the RTL, the cycle model and the benches.

A program becomes three tables of integers: one descriptor a nano-operation, the chunks of every operation, and one
control word. ``docs/engines/scheduler`` says what the unit does with them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from arch.errors import InputError, check_integer
from arch.program import MAX_PREDECESSORS, Program
from arch.scheduler import SchedulerConfig

__all__ = [
    "COUNT_BITS",
    "PRIORITY_BITS",
    "Descriptor",
    "LoadTable",
    "PackedProgram",
    "PredecessorField",
    "control_fields",
    "descriptor_fields",
    "index_bits",
    "load_data_bits",
    "pack_program",
]

COUNT_BITS = 16
PRIORITY_BITS = 2
OFFSET_BITS = 2


class LoadTable(IntEnum):
    """Which table a word of the load port belongs to."""

    DESCRIPTOR = 0
    OPERATION = 1
    CONTROL = 2


def index_bits(n: int) -> int:
    """Bits that tell ``n`` things apart; at least one."""
    return max(1, (n - 1).bit_length())


def predecessor_fields(config: SchedulerConfig) -> dict[str, int]:
    """Widths in bits of one predecessor's fields, lowest first."""
    return {
        "valid": 1,
        "operation": index_bits(config.n_operations),
        "layer_offset": OFFSET_BITS,
        "start": 1,
        "all": 1,
    }


def descriptor_fields(config: SchedulerConfig) -> dict[str, int]:
    """Widths in bits of a descriptor's fields, lowest first.

    ``layer_offset`` is two's complement; ``start`` says that the start is awaited instead of the end, ``all`` that
    every chunk is awaited instead of one's own; ``announce_start`` that somebody waits for the start of this one.
    """
    fields = {
        "chunks": config.n_chunks,
        "operation": index_bits(config.n_operations),
        "unit": index_bits(config.n_units),
        "priority": PRIORITY_BITS,
        "announce_start": 1,
    }
    fields |= {f"share{pool}": config.share_bits for pool in range(config.n_pools)}
    for number in range(MAX_PREDECESSORS):
        for name, width in predecessor_fields(config).items():
            fields[f"predecessor{number}_{name}"] = width
    return fields


def control_fields(config: SchedulerConfig) -> dict[str, int]:
    """Widths in bits of the control word's fields, lowest first.

    ``last`` is the number of nano-operations less one, ``count`` the iterations of the body.
    """
    fields = {"last": index_bits(config.n_descriptors), "count": COUNT_BITS}
    fields |= {f"capacity{pool}": config.share_bits for pool in range(config.n_pools)}
    return fields


def load_data_bits(config: SchedulerConfig) -> int:
    """Width of the load port's data: the widest of the three kinds of word."""
    descriptor = sum(descriptor_fields(config).values())
    return max(descriptor, config.n_chunks, sum(control_fields(config).values()))


@dataclass(frozen=True, kw_only=True)
class PredecessorField:
    """A predecessor as the unit sees it: an operation by number, and what of it must have happened."""

    operation: int
    layer_offset: int
    start: bool
    all: bool


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """A nano-operation as the unit sees it: names have become numbers.

    Parameters
    ----------
    chunks : bit mask of the chunks it works on
    operation : number of the operation it is part of
    unit : issue port
    priority : 0 is most urgent, 3 least
    announce_start : somebody waits for its start
    shares : credits by pool number
    predecessors : awaited operations, at most four
    """

    chunks: int
    operation: int
    unit: int
    priority: int = 0
    announce_start: bool = False
    shares: tuple[int, ...] = ()
    predecessors: tuple[PredecessorField, ...] = ()

    def pack(self, config: SchedulerConfig) -> int:
        """The descriptor as an integer.

        Raises
        ------
        InputError
            If a field does not fit this unit.
        """
        values = {
            "chunks": self.chunks,
            "operation": self.operation,
            "unit": self.unit,
            "priority": self.priority,
            "announce_start": int(self.announce_start),
        }
        check_integer("operation of a descriptor", self.operation, 0, config.n_operations - 1)
        check_integer("unit of a descriptor", self.unit, 0, config.n_units - 1)
        check_integer("number of shares of a descriptor", len(self.shares), 0, config.n_pools)
        check_integer("number of predecessors of a descriptor", len(self.predecessors), 0, MAX_PREDECESSORS)
        values |= {f"share{pool}": share for pool, share in enumerate(self.shares)}
        for number, predecessor in enumerate(self.predecessors):
            what = f"predecessor{number}"
            check_integer(f"{what}_operation of a descriptor", predecessor.operation, 0, config.n_operations - 1)
            check_integer(f"{what}_layer_offset of a descriptor", predecessor.layer_offset, -1, 1)
            values |= {
                f"{what}_valid": 1,
                f"{what}_operation": predecessor.operation,
                f"{what}_layer_offset": predecessor.layer_offset % (1 << OFFSET_BITS),
                f"{what}_start": int(predecessor.start),
                f"{what}_all": int(predecessor.all),
            }
        return _join("descriptor", values, descriptor_fields(config))

    @classmethod
    def unpack(cls, word: int, config: SchedulerConfig) -> "Descriptor":
        """The descriptor an integer stands for; raises InputError if the integer is too wide."""
        values = _split("descriptor", word, descriptor_fields(config))
        predecessors = []
        for number in range(MAX_PREDECESSORS):
            what = f"predecessor{number}"
            if values[f"{what}_valid"]:
                offset = values[f"{what}_layer_offset"]
                predecessors.append(
                    PredecessorField(
                        operation=values[f"{what}_operation"],
                        layer_offset=offset - (1 << OFFSET_BITS) if offset >> 1 else offset,
                        start=bool(values[f"{what}_start"]),
                        all=bool(values[f"{what}_all"]),
                    )
                )
        return cls(
            chunks=values["chunks"],
            operation=values["operation"],
            unit=values["unit"],
            priority=values["priority"],
            announce_start=bool(values["announce_start"]),
            shares=tuple(values[f"share{pool}"] for pool in range(config.n_pools)),
            predecessors=tuple(predecessors),
        )


@dataclass(frozen=True, kw_only=True)
class PackedProgram:
    """A program as the unit is loaded with it.

    Parameters
    ----------
    config : the unit it is packed for
    descriptors : one a nano-operation, oldest first
    operation_chunks : by number, the union of the chunks of the operation
    count : iterations of the body
    capacities : credits by pool number
    """

    config: SchedulerConfig
    descriptors: tuple[Descriptor, ...]
    operation_chunks: tuple[int, ...]
    count: int
    capacities: tuple[int, ...]

    @property
    def control(self) -> int:
        """The control word."""
        values = {"last": len(self.descriptors) - 1, "count": self.count}
        values |= {f"capacity{pool}": capacity for pool, capacity in enumerate(self.capacities)}
        return _join("control word", values, control_fields(self.config))

    def load_words(self) -> Iterator[tuple[LoadTable, int, int]]:
        """(table, address, data) in the order the load port takes.

        A descriptor's address is its index. Descriptors come in one go, in order of choice: by unit, then priority,
        then index.
        """
        for address, descriptor in sorted(enumerate(self.descriptors), key=_order_of_choice):
            yield LoadTable.DESCRIPTOR, address, descriptor.pack(self.config)
        for address, chunks in enumerate(self.operation_chunks):
            yield LoadTable.OPERATION, address, chunks
        yield LoadTable.CONTROL, 0, self.control


def pack_program(program: Program, config: SchedulerConfig) -> PackedProgram:
    """Turn names into numbers: operations, units and pools are numbered in the program's order.

    Raises
    ------
    InputError
        If the program does not fit the unit.
    """
    config.check_fits(program)
    operations = {name: row for row, name in enumerate(program.operations)}
    units = {name: port for port, name in enumerate(program.units)}
    announced = {
        predecessor.operation
        for nano in program.nano_operations
        for predecessor in nano.predecessors
        if predecessor.event == "start"
    }
    descriptors = tuple(
        Descriptor(
            chunks=nano.chunks,
            operation=operations[nano.operation],
            unit=units[nano.unit],
            priority=nano.priority,
            announce_start=nano.operation in announced,
            shares=_padded([nano.shares.get(pool.name, 0) for pool in program.pools], config.n_pools),
            predecessors=tuple(
                PredecessorField(
                    operation=operations[predecessor.operation],
                    layer_offset=predecessor.layer_offset,
                    start=predecessor.event == "start",
                    all=predecessor.scope == "all",
                )
                for predecessor in nano.predecessors
            ),
        )
        for nano in program.nano_operations
    )
    return PackedProgram(
        config=config,
        descriptors=descriptors,
        operation_chunks=tuple(program.operation_chunks(name) for name in operations),
        count=program.count,
        capacities=_padded([pool.capacity for pool in program.pools], config.n_pools),
    )


def _order_of_choice(numbered: tuple[int, Descriptor]) -> tuple[int, int, int]:
    index, descriptor = numbered
    return descriptor.unit, descriptor.priority, index


def _padded(values: list[int], length: int) -> tuple[int, ...]:
    return tuple(values) + (0,) * (length - len(values))


def _join(what: str, values: Mapping[str, int], fields: Mapping[str, int]) -> int:
    word, low = 0, 0
    for name, width in fields.items():
        value = values.get(name, 0)
        check_integer(f"{name} of a {what}", value, 0, (1 << width) - 1)
        word |= value << low
        low += width
    return word


def _split(what: str, word: int, fields: Mapping[str, int]) -> dict[str, int]:
    width = sum(fields.values())
    if isinstance(word, bool) or not isinstance(word, int) or word < 0 or word >> width:
        raise InputError(f"a {what} must be an integer of {width} bits, not {word!r}")
    values = {}
    for name, bits in fields.items():
        values[name] = word & ((1 << bits) - 1)
        word >>= bits
    return values
