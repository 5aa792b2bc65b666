"""The dependency matrix against the waits of random programs, and the clocks it takes."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from arch.descriptor import LoadTable, PackedProgram, pack_program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.dependency_matrix import DependencyMatrix
from rtl.scheduler.signature import descriptor_layout
from sim.engine.program_buffer import build_clocks
from sim.engine.scheduler_programs import random_program

OFFSETS = {"same": 0, "before": -1, "after": 1}
CONFIGS = {
    n: SchedulerConfig(n_descriptors=n, n_operations=max(5, n // 2), n_units=3, n_pools=1, n_chunks=6, share_bits=4)
    for n in (8, 16, 32)
}


def waits(packed: PackedProgram, waiter: int, awaited: int, offset: int) -> set[bool]:
    """Whether it waits for the start (True), the end (False), or both."""
    mine, other = packed.descriptors[waiter], packed.descriptors[awaited]
    return {
        wait.start
        for wait in mine.predecessors
        if wait.operation == other.operation
        and wait.layer_offset == offset
        and (wait.all or mine.chunks & other.chunks)
    }


def expected(packed: PackedProgram, places: list[int], awaited: int, start: bool, name: str) -> int:
    """The column of a descriptor, by place: the end says more than the start, and nobody waits for itself."""
    offset, column = OFFSETS[name], 0
    for place, waiter in enumerate(places):
        found = waits(packed, waiter, awaited, offset)
        if found and start == (False not in found) and not (waiter == awaited and offset == -1):
            column |= 1 << place
    return column


class Counters:
    """Unit 0 and the counters of those who wait, while they are lent to the matrix.

    The unit shows whose column it is told to; that is kept where it is to be counted, and counted in the next clock.
    """

    def __init__(self, ctx: object, dut: DependencyMatrix) -> None:
        self._ctx, self._dut = ctx, dut
        n = dut.config.n_descriptors
        self._counts = {name: [0] * n for name in OFFSETS}
        self._kept: dict[str, int] | None = None

    def stand(self, rng: random.Random) -> None:
        """Where the units stand in this clock: the others anywhere."""
        ctx, dut = self._ctx, self._dut
        for unit in range(1, dut.config.n_units):
            ctx.set(dut.places[unit], rng.randrange(dut.config.n_descriptors))
        second = rng.randrange(1 << dut.config.n_units)
        lent = ctx.get(dut.lent)
        ctx.set(dut.places[0], ctx.get(dut.lent_place) if lent else rng.randrange(dut.config.n_descriptors))
        ctx.set(dut.second, second & ~1 | (ctx.get(dut.lent_second) if lent else second & 1))

    def count(self) -> None:
        """What the counters have in the next clock; they are at zero where they are not lent."""
        ctx, dut = self._ctx, self._dut
        kept, shown = self._kept, ctx.get(dut.columns[0])
        self._kept = {name: shown[name] for name in OFFSETS} if ctx.get(dut.counts) else None
        for name, counts in self._counts.items():
            for at, count in enumerate(counts):
                counts[at] = ctx.get(dut.lent) * (count + (kept is not None and kept[name] >> at & 1))

    def show(self) -> None:
        self._ctx.set(self._dut.counted, self._counts)


@pytest.mark.parametrize("n", CONFIGS)
def test_columns_and_totals_are_the_waits(n: int, simulate_block: Callable[..., None], seed: int) -> None:
    config = CONFIGS[n]
    dut = DependencyMatrix(config)
    layout = descriptor_layout(config)
    rng = random.Random(f"{seed} {n}")
    seen: Counter[str] = Counter()

    def draw() -> PackedProgram:
        return pack_program(random_program(rng, config), config)

    async def load(ctx: object, packed: PackedProgram, places: list[int]) -> None:
        for index in places:
            ctx.set(dut.load_valid, 1)
            ctx.set(dut.load_descriptor, layout.from_bits(packed.descriptors[index].pack(config)))
            assert not ctx.get(dut.building)
            await ctx.tick()
            # the host takes its time
            ctx.set(dut.load_valid, 0)
            ctx.set(dut.load_descriptor, layout.from_bits(rng.getrandbits(layout.size)))
            if rng.random() < 0.3:
                await ctx.tick().repeat(rng.choice((1, 3)))
        assert not ctx.get(dut.building)

    async def build(ctx: object, packed: PackedProgram) -> None:
        counters = Counters(ctx, dut)
        holds, clocks = rng.random() < 0.5, 0
        ctx.set(dut.load_last, 1)
        while ctx.get(dut.building):
            # in the last clock they go back to 0
            assert ctx.get(dut.lent) == (0 < clocks < build_clocks(packed) - 1)
            counters.stand(rng)
            counters.count()
            await ctx.tick()
            counters.show()
            ctx.set(dut.load_last, holds)
            clocks += 1
        assert clocks == build_clocks(packed)
        assert not ctx.get(dut.lent) and not ctx.get(dut.counts)
        # those who run count for themselves
        ctx.set(dut.counted, {name: [rng.randrange(n) for _ in range(n)] for name in OFFSETS})

    def check_totals(ctx: object, packed: PackedProgram, places: list[int]) -> None:
        totals = ctx.get(dut.totals)
        for name, offset in OFFSETS.items():
            for place, waiter in enumerate(places):
                others = [awaited for awaited in places if not (awaited == waiter and offset == -1)]
                n_waits = sum(bool(waits(packed, waiter, awaited, offset)) for awaited in others)
                assert totals[name][place] == n_waits, (name, place)

    async def check_columns(ctx: object, packed: PackedProgram, places: list[int]) -> None:
        used = (1 << len(places)) - 1
        asked = [(place, second) for place in range(len(places)) for second in range(2)] * 2
        rng.shuffle(asked)
        # all units ask in every clock
        for first in range(0, len(asked), config.n_units):
            now = (asked + asked)[first : first + config.n_units]
            for unit, (place, _) in enumerate(now):
                ctx.set(dut.places[unit], place)
            ctx.set(dut.second, sum(second << unit for unit, (_, second) in enumerate(now)))
            await ctx.tick()
            for unit, (place, second) in enumerate(now):
                awaited = places[place]
                start = packed.descriptors[awaited].announce_start != bool(second)
                for name in OFFSETS:
                    column = expected(packed, places, awaited, start, name)
                    assert ctx.get(dut.columns[unit])[name] & used == column, (name, place, second)
                    seen[f"{name} {'start' if start else 'end'}"] += bool(column)

    async def testbench(ctx: object) -> None:
        for size in (n, 1, n, *[None] * 10):  # one after the other without reset
            packed = draw()
            while size is not None and len(packed.descriptors) != size:
                packed = draw()
            places = [index for table, index, _ in packed.load_words() if table is LoadTable.DESCRIPTOR]
            await load(ctx, packed, places)
            await build(ctx, packed)
            check_totals(ctx, packed, places)
            # the words after the first, and another start, find it built
            for last in (1, 0, 1, 0):
                ctx.set(dut.load_last, last)
                assert not ctx.get(dut.building)
                await ctx.tick()
            await check_columns(ctx, packed, places)
            check_totals(ctx, packed, places)

    simulate_block(dut, testbench, limit=20_000)
    assert len(seen) == 6 and (n < 32 or min(seen.values()) > 0), seen
