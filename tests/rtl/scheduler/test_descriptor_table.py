"""Readiness and choice against the rules, evaluated from the bitmaps themselves."""

import random
from collections.abc import Callable, Iterator

import pytest

from arch.descriptor import Descriptor, PackedProgram, pack_program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.descriptor_table import DescriptorTable
from rtl.scheduler.signature import descriptor_layout
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=16, n_operations=5, n_units=3, n_pools=2, n_chunks=6, share_bits=4)


class Expected:
    """What the table should know: bitmaps by (operation, start, iteration), and what was granted."""

    def __init__(self, packed: PackedProgram) -> None:
        self.packed = packed
        self.base = 0
        self.rows: dict[tuple[int, int, int], int] = {}
        self.granted: set[tuple[int, int]] = set()

    def met(self, descriptor: Descriptor, iteration: int) -> bool:
        for wait in descriptor.predecessors:
            other = iteration + wait.layer_offset
            needed = self.packed.operation_chunks[wait.operation] if wait.all else descriptor.chunks
            inside = self.base <= other < self.packed.count
            if inside and needed & ~self.rows.get((wait.operation, int(wait.start), other), 0):
                return False
        return True

    def candidates(self, unit: int) -> Iterator[tuple[int, int, int]]:
        for index, descriptor in enumerate(self.packed.descriptors):
            for iteration in range(self.base, min(self.base + 2, self.packed.count)):
                if (iteration, index) not in self.granted:
                    if descriptor.unit == unit and self.met(descriptor, iteration):
                        yield descriptor.priority, iteration, index
                    break  # a descriptor's iterations go in order


@pytest.mark.parametrize("number", range(6))
def test_choice_follows_the_rules(number: int, simulate_block: Callable[..., None], seed: int) -> None:
    rng = random.Random(f"{seed} {number}")
    packed = pack_program(random_program(rng, CONFIG), CONFIG)
    layout = descriptor_layout(CONFIG)
    dut = DescriptorTable(CONFIG)
    chosen = []

    async def start(ctx: object) -> None:
        ctx.set(dut.load_valid, 1)
        for index, descriptor in enumerate(packed.descriptors):
            ctx.set(dut.load_index, index)
            ctx.set(dut.load_descriptor, layout.from_bits(descriptor.pack(CONFIG)))
            await ctx.tick()
        ctx.set(dut.load_valid, 0)
        ctx.set(dut.clear, 1)
        ctx.set(dut.last, len(packed.descriptors) - 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)

    async def testbench(ctx: object) -> None:
        await start(ctx)
        expected = Expected(packed)
        while expected.base < packed.count:
            base, last = expected.base, packed.count - 1
            ctx.set(
                dut.window,
                {
                    "running": 1,
                    "old": base % 2,
                    "old_is_last": base == last,
                    "new_is_last": base + 1 == last,
                },
            )
            granted, taken = 0, []
            for unit in range(CONFIG.n_units):
                choices = list(expected.candidates(unit))
                assert ctx.get(dut.choice_valid[unit]) == bool(choices)
                if not choices:
                    continue
                _, iteration, index = min(choices)
                assert ctx.get(dut.choice[unit]) == {"index": index, "parity": iteration % 2}
                chosen.append((iteration, index))
                if rng.random() < 0.3:
                    granted |= 1 << unit
                    taken.append((iteration, index))
                    ctx.set(dut.picks[unit], {"index": index, "parity": iteration % 2})
                    footprint = ctx.get(dut.footprint[unit])
                    descriptor = packed.descriptors[index]
                    assert (footprint.chunks, footprint.operation) == (descriptor.chunks, descriptor.operation)
                    assert tuple(footprint.shares) == descriptor.shares
                    assert footprint.announce_start == descriptor.announce_start
            ctx.set(dut.granted, granted)
            everything = {(base, index) for index in range(len(packed.descriptors))}
            retire = everything <= expected.granted and rng.random() < 0.1
            expected.granted |= set(taken)

            operation = rng.randrange(len(packed.operation_chunks))
            # the older iteration retires by an event of its own
            key = (operation, rng.randrange(2), base if retire else rng.choice((base, base + 1)))
            row = expected.rows.get(key, 0) | packed.operation_chunks[operation] & rng.randrange(64)
            valid = rng.random() < 0.5
            ctx.set(dut.event_valid, valid)
            ctx.set(dut.event_operation, operation)
            ctx.set(dut.event_start, key[1])
            ctx.set(dut.event_parity, key[2] % 2)
            ctx.set(dut.event_row, row)
            ctx.set(dut.event_full, row == packed.operation_chunks[operation])
            if valid:
                expected.rows[key] = row

            ctx.set(dut.retire, retire)
            expected.base += retire
            await ctx.tick()
        ctx.set(dut.window, {"running": 0, "old": 0, "old_is_last": 0, "new_is_last": 0})
        assert ctx.get(dut.choice_valid) == 0

    simulate_block(dut, testbench, limit=8000)
    assert {key for key in chosen} == {
        (iteration, index) for iteration in range(packed.count) for index in range(len(packed.descriptors))
    }
