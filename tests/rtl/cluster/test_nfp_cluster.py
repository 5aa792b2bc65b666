"""The cluster around processors of chosen pace: order, shares, failure, loading, counters."""

import random
from dataclasses import dataclass, field

import pytest
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from rtl.cluster.nfp_cluster import NfpCluster

NFP = NfpConfig(
    encoding=EncodingEngineConfig(n_levels=4, table_rows=64),
    mlp=MlpEngineConfig(rows=4, cols=4, nano_batch=6, max_width=8),
    max_outputs=1,
)
STALLS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4))
HEALTHY = ((3, None), (5, None), (4, None))


@dataclass
class Run:
    """What a run showed: (clock, value, last, error) of each result, transfers per lane, counters at the end."""

    results: list[tuple[int, int, int, int]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    first: int = 0
    source_waits: int = 0
    sink_waits: int = 0


def _run(
    make_nfp, n_nfps: int, lasts: list[int], seed: int, *, idle=0.0, backpressure=0.0, watchdog=0, offset=0, beat=1
) -> Run:
    """Load ``offset``, send points 0, 1, ... with ``lasts`` marking the ends of runs, and take every result.

    Points go ``beat`` a transfer, fewer in the last one of a run.
    """
    config = ClusterConfig(nfp=NFP, n_nfps=n_nfps, points_per_clock=beat)
    dut, rng, seen, points = NfpCluster(config, make_nfp), random.Random(f"{seed} {idle}"), Run(), len(lasts)

    async def load(ctx):
        ctx.set(dut.load.payload.data, offset)
        ctx.set(dut.load.valid, 1)
        for _ in range(50):
            taken = ctx.get(dut.load.ready)
            await ctx.tick()
            if taken:
                ctx.set(dut.load.valid, 0)
                return
        raise AssertionError("the load word was not taken")

    async def bench(ctx):
        ctx.set(dut.watchdog, watchdog)
        await load(ctx)
        sent, offering, held, in_run, size = 0, False, None, False, 1
        for clock in range(40 * points + 40 * watchdog + 500):
            offering = offering or (sent < points and rng.random() >= idle)
            wanting = rng.random() >= backpressure
            ctx.set(dut.points.valid, offering)
            if offering:
                size = next(n for n in range(1, beat + 1) if n == beat or lasts[sent + n - 1])
                ctx.set(dut.points.payload, _beat(range(sent, sent + size), lasts[sent + size - 1], beat))
            ctx.set(dut.results.ready, wanting)
            offer = _results(ctx.get(dut.results.payload), beat) if ctx.get(dut.results.valid) else None
            # an error may not turn into a result, nor a result change
            assert held in (None, offer), f"an offer changed at clock {clock}"
            held = None if wanting else offer
            if offer is not None:
                if wanting:
                    seen.results += [(clock, *result) for result in offer]
                else:
                    seen.sink_waits += 1
            if ctx.get(dut.points.ready):
                if offering:
                    seen.first = seen.first if sent else clock
                    in_run = not lasts[sent + size - 1]
                    sent, offering = sent + size, False
                elif in_run:
                    seen.source_waits += 1
            opened = ctx.get(dut.opened)
            seen.batches += [lane for lane in range(n_nfps) if opened >> lane & 1]
            await ctx.tick()
            if len(seen.results) == points:
                break
        await ctx.tick()  # the last event is counted
        seen.counters = {name: ctx.get(dut.counters[name]) for name, _ in dut.counters.shape()}
        seen.failed = ctx.get(dut.failed)
        assert len(seen.results) == points, f"{len(seen.results)} of {points} results came"
        assert ctx.get(dut.busy) == 0

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def _beat(points: range, last: int, beat: int) -> dict:
    """A transfer of points; where it could hold more there is something else."""
    position = [[number, 0, 0] for number in points] + [[0x55, 0, 0]] * (beat - len(points))
    several = {} if beat == 1 else {"n": len(points) - 1}
    return {"position": [coordinate for point in position for coordinate in point], "last": last, **several}


def _results(payload, beat: int) -> list[tuple[int, int, int]]:
    """(value, last, error) of each result of a transfer; ``last`` is the last one's."""
    n = 0 if beat == 1 else payload["n"]
    lasts = [0] * n + [payload["last"]]
    assert not payload["error"] >> (n + 1)
    return [(payload["values"][k], lasts[k], payload["error"] >> k & 1) for k in range(n + 1)]


def _expected(points: int, offset: int) -> list[int]:
    """Low bytes, signed."""
    return [(number + offset + 128) % 256 - 128 for number in range(points)]


def _lasts(seed: int, points: int) -> list[int]:
    rng = random.Random(seed)
    return [int(rng.random() < 0.1 or number == points - 1) for number in range(points)]


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("beat", [1, 2])
def test_results_come_in_order_whatever_the_paces(paced, beat: int, stalls: tuple, seed: int) -> None:
    lasts = _lasts(seed, 200)
    run = _run(paced(*HEALTHY), 3, lasts, seed, idle=stalls[0], backpressure=stalls[1], offset=7, beat=beat)
    assert [value for _, value, _, _ in run.results] == _expected(200, 7)
    assert [last for _, _, last, _ in run.results] == lasts
    assert not any(error for *_, error in run.results) and run.failed == 0
    expected = {
        "points": 200,
        "results": 200,
        "busy": run.results[-1][0] - run.first + 1,
        "encoding_limits": 0,
        "mlp_limits": 3 + 5 + 4,
        "source_waits": run.source_waits,
        "sink_waits": run.sink_waits,
    }
    assert run.counters == expected


def test_nano_batches_go_round_and_end_with_last(paced, seed: int) -> None:
    lasts = [0] * 20
    for place in (2, 3, 19):  # nano-batches of 3, 1, 6, 6 and 4 points
        lasts[place] = 1
    run = _run(paced((1, None), (1, None), (1, None)), 3, lasts, seed)
    assert run.batches == [0, 1, 2, 0, 1]


def test_a_slow_processor_gets_fewer_nano_batches(paced, seed: int) -> None:
    points = 6 * 120
    run = _run(paced((4, None), (8, None), (4, None)), 3, [0] * (points - 1) + [1], seed)
    shares = [run.batches.count(lane) for lane in range(3)]
    assert shares[1] < 0.6 * min(shares[0], shares[2])
    # up to reorder_batches / queued_batches times slower, it costs its own share, and the end waits for its queue
    assert points / run.results[-1][0] > 0.9 * (1 / 4 + 1 / 8 + 1 / 4)


def test_several_points_a_clock_keep_fast_processors_busy(paced, seed: int) -> None:
    """Three processors that take a point every second clock take three in two clocks together."""
    points = 6 * 60
    lasts = [0] * (points - 1) + [1]
    run = _run(paced((2, None), (2, None), (2, None)), 3, lasts, seed, beat=2)
    assert [value for _, value, _, _ in run.results] == _expected(points, 0)
    assert points / (run.results[-1][0] - run.first + 1) > 0.9 * 3 / 2
    assert [run.batches.count(lane) for lane in range(3)] == [20, 20, 20]


# with two points a clock the third result of processor 1 waits for a fourth that never comes
_STOPS = {
    (0, 1): (0, 3), (3, 1): (0, 3), (20, 1): (1, 2), (0, 2): (0, 3), (3, 2): (0, 1, 2, 3), (20, 2): (0,), (21, 2): (3,),
}  # fmt: skip
"""Pauses by how many results processor 1 gives and points a clock."""


@pytest.mark.parametrize(
    ("stops_after", "beat", "stalls"),
    [(*stop, STALLS[number]) for stop, numbers in _STOPS.items() for number in numbers],
)
def test_one_that_stops_does_not_stop_the_others(paced, stops_after: int, beat: int, stalls: tuple, seed: int) -> None:
    points = 6 * 40
    run = _run(
        paced((2, None), (2, stops_after), (2, None)), 3, [0] * (points - 1) + [1], seed,
        idle=stalls[0], backpressure=stalls[1], watchdog=60, beat=beat,
    )  # fmt: skip
    assert run.failed == 0b010
    expected = _expected(points, 0)
    wrong = []
    for number, (_, value, last, error) in enumerate(run.results):
        assert last == int(number == points - 1)
        assert value == (0 if error else expected[number])
        if error:
            wrong.append(number)
    lost = {number for batch, lane in enumerate(run.batches) if lane == 1 for number in range(6 * batch, 6 * batch + 6)}
    # all it gave before it stopped is there, and nothing of the others is lost
    assert wrong == sorted(lost)[stops_after:]
    assert 0 < len(wrong) <= 6 * 4


def test_results_that_wait_for_older_ones_outlive_their_processor(paced, seed: int) -> None:
    """Processor 1 stops long before processor 0's first nano-batch lets its results leave."""
    run = _run(paced((30, None), (1, 8)), 2, [0] * 35 + [1], seed, watchdog=50)
    assert run.failed == 0b10 and run.batches[:4] == [0, 1, 0, 1]
    right = [not error for *_, error in run.results]
    assert all(right[:6]) and all(right[6:12]) and all(right[12:18])
    assert right[18:24] == [True, True, False, False, False, False]
    assert all(value == number for number, (_, value, _, error) in enumerate(run.results) if not error)


@pytest.mark.parametrize("beat", [1, 2])
def test_when_all_have_stopped_every_point_leaves_as_an_error(paced, beat: int, seed: int) -> None:
    points = 6 * 40
    run = _run(paced((1, 9), (1, 6)), 2, _lasts(seed, points), seed, backpressure=0.2, watchdog=30, beat=beat)
    assert run.failed == 0b11
    assert [last for _, _, last, _ in run.results] == _lasts(seed, points)
    right = [(number, value) for number, (_, value, _, error) in enumerate(run.results) if not error]
    assert len(right) == 9 + 6
    assert all(value == _expected(points, 0)[number] for number, value in right)


def test_without_a_watchdog_nothing_fails(paced, seed: int) -> None:
    run = _run(paced((90, None), (1, None)), 2, [0] * 29 + [1], seed)
    assert run.failed == 0 and not any(error for *_, error in run.results)


def test_a_pause_of_the_source_is_no_failure(paced, seed: int) -> None:
    run = _run(paced((1, None), (1, None)), 2, _lasts(seed, 100), seed, idle=0.97, watchdog=20)
    assert run.failed == 0 and not any(error for *_, error in run.results)
