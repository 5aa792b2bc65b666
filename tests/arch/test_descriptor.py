"""The scheduler unit's build parameters and the bits of its descriptors."""

import random
from dataclasses import replace

import pytest

from arch.descriptor import (
    Descriptor,
    LoadTable,
    PredecessorField,
    control_fields,
    descriptor_fields,
    load_data_bits,
    pack_program,
)
from arch.errors import InputError
from arch.program import NanoOperation, Pool, Predecessor, Program
from arch.scheduler import SchedulerConfig

SMALL = SchedulerConfig(n_descriptors=8, n_operations=3, n_units=2, n_pools=2, n_chunks=5, share_bits=4)
DESCRIPTOR = Descriptor(chunks=0b101, operation=2, unit=1, priority=3, shares=(5, 0))


def refusal(build: object, *arguments: object, **values: object) -> str:
    with pytest.raises(InputError) as caught:
        build(*arguments, **values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"n_descriptors": 12}, "n_descriptors must be one of 8, 16, 32, 64, not 12"),
        ({"n_operations": 33}, "n_operations must be an integer from 1 to 32, not 33"),
        ({"n_units": 9}, "n_units of the scheduler must be an integer from 1 to 8, not 9"),
        ({"n_pools": 0}, "n_pools must be an integer from 1 to 4, not 0"),
        ({"n_chunks": 65}, "n_chunks of the scheduler must be an integer from 1 to 64, not 65"),
        ({"share_bits": 9}, "share_bits must be an integer from 1 to 8, not 9"),
    ],
)
def test_config_refuses(values: dict, sentence: str) -> None:
    assert refusal(SchedulerConfig, **values) == sentence


def body(n: int = 1, **values: object) -> Program:
    defaults = {
        "name": "layer",
        "units": ("gemm", "network"),
        "pools": (Pool(name="sm", capacity=15), Pool(name="bandwidth", capacity=9)),
        "chunk_rows": 128,
        "n_chunks": 5,
        "nano_operations": tuple(
            NanoOperation(name=f"n{k}", operation=f"o{k}", unit="gemm", chunks=0b11) for k in range(n)
        ),
    }
    return Program(**{**defaults, **values})


@pytest.mark.parametrize(
    ("program", "what", "most", "found"),
    [
        (body(9), "nano-operations", 8, 9),
        (body(4), "operations", 3, 4),
        (body(units=("gemm", "network", "copy")), "units", 2, 3),
        (body(pools=tuple(Pool(name=f"p{k}", capacity=1) for k in range(3))), "pools", 2, 3),
        (body(n_chunks=6), "chunks", 5, 6),
        (body(pools=(Pool(name="sm", capacity=16),)), "credits of a pool", 15, 16),
    ],
    ids=["nano-operations", "operations", "units", "pools", "chunks", "credits"],
)
def test_config_refuses_programs_that_do_not_fit(program: Program, what: str, most: int, found: int) -> None:
    sentence = f"{what} of program layer must be at most {most} for this scheduler, not {found}"
    assert refusal(pack_program, program, SMALL) == sentence


def test_config_accepts_programs_that_just_fit() -> None:
    assert pack_program(body(3), SMALL).operation_chunks == (0b11, 0b11, 0b11)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"chunks": 32}, "chunks of a descriptor must be an integer from 0 to 31, not 32"),
        ({"operation": 3}, "operation of a descriptor must be an integer from 0 to 2, not 3"),
        ({"unit": 2}, "unit of a descriptor must be an integer from 0 to 1, not 2"),
        ({"priority": 4}, "priority of a descriptor must be an integer from 0 to 3, not 4"),
        ({"shares": (1, 2, 3)}, "number of shares of a descriptor must be an integer from 0 to 2, not 3"),
        ({"shares": (0, 16)}, "share1 of a descriptor must be an integer from 0 to 15, not 16"),
    ],
)
def test_pack_refuses(values: dict, sentence: str) -> None:
    assert refusal(replace(DESCRIPTOR, **values).pack, SMALL) == sentence


def test_pack_refuses_predecessors() -> None:
    wait = PredecessorField(operation=0, layer_offset=0, start=False, all=False)
    for predecessors, sentence in (
        ((wait,) * 5, "number of predecessors of a descriptor must be an integer from 0 to 4, not 5"),
        (
            (wait, replace(wait, operation=3)),
            "predecessor1_operation of a descriptor must be an integer from 0 to 2, not 3",
        ),
        (
            (replace(wait, layer_offset=2),),
            "predecessor0_layer_offset of a descriptor must be an integer from -1 to 1, not 2",
        ),
    ):
        assert refusal(replace(DESCRIPTOR, predecessors=predecessors).pack, SMALL) == sentence


