"""A frame program on a cluster beside outside units: order, and the clocks of the scheduler's cycle model."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.load import LoadImage, LoadTarget
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from arch.program import Program
from arch.program_image import program_image
from arch.scheduler import SchedulerConfig
from arch.workload import load_program
from rtl.cluster.scheduled_cluster import ScheduledCluster
from sim.engine.scheduler import simulate

NFP = NfpConfig(
    encoding=EncodingEngineConfig(n_levels=4, table_rows=64),
    mlp=MlpEngineConfig(rows=4, cols=4, nano_batch=6, max_width=8),
    max_outputs=1,
)
CLUSTER = ClusterConfig(
    nfp=NFP, n_nfps=2, scheduler=SchedulerConfig(n_descriptors=16, n_operations=4, n_units=2, n_pools=1, n_chunks=16)
)
PROGRAM = replace(load_program("nerf_frame_ngpc8"), count=3)
SM, CLUSTER_UNIT = 0, 1


@dataclass
class Trace:
    """Clocks from ``start``: (index, iteration) to issue and completion; runs' results; the clock of the end."""

    issued: dict[tuple[int, int], int] = field(default_factory=dict)
    points: int = 0
    completed: dict[tuple[int, int], int] = field(default_factory=dict)
    results: list[int] = field(default_factory=list)
    cycles: int = 0


def _unit(program: Program, index: int) -> int:
    return program.units.index(program.nano_operations[index].unit)


async def _send(ctx, dut, image: LoadImage) -> None:
    for target, address, data in zip(image.target, image.address, image.data, strict=True):
        ctx.set(dut.load.payload, {"target": int(target), "address": int(address), "data": int(data)})
        ctx.set(dut.load.valid, 1)
        for _ in range(60):
            taken = ctx.get(dut.load.ready)
            await ctx.tick()
            if taken:
                break
        else:
            raise AssertionError("a load word was not taken")
    ctx.set(dut.load.valid, 0)


def _points(rng: random.Random) -> Iterator[tuple[int, int]]:
    """(number, last): runs of 1 to 20 points, for ever."""
    number = 0
    while True:
        size = rng.randrange(1, 21)
        for place in range(size):
            yield number % 100, int(place == size - 1)
            number += 1


def _run(make_nfp, seed: int, *, limit: int = 6000) -> tuple[Trace, object]:
    dut, rng, trace = ScheduledCluster(CLUSTER, make_nfp), random.Random(seed), Trace()

    async def bench(ctx):
        ctx.set(dut.scheduled, 1)
        ctx.set(dut.results.ready, 1)
        await _send(ctx, dut, LoadImage.of(LoadTarget.MLP_CONTROL, 0, 0) + program_image(PROGRAM, CLUSTER.scheduler))
        points = _points(random.Random(seed))
        number, last = next(points)
        iteration, busy, was_active = dict.fromkeys(range(16), 0), None, 0
        for clock in range(limit):
            ctx.set(dut.start, int(clock == 0))
            ctx.set(dut.points.payload, {"position": [number, 0, 0], "last": last})
            ctx.set(dut.points.valid, 1)
            ctx.set(dut.issue[0].ready, 1)
            ctx.set(dut.complete[0].valid, int(busy is not None and busy[1] == clock))
            if busy is not None and busy[1] == clock:
                ctx.set(dut.complete[0].index, busy[0][0])
                trace.completed[busy[0]] = clock
                busy = None
            active, index = ctx.get(dut.run_active), ctx.get(dut.run_index)
            if active and not was_active:
                trace.issued[index, iteration[index]] = clock - 1
            if was_active and not active:
                trace.completed[index, iteration[index]] = clock - 1
                assert len(trace.results) == trace.points > 0, "complete before its last result"
                iteration[index] += 1
            was_active = active
            if ctx.get(dut.issue[0].valid):
                issue = ctx.get(dut.issue[0].payload)
                assert busy is None, "issued to a unit that works"
                key = (issue.index, issue.iteration)
                trace.issued[key] = clock
                busy = (key, clock + rng.randrange(1, 120))
            if ctx.get(dut.points.ready):
                assert active, "a point passed without a nano-operation"
                trace.points += 1
                number, last = next(points)
            if ctx.get(dut.results.valid):
                trace.results.append(ctx.get(dut.results.payload.values[0]))
            if ctx.get(dut.done):
                trace.cycles = clock
                assert ctx.get(dut.protocol_error) == 0
                return
            await ctx.tick()
        raise AssertionError(f"{len(trace.completed)} nano-operations were complete after {limit} clocks")

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return trace, dut


def test_a_frame_program_runs_in_the_models_clocks(paced, seed: int) -> None:
    trace, _ = _run(paced((2, None), (3, None)), seed)
    wanted = {(index, number) for index in range(len(PROGRAM.nano_operations)) for number in range(PROGRAM.count)}
    assert trace.issued.keys() == trace.completed.keys() == wanted
    durations = {key: trace.completed[key] - trace.issued[key] for key in wanted}
    model = simulate(PROGRAM, CLUSTER.scheduler, durations_clk=lambda index, number: durations[index, number])
    assert {(index, number): model.issue_clk[number, index] for index, number in wanted} == trace.issued
    assert model.cycles_model == trace.cycles
    # unit 1 is the cluster: a run of points each
    runs = [key for key in wanted if _unit(PROGRAM, key[0]) == CLUSTER_UNIT]
    assert len(runs) == 4 * PROGRAM.count
    points = _points(random.Random(seed))
    expected = []
    for _ in runs:
        last = 0
        while not last:
            number, last = next(points)
            expected.append(number)
    assert trace.results == expected


def test_points_pass_freely_while_nothing_is_scheduled(paced) -> None:
    dut = ScheduledCluster(CLUSTER, paced((1, None), (1, None)))

    async def bench(ctx):
        ctx.set(dut.results.ready, 1)
        taken = []
        for clock in range(200):
            ctx.set(dut.points.valid, int(clock < 12))
            ctx.set(dut.points.payload, {"position": [clock, 0, 0], "last": int(clock == 11)})
            assert ctx.get(dut.points.ready) or clock >= 12
            if ctx.get(dut.results.valid):
                taken.append(ctx.get(dut.results.payload.values[0]))
            await ctx.tick()
        assert taken == list(range(12))
        assert ctx.get(dut.run_active) == 0

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scheduler": 3}, "scheduler must be a SchedulerConfig, not 3"),
        ({"scheduler_unit": 2}, "scheduler_unit must be an integer from 0 to 1, not 2"),
    ],
)
def test_a_unit_that_is_not_there_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(CLUSTER, **change)
    assert str(caught.value) == sentence
