"""Readiness and choice against the rules, evaluated in every clock from the grants and events themselves."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from arch.descriptor import LoadTable, PackedProgram, pack_program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.descriptor_table import DescriptorTable
from rtl.scheduler.signature import descriptor_layout
from sim.engine.scheduler_programs import random_program

# the trace and the supervision see every place
CONFIGS = {
    (n, n_units): SchedulerConfig(
        n_descriptors=n, n_operations=n // 2, n_units=n_units, n_pools=2, n_chunks=6, share_bits=4, trace=True,
        supervised=True,
    )
    for n, n_units in ((8, 1), (16, 3), (32, 6))
}  # fmt: skip
OFFSETS = {"same": 0, "before": -1, "after": 1}

PORTS = ("clear", "retire", "shows", "even", "odd", "newest", "pends_older", "pends_newer", "granted", "fixed")
"""What is set in every clock."""

Event = tuple[int, bool, int]
"""Place, whether its start, iteration."""


@dataclass
class Work:
    """What a unit was granted last, and the clocks of what happens to it."""

    place: int
    iteration: int
    announces: bool
    granted: int
    started: int | None = None
    ended: int | None = None

    def busy(self, clock: int) -> bool:
        """The unit is free in the second clock after the end."""
        return self.granted < clock and (self.ended is None or clock <= self.ended + 1)

    def renews(self, clock: int) -> bool:
        """The end is counted, after the start."""
        return self.started is not None and clock == self.started + 1

    def may_start(self, clock: int) -> bool:
        return self.announces and self.started is None and clock > self.granted

    def may_end(self, clock: int) -> bool:
        counted = self.started is not None and clock >= self.started + 2 if self.announces else clock > self.granted
        return counted and self.ended is None


class Body:
    """A program by place, and who waits for whom there."""

    def __init__(self, packed: PackedProgram) -> None:
        self.count = packed.count
        self.indices = [index for table, index, _ in packed.load_words() if table is LoadTable.DESCRIPTOR]
        self.descriptors = [packed.descriptors[index] for index in self.indices]
        # awaited place, whether its start, and layer offset; its own iteration before goes without saying
        self.waits = [
            {
                (place, wait.start, wait.layer_offset)
                for wait in waiter.predecessors
                for place, awaited in enumerate(self.descriptors)
                if awaited.operation == wait.operation and (wait.all or awaited.chunks & waiter.chunks)
                if not (awaited is waiter and wait.layer_offset == -1)
            }
            for waiter in self.descriptors
        ]

    def column(self, place: int, start: bool, name: str) -> int:
        """Who waits for this event; not for the start where the end is awaited too."""
        offset = OFFSETS[name]
        return sum(
            ((place, start, offset) in waits and not (start and (place, False, offset) in waits)) << waiter
            for waiter, waits in enumerate(self.waits)
        )

    def totals(self, n: int) -> dict[str, list[int]]:
        """How many events each place waits for."""
        return {
            name: [len({place for place, _, there in waits if there == offset}) for waits in self.waits]
            + [0] * (n - len(self.waits))
            for name, offset in OFFSETS.items()
        }


class Expected:
    """What has been granted and counted, and has happened; what follows by the rules."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.columns = {
            (place, start, name): body.column(place, start, name)
            for place in range(len(body.descriptors))
            for start in (False, True)
            for name in OFFSETS
        }
        # the clocks of retirements; of grants, by place; in which events are counted and happen
        self.retired: list[int] = []
        self.granted: list[list[int]] = [[] for _ in body.descriptors]
        self.counted: dict[Event, int] = {}
        self.happened: dict[Event, int] = {}

    def base(self, clock: int) -> int:
        """The older iteration; a retirement shows in the clock after."""
        return sum(retired < clock for retired in self.retired)

    def retires(self, clock: int) -> bool:
        return clock in self.retired[-1:]

    def turn(self, place: int, clock: int) -> int:
        """The iteration it is issued in next; a grant shows in the second clock after."""
        return sum(granted + 2 <= clock for granted in self.granted[place])

    def ready(self, clock: int) -> dict[int, int]:
        """The places that are ready, and in which iteration."""
        base, found = self.base(clock), {}
        for place, waits in enumerate(self.body.waits):
            turn = self.turn(place, clock)
            met = all(
                self.happened.get((awaited, start, turn + offset), clock) < clock
                for awaited, start, offset in waits
                if base <= turn + offset < self.body.count
            )
            if met and base <= turn < min(base + 2, self.body.count):
                found[place] = turn
        return found

    def counts(self, clock: int) -> list[list[int]]:
        """The counts of the even iteration in flight and of the newer one; a retirement shows a clock later here."""
        base, found = self.base(clock - 1), []
        counted = [event for event, at in self.counted.items() if at + 2 <= clock]
        for name in OFFSETS:
            iteration = base + 1 if name == "after" else base + base % 2
            columns = [self.columns[place, start, name] for place, start, there in counted if there == iteration]
            found.append([sum(column >> place & 1 for column in columns) for place in range(len(self.body.waits))])
        return found

    def pends(self, work: Work, clock: int) -> bool:
        """Something it does has been counted and has not happened before this clock."""
        return any(
            self.counted.get(event, clock) + 2 <= clock <= self.happened.get(event, clock)
            for event in ((work.place, start, work.iteration) for start in (False, True))
        )

    def complete(self) -> bool:
        """All of the older iteration has ended."""
        base = len(self.retired)
        return all((place, False, base) in self.happened for place in range(len(self.body.waits)))


