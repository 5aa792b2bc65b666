"""The text form of programs: one TOML or JSON file says what :class:`arch.program.Program` says.

``chunks`` are ``[first, stop]`` or a list of such; ``pools`` a table of capacities, ``shares`` one of credits;
``predecessors`` a list of tables with the fields of :class:`arch.program.Predecessor`. Fields with a default may be
left out. ``sources`` says of any part of the file where it comes from, each a :class:`arch.figure.Figure`.
``extends`` names a program preset whose fields stand where the file has none of its own, and whose nano-operations
come before its own. ``docs/engines/scheduler/programs.md`` shows a file.
"""

import json
import re
import reprlib
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from arch.errors import InputError, check_integer, check_one_of
from arch.figure import Figure
from arch.program import MAX_CHUNKS, NanoOperation, Pool, Predecessor, Program, chunk_mask

__all__ = ["FORMS", "ProgramText", "chunk_ranges", "parse_program", "read_tables", "whole_tables", "write_program"]

FORMS = ("toml", "json")
"""Kinds of text, which are also the endings of the files."""

_PROGRAM_KEYS = ("units", "chunk_rows", "n_chunks", "nano_operations")
_PROGRAM_DEFAULTS = ("name", "count", "pools", "sources")
_NANO_KEYS = ("name", "operation", "unit", "chunks")
_NANO_DEFAULTS = ("duration_us", "shares", "priority", "predecessors")
_PREDECESSOR_DEFAULTS = ("layer_offset", "event", "scope")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_TEXT = 2000

Tables = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ProgramText:
    """What a program file says.

    Parameters
    ----------
    program : what to run
    sources : where the parts of the file come from, by a name of its own choice (``sizes``, ``waits`` ...)
    """

    program: Program
    sources: Mapping[str, Figure] = field(default_factory=dict)


def parse_program(
    text: str, form: str = "toml", *, name: str, read_base: Callable[[str], Tables] | None = None
) -> ProgramText:
    """Read a program.

    Parameters
    ----------
    text : the whole file
    form : ``toml`` or ``json``
    name : of the program, if the text does not name it
    read_base : gives the tables of the preset that a text ``extends``; without it none may be extended

    Raises
    ------
    InputError
        If the text is not of that form, lacks a key, has an unknown one, a value is of the wrong kind, or the program
        is not a legal one.
    """
    tables = read_tables(f"program {name}", text, form)
    tables = whole_tables(f"program {name}", tables, read_base)
    _check_keys(f"program {name}", tables, _PROGRAM_KEYS, _PROGRAM_DEFAULTS)
    nanos = [_nano(number, entry) for number, entry in enumerate(_list("nano_operations", tables["nano_operations"]))]
    program = Program(
        name=tables.get("name", name),
        units=tuple(_list("units", tables["units"])),
        pools=tuple(
            Pool(name=pool, capacity=capacity) for pool, capacity in _table("pools", tables.get("pools", {})).items()
        ),
        chunk_rows=tables["chunk_rows"],
        n_chunks=tables["n_chunks"],
        count=tables.get("count", 1),
        nano_operations=tuple(nanos),
    )
    return ProgramText(program=program, sources=_sources(tables.get("sources", {})))


def write_program(text: ProgramText, form: str = "toml") -> str:
    """The canonical text, which :func:`parse_program` reads back to the same; fields at their default are left out."""
    check_one_of("form of a program", form, FORMS)
    tables = _program_tables(text)
    if form == "json":
        return json.dumps(tables, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return "".join(_toml_lines(tables))


def chunk_ranges(mask: int) -> list[list[int]]:
    """The runs of ones in a mask as ``[first, stop]``, lowest first."""
    ranges, chunk = [], 0
    while mask >> chunk:
        chunk += ((mask >> chunk) & -(mask >> chunk)).bit_length() - 1
        rest = ~(mask >> chunk)
        ranges.append([chunk, chunk + (rest & -rest).bit_length() - 1])
        chunk = ranges[-1][1]
    return ranges


def read_tables(what: str, text: str, form: str) -> dict[str, Any]:
    """Parse TOML or JSON text into tables, and see that no value in it is monstrous."""
    check_one_of("form of a program", form, FORMS)
    try:
        if form == "toml":
            tables = tomllib.loads(text)
        else:
            tables = json.loads(text, object_pairs_hook=_unrepeated, parse_constant=_refuse_constant)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{what} must be {form.upper()} text, not one with an error ({cause})") from error
    _table(what, tables)
    values = [tables]
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            values += [*value, *value.values()]
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str):
            if len(value) > _LONGEST_TEXT:
                raise InputError(f"texts in {what} must have at most {_LONGEST_TEXT} characters, not {len(value)}")
            # half of a surrogate pair, which JSON can escape, is no character and cannot be written
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise InputError(f"texts in {what} must be Unicode characters, not {reprlib.repr(value)}")
        elif isinstance(value, int) and abs(value) >> 64:
            raise InputError(f"integers in {what} must have at most 64 bits, not {value.bit_length()}")
    return tables


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"keys of a table must be unique, not {reprlib.repr(repeated)} twice")
    return table


def _refuse_constant(text: str) -> NoReturn:
    raise InputError(f"numbers in JSON must be finite, not {text}")


