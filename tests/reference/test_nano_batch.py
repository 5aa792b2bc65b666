"""Decoder layers in the order the scheduler unit issues them equal the unsplit execution; a wrong order is an error."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from arch.errors import InputError
from arch.program import Program
from arch.scheduler import SchedulerConfig
from arch.workload import load_program
from reference.nano_batch import DecoderWeights, MixedBatch, execute_in_order, execute_unsplit, issue_order
from sim.engine.scheduler import simulate

LAYERS = 3
WEIGHTS = DecoderWeights(n_layers=LAYERS, d_model=16, n_heads=4, n_kv_heads=2, d_ffn=24, seed=3)
MIXED = {
    # two rows a chunk; the chunk in which decoded tokens end holds a token of the prompt too, as the program has it
    "llama2_70b_2048": MixedBatch(n_rows=32, n_decode=21, context=5, seed=4),
    "llama2_70b_2048_figure6": MixedBatch(n_rows=32, n_decode=21, context=5, seed=4),
    "llama3_8b_1024": MixedBatch(n_rows=16, n_decode=8, context=3, seed=5),
    "mixtral_8x7b_4096": MixedBatch(n_rows=64, n_decode=43, context=2, seed=6),
}


def program(name: str) -> Program:
    return replace(load_program(name), count=LAYERS)


def run(body: Program, durations_clk: list[int]) -> list[tuple[str, int, int]]:
    timeline = simulate(body, SchedulerConfig.for_program(body), durations_clk=durations_clk)
    return list(issue_order(timeline.issue_clk, timeline.complete_clk))


@pytest.mark.parametrize("name", MIXED)
def test_any_order_of_the_unit_equals_the_unsplit_execution(name: str, seed: int) -> None:
    body, batch = program(name), MIXED[name]
    expected = execute_unsplit(WEIGHTS, batch)
    assert torch.isfinite(expected).all() and expected.std() > 0.1
    rng = random.Random(seed)
    orders = set()
    for _ in range(3):
        order = run(body, [rng.randint(1, 100) for _ in body.nano_operations])
        orders.add(tuple(order))
        result = execute_in_order(body, order, WEIGHTS, batch)
        torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-10)
    assert len(orders) == 3


def test_every_missing_wait_for_data_is_noticed() -> None:
    """Each nano-operation in turn loses its waits and is made so eager that the unit issues it too early."""
    body, batch = program("llama3_8b_1024"), MIXED["llama3_8b_1024"]
    for index, nano in enumerate(body.nano_operations):
        nanos = list(body.nano_operations)
        nanos[index] = replace(nano, predecessors=(), priority=0, shares={}, unit="eager")
        broken = replace(body, nano_operations=tuple(nanos), units=(*body.units, "eager"))
        with pytest.raises(InputError, match=r"row \d+ must be complete before .* reads it, not after"):
            execute_in_order(broken, run(broken, [50] * len(nanos)), WEIGHTS, batch)


def test_an_issue_in_the_clock_of_a_completion_comes_before_it() -> None:
    order = list(issue_order(np.array([[2, 10]]), np.array([[10, 20]])))
    assert order == [("issue", 0, 0), ("issue", 0, 1), ("complete", 0, 0), ("complete", 0, 1)]


def test_what_is_lost_or_invented_is_noticed() -> None:
    body, batch = program("llama3_8b_1024"), MIXED["llama3_8b_1024"]
    order = run(body, [10] * len(body.nano_operations))
    with pytest.raises(InputError, match="must be complete before"):
        execute_in_order(body, [event for event in order if event != ("complete", 1, 4)], WEIGHTS, batch)
    with pytest.raises(InputError, match="must be complete before the end of layer 2 reads it, not after"):
        execute_in_order(body, order[:-1], WEIGHTS, batch)
    with pytest.raises(InputError, match="must be issued before it is complete, not after"):
        execute_in_order(body, [order[0], *[e for e in order if e[0] == "complete"][1:]], WEIGHTS, batch)


def test_what_happens_twice_or_never_ends_is_noticed() -> None:
    body, batch = program("llama3_8b_1024"), MIXED["llama3_8b_1024"]
    order = run(body, [10] * len(body.nano_operations))
    at = order.index(("issue", 1, 5))
    for wrong, sentence in (
        ([*order[: at + 1], *order[at:]], "of layer 1 must be issued once, not again"),
        ([*order, ("issue", 2, 0)], "of layer 2 must be issued once, not again"),
        ([("issue", 0, 0), *order], "of layer 0 must be issued once, not again"),
        ([*order[:-1], ("finish", *order[-1][1:])], "kind of an event must be one of issue, complete, not 'finish'"),
        ([("issue", -1, 0), *order], "layer of an event must be an integer from 0 to 2, not -1"),
    ):
        with pytest.raises(InputError, match=sentence):
            execute_in_order(body, wrong, WEIGHTS, batch)


def test_the_batch_is_mixed_and_rows_of_the_prompt_see_each_other() -> None:
    """A change of the prompt's first token reaches its later ones, and no decoded token."""
    batch = MIXED["llama3_8b_1024"]
    before = execute_unsplit(WEIGHTS, batch)
    longer = execute_unsplit(WEIGHTS, replace(batch, n_decode=7))
    assert torch.equal(before[:7], longer[:7])
    assert not torch.isclose(before[8:], longer[8:]).all(dim=1).any()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"d_model": 12}, "d_model must be a multiple of 8 from 8 to 65536, not 12"),
        ({"n_kv_heads": 3}, "n_heads must be a multiple of 3 from 3 to 65536, not 4"),
    ],
)
def test_shapes_that_do_not_divide_are_refused(values: dict, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(WEIGHTS, **values)
    assert str(caught.value) == sentence
