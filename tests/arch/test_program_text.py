"""The text form of programs: what is written is read back, and every wrong file is one sentence."""

import json
import random
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.errors import InputError
from arch.figure import MARKS, Figure
from arch.program import NanoOperation, Pool, Predecessor, Program
from arch.program_file import find_program, read_program
from arch.program_text import FORMS, ProgramText, chunk_ranges, parse_program, write_program
from arch.scheduler import SchedulerConfig
from arch.workload import load_program, load_program_text, preset_names
from sim.engine.scheduler_programs import random_program

names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
"""Quotes, backslashes, dots and letters of any script."""


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Legal programs with awkward names and numbers; the waits are those of random programs."""
    config = SchedulerConfig(n_pools=3, n_chunks=64)
    drawn = random_program(random.Random(draw(st.integers(0, 1 << 32))), config)
    renamed: dict[str, str] = {}

    def name(old: str) -> str:
        if old not in renamed:
            renamed[old] = draw(names.filter(lambda new: new not in renamed.values()))
        return renamed[old]

    durations = st.floats(1e-300, 1e300) | st.integers(1, 1 << 60)
    return replace(
        drawn,
        name=draw(names),
        chunk_rows=draw(st.integers(1, 1 << 24)),
        units=tuple(name(unit) for unit in drawn.units),
        pools=tuple(replace(pool, name=name(pool.name)) for pool in drawn.pools),
        nano_operations=tuple(
            replace(
                nano,
                name=name(nano.name),
                operation=name(nano.operation),
                unit=name(nano.unit),
                duration_us=draw(durations),
                shares={name(pool): share for pool, share in nano.shares.items()},
                predecessors=tuple(replace(wait, operation=name(wait.operation)) for wait in nano.predecessors),
            )
            for nano in drawn.nano_operations
        ),
    )


figures = st.builds(
    Figure,
    value=st.integers(-(1 << 60), 1 << 60) | st.floats(allow_nan=False, allow_infinity=False) | names | st.lists(names),
    mark=st.sampled_from(MARKS),
    source=names,
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(program=programs(), sources=st.dictionaries(names, figures, max_size=3))
def test_what_is_written_is_read_back(form: str, program: Program, sources: dict[str, Figure]) -> None:
    text = ProgramText(program=program, sources=sources)
    assert parse_program(write_program(text, form), form, name="other") == text


@given(mask=st.integers(1, (1 << 64) - 1))
def test_ranges_are_the_runs_of_a_mask(mask: int) -> None:
    ranges = chunk_ranges(mask)
    assert sum((1 << stop) - (1 << first) for first, stop in ranges) == mask
    assert all(before[1] < after[0] for before, after in pairwise(ranges))


@pytest.mark.parametrize("name", preset_names("program"))
@pytest.mark.parametrize("form", FORMS)
def test_presets_are_read_back(name: str, form: str, tmp_path: Path) -> None:
    text = load_program_text(name)
    path = tmp_path / f"{name}.{form}"
    path.write_text(write_program(text, form), encoding="utf-8")
    assert read_program(path) == find_program(str(path)) == text
    assert find_program(name.replace("_", "-")) == text


@pytest.mark.parametrize("name", preset_names("program"))
def test_preset_files_are_canonical(name: str) -> None:
    file = (resources.files("workloads") / "programs" / f"{name}.toml").read_text("utf-8")
    if "extends" in file:
        return
    plain = "".join(line for line in file.splitlines(keepends=True) if not line.startswith("#"))
    written = write_program(load_program_text(name)).removeprefix(f'name = "{name}"\n')
    assert plain.strip() == written.strip()


def test_the_defaults_may_be_left_out() -> None:
    text = """
        units = ["gemm"]
        chunk_rows = 128
        n_chunks = 4
        [[nano_operations]]
        name = "a"
        operation = "A"
        unit = "gemm"
        chunks = [[0, 1], [2, 4]]
    """
    nano = NanoOperation(name="a", operation="A", unit="gemm", chunks=0b1101)
    assert parse_program(text, name="small") == ProgramText(
        program=Program(name="small", units=("gemm",), chunk_rows=128, n_chunks=4, nano_operations=(nano,))
    )


def test_a_file_extends_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "with_copy.toml"
    path.write_text(
        'extends = "llama3_8b_1024"\nunits = ["gemm", "gemv", "copy"]\ncount = 4\n'
        '[[nano_operations]]\nname = "Copy1"\noperation = "Copy"\nunit = "copy"\nchunks = [0, 8]\n'
        'predecessors = [{ operation = "Rope", layer_offset = -1, event = "start", scope = "all" }]\n'
    )
    base, longer = load_program("llama3_8b_1024"), read_program(path).program
    assert longer.nano_operations[:-1] == base.nano_operations
    assert (longer.name, longer.count, longer.pools) == ("with_copy", 4, base.pools)
    assert longer.nano_operations[-1].predecessors == (
        Predecessor(operation="Rope", layer_offset=-1, event="start", scope="all"),
    )


def test_a_file_extends_a_preset_that_extends_another(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "llama2_70b_2048_offload"\ncount = 3\n')
    base, mine = load_program("llama2_70b_2048_offload"), read_program(path).program
    assert (mine.nano_operations, mine.units, mine.count) == (base.nano_operations, base.units, 3)


NANO = {"name": "a", "operation": "A", "unit": "gemm", "chunks": [0, 2], "shares": {"sm": 3}}
PROGRAM = {"units": ["gemm"], "chunk_rows": 128, "n_chunks": 4, "pools": {"sm": 10}, "nano_operations": [NANO]}


def with_nano(*others: dict, **values: object) -> dict:
    return {**PROGRAM, "nano_operations": [{**NANO, **values}, *others]}


def wait(operation: str, **values: object) -> list[dict]:
    return [{"operation": operation, **values}]


B = {**NANO, "name": "b", "operation": "B"}
WRONG = {
    "no table": ([], "program p must be a table, not []"),
    "empty": ({}, "program p must have the key units, not only none"),
    "no work": (
        {key: value for key, value in PROGRAM.items() if key != "nano_operations"},
        "program p must have the key nano_operations, not only units, chunk_rows, n_chunks, pools",
    ),
    "unknown key": (
        {**PROGRAM, "layers": 3},
        "key of program p must be one of units, chunk_rows, n_chunks, nano_operations, name, count, pools, sources, n",
    ),
    "units as text": ({**PROGRAM, "units": "gemm"}, "units must be a list, not 'gemm'"),
    "unit as number": ({**PROGRAM, "units": ["gemm", 1]}, "units must be a tuple of str, not one with 1"),
    "nine units": ({**PROGRAM, "units": list("abcdefghi")}, "number of units must be an integer from 1 to 8, not 9"),
    "name as number": ({**PROGRAM, "name": 3}, "name of a program must be 1 to 64 printable characters, not 3"),
    "rows as text": ({**PROGRAM, "chunk_rows": "128"}, "chunk_rows must be an integer from 1 to 16777216, not '128'"),
    "rows as fraction": (
        {**PROGRAM, "chunk_rows": 128.0},
        "chunk_rows must be an integer from 1 to 16777216, not 128.0",
    ),
    "negative count": ({**PROGRAM, "count": -1}, "count must be an integer from 1 to 65535, not -1"),
    "count as truth": ({**PROGRAM, "count": True}, "count must be an integer from 1 to 65535, not True"),
    "no chunks": ({**PROGRAM, "n_chunks": 0}, "n_chunks must be an integer from 1 to 64, not 0"),
    "pools as list": ({**PROGRAM, "pools": [10]}, "pools must be a table, not [10]"),
    "pool as text": (
        {**PROGRAM, "pools": {"sm": "10"}},
        "capacity of pool sm must be an integer from 1 to 255, not '10'",
    ),
    "work as table": ({**PROGRAM, "nano_operations": NANO}, "nano_operations must be a list, not {"),
    "work as number": ({**PROGRAM, "nano_operations": [3]}, "nano-operation 0 must be a table, not 3"),
    "work without end": ({**PROGRAM, "nano_operations": []}, "number of nano-operations must be an integer from 1 to"),
    "nameless": ({**PROGRAM, "nano_operations": [{"unit": "gemm"}]}, "nano-operation 0 must have the key name, not on"),
    "unitless": (
        {**PROGRAM, "nano_operations": [{"name": "a", "operation": "A"}]},
        "a must have the key unit, not only name, operation",
    ),
    "unknown unit": (with_nano(unit="gpu"), "unit of a must be one of gemm, not 'gpu'"),
    "unknown key of work": (
        with_nano(colour=1),
        "key of a must be one of name, operation, unit, chunks, duration_us, ",
    ),
    "chunks as number": (with_nano(chunks=3), "chunks of a must be a list, not 3"),
    "empty chunks": (with_nano(chunks=[]), "chunks of a must be [first, stop] or a list of such, not empty"),
    "three chunks": (with_nano(chunks=[0, 1, 2]), "chunks of a must be [first, stop] or a list of such, not [0, 1, 2]"),
    "empty range": (with_nano(chunks=[2, 2]), "stop of the chunks of a must be an integer from 3 to 64, not 2"),
    "chunk as text": (
        with_nano(chunks=["0", "2"]),
        "first of the chunks of a must be an integer from 0 to 63, not '0'",
    ),
    "chunk below 0": (with_nano(chunks=[-1, 2]), "first of the chunks of a must be an integer from 0 to 63, not -1"),
    "chunks beyond": (with_nano(chunks=[0, 5]), "chunks of a must lie below chunk 4, not 0x1f"),
    "ranges that overlap": (
        with_nano(chunks=[[0, 2], [1, 3]]),
        "chunks of a must be ranges that do not overlap, not [[0, 2], [1, 3]]",
    ),
    "parts that overlap": (
        with_nano({**NANO, "name": "b", "chunks": [1, 3]}),
        "chunks of b must not overlap those of another part of A, not 0x6",
    ),
    "negative duration": (with_nano(duration_us=-1), "duration_us of a must be a number above 0, not -1"),
    "duration as text": (with_nano(duration_us="1"), "duration_us of a must be a number above 0, not '1'"),
    "share above pool": (with_nano(shares={"sm": 11}), "share of a in sm must be an integer from 0 to 10, not 11"),
    "negative share": (with_nano(shares={"sm": -1}), "share of a in sm must be an integer from 0 to 10, not -1"),
    "unknown pool": (with_nano(shares={"dram": 1}), "pool of a must be one of sm, not 'dram'"),
    "shares as list": (with_nano(shares=[1]), "shares of a must be a Mapping, not [1]"),
    "waits as table": (
        with_nano(predecessors={"operation": "A"}),
        "predecessors of a must be a list, not {'operation'",
    ),
    "wait as text": (with_nano(predecessors=["A"]), "predecessor of a must be a table, not 'A'"),
    "wait for nothing": (with_nano(predecessors=[{}]), "predecessor of a must have the key operation, not only none"),
    "wait for a list": (
        with_nano(predecessors=[{"operation": ["A"]}]),
        "in a predecessor of a, operation of a predecessor must be 1 to 64 printable characters, not ['A']",
    ),
    "wait in two layers": (
        with_nano(predecessors=wait("A", layer_offset=2)),
        "in a predecessor of a, layer_offset must be one of -1, 0, 1, not 2",
    ),
    "unknown operation": (with_nano(predecessors=wait("C")), "predecessor of a must be one of A, not 'C'"),
    "five waits": (with_nano(predecessors=wait("A") * 5), "number of predecessors of a must be an integer from 0 to 4"),
    "circle": (
        with_nano({**B, "predecessors": wait("A")}, predecessors=wait("B")),
        ("the waits of program p must not form a circle, not a <- b <- a", "not b <- a <- b"),
    ),
    "circle through the window": (
        with_nano({**B, "predecessors": wait("A", layer_offset=1)}, predecessors=wait("B", layer_offset=1)),
        "the waits of program p must not form a circle, not ",
    ),
    "too large a number": ({**PROGRAM, "count": 1 << 70}, "integers in program p must have at most 64 bits, not 71"),
    "too long a name": (
        {**PROGRAM, "name": "n" * 9999},
        "texts in program p must have at most 2000 characters, not 9999",
    ),
    "sources as text": ({**PROGRAM, "sources": "me"}, "sources must be a table, not 'me'"),
    "source without mark": (
        {**PROGRAM, "sources": {"x": {"value": 1}}},
        "source x must have the key mark, not only value",
    ),
    "source with a mark of its own": (
        {**PROGRAM, "sources": {"x": {"value": 1, "mark": "SEEN", "source": "me"}}},
        "mark of a figure must be one of READ, DERIVED, RECALLED, ASSUMED, not 'SEEN'",
    ),
    "silent source": (
        {**PROGRAM, "sources": {"x": {"value": 1, "mark": "READ", "source": 1}}},
        "source of a figure must be a sentence, not 1",
    ),
    "base that is not there": ({"extends": "gpt"}, "program preset must be one of llama2_70b_"),
    "base by number": ({"extends": 3}, "extends of program p must be the name of a program preset, not 3"),
    "bases": ({"extends": ["llama3_8b_1024"]}, "extends of program p must be the name of a program preset, not ['lla"),
    "half a character": ({**PROGRAM, "name": "\ud800"}, "texts in program p must be Unicode characters, not "),
}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_program(path)
    return str(caught.value)


@pytest.mark.parametrize(("tables", "start"), WRONG.values(), ids=WRONG)
def test_wrong_values_are_refused(tables: object, start: str | tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(tables))
    sentence = refusal(path)
    assert any(start in sentence for start in ([start] if isinstance(start, str) else start)), sentence


def test_the_program_that_is_spoilt_above_is_right() -> None:
    nano = NanoOperation(name="a", operation="A", unit="gemm", chunks=0b11, shares={"sm": 3})
    assert parse_program(json.dumps(PROGRAM), "json", name="p").program == Program(
        name="p", units=("gemm",), pools=(Pool(name="sm", capacity=10),), chunk_rows=128, n_chunks=4,
        nano_operations=(nano,),
    )  # fmt: skip


NO_PROGRAMS = {
    "prose.toml": (b"This is not TOML.", "program prose must be TOML text, not one with an error (Expected"),
    "prose.json": (b"This is not JSON.", "program prose must be JSON text, not one with an error (Expecting value"),
    "twice.toml": (
        b"count = 1\ncount = 2\n",
        "program twice must be TOML text, not one with an error (Cannot",
    ),
    "twice.json": (b'{"count": 1, "count": 2}', "keys of a table must be unique, not 'count' twice"),
    "nan.json": (b'{"count": NaN}', "numbers in JSON must be finite, not NaN"),
    "infinity.json": (b'{"count": -Infinity}', "numbers in JSON must be finite, not -Infinity"),
    "digits.json": (b'{"count": ' + b"9" * 5000 + b"}", "program digits must be JSON text, not one with an error"),
    "digits.toml": (b"count = 0x" + b"f" * 5000, "integers in program digits must have at most 64 bits, not 20000"),
    "deep.json": (b"[" * 100_000, "program deep must be JSON text, not one with an error (nested too deeply)"),
    "deep.toml": (b"a = " + b"[" * 100_000, "program deep must be TOML text, not one with an error"),
    "picture.toml": (b"\x89PNG\xff", "program file must be UTF-8 text, not '"),
    "long.toml": (b"# " + b"x" * (1 << 20), "program file must have at most 1048576 bytes, not more, as '"),
    "words.hex": (b"00", "ending of a program file must be one of .toml, .json, not '"),
}


@pytest.mark.parametrize("name", NO_PROGRAMS)
def test_wrong_files_are_refused(name: str, tmp_path: Path) -> None:
    content, start = NO_PROGRAMS[name]
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith(start)


def test_not_a_number_is_refused_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(write_program(load_program_text("nerf_frame_ngpc8")).replace("802.6", "nan"))
    assert refusal(path) == "duration_us of March1 must be a number above 0, not nan"


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    missing, folder = tmp_path / "missing.toml", tmp_path / "folder.toml"
    folder.mkdir()
    assert refusal(missing) == f"program file must be a readable file, not '{missing}' (No such file or directory)"
    assert refusal(folder) == f"program file must be a readable file, not '{folder}' (Is a directory)"
