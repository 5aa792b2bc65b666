"""Programs as the words of the scheduler unit's load port, in a file that ``$readmemh`` takes.

A line is one word of the port in hexadecimal: table in the lowest bits, address, data. Comments carry what a unit does
not need and a reader does: the build the words are for (``// config``, read back), names, rows and durations
(``// program``, read back if it is there), and what each word says.
"""

import json
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from arch.descriptor import (
    Descriptor,
    LoadTable,
    PackedProgram,
    control_fields,
    index_bits,
    load_data_bits,
    pack_program,
)
from arch.errors import InputError, check_one_of
from arch.program import NanoOperation, Pool, Predecessor, Program
from arch.program_text import chunk_ranges
from arch.scheduler import SchedulerConfig

__all__ = ["LOAD_TABLE_BITS", "assemble", "disassemble"]

LOAD_TABLE_BITS = 2
"""Width of the table in a load word."""

_CONFIG = "// config "
_PROGRAM = "// program "
_LONGEST_FILE = 4096
"""Lines; the largest program has 129 words."""


def assemble(program: Program, config: SchedulerConfig | None = None) -> str:
    """The text of a file of load words, in sending order.

    Parameters
    ----------
    program : what to load
    config : the unit to load; by default :meth:`arch.scheduler.SchedulerConfig.for_program`

    Raises
    ------
    InputError
        If the program does not fit the unit.
    """
    config = config or SchedulerConfig.for_program(program)
    return "".join(f"{line}\n" for line in _lines(program, config))


def disassemble(text: str) -> tuple[Program, SchedulerConfig]:
    """The program a file of load words stands for, and the build it is for.

    Without a ``// program`` line names are numbers (``nano3``, ``operation1``), rows 1 and durations 1 microsecond.

    Raises
    ------
    InputError
        If the file has no ``// config`` line, a line is no word, or the words are not exactly those that
        :func:`assemble` gives for the program.
    """
    lines = text.splitlines()
    if len(lines) > _LONGEST_FILE:
        raise InputError(f"load words must be at most {_LONGEST_FILE} lines, not {len(lines)}")
    config = _config(lines)
    words = _words(lines, config)
    program = _program(_unpack(words, config), _names(lines))
    if list(pack_program(program, config).load_words()) != [(*key, word) for key, word in words.items()]:
        raise InputError(
            f"load words must be those of a program as it is assembled, not others that run {program.name}"
        )
    return program, config


def _lines(program: Program, config: SchedulerConfig) -> Iterator[str]:
    packed = pack_program(program, config)
    width = LOAD_TABLE_BITS + index_bits(config.n_descriptors) + load_data_bits(config)
    yield f"// Load words of the scheduler unit, {width} bits: table {LOAD_TABLE_BITS}, address, data"
    yield _CONFIG + " ".join(f"{field.name}={getattr(config, field.name)}" for field in fields(config))
    yield _PROGRAM + json.dumps(_harness(program))
    for table, address, data in packed.load_words():
        word = data << index_bits(config.n_descriptors) | address
        word = word << LOAD_TABLE_BITS | table
        yield f"{word:0{-(-width // 4)}x}  // {_said(program, table, address)}"


def _harness(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "units": program.units,
        "pools": [pool.name for pool in program.pools],
        "operations": program.operations,
        "nano_operations": [nano.name for nano in program.nano_operations],
        "duration_us": [nano.duration_us for nano in program.nano_operations],
        "chunk_rows": program.chunk_rows,
        "n_chunks": program.n_chunks,
    }


def _said(program: Program, table: LoadTable, address: int) -> str:
    if table is LoadTable.OPERATION:
        return f"all chunks of {program.operations[address]}"
    if table is LoadTable.CONTROL:
        return f"{len(program.nano_operations)} nano-operations, {program.count} times"
    nano = program.nano_operations[address]
    chunks = ", ".join(f"{first}-{stop - 1}" for first, stop in chunk_ranges(nano.chunks))
    waits = ", ".join(
        f"{wait.event} of {'all ' if wait.scope == 'all' else ''}{wait.operation}"
        + (f" {wait.layer_offset:+d}" if wait.layer_offset else "")
        for wait in nano.predecessors
    )
    return f"{nano.name} on {nano.unit}, chunks {chunks}" + (f", after {waits}" if waits else "")


def _config(lines: Sequence[str]) -> SchedulerConfig:
    found = [line.removeprefix(_CONFIG) for line in lines if line.startswith(_CONFIG)]
    if len(found) != 1:
        raise InputError(f"load words must have one line '{_CONFIG.strip()}', not {len(found)}")
    values = {}
    for entry in found[0].split():
        key, _, value = entry.partition("=")
        check_one_of("key of the config line", key, [field.name for field in fields(SchedulerConfig)])
        values[key] = _config_value(key, value)
    return SchedulerConfig(**values)


def _config_value(key: str, value: str) -> int | bool:
    if value in ("True", "False"):
        return value == "True"
    if not re.fullmatch(r"[0-9]{1,4}", value):
        raise InputError(f"{key} of the config line must be a number, not {reprlib.repr(value)}")
    return int(value)


