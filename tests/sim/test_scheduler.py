"""The scheduler's cycle model: clocks by hand, legality by the judge, and that the judge sees what is wrong."""

import random
from dataclasses import replace

import numpy as np
import pytest

from arch.errors import InputError
from arch.program import NanoOperation, Pool, Predecessor, Program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import START_WAKE_UP_CLK, WAKE_UP_CLK, SchedulerTimeline, durations_in_clocks, simulate
from sim.engine.scheduler_check import violations
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig()


def nano(name: str, unit: str, *predecessors: Predecessor, **values: object) -> NanoOperation:
    defaults = {"operation": name.rstrip("0123456789").upper(), "chunks": 0b1111}
    return NanoOperation(name=name, unit=unit, predecessors=predecessors, **{**defaults, **values})


def program(*nanos: NanoOperation, **values: object) -> Program:
    defaults = {
        "name": "layer",
        "units": ("gemm", "gemv", "network", "copy"),
        "pools": (Pool(name="sm", capacity=100),),
        "chunk_rows": 128,
        "n_chunks": 4,
    }
    return Program(nano_operations=nanos, **{**defaults, **values})


def after(operation: str, layer_offset: int = 0, **values: str) -> Predecessor:
    return Predecessor(operation=operation, layer_offset=layer_offset, **values)


def clocks(timeline: SchedulerTimeline) -> tuple[dict, dict]:
    keys = list(np.ndindex(timeline.issue_clk.shape))
    return (
        {key: int(timeline.issue_clk[key]) for key in keys},
        {key: int(timeline.complete_clk[key]) for key in keys},
    )


def judged(body: Program, durations_clk: object, **values: object) -> SchedulerTimeline:
    timeline = simulate(body, CONFIG, durations_clk=durations_clk, **values)
    assert list(violations(body, *clocks(timeline), wake_up_clk=WAKE_UP_CLK)) == []
    return timeline


def test_one_nano_operation() -> None:
    timeline = judged(program(nano("a", "gemm")), [10])
    assert timeline.ready_clk.tolist() == [[1]]
    assert timeline.issue_clk.tolist() == [[2]]
    assert timeline.complete_clk.tolist() == [[12]]
    assert timeline.cycles_model == timeline.makespan_clk == 14


def test_wake_up_takes_three_clocks() -> None:
    timeline = judged(program(nano("a", "gemm"), nano("b", "gemv", after("A"))), [10, 5])
    assert timeline.issue_clk.tolist() == [[2, 12 + WAKE_UP_CLK]]
    assert timeline.waited_for(0, 1) == "dependency"
    assert timeline.dependency_wait_clk.tolist() == [[0, 13]]


def test_a_start_wakes_up_a_clock_later() -> None:
    timeline = judged(program(nano("a", "gemm"), nano("b", "gemv", after("A", event="start"))), [10, 5])
    assert timeline.issue_clk.tolist() == [[2, 2 + START_WAKE_UP_CLK]]


def test_a_unit_serves_the_next_three_clocks_after_a_completion() -> None:
    timeline = judged(program(nano("a", "gemm"), nano("b", "gemm")), [10, 5])
    assert timeline.issue_clk.tolist() == [[2, 15]]
    assert timeline.waited_for(0, 1) == "unit"
    assert timeline.unit_wait_clk.tolist() == [[0, 13]]


def test_returned_credits_are_used_three_clocks_after_a_completion() -> None:
    body = program(nano("a", "gemm", shares={"sm": 60}), nano("b", "gemv", shares={"sm": 50}))
    timeline = judged(body, [10, 5])
    assert timeline.issue_clk.tolist() == [[2, 15]]
    assert timeline.waited_for(0, 1) == "share"
    assert timeline.share_wait_clk.tolist() == [[0, 13]]
    assert timeline.unit_wait_clk.tolist() == [[0, 0]]


def test_pools_admit_all_that_fit_together() -> None:
    body = program(
        nano("a", "copy", shares={"sm": 30}),
        nano("b", "gemm", shares={"sm": 30}),
        nano("c", "network"),
        nano("d", "gemv", shares={"sm": 40}),
    )
    assert judged(body, [50] * 4).issue_clk.tolist() == [[2, 2, 2, 2]]


def test_one_that_does_not_fit_delays_later_units_by_two_clocks_at_most() -> None:
    # gemv does not fit beside gemm in clock 2, nor alone in clock 3; then the units after it go on
    body = program(
        nano("a", "gemm", shares={"sm": 60}),
        nano("b", "gemv", shares={"sm": 50}),
        nano("c", "network", shares={"sm": 20}),
        nano("d", "copy", shares={"sm": 20}),
        nano("e", "gemm"),
    )
    assert judged(body, [50, 5, 5, 5, 5]).issue_clk[0].tolist() == [2, 55, 4, 4, 55]


