"""The load checker's rules are those of ``arch.program``, word for word."""

import random
from dataclasses import replace

import pytest

from arch.descriptor import Descriptor, LoadTable, PackedProgram, PredecessorField, pack_program
from arch.errors import InputError
from arch.load_check import LoadFault, Verdict, check_packed
from arch.program import NanoOperation, Predecessor, Program
from arch.scheduler import SchedulerConfig
from arch.workload import load_program, preset_names
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=5, n_units=3, n_pools=2, n_chunks=6, share_bits=4)


def wait(operation: int, layer_offset: int = 0, *, start: bool = False, everything: bool = False) -> PredecessorField:
    return PredecessorField(operation=operation, layer_offset=layer_offset, start=start, all=everything)


def packed(*descriptors: Descriptor, **values: object) -> PackedProgram:
    rows = [0] * CONFIG.n_operations
    for descriptor in descriptors:
        if descriptor.operation < len(rows):
            rows[descriptor.operation] |= descriptor.chunks
    defaults = {"config": CONFIG, "operation_chunks": tuple(rows), "count": 2, "capacities": (9, 3)}
    return PackedProgram(descriptors=descriptors, **{**defaults, **values})


def one(operation: int, *predecessors: PredecessorField, **values: object) -> Descriptor:
    defaults = {"chunks": 0b11, "unit": 0, "shares": (0, 0)}
    return Descriptor(operation=operation, predecessors=predecessors, **{**defaults, **values})


CASES = {
    "nothing wrong": (packed(one(0), one(1, wait(0))), LoadFault.NONE, 0),
    "no iterations": (packed(one(0), count=0), LoadFault.COUNT, 0),
    "no chunks": (packed(one(0), one(1, chunks=0)), LoadFault.NO_CHUNKS, 1),
    "no such unit": (packed(one(0, unit=3)), LoadFault.UNIT, 0),
    "no such operation": (packed(one(0), one(6)), LoadFault.OPERATION, 1),
    "first share": (packed(one(0, shares=(9, 3)), one(1, shares=(10, 0))), LoadFault.SHARE, 1),
    "second share": (packed(one(0, shares=(9, 4))), LoadFault.SHARE, 0),
    "overlap": (packed(one(0), one(1), one(0, chunks=0b110)), LoadFault.OVERLAP, 2),
    "chunks left out": (packed(one(0), one(1), operation_chunks=(0b11, 0b1)), LoadFault.OPERATION_CHUNKS, 1),
    "chunks too many": (packed(one(0), one(1), operation_chunks=(0b111, 0b11)), LoadFault.OPERATION_CHUNKS, 0),
    "awaits nobody": (packed(one(0), one(1, wait(3, everything=True))), LoadFault.AWAITED_OPERATION, 1),
    "awaits no operation": (packed(one(0), one(1, wait(0), wait(7))), LoadFault.AWAITED_OPERATION, 1),
    "two iterations back": (packed(one(0), one(1, wait(0, -2))), LoadFault.LAYER_OFFSET, 1),
    "awaits no chunk": (packed(one(0), one(1, wait(0), chunks=0b110)), LoadFault.AWAITED_CHUNKS, 1),
    "all of fewer chunks": (packed(one(0), one(1, wait(0, everything=True), chunks=0b110)), LoadFault.NONE, 0),
    "silent": (packed(one(0), one(1, wait(0, start=True))), LoadFault.ANNOUNCE, 1),
    "silent in part": (
        packed(one(0, announce_start=True), one(0, chunks=0b1100), one(1, wait(0, start=True))),
        LoadFault.ANNOUNCE,
        2,
    ),
    "announced": (packed(one(0, announce_start=True), one(1, wait(0, start=True))), LoadFault.NONE, 0),
    "itself": (packed(one(0), one(1, wait(1))), LoadFault.CIRCLE, 1),
    "behind a circle": (packed(one(0, wait(2)), one(1), one(2, wait(3)), one(3, wait(2))), LoadFault.CIRCLE, 0),
    "the iteration before": (packed(one(0, wait(0, -1))), LoadFault.NONE, 0),
    "the iteration after": (packed(one(0, wait(1, 1)), one(1)), LoadFault.NONE, 0),
    "two iterations after": (packed(one(0, wait(1, 1)), one(1, wait(2, 1)), one(2)), LoadFault.CIRCLE, 0),
    "the lower code of one descriptor": (packed(one(0, chunks=0, unit=3, shares=(15, 15))), LoadFault.NO_CHUNKS, 0),
    "the earlier pass": (packed(one(0, wait(0)), one(1, unit=3)), LoadFault.UNIT, 1),
}


@pytest.mark.parametrize(("program", "fault", "index"), CASES.values(), ids=CASES)
def test_every_rule_has_its_code(program: PackedProgram, fault: LoadFault, index: int) -> None:
    assert check_packed(program) == Verdict(fault=fault, index=index)


def test_every_code_has_a_case() -> None:
    assert {fault for _, fault, _ in CASES.values()} == set(LoadFault) - {LoadFault.ORDER}