@pytest.mark.parametrize("word", [-1, 1 << 100, 1.0, True])
def test_unpack_refuses(word: object) -> None:
    width = sum(descriptor_fields(SMALL).values())
    assert width == 5 + 2 + 1 + 2 + 1 + 2 * 4 + 4 * (1 + 2 + 2 + 1 + 1)
    assert refusal(Descriptor.unpack, word, SMALL) == (f"a descriptor must be an integer of {width} bits, not {word!r}")


def test_pack_puts_fields_where_the_page_says() -> None:
    wait = PredecessorField(operation=1, layer_offset=-1, start=True, all=False)
    word = replace(DESCRIPTOR, announce_start=True, predecessors=(wait,)).pack(SMALL)
    low = 5 + 2 + 1 + 2 + 1 + 8
    assert word & 0b11111 == 0b101  # chunks
    assert word >> 5 & 0b11 == 2  # operation
    assert word >> 7 & 1 == 1  # unit
    assert word >> 8 & 0b11 == 3  # priority
    assert word >> 10 & 1 == 1  # announce_start
    assert word >> 11 & 0xFF == 0x05  # shares, pool 0 lowest
    assert word >> low == 0b0_1_11_01_1  # all, start, layer_offset, operation, valid


def test_the_page_states_the_widths() -> None:
    largest = SchedulerConfig(n_descriptors=64, n_operations=64, n_units=8, n_pools=4, n_chunks=64, share_bits=8)
    assert sum(descriptor_fields(SchedulerConfig()).values()) == 68
    assert sum(descriptor_fields(largest).values()) == 152
    assert sum(control_fields(SchedulerConfig()).values()) == 5 + 16 + 7
    assert load_data_bits(SchedulerConfig()) == 68


def test_unpack_is_the_inverse_of_pack(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(200):
        descriptor = Descriptor(
            chunks=rng.randrange(32),
            operation=rng.randrange(3),
            unit=rng.randrange(2),
            priority=rng.randrange(4),
            announce_start=rng.random() < 0.5,
            shares=(rng.randrange(16), rng.randrange(16)),
            predecessors=tuple(
                PredecessorField(
                    operation=rng.randrange(3),
                    layer_offset=rng.choice((-1, 0, 1)),
                    start=rng.random() < 0.5,
                    all=rng.random() < 0.5,
                )
                for _ in range(rng.randrange(5))
            ),
        )
        assert Descriptor.unpack(descriptor.pack(SMALL), SMALL) == descriptor


def test_pack_program_numbers_names() -> None:
    nanos = (
        NanoOperation(name="q0", operation="KQV", unit="gemm", chunks=0b00011, shares={"bandwidth": 4}),
        NanoOperation(name="q1", operation="KQV", unit="gemm", chunks=0b11100, priority=2),
        NanoOperation(
            name="r",
            operation="AllReduce",
            unit="network",
            chunks=0b00111,
            shares={"sm": 15},
            predecessors=(
                Predecessor(operation="KQV", event="start"),
                Predecessor(operation="AllReduce", layer_offset=-1, scope="all"),
            ),
        ),
    )
    packed = pack_program(body(nano_operations=nanos, count=80), SMALL)
    assert packed.operation_chunks == (0b11111, 0b00111)
    assert packed.capacities == (15, 9)
    assert packed.descriptors == (
        Descriptor(chunks=0b00011, operation=0, unit=0, announce_start=True, shares=(0, 4)),
        Descriptor(chunks=0b11100, operation=0, unit=0, announce_start=True, priority=2, shares=(0, 0)),
        Descriptor(
            chunks=0b00111,
            operation=1,
            unit=1,
            shares=(15, 0),
            predecessors=(
                PredecessorField(operation=0, layer_offset=0, start=True, all=False),
                PredecessorField(operation=1, layer_offset=-1, start=False, all=True),
            ),
        ),
    )
    assert packed.control == 2 | 80 << 3 | 15 << 19 | 9 << 23
    assert list(packed.load_words()) == [
        *((LoadTable.DESCRIPTOR, k, descriptor.pack(SMALL)) for k, descriptor in enumerate(packed.descriptors)),
        (LoadTable.OPERATION, 0, 0b11111),
        (LoadTable.OPERATION, 1, 0b00111),
        (LoadTable.CONTROL, 0, packed.control),
    ]


def test_control_word_refuses() -> None:
    packed = pack_program(body(), SMALL)
    for values, sentence in (
        ({"count": 1 << 16}, "count of a control word must be an integer from 0 to 65535, not 65536"),
        ({"capacities": (16, 0)}, "capacity0 of a control word must be an integer from 0 to 15, not 16"),
    ):
        assert refusal(lambda changed: changed.control, replace(packed, **values)) == sentence