def test_simultaneous_completions_are_applied_in_one_clock() -> None:
    body = program(
        nano("a", "gemm"),
        nano("b", "gemv"),
        nano("c", "network", after("B")),
        nano("d", "copy", after("A")),
        nano("e", "gemm", after("A"), after("B")),
    )
    assert judged(body, [10, 10, 1, 1, 1]).issue_clk.tolist() == [[2, 2, 15, 15, 15]]


def test_the_completion_after_an_awaited_start_happens_in_the_third_clock_at_the_earliest() -> None:
    body = program(
        nano("a", "gemm"),
        nano("b", "gemv", after("A")),
        nano("c", "network", after("A", event="start")),
        nano("d", "gemm", after("A")),
    )
    # a completes at 3, in the clock its start happens in, at 4, at 5, the third, or later
    for duration, happens in ((1, 5), (2, 5), (3, 5), (4, 6)):
        b = happens + WAKE_UP_CLK
        assert judged(body, [duration, 9, 9, 9]).issue_clk[0].tolist() == [2, b, 2 + START_WAKE_UP_CLK, b]
    # nobody awaits its start: 3 clocks
    body = program(nano("a", "gemm"), nano("b", "gemv", after("A")))
    assert judged(body, [1, 9]).issue_clk[0].tolist() == [2, 3 + WAKE_UP_CLK]


def test_starts_and_completions_of_one_clock_count_together() -> None:
    body = program(
        nano("a", "gemm"),
        nano("b", "gemv"),
        nano("d", "copy", after("A")),
        nano("e", "gemv"),
        nano("f", "network", after("E", event="start")),
    )
    # e is accepted at 12
    assert judged(body, [10, 7, 1, 9, 1]).issue_clk[0].tolist() == [2, 2, 15, 12, 16]
    assert judged(body, [11, 7, 1, 9, 1]).issue_clk[0].tolist() == [2, 2, 16, 12, 16]


def test_priority_then_iteration_then_index() -> None:
    body = program(
        nano("a", "gemm", priority=1),
        nano("b", "gemm", priority=0),
        nano("c", "gemm", priority=1),
        count=2,
    )
    timeline = judged(body, [5, 5, 5])
    order = sorted(np.ndindex(2, 3), key=lambda key: timeline.issue_clk[key])
    assert order == [(0, 1), (1, 1), (0, 0), (0, 2), (1, 0), (1, 2)]


def test_one_that_lacks_credits_is_not_overtaken_on_its_unit_but_elsewhere() -> None:
    body = program(
        nano("a", "gemm", shares={"sm": 60}),
        nano("b", "network", shares={"sm": 50}),
        nano("c", "network"),
        nano("d", "gemv", shares={"sm": 40}),
    )
    issue = judged(body, [100, 5, 5, 5]).issue_clk[0]
    assert issue[3] < issue[0] + 100 < issue[1] < issue[2]


def test_a_more_urgent_one_takes_the_place_of_one_that_lacks_credits() -> None:
    body = program(
        nano("a", "gemm", shares={"sm": 60}),
        nano("b", "network", shares={"sm": 50}, priority=1),
        nano("c", "copy"),
        nano("d", "network", after("C")),
    )
    issue = judged(body, [100, 5, 20, 5]).issue_clk[0]
    # its unit was passed over in that clock
    assert issue[3] == issue[2] + 20 + WAKE_UP_CLK < issue[1]


def test_elementwise_waits_for_its_chunks_and_all_for_every_one() -> None:
    parts = [nano("a0", "gemm", chunks=0b0011), nano("a1", "gemm", chunks=0b1100)]
    first = nano("b", "gemv", after("A"), chunks=0b0001)
    whole = nano("b", "gemv", after("A", scope="all"), chunks=0b0001)
    assert judged(program(*parts, first), [10, 10, 1]).issue_clk.tolist() == [[2, 15, 15]]
    assert judged(program(*parts, whole), [10, 10, 1]).issue_clk.tolist() == [[2, 15, 28]]