def whole_tables(what: str, tables: Tables, read_base: Callable[[str], Tables] | None) -> Tables:
    """The tables of a program together with those of the preset that it ``extends``, if it does.

    Raises
    ------
    InputError
        If it extends something else than a preset, or may not extend any.
    """
    if "extends" not in tables:
        return tables
    name = tables["extends"]
    if not isinstance(name, str):
        raise InputError(f"extends of {what} must be the name of a program preset, not {reprlib.repr(name)}")
    if read_base is None:
        raise InputError(f"{what} must stand alone, not extend {name!r}")
    base = read_base(name)
    own = _list("nano_operations", tables.get("nano_operations", []))
    inherited = {key: value for key, value in base.items() if key != "name"}
    both = {**inherited, **tables, "nano_operations": [*base["nano_operations"], *own]}
    both["sources"] = {**base.get("sources", {}), **_table(f"sources of {what}", tables.get("sources", {}))}
    del both["extends"]
    return both


def _nano(number: int, entry: object) -> NanoOperation:
    what = f"nano-operation {number}"
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        what = reprlib.repr(entry["name"])[1:-1]
    _check_keys(what, entry, _NANO_KEYS, _NANO_DEFAULTS)
    waits = _list(f"predecessors of {what}", entry.get("predecessors", []))
    return NanoOperation(
        **{
            **entry,
            "chunks": _chunks(f"chunks of {what}", entry["chunks"]),
            "predecessors": tuple(_predecessor(f"predecessor of {what}", wait) for wait in waits),
        }
    )


def _predecessor(what: str, entry: object) -> Predecessor:
    _check_keys(what, entry, ("operation",), _PREDECESSOR_DEFAULTS)
    try:
        return Predecessor(**entry)
    except InputError as error:
        raise InputError(f"in a {what}, {error}") from error


def _chunks(what: str, value: object) -> int:
    ranges = _list(what, value)
    if not ranges:
        raise InputError(f"{what} must be [first, stop] or a list of such, not empty")
    mask = 0
    for pair in ranges if isinstance(ranges[0], list) else [ranges]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f"{what} must be [first, stop] or a list of such, not {reprlib.repr(value)}")
        first, stop = pair
        check_integer(f"first of the {what}", first, 0, MAX_CHUNKS - 1)
        check_integer(f"stop of the {what}", stop, first + 1, MAX_CHUNKS)
        part = chunk_mask(first, stop)
        if mask & part:
            raise InputError(f"{what} must be ranges that do not overlap, not {reprlib.repr(value)}")
        mask |= part
    return mask


def _sources(tables: object) -> dict[str, Figure]:
    sources = {}
    for name, entry in _table("sources", tables).items():
        _check_keys(f"source {name}", entry, ("value", "mark", "source"), ())
        sources[name] = Figure(**entry)
    return sources


def _table(what: str, value: object) -> Tables:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} must be a table, not {reprlib.repr(value)}")
    return value


def _list(what: str, value: object) -> list:
    if not isinstance(value, list):
        raise InputError(f"{what} must be a list, not {reprlib.repr(value)}")
    return value


def _check_keys(what: str, table: object, needed: Collection[str], others: Collection[str]) -> None:
    for key in _table(what, table):
        check_one_of(f"key of {what}", key, (*needed, *others))
    for key in needed:
        if key not in table:
            raise InputError(f"{what} must have the key {key}, not only {', '.join(table) or 'none'}")


def _program_tables(text: ProgramText) -> dict[str, Any]:
    program = text.program
    tables = {
        "name": program.name,
        "units": list(program.units),
        "chunk_rows": program.chunk_rows,
        "n_chunks": program.n_chunks,
        "count": program.count,
    }
    if text.sources:
        tables["sources"] = {
            name: {"value": figure.value, "mark": figure.mark, "source": figure.source}
            for name, figure in text.sources.items()
        }
    if program.pools:
        tables["pools"] = {pool.name: pool.capacity for pool in program.pools}
    tables["nano_operations"] = [_nano_table(nano) for nano in program.nano_operations]
    return tables


def _nano_table(nano: NanoOperation) -> dict[str, Any]:
    ranges = chunk_ranges(nano.chunks)
    table = {
        "name": nano.name,
        "operation": nano.operation,
        "unit": nano.unit,
        "chunks": ranges[0] if len(ranges) == 1 else ranges,
        "duration_us": nano.duration_us,
    }
    if nano.shares:
        table["shares"] = dict(nano.shares)
    if nano.priority:
        table["priority"] = nano.priority
    if nano.predecessors:
        table["predecessors"] = [_predecessor_table(predecessor) for predecessor in nano.predecessors]
    return table


def _predecessor_table(predecessor: Predecessor) -> dict[str, Any]:
    plain = Predecessor(operation=predecessor.operation)
    table = {"operation": predecessor.operation}
    for key in _PREDECESSOR_DEFAULTS:
        if getattr(predecessor, key) != getattr(plain, key):
            table[key] = getattr(predecessor, key)
    return table


def _toml_lines(tables: Tables) -> Iterator[str]:
    """Plain values first, then tables, then the nano-operations: the order TOML asks for."""
    for key, value in tables.items():
        if not isinstance(value, Mapping) and key != "nano_operations":
            yield f"{key} = {_toml(value)}\n"
    for name, figure in tables.get("sources", {}).items():
        yield f"\n[sources.{_toml_key(name)}]\n"
        yield from (f"{key} = {_toml(value)}\n" for key, value in figure.items())
    if "pools" in tables:
        yield "\n[pools]\n"
        yield from (f"{_toml_key(name)} = {capacity}\n" for name, capacity in tables["pools"].items())
    for nano in tables["nano_operations"]:
        yield "\n[[nano_operations]]\n"
        for key, value in nano.items():
            if key == "predecessors":
                yield "predecessors = [\n"
                for wait in value:
                    yield f"    {_toml(wait)},\n"
                yield "]\n"
            else:
                yield f"{key} = {_toml(value)}\n"


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    # what is printable is escaped by the same rules in JSON and in TOML
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml(name)
