"""Every refusal of ``arch.program`` with its whole sentence, and what a program says about itself."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from arch.errors import InputError
from arch.program import NanoOperation, Pool, Predecessor, Program, chunk_mask


def nano(name: str, *predecessors: Predecessor, operation: str | None = None, **values: object) -> NanoOperation:
    defaults = {"unit": "gemm", "chunks": 0b11}
    return NanoOperation(
        name=name, operation=operation or name.upper(), predecessors=predecessors, **{**defaults, **values}
    )


def program(*nanos: NanoOperation, **values: object) -> Program:
    defaults = {
        "name": "layer",
        "units": ("gemm", "network"),
        "pools": (Pool(name="sm", capacity=100),),
        "chunk_rows": 128,
        "n_chunks": 4,
        "count": 3,
    }
    return Program(nano_operations=nanos, **{**defaults, **values})


def after(operation: str, layer_offset: int = 0, **values: str) -> Predecessor:
    return Predecessor(operation=operation, layer_offset=layer_offset, **values)


def refusal(build: object, *arguments: object, **values: object) -> str:
    with pytest.raises(InputError) as caught:
        build(*arguments, **values)
    return str(caught.value)


def test_chunk_mask_covers_a_range() -> None:
    assert chunk_mask(0, 1) == 0b1
    assert chunk_mask(2, 5) == 0b11100
    assert chunk_mask(0, 64) == 2**64 - 1


@pytest.mark.parametrize(
    ("first", "stop", "sentence"),
    [
        (-1, 3, "first chunk must be an integer from 0 to 63, not -1"),
        (64, 65, "first chunk must be an integer from 0 to 63, not 64"),
        (3, 3, "stop chunk must be an integer from 4 to 64, not 3"),
        (0, 65, "stop chunk must be an integer from 1 to 64, not 65"),
    ],
)
def test_chunk_mask_refuses(first: int, stop: int, sentence: str) -> None:
    assert refusal(chunk_mask, first, stop) == sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"layer_offset": 2}, "layer_offset must be one of -1, 0, 1, not 2"),
        ({"event": "end"}, "event must be one of start, done, not 'end'"),
        ({"scope": "any"}, "scope must be one of elementwise, all, not 'any'"),
    ],
)
def test_predecessor_refuses(values: dict, sentence: str) -> None:
    assert refusal(Predecessor, operation="A", **values) == sentence


WRONG_KINDS = {
    "predecessors in a list": (lambda: nano("a", operation="A", unit="gemm"), {"predecessors": [after("A")]},
        "predecessors of a must be a tuple of Predecessor, not [Predecessor("),
    "predecessors by name": (lambda: nano("a"), {"predecessors": ("A",)},
        "predecessors of a must be a tuple of Predecessor, not one with 'A'"),
    "no predecessors": (lambda: nano("a"), {"predecessors": None},
        "predecessors of a must be a tuple of Predecessor, not None"),
    "shares in a list": (lambda: nano("a"), {"shares": [("sm", 1)]}, "shares of a must be a Mapping, not [('sm', 1)]"),
    "shares by number": (lambda: program(nano("a")), {"nano_operations": (nano("a", shares={0: 1}),)},
        "pool of a must be one of sm, not 0"),
    "share as text": (lambda: program(nano("a")), {"nano_operations": (nano("a", shares={"sm": "1"}),)},
        "share of a in sm must be an integer from 0 to 100, not '1'"),
    "number as name": (lambda: nano("a"), {"name": 7}, "name of a nano-operation must be 1 to 64 printable characters"),
    "empty name": (lambda: nano("a"), {"name": ""}, "name of a nano-operation must be 1 to 64 printable characters"),
    "name of two lines": (lambda: nano("a"), {"name": "a\nb"}, "name of a nano-operation must be 1 to 64 printable"),
    "no operation": (lambda: nano("a"), {"operation": None}, "operation of a must be 1 to 64 printable characters"),
    "unit in a list": (lambda: nano("a"), {"unit": ["gemm"]}, "unit of a must be 1 to 64 printable characters"),
    "chunks in a list": (lambda: nano("a"), {"chunks": [0, 1]}, "chunks of a must be an integer from 1 to "),
    "duration of nothing": (lambda: nano("a"), {"duration_us": None}, "duration_us of a must be a number above 0"),
    "duration that is no number": (lambda: nano("a"), {"duration_us": float("nan")},
        "duration_us of a must be a number above 0, not nan"),
    "awaited by number": (lambda: after("A"), {"operation": 3},
        "operation of a predecessor must be 1 to 64 printable characters, not 3"),
    "pool by number": (lambda: Pool(name="sm", capacity=1), {"name": 3},
        "name of a pool must be 1 to 64 printable characters, not 3"),
    "units in a list": (lambda: program(nano("a")), {"units": ["gemm"]}, "units must be a tuple of str, not ['gemm']"),
    "units in a text": (lambda: program(nano("a")), {"units": "gemm"}, "units must be a tuple of str, not 'gemm'"),
    "units by number": (lambda: program(nano("a")), {"units": (1,)}, "units must be a tuple of str, not one with 1"),
    "unit without name": (lambda: program(nano("a")), {"units": ("gemm", "")},
        "name of a unit must be 1 to 64 printable characters, not ''"),
    "pools by name": (lambda: program(nano("a")), {"pools": ("sm",)},
        "pools must be a tuple of Pool, not one with 'sm'"),
    "nothing to do": (lambda: program(nano("a")), {"nano_operations": None},
        "nano_operations must be a tuple of NanoOperation, not None"),
    "work by name": (lambda: program(nano("a")), {"nano_operations": ("a",)},
        "nano_operations must be a tuple of NanoOperation, not one with 'a'"),
    "program without name": (lambda: program(nano("a")), {"name": None},
        "name of a program must be 1 to 64 printable characters, not None"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "values", "start"), WRONG_KINDS.values(), ids=WRONG_KINDS)
def test_a_field_of_the_wrong_kind_is_refused(build: Callable[[], object], values: dict, start: str) -> None:
    assert refusal(replace, build(), **values).startswith(start)


@pytest.mark.parametrize("capacity", [0, 256, 1.0, True])
def test_pool_refuses(capacity: object) -> None:
    assert refusal(Pool, name="sm", capacity=capacity) == (
        f"capacity of pool sm must be an integer from 1 to 255, not {capacity!r}"
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"chunks": 0}, "chunks of a must be an integer from 1 to 18446744073709551615, not 0"),
        ({"chunks": 1 << 64}, f"chunks of a must be an integer from 1 to 18446744073709551615, not {1 << 64}"),
        ({"priority": 4}, "priority of a must be an integer from 0 to 3, not 4"),
        ({"duration_us": 0.0}, "duration_us of a must be a number above 0, not 0.0"),
        ({"duration_us": float("inf")}, "duration_us of a must be a number above 0, not inf"),
    ],
)
def test_nano_operation_refuses(values: dict, sentence: str) -> None:
    assert refusal(nano, "a", **values) == sentence


def test_nano_operation_refuses_a_fifth_predecessor() -> None:
    assert refusal(nano, "a", *[after("B")] * 5) == (
        "number of predecessors of a must be an integer from 0 to 4, not 5"
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"chunk_rows": 0}, "chunk_rows must be an integer from 1 to 16777216, not 0"),
        ({"n_chunks": 65}, "n_chunks must be an integer from 1 to 64, not 65"),
        ({"count": 0}, "count must be an integer from 1 to 65535, not 0"),
        ({"count": 65536}, "count must be an integer from 1 to 65535, not 65536"),
        ({"units": ()}, "number of units must be an integer from 1 to 8, not 0"),
        ({"units": tuple("abcdefghi")}, "number of units must be an integer from 1 to 8, not 9"),
        ({"units": ("gemm", "gemm")}, "unit names must be unique, not 'gemm' twice"),
        ({"pools": (Pool(name="sm", capacity=1),) * 2}, "pool names must be unique, not 'sm' twice"),
        ({"n_chunks": 1}, "chunks of a must lie below chunk 1, not 0x3"),
        ({"units": ("network",)}, "unit of a must be one of network, not 'gemm'"),
    ],
)
def test_program_refuses(values: dict, sentence: str) -> None:
    assert refusal(program, nano("a"), **values) == sentence


def test_program_refuses_none_or_too_many_nano_operations() -> None:
    sentence = "number of nano-operations must be an integer from 1 to 64, not {}"
    assert refusal(program) == sentence.format(0)
    assert refusal(program, *[nano(f"n{k}") for k in range(65)]) == sentence.format(65)


def test_program_refuses_a_repeated_name() -> None:
    assert refusal(program, nano("a"), nano("a", operation="B")) == "nano-operation names must be unique, not 'a' twice"


def test_program_refuses_overlapping_parts() -> None:
    assert refusal(program, nano("a0", operation="A"), nano("a1", operation="A", chunks=0b110)) == (
        "chunks of a1 must not overlap those of another part of A, not 0x6"
    )


def test_program_refuses_unknown_pools_and_excessive_shares() -> None:
    assert refusal(program, nano("a", shares={"l2": 1})) == "pool of a must be one of sm, not 'l2'"
    assert refusal(program, nano("a", shares={"sm": 101})) == (
        "share of a in sm must be an integer from 0 to 100, not 101"
    )


def test_program_refuses_an_unknown_predecessor() -> None:
    assert refusal(program, nano("a", after("B"))) == "predecessor of a must be one of A, not 'B'"


def test_program_refuses_elementwise_waits_for_chunks_that_are_not_there() -> None:
    assert refusal(program, nano("a", after("B"), chunks=0b111), nano("b")) == (
        "chunks of a must be among those of its predecessor B, not 0x7"
    )
    whole = program(nano("a", after("B", scope="all"), chunks=0b111), nano("b"))
    assert whole.operation_chunks("B") == 0b11


END = "the end of an iteration"
CIRCLES = {
    "itself": ([nano("a", after("A"))], ["a"]),
    "its own start": ([nano("a", after("A", event="start"))], ["a"]),
    "two": ([nano("a", after("B")), nano("b", after("A"))], ["a", "b"]),
    "two, seen from outside": ([nano("a", after("B")), nano("b", after("A")), nano("c", after("A"))], ["a", "b"]),
    "itself in the iteration after": ([nano("a", after("A", +1))], ["a"]),
    "offsets that cancel": ([nano("a", after("B", -1)), nano("b", after("A", +1))], ["a", "b"]),
    "offsets that lead ahead": ([nano("a", after("B", +1)), nano("b", after("A"))], ["a", "b"]),
    "two iterations ahead": ([nano("a", after("B", +1)), nano("b", after("C", +1)), nano("c")], ["a", "b", "c", END]),
    "ahead, from a start": (
        [nano("a", after("B", +1, event="start")), nano("b", after("C", +1)), nano("c")],
        ["a", "b", "c", END],
    ),
    "chunks that meet by a third": (
        [
            nano("a0", after("B", scope="all"), operation="A", chunks=0b01),
            nano("b", after("A", scope="all"), chunks=0b10),
            nano("a1", operation="A", chunks=0b10),
        ],
        ["a0", "b"],
    ),
}


@pytest.mark.parametrize(("nanos", "circle"), CIRCLES.values(), ids=CIRCLES)
def test_program_refuses_circles_and_names_them(nanos: list[NanoOperation], circle: list[str]) -> None:
    sentence = refusal(program, *nanos)
    start = "the waits of program layer must not form a circle, not "
    assert sentence.startswith(start)
    named = sentence.removeprefix(start).split(" <- ")
    assert named[0] == named[-1]
    first = named.index(circle[0])
    assert [*named[first:-1], *named[:first]] == circle


STRAIGHT = {
    "itself in the iteration before": [nano("a", after("A", -1))],
    "around by the iteration before": [nano("a", after("B", -1)), nano("b", after("A"))],
    "one iteration ahead": [nano("a", after("B", +1)), nano("b")],
    "ahead and two back": [nano("a", after("B", +1)), nano("b", after("C", -1)), nano("c", after("A", -1))],
    "parts that do not meet": [
        nano("a0", after("B"), operation="A", chunks=0b01),
        nano("b0", operation="B", chunks=0b01),
        nano("b1", after("A"), operation="B", chunks=0b10),
        nano("a1", operation="A", chunks=0b10),
    ],
}


@pytest.mark.parametrize("nanos", STRAIGHT.values(), ids=STRAIGHT)
def test_program_accepts_what_is_not_a_circle(nanos: list[NanoOperation]) -> None:
    assert program(*nanos).nano_operations == tuple(nanos)


def test_operations_are_numbered_by_first_appearance() -> None:
    body = program(
        nano("b0", operation="B", chunks=0b0001),
        nano("a", chunks=0b1111),
        nano("b1", operation="B", chunks=0b0110),
    )
    assert body.operations == ("B", "A")
    assert body.operation_chunks("B") == 0b0111
    assert body.operation_chunks("A") == 0b1111


def test_waits_for_names_those_whose_chunks_meet() -> None:
    body = program(
        nano("a0", operation="A", chunks=0b0011),
        nano("a1", operation="A", chunks=0b1100),
        nano("b0", after("A"), operation="B", chunks=0b0001),
        nano("b1", after("A", -1, scope="all"), operation="B", chunks=0b0100),
    )
    waits = {one.name: [other.name for other, _ in body.waits_for(one)] for one in body.nano_operations}
    assert waits == {"a0": [], "a1": [], "b0": ["a0"], "b1": ["a0", "a1"]}
    assert [wait.layer_offset for _, wait in body.waits_for(body.nano_operations[3])] == [-1, -1]


def test_a_program_is_checked_again_when_replaced() -> None:
    body = program(nano("a"))
    assert refusal(replace, body, n_chunks=1) == "chunks of a must lie below chunk 1, not 0x3"
