"""What was dropped and what hangs on it: the same answers in the same clocks as the model, on random programs."""

import random
from collections.abc import Callable

from arch.descriptor import Descriptor, PackedProgram, PredecessorField, pack_program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.drop_tracker import DropTracker
from sim.engine.scheduler_guard import DropModel
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=4, n_units=3, n_chunks=6, supervised=True)
N_PROGRAMS, N_CLOCKS = 12, 250


async def _begin(ctx: object, dut: DropTracker, packed: PackedProgram) -> None:
    """Load a program and begin it."""
    ctx.set(dut.load_valid, 1)
    for table, address, word in packed.load_words():
        ctx.set(dut.load, {"table": int(table), "address": address, "data": word})
        await ctx.tick()
    ctx.set(dut.load_valid, 0)
    ctx.set(dut.begin, 1)
    await ctx.tick()
    ctx.set(dut.begin, 0)


def test_answers_and_clocks_are_the_models(simulate_block: Callable[..., None], seed: int) -> None:
    dut = DropTracker(CONFIG)
    rng = random.Random(seed)
    hits, misses = 0, 0

    async def testbench(ctx: object) -> None:
        nonlocal hits, misses
        model = DropModel(CONFIG.n_operations)
        for _ in range(N_PROGRAMS):
            program = random_program(rng, CONFIG)
            packed = pack_program(program, CONFIG)
            await _begin(ctx, dut, packed)
            model.begin(packed)
            asks: dict[int, tuple[bool, tuple[int, int]]] = {}
            asked_at = rng.randrange(40)
            for clock in range(N_CLOCKS):
                assert ctx.get(dut.dropping) == model.dropping
                assert ctx.get(dut.dropped) == len(model.dropped)
                for unit in range(CONFIG.n_units):
                    if clock >= asked_at and unit not in asks and rng.random() < 0.2:
                        at = (rng.randrange(len(packed.descriptors)), rng.randrange(5))
                        asks[unit] = (not model.dropping or rng.random() < 0.1, at)
                for unit in range(CONFIG.n_units):
                    marks, (index, iteration) = asks.get(unit, (False, (0, 0)))
                    ctx.set(dut.asks[unit], unit in asks)
                    ctx.set(dut.marks[unit], marks)
                    ctx.set(dut.at[unit], {"index": index, "iteration": iteration})
                answer = model.step(clock, asks)
                expected = 0 if answer is None else 1 << answer[0]
                assert ctx.get(dut.answer) == expected, f"clock {clock} of seed {seed}"
                if answer is not None:
                    assert ctx.get(dut.hit) == answer[1], f"clock {clock} of seed {seed}"
                    if not asks.pop(answer[0])[0]:
                        hits, misses = hits + answer[1], misses + (not answer[1])
                await ctx.tick()
            # the next program begins while nothing is asked
            for unit in range(CONFIG.n_units):
                ctx.set(dut.asks[unit], 0)
            while model.serving is not None:
                model.step(clock := clock + 1, {})
                await ctx.tick()

    simulate_block(dut, testbench, limit=N_PROGRAMS * (N_CLOCKS + 60))
    assert hits > 20
    assert misses > 20


def test_what_is_dropped_of_an_operation_adds_up(simulate_block: Callable[..., None]) -> None:
    wait = PredecessorField(operation=0, layer_offset=0, start=False, all=False)
    packed = PackedProgram(
        config=CONFIG,
        descriptors=(
            Descriptor(chunks=1, operation=0, unit=0),
            Descriptor(chunks=2, operation=0, unit=0),
            Descriptor(chunks=1, operation=1, unit=0, predecessors=(wait,)),
        ),
        operation_chunks=(3, 1),
        count=2,
        capacities=(0,),
    )
    dut = DropTracker(CONFIG)

    async def testbench(ctx: object) -> None:
        await _begin(ctx, dut, packed)
        for index, iteration, marks, hit in ((0, 1, 1, 1), (1, 1, 1, 1), (2, 1, 0, 1), (2, 0, 0, 0)):
            ctx.set(dut.asks[0], 1)
            ctx.set(dut.marks[0], marks)
            ctx.set(dut.at[0], {"index": index, "iteration": iteration})
            while not ctx.get(dut.answer):
                await ctx.tick()
            assert ctx.get(dut.hit) == hit, (index, iteration)
            await ctx.tick()
            ctx.set(dut.asks[0], 0)
            await ctx.tick()
        assert ctx.get(dut.dropped) == 3

    simulate_block(dut, testbench)