class Bench:
    """The table among units that do everything when they like."""

    def __init__(self, ctx: object, dut: DescriptorTable, rng: random.Random, seen: Counter[str]) -> None:
        self.ctx, self.dut, self.rng, self.seen = ctx, dut, rng, seen
        self.config = dut.config
        self._shown: dict[str, int] = {}

    def set(self, **ports: int) -> None:
        """Set ports of plain bits; to set what stands would cost as much as a clock."""
        for name, value in ports.items():
            if self._shown.get(name) != value:
                self.ctx.set(getattr(self.dut, name), value)
                self._shown[name] = value

    def show_window(self, base: int, count: int, *, running: bool) -> None:
        last = count - 1
        window = {
            "running": running,
            "old": base % 2,
            "old_is_last": base == last,
            "new_is_last": base + 1 == last,
            "next_is_last": base + 2 == last,
            "has_next": base + 2 <= last,
        }
        self.ctx.set(self.dut.window, window)

    def show_column(self, unit: int, column: dict[str, int] | None = None) -> None:
        """By default one that nobody is to keep, or that means nothing."""
        port = self.dut.columns[unit]
        column = column or {name: self.rng.getrandbits(self.config.n_descriptors) for name in OFFSETS}
        self.ctx.set(port.as_value(), port.shape().const(column).as_bits())

    async def load(self, body: Body) -> None:
        """The descriptors, one after the other; clear is high."""
        ctx, dut, layout = self.ctx, self.dut, descriptor_layout(self.config)
        for index, descriptor in zip(body.indices, body.descriptors, strict=True):
            ctx.set(dut.load_descriptor, layout.from_bits(descriptor.pack(self.config)))
            self.set(load_valid=1, load_index=index)
            await ctx.tick()
            ctx.set(dut.load_descriptor, layout.from_bits(self.rng.getrandbits(layout.size)))
            self.set(load_valid=0)
            if self.rng.random() < 0.3:
                await ctx.tick()
        self.set(load_last=1)
        ctx.set(dut.totals, body.totals(self.config.n_descriptors))
        await ctx.tick()
        self.set(load_last=0)

    async def run(self, body: Body) -> None:
        """From the clock of a start, before which ``clear`` stood, to the second after the last retirement."""
        ctx, rng, n_units = self.ctx, self.rng, self.config.n_units
        self.expected = expected = Expected(body)
        self.works = works = [Work(0, -1, False, granted=-9, ended=-8) for _ in range(n_units)]
        asks: list[tuple[int, int] | None] = [None] * n_units
        haste = [rng.choice((0.2, 0.5, 1.0)) for _ in range(2)]
        self.picks, self.ready = [0] * n_units, {}
        clock, before = 0, -1
        while (base := expected.base(clock)) < body.count:
            if base != before or clock < 2:
                self.show_window(base, body.count, running=clock > 0)
            before = base
            for work in works:
                if work.may_start(clock) and rng.random() < haste[1]:
                    work.started = expected.happened[work.place, True, work.iteration] = clock
                elif work.may_end(clock) and rng.random() < haste[1]:
                    work.ended = expected.happened[work.place, False, work.iteration] = clock
            if expected.complete():
                expected.retired.append(clock)
            # grants are of interest about a retirement
            recently = bool(expected.retired) and clock <= expected.retired[-1] + 2
            ports = Counter(clear=clock == 0, retire=expected.retires(clock))
            for unit, asked in enumerate(asks):
                if asked is not None and rng.random() < max(haste[0], 0.7 * recently):
                    place, iteration = asked
                    works[unit] = Work(place, iteration, body.descriptors[place].announce_start, clock)
                    expected.granted[place].append(clock)
                self.show(unit, clock, ports)
            self.set(**{name: ports[name] for name in PORTS})
            if clock:
                # a word of the next program waits
                self.set(next_last=rng.randrange(self.config.n_descriptors))
            self.check_places(clock)
            asks = [self.check_choice(unit, clock) for unit in range(n_units)]
            self.count_seen(clock, ports)
            self.ready, self.picks = expected.ready(clock), [ctx.get(choice) for choice in self.dut.choice]
            await ctx.tick()
            clock += 1
        await self.end(body.count)

    async def end(self, count: int) -> None:
        """Nothing is left; the table goes back to the beginning from the clock after the last retirement on."""
        self.set(**dict.fromkeys(PORTS, 0))
        self.set(clear=1, shows=(1 << self.config.n_units) - 1)
        self.show_window(count, count, running=True)
        # in the clock of the retirement the last grant may not have shown yet
        assert self.ctx.get(self.dut.ready) == _bits(self.ready)
        await self.ctx.tick()
        self.show_window(count, count, running=False)
        assert (self.ctx.get(self.dut.ready), self.ctx.get(self.dut.choice_valid)) == (0, 0)

    def show(self, unit: int, clock: int, ports: Counter[str]) -> None:
        """What a slot shows in this clock, in ``ports``; the column of the event it counts."""
        expected, work = self.expected, self.works[unit]
        grants, busy, renews = work.granted == clock, work.busy(clock), work.renews(clock)
        parity, newer = work.iteration % 2, work.iteration > expected.base(clock)
        if grants or renews:
            start = grants and work.announces
            expected.counted[work.place, start, work.iteration] = clock
            self.show_column(unit, {name: expected.columns[work.place, start, name] for name in OFFSETS})
            ports["odd" if parity else "even"] |= 1 << unit
            ports["newest"] |= newer << unit
        elif self.rng.random() < 0.3 or work.granted == clock - 1 or work.renews(clock - 1):
            self.show_column(unit)
        if expected.pends(work, clock):
            ports["pends_newer" if newer else "pends_older"] |= 1 << unit
        ports["shows"] |= (not busy or renews) << unit
        ports["granted"] |= grants << unit
        ports["fixed"] |= busy << unit
        if grants or busy:
            self.picks[unit] = work.place
        for port in (self.dut.picks[unit], self.dut.fixed_at[unit]):
            self.ctx.set(port, self.picks[unit])
        # in the clock of the grant it is still another
        stands = self.rng.randrange(self.config.n_descriptors) if grants else work.place
        self.ctx.set(self.dut.stands[unit], stands)

    def check_places(self, clock: int) -> None:
        """What the table shows of every place."""
        ctx, dut, expected = self.ctx, self.dut, self.expected
        n = len(expected.body.waits)
        base, used = expected.base(clock), (1 << n) - 1
        assert not clock or ctx.get(dut.ready) == _bits(self.ready)
        turns = [expected.turn(place, clock) for place in range(n)]
        assert ctx.get(dut.turn_older) & used == _bits(place for place in range(n) if turns[place] == base)
        assert ctx.get(dut.turn_parity) & used == _bits(place for place in range(n) if turns[place] % 2)
        counted, width = ctx.get(dut.counted.as_value()), (self.config.n_descriptors - 1).bit_length()
        for number, counts in enumerate(expected.counts(clock)):
            found = counted >> number * width * self.config.n_descriptors
            assert [found >> width * place & (1 << width) - 1 for place in range(n)] == counts

    def check_choice(self, unit: int, clock: int) -> tuple[int, int] | None:
        """A unit's choice among what was ready in the clock before; what it asks for in the next."""
        ctx, dut, body, work, pick = self.ctx, self.dut, self.expected.body, self.works[unit], self.picks[unit]
        if pick < len(body.indices):
            footprint = ctx.get(dut.footprint[unit])
            assert footprint.index == body.indices[pick]
            assert footprint.announce_start == body.descriptors[pick].announce_start
        urgent = [
            (body.descriptors[place].priority, iteration, place)
            for place, iteration in self.ready.items()
            if body.descriptors[place].unit == unit
        ]
        assert ctx.get(dut.choice_valid) >> unit & 1 == bool(urgent)
        _, iteration, place = min(urgent, default=(0, 0, 0))
        if clock:
            shares = body.descriptors[place].shares if urgent else (0,) * self.config.n_pools
            assert tuple(ctx.get(dut.shares[unit])) == shares
            assert ctx.get(dut.choice[unit]) == (pick if work.busy(clock) else place)
        if not urgent:
            return None
        assert ctx.get(dut.choice_parity) >> unit & 1 == iteration % 2
        self.seen["overtaken"] += place != min(place for _, _, place in urgent)
        self.seen["both iterations"] += len({iteration for _, iteration, _ in urgent}) > 1
        return None if work.busy(clock) or work.granted == clock else (place, iteration)

    def count_seen(self, clock: int, ports: Counter[str]) -> None:
        happens = {(kind, number) for number, work in enumerate(self.works)
                   for kind, at in (("start", work.started), ("end", work.ended)) if at == clock}  # fmt: skip
        self.seen["happen together"] += len(happens) > 1
        self.seen["start and end"] += len({kind for kind, _ in happens}) > 1
        self.seen["counted together"] += (ports["even"] | ports["odd"]).bit_count() > 1
        self.seen["pends as one retires"] += bool(ports["retire"] and ports["pends_newer"])
        self.seen["granted as one retires"] += bool(ports["granted"]) and any(
            self.expected.retires(clock - age) for age in range(2)
        )


