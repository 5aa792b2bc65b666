"""The dependency matrix against the waits of random programs, and the clocks it takes."""

import random
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
    n: SchedulerConfig(n_descriptors=n, n_operations=5, n_units=3, n_pools=1, n_chunks=6, share_bits=4)
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


@pytest.mark.parametrize("n", CONFIGS)
def test_columns_and_totals_are_the_waits(n: int, simulate_block: Callable[..., None], seed: int) -> None:
    config = CONFIGS[n]
    dut = DependencyMatrix(config)
    layout = descriptor_layout(config)

    async def testbench(ctx: object) -> None:
        ends = 0
        for number in range(5):  # one after the other without reset
            packed = pack_program(random_program(random.Random(f"{seed} {number}"), config), config)
            places = [index for table, index, _ in packed.load_words() if table is LoadTable.DESCRIPTOR]
            ctx.set(dut.load_valid, 1)
            for index in places:
                ctx.set(dut.load_descriptor, layout.from_bits(packed.descriptors[index].pack(config)))
                assert not ctx.get(dut.building)
                await ctx.tick()
            ctx.set(dut.load_valid, 0)
            await ctx.tick().repeat(3)
            assert not ctx.get(dut.building)
            ctx.set(dut.load_last, 1)
            clocks, register, counted = 0, [0] * 3, [[0] * n for _ in OFFSETS]
            while ctx.get(dut.building):
                # the counters that are lent to it: a register for the column, one for the counts
                for kind in range(len(OFFSETS)):
                    counted[kind] = [count + (register[kind] >> at & 1) for at, count in enumerate(counted[kind])]
                shown = ctx.get(dut.columns[0])
                register = [shown[name] if ctx.get(dut.counts) else 0 for name in OFFSETS]
                await ctx.tick()
                ctx.set(dut.counted, dict(zip(OFFSETS, counted, strict=True)))
                clocks += 1
            assert clocks == build_clocks(packed)
            totals = ctx.get(dut.totals)
            for name, offset in OFFSETS.items():
                for place, waiter in enumerate(places):
                    others = [awaited for awaited in places if not (awaited == waiter and offset == -1)]
                    n_waits = sum(bool(waits(packed, waiter, awaited, offset)) for awaited in others)
                    assert totals[name][place] == n_waits, (number, name, place)
            used = (1 << len(places)) - 1
            for place, awaited in enumerate(places):
                for start in (False, True):
                    unit = (place + start) % config.n_units
                    ctx.set(dut.places[unit], place)
                    ctx.set(dut.starts, start << unit)
                    await ctx.tick()
                    for name in OFFSETS:
                        column = expected(packed, places, awaited, start, name)
                        assert ctx.get(dut.columns[unit])[name] & used == column, (number, name, place, start)
                        ends += bool(column)
            # the words after the first find it built
            assert not ctx.get(dut.building)
            ctx.set(dut.load_last, 0)
        assert ends > n

    simulate_block(dut, testbench, limit=20_000)