def _words(lines: Sequence[str], config: SchedulerConfig) -> dict[tuple[LoadTable, int], int]:
    address_bits = index_bits(config.n_descriptors)
    width = LOAD_TABLE_BITS + address_bits + load_data_bits(config)
    words: dict[tuple[LoadTable, int], int] = {}
    for number, line in enumerate(lines, 1):
        digits = line.partition("//")[0].strip().replace("_", "")
        if not digits:
            continue
        if not re.fullmatch(r"[0-9a-fA-F]{1,64}", digits) or int(digits, 16) >> width:
            raise InputError(f"line {number} must be a hexadecimal word of {width} bits, not {reprlib.repr(line)}")
        word = int(digits, 16)
        check_one_of(
            f"table of line {number}", word & ((1 << LOAD_TABLE_BITS) - 1), [int(table) for table in LoadTable]
        )
        table = LoadTable(word & ((1 << LOAD_TABLE_BITS) - 1))
        key = table, word >> LOAD_TABLE_BITS & ((1 << address_bits) - 1)
        if key in words:
            raise InputError(f"line {number} must be a word of its own, not {table.name} {key[1]} again")
        words[key] = word >> LOAD_TABLE_BITS + address_bits
    return words


def _unpack(words: Mapping[tuple[LoadTable, int], int], config: SchedulerConfig) -> PackedProgram:
    """Tables from words in any order; every table must begin at address 0 and have no gap."""
    tables: dict[LoadTable, list[int]] = {}
    for table in LoadTable:
        count = sum(found is table for found, _ in words)
        for address in range(max(1, count)):
            if (table, address) not in words:
                raise InputError(f"load words must have {table.name} {address}, not leave it out")
        tables[table] = [words[table, address] for address in range(count)]
    control = _control(tables[LoadTable.CONTROL][0], config)
    descriptors = tuple(Descriptor.unpack(word, config) for word in tables[LoadTable.DESCRIPTOR])
    if control["last"] != len(descriptors) - 1:
        raise InputError(f"number of descriptors must be CONTROL's {control['last'] + 1}, not {len(descriptors)}")
    return PackedProgram(
        config=config,
        descriptors=descriptors,
        operation_chunks=tuple(tables[LoadTable.OPERATION]),
        count=control["count"],
        capacities=tuple(control[f"capacity{pool}"] for pool in range(config.n_pools)),
    )


def _control(word: int, config: SchedulerConfig) -> dict[str, int]:
    values = {}
    for name, width in control_fields(config).items():
        values[name] = word & ((1 << width) - 1)
        word >>= width
    return values


def _names(lines: Sequence[str]) -> dict[str, Any]:
    found = [line.removeprefix(_PROGRAM) for line in lines if line.startswith(_PROGRAM)]
    if not found:
        return {}
    try:
        names = json.loads(found[0])
    except (ValueError, RecursionError) as error:
        raise InputError(f"line '{_PROGRAM.strip()}' must be JSON, not text with an error ({error})") from error
    if not isinstance(names, dict):
        raise InputError(f"line '{_PROGRAM.strip()}' must be a table, not {reprlib.repr(names)}")
    return names


def _column(names: Mapping[str, Any], key: str, what: str, least: int, *, exact: bool = True) -> list:
    """Names from the ``// program`` line, or numbers in their place."""
    column = names.get(key, [f"{what}{number}" for number in range(least)])
    if not isinstance(column, list) or len(column) < least or (exact and len(column) > least):
        raise InputError(f"{key} of the program line must be a list of {least}, not {reprlib.repr(column)}")
    return column


def _program(packed: PackedProgram, names: Mapping[str, Any]) -> Program:
    descriptors = packed.descriptors
    awaited = [wait.operation for descriptor in descriptors for wait in descriptor.predecessors]
    n_operations = 1 + max(*awaited, *(descriptor.operation for descriptor in descriptors), 0)
    operations = _column(names, "operations", "operation", n_operations)
    units = _column(names, "units", "unit", 1 + max(descriptor.unit for descriptor in descriptors), exact=False)
    held = [n for descriptor in descriptors for n, share in enumerate(descriptor.shares) if share]
    filled = [n for n, capacity in enumerate(packed.capacities) if capacity]
    pools = _column(names, "pools", "pool", 1 + max([*held, *filled], default=-1))
    nanos = _column(names, "nano_operations", "nano", len(descriptors))
    durations = names.get("duration_us", [1.0] * len(descriptors))
    if not isinstance(durations, list) or len(durations) != len(descriptors):
        raise InputError(
            f"duration_us of the program line must be a list of {len(descriptors)}, not {reprlib.repr(durations)}"
        )
    n_chunks = max(mask.bit_length() for mask in packed.operation_chunks)
    return Program(
        name=names.get("name", "disassembled"),
        units=tuple(units),
        pools=tuple(
            Pool(name=name, capacity=capacity) for name, capacity in zip(pools, packed.capacities, strict=False)
        ),
        chunk_rows=names.get("chunk_rows", 1),
        n_chunks=names.get("n_chunks", n_chunks),
        count=packed.count,
        nano_operations=tuple(
            NanoOperation(
                name=name,
                operation=operations[descriptor.operation],
                unit=units[descriptor.unit],
                chunks=descriptor.chunks,
                shares={pools[n]: share for n, share in enumerate(descriptor.shares) if share},
                priority=descriptor.priority,
                duration_us=duration,
                predecessors=tuple(
                    Predecessor(
                        operation=operations[wait.operation],
                        layer_offset=wait.layer_offset,
                        event="start" if wait.start else "done",
                        scope="all" if wait.all else "elementwise",
                    )
                    for wait in descriptor.predecessors
                ),
            )
            for name, duration, descriptor in zip(nanos, durations, descriptors, strict=True)
        ),
    )