def test_offsets_point_to_the_neighbouring_iterations() -> None:
    back = program(nano("a", "gemm", after("B", -1)), nano("b", "gemv", after("A")), count=3)
    assert judged(back, [10, 10]).issue_clk.tolist() == [[2, 15], [28, 41], [54, 67]]
    ahead = program(nano("a", "gemm", after("B", +1)), nano("b", "gemv"), count=3)
    # a of iteration 1 awaits the b of iteration 2, which opens when iteration 0 is complete; that of the last
    # iteration awaits nothing but its turn
    assert judged(ahead, [10, 10]).issue_clk.tolist() == [[28, 2], [54, 15], [67, 41]]


def test_two_iterations_are_in_flight() -> None:
    body = program(nano("a", "gemm"), nano("b", "gemv"), count=4)
    timeline = judged(body, [10, 100])
    assert timeline.issue_clk[:, 0].tolist() == [2, 15, 105, 208]
    assert timeline.opened_clk[:, 0].tolist() == [1, 1, 104, 207]


def test_random_programs_are_legal(seed: int) -> None:
    configs = (
        SchedulerConfig(n_pools=2),
        SchedulerConfig(n_descriptors=64, n_operations=32, n_units=8, n_pools=4, n_chunks=64, share_bits=8),
        SchedulerConfig(n_descriptors=8, n_operations=1, n_units=1, n_pools=1, n_chunks=1, share_bits=1),
    )
    waits = 0
    for number in range(60):
        rng = random.Random(f"{seed} {number}")
        config = configs[number % 3]
        body = random_program(rng, config)
        durations = [rng.choice((1, 2, 3, rng.randint(1, 200))) for _ in body.nano_operations]
        timeline = simulate(body, config, durations_clk=durations)
        assert list(violations(body, *clocks(timeline), wake_up_clk=WAKE_UP_CLK)) == [], number
        for wait in (timeline.dependency_wait_clk, timeline.unit_wait_clk, timeline.share_wait_clk):
            assert (wait >= 0).all(), number
        assert (timeline.complete_clk - timeline.issue_clk == durations).all()
        # up to two clocks more if the last one completes soon after its awaited start
        assert timeline.makespan_clk - timeline.complete_clk.max() in (2, 3, 4), number
        waits += sum(len(one.predecessors) for one in body.nano_operations)
    assert waits > 300


