"""Readiness and choice against the rules, evaluated from the bitmaps themselves."""

import random
from collections.abc import Callable, Iterator

import pytest

from arch.descriptor import Descriptor, LoadTable, PackedProgram, pack_program
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
        """(priority, iteration, index) of what the unit could execute."""
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
    last = packed.count - 1
    places = [index for table, index, _ in packed.load_words() if table is LoadTable.DESCRIPTOR]
    chosen = []

    def show_window(ctx: object, base: int) -> None:
        ctx.set(
            dut.window,
            {
                "running": base <= last,
                "old": base % 2,
                "old_is_last": base == last,
                "new_is_last": base + 1 == last,
                "next_is_last": base + 2 == last,
                "has_next": base + 2 <= last,
            },
        )
        ctx.set(dut.clear, base > last)

    async def start(ctx: object) -> None:
        ctx.set(dut.load_valid, 1)
        for index in places:
            ctx.set(dut.load_index, index)
            ctx.set(dut.load_descriptor, layout.from_bits(packed.descriptors[index].pack(CONFIG)))
            await ctx.tick()
        ctx.set(dut.load_valid, 0)
        ctx.set(dut.load_last, 1)
        await ctx.tick()
        ctx.set(dut.load_last, 0)
        show_window(ctx, 0)
        ctx.set(dut.start, 1)
        ctx.set(dut.last, len(packed.descriptors) - 1)
        await ctx.tick()
        ctx.set(dut.start, 0)

    async def testbench(ctx: object) -> None:
        await start(ctx)
        expected = Expected(packed)
        # by unit: what it was chosen in the clock before, and clocks until it chooses again
        asked: dict[int, tuple[int, int]] = {}
        busy = dict.fromkeys(range(CONFIG.n_units), 0)
        while expected.base < packed.count:
            base = expected.base
            show_window(ctx, base)
            granted = 0
            for unit in range(CONFIG.n_units):
                choices = list(expected.candidates(unit))
                if unit in asked and rng.random() < 0.4:
                    iteration, index = asked[unit]
                    granted |= 1 << unit
                    busy[unit] = 3
                    expected.granted.add((iteration, index))
                    chosen.append((iteration, index))
                    ctx.set(dut.picks[unit], places.index(index))
                    assert ctx.get(dut.parity[unit]) == iteration % 2
                    footprint = ctx.get(dut.footprint[unit])
                    descriptor = packed.descriptors[index]
                    assert (footprint.chunks, footprint.operation) == (descriptor.chunks, descriptor.operation)
                    assert (footprint.index, footprint.takes_shares) == (index, any(descriptor.shares))
                    assert tuple(footprint.shares) == descriptor.shares
                    assert footprint.announce_start == descriptor.announce_start
                asked.pop(unit, None)
                if not busy[unit]:
                    assert ctx.get(dut.choice_valid[unit]) == bool(choices)
                    if choices:
                        asked[unit] = min(choices)[1:]
                        assert ctx.get(dut.choice[unit]) == places.index(asked[unit][1])
                busy[unit] = max(0, busy[unit] - 1)
            ctx.set(dut.granted, granted)
            everything = {(base, index) for index in range(len(packed.descriptors))}
            retire = everything <= expected.granted and not any(busy.values()) and rng.random() < 0.1

            operation = rng.randrange(len(packed.operation_chunks))
            # the older iteration retires by an event of its own, when all of it has happened
            key = (operation, rng.randrange(2), base if retire else rng.choice((base, base + 1)))
            row = expected.rows.get(key, 0) | packed.operation_chunks[operation] & rng.randrange(64)
            valid = rng.random() < 0.5
            ctx.set(dut.event_started, valid and key[1])
            ctx.set(dut.event_completed, valid and not key[1])
            ctx.set(dut.event_operation, operation)
            ctx.set(dut.event_parity, key[2] % 2)
            ctx.set(dut.event_row, row)
            ctx.set(dut.event_full, row == packed.operation_chunks[operation])
            if valid:
                expected.rows[key] = row
            complete = all(
                expected.rows.get((number, start, base)) == chunks
                for number, chunks in enumerate(packed.operation_chunks)
                for start in range(2)
            )
            retire = retire and complete
            ctx.set(dut.retire, retire)
            expected.base += retire
            await ctx.tick()
        show_window(ctx, expected.base)
        assert ctx.get(dut.choice_valid) == 0

    simulate_block(dut, testbench, limit=20_000)
    assert {key for key in chosen} == {
        (iteration, index) for iteration in range(packed.count) for index in range(len(packed.descriptors))
    }
