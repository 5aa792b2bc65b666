"""Readiness and choice against the rules, evaluated from the events themselves."""

import random
from collections.abc import Callable, Iterator

import pytest

from arch.descriptor import LoadTable, PackedProgram, pack_program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.descriptor_table import DescriptorTable
from rtl.scheduler.signature import descriptor_layout
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=16, n_operations=5, n_units=3, n_pools=2, n_chunks=6, share_bits=4)
OFFSETS = {"same": 0, "before": -1, "after": 1}

Event = tuple[int, bool, int]
"""Descriptor, whether its start, iteration."""


class Expected:
    """What the table should know: what has happened, and what was granted."""

    def __init__(self, packed: PackedProgram) -> None:
        self.packed = packed
        self.base = 0
        self.happened: set[Event] = set()
        self.granted: set[tuple[int, int]] = set()
        n = len(packed.descriptors)
        # who waits for whom: (waiting, awaited, start, layer offset)
        self.waits = {
            (index, other, wait.start, wait.layer_offset)
            for index, descriptor in enumerate(packed.descriptors)
            for wait in descriptor.predecessors
            for other in range(n)
            if packed.descriptors[other].operation == wait.operation
            and (wait.all or packed.descriptors[other].chunks & descriptor.chunks)
        }

    def met(self, index: int, iteration: int) -> bool:
        for waiting, other, start, offset in self.waits:
            there = iteration + offset
            inside = self.base <= there < self.packed.count
            if waiting == index and inside and (other, start, there) not in self.happened:
                return False
        return True

    def candidates(self, unit: int) -> Iterator[tuple[int, int, int]]:
        """(priority, iteration, index) of what the unit could execute."""
        for index, descriptor in enumerate(self.packed.descriptors):
            for iteration in range(self.base, min(self.base + 2, self.packed.count)):
                if (iteration, index) not in self.granted:
                    if descriptor.unit == unit and self.met(index, iteration):
                        yield descriptor.priority, iteration, index
                    break  # a descriptor's iterations go in order


class Bench:
    """The table among units that raise their events when they like."""

    def __init__(self, ctx: object, dut: DescriptorTable, packed: PackedProgram, rng: random.Random) -> None:
        self.ctx, self.dut, self.packed, self.rng = ctx, dut, packed, rng
        self.expected = Expected(packed)
        self.places = [index for table, index, _ in packed.load_words() if table is LoadTable.DESCRIPTOR]

    def show_window(self) -> None:
        base, last = self.expected.base, self.packed.count - 1
        window = {
            "running": base <= last,
            "old": base % 2,
            "old_is_last": base == last,
            "new_is_last": base + 1 == last,
            "next_is_last": base + 2 == last,
            "has_next": base + 2 <= last,
        }
        self.ctx.set(self.dut.window, window)
        self.ctx.set(self.dut.clear, base > last)

    async def load(self) -> None:
        ctx, dut, layout = self.ctx, self.dut, descriptor_layout(CONFIG)
        ctx.set(dut.clear, 1)
        ctx.set(dut.load_valid, 1)
        for index in self.places:
            ctx.set(dut.load_index, index)
            ctx.set(dut.load_descriptor, layout.from_bits(self.packed.descriptors[index].pack(CONFIG)))
            await ctx.tick()
        ctx.set(dut.load_valid, 0)
        ctx.set(dut.load_last, 1)
        waits = self.expected.waits
        ctx.set(
            dut.totals,
            {
                name: [
                    sum(waiting == index and there == offset for waiting, _, _, there in waits) for index in self.places
                ]
                + [0] * (CONFIG.n_descriptors - len(self.places))
                for name, offset in OFFSETS.items()
            },
        )
        await ctx.tick()
        ctx.set(dut.load_last, 0)
        await ctx.tick()
        self.show_window()
        ctx.set(dut.start, 1)
        ctx.set(dut.last, len(self.places) - 1)
        await ctx.tick()
        ctx.set(dut.start, 0)

    def raise_event(self, unit: int, event: Event, newest: bool) -> None:
        """Show a unit's event, and its column."""
        ctx, dut = self.ctx, self.dut
        index, start, iteration = event
        for name, offset in OFFSETS.items():
            column = sum(
                ((waiting, index, start, offset) in self.expected.waits) << place
                for place, waiting in enumerate(self.places)
            )
            ctx.set(dut.columns[unit][name], column)
        port = dut.odd if iteration % 2 else dut.even
        ctx.set(port, ctx.get(port) | 1 << unit)
        ctx.set(dut.newest, ctx.get(dut.newest) | newest << unit)