def test_rates_of_one_change_nothing(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        body = random_program(rng, CONFIG)
        durations = [rng.randint(1, 1000) for _ in body.nano_operations]
        plain = simulate(body, CONFIG, durations_clk=durations)
        rated = simulate(body, CONFIG, durations_clk=durations, rates=lambda running: [1.0] * len(running))
        assert (rated.issue_clk == plain.issue_clk).all()
        assert (rated.complete_clk == plain.complete_clk).all()


def test_rates_slow_down_what_runs_side_by_side() -> None:
    body = program(nano("a", "gemm"), nano("b", "gemv"))
    timeline = judged(body, [100, 50], rates=lambda running: [0.5] * len(running) if len(running) > 1 else [1.0])
    # b ends after 100 clocks at half speed; a has done 50 of its 100 by then and needs 50 more
    assert timeline.complete_clk.tolist() == [[2 + 150, 2 + 100]]


def test_rates_are_asked_once_for_each_set() -> None:
    asked = []

    def rates(running: tuple[int, ...]) -> list[float]:
        asked.append(running)
        return [1.0] * len(running)

    simulate(program(nano("a", "gemm"), nano("b", "gemv"), count=9), CONFIG, durations_clk=[10, 7], rates=rates)
    assert sorted(set(asked)) == sorted(asked)
    assert set(asked) == {(0,), (1,), (0, 1)}


def test_durations_may_depend_on_the_iteration() -> None:
    timeline = judged(program(nano("a", "gemm"), count=3), lambda index, iteration: 10 * (iteration + 1))
    assert (timeline.complete_clk - timeline.issue_clk).ravel().tolist() == [10, 20, 30]


def test_durations_are_microseconds_at_a_clock() -> None:
    body = program(nano("a", "gemm", duration_us=2.5), nano("b", "gemm", duration_us=0.001))
    assert durations_in_clocks(body, 1e9) == (2500, 1)
    assert durations_in_clocks(body, 100e6) == (250, 1)
    assert simulate(body, CONFIG, clock_hz=100e6).complete_clk[0, 0] == 252


def test_steady_period_is_that_of_the_middle() -> None:
    body = program(nano("a", "gemm"), nano("b", "gemm"), count=20)
    assert judged(body, [100, 50]).steady_period_clk == 156
    assert judged(replace(body, count=1), [100, 50]).steady_period_clk == 2 + 100 + 3 + 50 + 2


def test_eighty_layers_are_stepped_by_event_and_not_by_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    from sim.engine.scheduler_state import SchedulerState

    steps = []
    step = SchedulerState.step

    def counted(state: SchedulerState, completions: int) -> int:
        steps.append(completions)
        return step(state, completions)

    monkeypatch.setattr(SchedulerState, "step", counted)
    body = program(nano("a", "gemm", after("B", -1)), nano("b", "gemv", after("A")), count=80)
    timeline = judged(body, [300_000, 200_000])
    assert timeline.makespan_clk > 80 * 500_000
    assert len(steps) < 8 * 160


def test_entries_tell_the_story_in_order_of_issue() -> None:
    body = program(nano("a", "gemm"), nano("b", "gemv", after("A")), count=2)
    entries = list(judged(body, [10, 5]).entries())
    assert [(entry["name"], entry["iteration"]) for entry in entries] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert entries[1] == {
        "name": "b",
        "operation": "B",
        "unit": "gemv",
        "iteration": 0,
        "ready_clk": 14,
        "issue_clk": 15,
        "complete_clk": 20,
        "dependency_wait_clk": 13,
        "unit_wait_clk": 0,
        "share_wait_clk": 0,
        "waited_for": "dependency",
    }


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"durations_clk": [1]}, "number of durations_clk must be an integer from 2 to 2, not 1"),
        (
            {"durations_clk": [5, 0]},
            f"duration_clk of nano-operation 1 must be an integer from 1 to {1 << 48}, not 0",
        ),
        (
            {"durations_clk": lambda index, iteration: 1.5},
            f"duration_clk of nano-operation 0 must be an integer from 1 to {1 << 48}, not 1.5",
        ),
        ({"clock_hz": 0}, "clock_hz must be a number above 0, not 0"),
        ({"rates": lambda running: [1.0] * 3}, "number of rates must be 2, not 3"),
        ({"rates": lambda running: [0.0] * len(running)}, "rate of nano-operation 0 must be a number above 0, not 0.0"),
    ],
)
def test_simulate_refuses(values: dict, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        simulate(program(nano("a", "gemm"), nano("b", "gemv")), CONFIG, **values)
    assert str(caught.value) == sentence


def test_simulate_refuses_programs_that_do_not_fit() -> None:
    with pytest.raises(InputError) as caught:
        simulate(program(nano("a", "gemm"), n_chunks=17), CONFIG)
    assert str(caught.value) == "chunks of program layer must be at most 16 for this scheduler, not 17"


JUDGED = program(
    nano("a0", "gemm", chunks=0b0011, shares={"sm": 60}),
    nano("a1", "gemm", chunks=0b1100),
    nano("b", "gemv", after("A"), chunks=0b0001, shares={"sm": 50}),
    nano("c", "network", after("B", -1, event="start"), chunks=0b0001),
    count=3,
)


def run_of_judged() -> tuple[dict, dict]:
    return clocks(judged(JUDGED, [10, 10, 10, 10]))


def test_the_judge_misses_nano_operations() -> None:
    issue, complete = run_of_judged()
    del issue[1, 2], complete[1, 2]
    issue[5, 0] = 1
    assert list(violations(JUDGED, issue, complete)) == [
        "b of iteration 1 was never issued",
        "(5, 0) was issued but is not in the program",
        "b of iteration 1 was never completed",
    ]


@pytest.mark.parametrize(
    ("key", "shift", "broken"),
    [
        ((0, 2), -1, "too early for the done of a0 of iteration 0"),
        ((1, 3), -20, "too early for the start of b of iteration 0"),
        ((2, 0), -30, "was issued while iteration 0 was in flight"),
        ((0, 1), -3, "a1 of iteration 0 was issued before a0 of iteration 0 on gemm was complete"),
    ],
)
def test_the_judge_sees_early_issues(key: tuple[int, int], shift: int, broken: str) -> None:
    issue, complete = run_of_judged()
    issue[key] += shift
    complete[key] += shift
    found = list(violations(JUDGED, issue, complete, wake_up_clk=WAKE_UP_CLK))
    assert any(broken in sentence for sentence in found), found


def test_the_judge_sees_oversubscription() -> None:
    body = program(nano("a", "gemm", shares={"sm": 60}), nano("b", "gemv", shares={"sm": 41}))
    apart = ({(0, 0): 2, (0, 1): 13}, {(0, 0): 12, (0, 1): 20})
    assert list(violations(body, *apart)) == []
    together = ({(0, 0): 2, (0, 1): 12}, {(0, 0): 12, (0, 1): 20})
    assert list(violations(body, *together)) == ["pool sm of 100 credits was oversubscribed at 12: 101"]