@pytest.mark.parametrize(
    ("arrival", "index"),
    [
        ([(0, 0, 0), (0, 0, 1), (0, 1, 2)], None),
        ([(0, 0, 1), (0, 1, 2), (1, 0, 0)], None),
        ([(1, 0, 0), (0, 0, 1), (0, 0, 2)], 1),
        ([(0, 1, 0), (0, 0, 1), (0, 0, 2)], 1),
        ([(0, 0, 1), (0, 0, 0), (0, 0, 2)], 0),
        ([(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 2)], 0),
        ([(0, 0, 0), (0, 0, 2), (1, 0, 0)], 0),
        ([(0, 0, 0), (0, 0, 1)], 2),
        ([(0, 0, 0), (0, 0, 1), (0, 0, 3)], 2),
        ([(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)], 2),
    ],
    ids=["by index", "by unit", "unit", "priority", "index", "twice", "instead", "missing", "another", "too many"],
)
def test_descriptors_come_in_order_of_choice(arrival: list[tuple[int, int, int]], index: int | None) -> None:
    one = Descriptor(chunks=1, operation=0, unit=0, shares=(0,))
    packed = PackedProgram(
        config=SchedulerConfig(),
        descriptors=tuple(replace(one, chunks=1 << number) for number in range(3)),
        operation_chunks=(7,),
        count=1,
        capacities=(0,),
    )
    fault = LoadFault.NONE if index is None else LoadFault.ORDER
    assert check_packed(packed, arrival) == Verdict(fault=fault, index=index or 0)


@pytest.mark.parametrize("name", preset_names("program"))
def test_presets_are_accepted(name: str) -> None:
    program = load_program(name)
    assert check_packed(pack_program(program, SchedulerConfig.for_program(program))).fault is LoadFault.NONE


def test_random_legal_programs_are_accepted(seed: int) -> None:
    for number in range(150):
        program = random_program(random.Random(f"{seed} {number}"), CONFIG)
        assert check_packed(pack_program(program, CONFIG)).fault is LoadFault.NONE, f"program {number} of seed {seed}"


def draw_waits(rng: random.Random, program: Program, nano: NanoOperation) -> tuple[Predecessor, ...]:
    """Waits for chunks that are there, which may close circles."""
    waits = []
    for _ in range(rng.choice((0, 1, 1, 2))):
        operation = rng.choice(program.operations)
        covered = not nano.chunks & ~program.operation_chunks(operation)
        waits.append(
            Predecessor(
                operation=operation,
                layer_offset=rng.choice((0, 0, -1, 1)),
                event=rng.choice(("start", "done")),
                scope="elementwise" if covered and rng.random() < 0.7 else "all",
            )
        )
    return tuple(waits)


def both_forms(program: Program, waits: list[tuple[Predecessor, ...]]) -> tuple[Program | None, PackedProgram]:
    """``program`` with other waits: as a program, or None if that is refused, and as descriptors."""
    nanos = zip(program.nano_operations, waits, strict=True)
    try:
        legal = replace(program, nano_operations=tuple(replace(nano, predecessors=mine) for nano, mine in nanos))
    except InputError as refused:
        assert "must not form a circle" in str(refused)
        legal = None
    operations = {name: row for row, name in enumerate(program.operations)}
    plain = pack_program(program, CONFIG)
    descriptors = []
    for descriptor, mine in zip(plain.descriptors, waits, strict=True):
        fields = tuple(
            wait(operations[one.operation], one.layer_offset, start=one.event == "start", everything=one.scope == "all")
            for one in mine
        )
        descriptors.append(replace(descriptor, predecessors=fields, announce_start=True))
    return legal, replace(plain, descriptors=tuple(descriptors))


def test_a_circle_is_refused_exactly_where_the_program_is(seed: int) -> None:
    refused = 0
    for number in range(400):
        rng = random.Random(f"{seed} {number}")
        program = random_program(rng, CONFIG)
        legal, words = both_forms(program, [draw_waits(rng, program, nano) for nano in program.nano_operations])
        verdict = check_packed(words)
        assert (verdict.fault is LoadFault.CIRCLE) == (legal is None), f"program {number} of seed {seed}"
        assert verdict.fault in (LoadFault.CIRCLE, LoadFault.NONE)
        refused += legal is None
    assert 100 < refused < 350


def test_codes_fit_the_port() -> None:
    assert [int(table) for table in LoadTable] == [0, 1, 2]
    assert max(LoadFault) < 16


def test_the_words_of_a_nano_operation_that_waits_for_itself() -> None:
    nano = NanoOperation(name="a", operation="A", unit="u", chunks=1)
    good = pack_program(Program(name="p", units=("u",), chunk_rows=1, n_chunks=1, nano_operations=(nano,)), CONFIG)
    bad = replace(good, descriptors=(replace(good.descriptors[0], predecessors=(wait(0),)),))
    assert check_packed(good).fault is LoadFault.NONE
    assert check_packed(bad) == Verdict(fault=LoadFault.CIRCLE, index=0)