@pytest.mark.parametrize("number", range(6))
def test_choice_follows_the_rules(number: int, simulate_block: Callable[..., None], seed: int) -> None:
    rng = random.Random(f"{seed} {number}")
    packed = pack_program(random_program(rng, CONFIG), CONFIG)
    dut = DescriptorTable(CONFIG)
    chosen = []

    async def testbench(ctx: object) -> None:
        bench = Bench(ctx, dut, packed, rng)
        expected, places = bench.expected, bench.places
        await bench.load()
        # by unit: what it was chosen in the clock before, and clocks until it chooses again
        asked: dict[int, tuple[int, int]] = {}
        busy = dict.fromkeys(range(CONFIG.n_units), 0)
        # events still to be raised of each unit; those of the clock before
        to_come: dict[int, list[Event]] = {unit: [] for unit in busy}
        just: list[Event] = []
        n_ended = [0] * packed.count
        together = 0
        while expected.base < packed.count:
            bench.show_window()
            retire = n_ended[expected.base] == len(places)
            ctx.set(dut.retire, retire)
            granted = 0
            for unit in busy:
                choices = list(expected.candidates(unit))
                if unit in asked and rng.random() < 0.4:
                    iteration, index = asked[unit]
                    granted |= 1 << unit
                    expected.granted.add((iteration, index))
                    chosen.append((iteration, index))
                    ctx.set(dut.picks[unit], places.index(index))
                    footprint = ctx.get(dut.footprint[unit])
                    assert footprint.index == index
                    assert footprint.announce_start == packed.descriptors[index].announce_start
                    to_come[unit] = [(index, True, iteration), (index, False, iteration)]
                    busy[unit] = -1
                asked.pop(unit, None)
                if not busy[unit]:
                    assert ctx.get(dut.choice_valid) >> unit & 1 == bool(choices)
                    if choices:
                        _, iteration, index = min(choices)
                        asked[unit] = (iteration, index)
                        assert ctx.get(dut.choice[unit]) == places.index(index)
                        assert ctx.get(dut.choice_parity) >> unit & 1 == iteration % 2
                        assert tuple(ctx.get(dut.shares[unit])) == packed.descriptors[index].shares
                busy[unit] = max(busy[unit] - 1, 0) if busy[unit] > 0 else busy[unit]
            ctx.set(dut.granted, granted)
            for port in (dut.even, dut.odd, dut.newest):
                ctx.set(port, 0)
            # those of the clock before show in the next
            expected.happened |= set(just)
            just = []
            for unit, events in to_come.items():
                if events and not granted >> unit & 1 and rng.random() < 0.5:
                    event = events.pop(0)
                    bench.raise_event(unit, event, event[2] > expected.base + retire)
                    just.append(event)
                    if not events:
                        n_ended[event[2]] += 1
                        busy[unit] = 2
            together += len(just) > 1
            expected.base += retire
            await ctx.tick()
        bench.show_window()
        await ctx.tick()
        assert ctx.get(dut.choice_valid) == 0
        assert together or len({one.unit for one in packed.descriptors}) == 1

    simulate_block(dut, testbench, limit=20_000)
    assert {key for key in chosen} == {
        (iteration, index) for iteration in range(packed.count) for index in range(len(packed.descriptors))
    }