def _bits(places: Iterable[int]) -> int:
    return sum(1 << place for place in places)


@pytest.mark.parametrize("sizes", CONFIGS, ids="{0[0]}-{0[1]}".format)
def test_choice_follows_the_rules(sizes: tuple[int, int], simulate_block: Callable[..., None], seed: int) -> None:
    config = CONFIGS[sizes]
    rng = random.Random(f"{seed} {sizes}")
    dut = DescriptorTable(config)
    seen: Counter[str] = Counter()

    def draw() -> Body:
        return Body(pack_program(random_program(rng, config), config))

    async def testbench(ctx: object) -> None:
        bench = Bench(ctx, dut, rng, seen)
        bench.set(clear=1, shows=(1 << config.n_units) - 1)
        for number in range(24 if sizes[0] < 32 else 8):
            body = draw()
            # more often of programs with work for all units
            while number % 4 and (body.count == 1 or len({one.unit for one in body.descriptors}) < config.n_units):
                body = draw()
            bench.show_window(rng.randrange(4), 9, running=False)
            await bench.load(body)
            for _ in range(rng.choice((1, 1, 2))):
                # the next run may begin in the third clock of clear
                bench.set(next_last=len(body.descriptors) - 1)
                await ctx.tick()
                await bench.run(body)

    simulate_block(dut, testbench, limit=40_000)
    assert min(seen["overtaken"], seen["both iterations"]) > 50, seen
    if sizes[1] > 1:
        assert min(seen.values()) > 0, seen
