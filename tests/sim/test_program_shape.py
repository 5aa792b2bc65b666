"""Published structures in other shapes: nothing lost, nothing twice, and what is published comes out unchanged."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.errors import InputError
from arch.workload import load_program
from sim.machine.program_shape import OUTPUTS, layer_in_one, least_chunks, resized, with_offload, with_output
from sim.machine.token_case import PROGRAMS
from sim.machine.tokens import time_tokens

STRUCTURES = sorted(set(PROGRAMS.values()))
ATTENTIONS = ("DecodeAttention", "PrefillAttention")


def waits(program, name):
    nano = next(nano for nano in program.nano_operations if nano.name == name)
    return [(wait.operation, wait.event, wait.scope, wait.layer_offset) for wait in nano.predecessors]


def test_the_copies_are_those_of_the_published_program():
    made, stored = with_offload(load_program("llama2_70b_2048")), load_program("llama2_70b_2048_offload")
    assert [nano.name for nano in made.nano_operations] == [nano.name for nano in stored.nano_operations]
    for mine, theirs in zip(made.nano_operations, stored.nano_operations, strict=True):
        assert (mine.unit, mine.chunks, mine.shares, mine.predecessors) == (
            theirs.unit, theirs.chunks, theirs.shares, theirs.predecessors
        )  # fmt: skip
    assert with_offload(stored) == stored


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_same_size_changes_nothing_but_attentions(name):
    program = load_program(name)
    same = resized(program, program.n_chunks)
    for mine, theirs in zip(same.nano_operations, program.nano_operations, strict=True):
        assert mine == theirs or mine.operation in ATTENTIONS


@pytest.mark.parametrize("name", STRUCTURES)
@settings(max_examples=40, derandomize=True)
@given(n_chunks=st.integers(1, 64))
def test_any_size_deals_every_chunk_once_and_in_proportion(name, n_chunks):
    program = load_program(name)
    if n_chunks < least_chunks(program):
        with pytest.raises(InputError):
            resized(program, n_chunks)
        return
    other = resized(program, n_chunks)
    for operation in set(program.operations) - set(ATTENTIONS):
        whole = program.operation_chunks(operation) == (1 << program.n_chunks) - 1
        assert (other.operation_chunks(operation) == (1 << n_chunks) - 1) == whole
    for mine, theirs in zip(other.nano_operations, program.nano_operations, strict=True):
        if mine.operation not in ATTENTIONS:
            wanted = theirs.chunks.bit_count() * n_chunks / program.n_chunks
            # a piece never vanishes, so small batches bend the proportions
            assert abs(mine.chunks.bit_count() - wanted) <= max(1.0, least_chunks(program))


def test_boundaries_of_half_the_batch():
    """640 + 1408 rows and KQV of 256, 384, 768, 640 become 256 + 768 and 128, 128, 512, 256 of 128."""
    half = resized(load_program("llama2_70b_2048"), 8)
    sizes = [nano.chunks.bit_count() for nano in half.nano_operations if nano.operation == "KQV"]
    assert sizes == [1, 1, 4, 2]
    assert [nano.chunks for nano in half.nano_operations if nano.operation == "UpGate"] == [0b11, 0b11111100]


def test_output_by_all_reduce_of_every_nano_batch():
    program = with_output(load_program("llama2_70b_2048"), "all_reduce")
    assert not {"AttentionAllGather", "OutputAllGather"} & set(program.operations)
    assert waits(program, "O1") == [("DecodeAttention", "done", "elementwise", 0)]
    assert waits(program, "NormFfn1") == [("OutputAllReduce", "done", "elementwise", 0)]
    assert program.operation_chunks("OutputAllReduce") == 0xFFFF


def test_output_by_all_gathers_of_every_nano_batch():
    program = with_output(load_program("llama2_70b_2048"), "all_gather")
    assert "OutputAllReduce" not in program.operations
    assert waits(program, "O2") == [("AttentionAllGather", "done", "elementwise", 0)]
    assert waits(program, "AttentionAllGather2") == [
        ("DecodeAttention", "done", "all", 0), ("PrefillAttention", "done", "all", 0),
    ]  # fmt: skip
    assert program.operation_chunks("AttentionAllGather") == program.operation_chunks("OutputAllGather") == 0xFFFF
    # one GPU has no collectives to choose
    alone = load_program("llama3_8b_1024")
    assert with_output(alone, "all_gather") == alone == with_output(alone, "all_reduce")


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", ["llama2_70b_2048_figure6", "mixtral_8x7b_4096"])
def test_every_form_runs_to_its_end(name, output):
    """The forms move the same bytes; what they cost differs by latencies and overlap, a few percent."""
    model = "mixtral_8x7b" if name.startswith("mixtral") else "llama2_70b"
    timing = time_tokens(model=model, program=name, output=output, executions=["sequential", "overlapped"])
    plain = time_tokens(model=model, program=name, executions=["sequential", "overlapped"])
    for mine, theirs in zip(
        [row for row in timing.rows if row.source != "published"],
        [row for row in plain.rows if row.source != "published"],
        strict=True,
    ):
        assert mine.iteration_ms == pytest.approx(theirs.iteration_ms, rel=0.1)


@pytest.mark.parametrize(("output", "collectives"), [("all_reduce", 2), ("all_gather", 3)])
def test_a_layer_in_one(output, collectives):
    program = layer_in_one(name="x", count=3, networked=True, output=output)
    names = [nano.name for nano in program.nano_operations]
    assert sum("All" in name for name in names) == collectives and len(program.units) == 1
    assert waits(program, "NormAttention") == [("DownAllReduce", "done", "elementwise", -1)]
    alone = layer_in_one(name="x", count=3, networked=False, decode=False)
    assert [nano.name for nano in alone.nano_operations] == [
        "NormAttention", "KQV", "Rope", "PrefillAttention", "O", "NormFfn", "UpGate", "Down",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"^rows of a layer must decode or prefill, not be none$"):
        layer_in_one(name="x", count=1, networked=False, decode=False, prefill=False)
