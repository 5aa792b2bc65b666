"""Who is ready, of places that wait for as many events as can be counted."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.wake_up import WakeUp

OFFSETS = {"same": 0, "before": -1, "after": 1}
SPACING = 4
"""Least clocks between retirements."""

Column = dict[str, int]


@dataclass
class Job:
    """An event that a unit has counted, and the clocks of that and of the event itself."""

    event: int
    iteration: int
    counted: int
    happened: int | None = None
    follows: bool = False

    def pends(self, clock: int) -> bool:
        return self.counted + 2 <= clock and (self.happened is None or clock <= self.happened)


class Loop:
    """Events, each once an iteration in any order, and places that are taken once an iteration when they are ready.

    Parameters
    ----------
    columns : by event, who waits for it
    n, count : places, iterations
    """

    def __init__(self, columns: list[Column], n: int, count: int) -> None:
        self.columns, self.n, self.count = columns, n, count
        self.retired: list[int] = []
        self.taken: list[list[int]] = [[] for _ in range(n)]
        self.jobs: list[Job] = []
        # events of the two iterations in flight that have not been counted yet
        self.left = {iteration: list(range(len(columns))) for iteration in range(2)}

    def base(self, clock: int) -> int:
        return sum(retired < clock for retired in self.retired)

    def turn(self, place: int, clock: int) -> int:
        """What was taken in the clock before shows in the next."""
        return sum(taken + 2 <= clock for taken in self.taken[place])

    def ready(self, clock: int) -> dict[int, int]:
        """The places that are ready, and in which iteration."""
        base, found = self.base(clock), {}
        waits = {
            name: {iteration: self._awaited(name, iteration, clock) for iteration in range(base, self.count)}
            for name in OFFSETS
        }
        for place in range(self.n):
            turn = self.turn(place, clock)
            held = any(waits[name].get(turn + offset, 0) >> place & 1 for name, offset in OFFSETS.items())
            if base <= turn < min(base + 2, self.count) and not held:
                found[place] = turn
        return found

    def _awaited(self, name: str, iteration: int, clock: int) -> int:
        """Who waits for events of an iteration that have not happened before this clock."""
        happened = {
            job.event
            for job in self.jobs
            if job.iteration == iteration and job.happened is not None and job.happened < clock
        }
        found = 0
        for event, column in enumerate(self.columns):
            found |= 0 if event in happened else column[name]
        return found

    def counts(self, clock: int, name: str) -> list[int]:
        """Those of the even iteration and of the newer one; a retirement shows a clock later here."""
        base = self.base(clock - 1)
        iteration = base + 1 if name == "after" else base + base % 2
        columns = [self.columns[job.event][name] for job in self.jobs
                   if job.iteration == iteration and job.counted + 2 <= clock]  # fmt: skip
        return _sums(columns, self.n)

    def count_event(self, rng: random.Random, clock: int, iterations: Iterable[int]) -> Job | None:
        """One of those left; nothing of an iteration that opens is counted before the third clock after."""
        base = self.base(clock)
        recent = bool(self.retired) and self.retired[-1] < clock < self.retired[-1] + 3
        open_ = [
            there for there in iterations if base <= there < min(base + 2 - recent, self.count) and self.left.get(there)
        ]
        if not open_:
            return None
        iteration = open_[0] if rng.random() < 0.85 else open_[-1]
        event = self.left[iteration].pop(rng.randrange(len(self.left[iteration])))
        self.jobs.append(Job(event, iteration, clock))
        return self.jobs[-1]

    def try_retire(self, clock: int) -> bool:
        """The older iteration ends with the last of its events."""
        base = len(self.retired)
        happened = sum(job.iteration == base and job.happened is not None for job in self.jobs)
        if (
            base == self.count
            or happened < len(self.columns)
            or any(len(taken) <= base for taken in self.taken)
            or clock < (self.retired or [-SPACING])[-1] + SPACING
        ):
            return False
        self.retired.append(clock)
        self.left[base + 2] = list(range(len(self.columns)))
        return True


def _sums(columns: list[int], n: int) -> list[int]:
    return [sum(column >> place & 1 for column in columns) for place in range(n)]


def _bits(places: Iterable[int]) -> int:
    return sum(1 << place for place in places)


class Bench:
    """WakeUp among slots that count events, and let them happen, when they like."""

    def __init__(self, ctx: object, dut: WakeUp, rng: random.Random, seen: Counter[str]) -> None:
        self.ctx, self.dut, self.rng, self.seen = ctx, dut, rng, seen
        self.n, self.n_units = dut.config.n_descriptors, dut.config.n_units

    def show_column(self, unit: int, column: Column | None = None) -> None:
        """By default one that means nothing."""
        port = self.dut.columns[unit]
        column = column or {name: self.rng.getrandbits(self.n) for name in OFFSETS}
        self.ctx.set(port.as_value(), port.shape().const(column).as_bits())

    def set(self, **ports: int) -> None:
        for name, value in ports.items():
            self.ctx.set(getattr(self.dut, name), value)

    def check_counts(self, expected: dict[str, list[int]]) -> None:
        counted = self.ctx.get(self.dut.counted.as_value())
        assert counted == self.dut.counted.shape().const(expected).as_bits()

    async def count_totals(self, columns: list[Column]) -> None:
        """Before a start the matrix counts every event on unit 0; leaves the testbench in the clock of the start."""
        ctx, rng = self.ctx, self.rng
        waiting, shown, kept = list(columns), [], []
        self.set(clear=1, counts=1, shows=(1 << self.n_units) - 1, next_enabled=(1 << self.n) - 1)
        ctx.set(self.dut.totals.as_value(), rng.getrandbits(len(self.dut.totals.as_value())))
        # the last column is counted before the counters are taken back
        quiet = 0
        while quiet < 3:
            counts = bool(waiting) and rng.random() < 0.8
            for unit in range(self.n_units):
                self.show_column(unit, waiting[-1] if counts and unit == 0 else None)
            self.set(even=counts, newest=counts)
            self.check_counts({name: _sums([column[name] for column in shown], self.n) for name in OFFSETS})
            await ctx.tick()
            shown, kept = shown + kept, [waiting.pop()] if counts else []
            quiet = 0 if waiting else quiet + 1
        self.check_counts(self.totals(columns))
        self.set(counts=0)
        ctx.set(self.dut.totals, self.totals(columns))
        self.seen["most"] = max(self.seen["most"], *(max(sums) for sums in self.totals(columns).values()))

    def totals(self, columns: list[Column]) -> dict[str, list[int]]:
        return {name: _sums([column[name] for column in columns], self.n) for name in OFFSETS}

    def show_window(self, base: int, count: int, *, running: bool) -> None:
        self.ctx.set(
            self.dut.window,
            {
                "running": running,
                "old": base % 2,
                "old_is_last": base + 1 == count,
                "new_is_last": base + 2 == count,
                "next_is_last": base + 3 == count,
                "has_next": base + 2 < count,
            },
        )

    async def run(self, loop: Loop) -> None:
        """From the clock of a start to the last retirement."""
        ctx, rng = self.ctx, self.rng
        working: list[Job | None] = [None] * self.n_units
        self.haste, n_takes = rng.choice((0.1, 0.5, 1.0)), rng.choice((1, self.n, self.n))
        clock, history = 0, [{}, {}]
        while len(loop.retired) < loop.count:
            base = loop.base(clock)
            ports: Counter[str] = Counter(clear=clock == 0, enabled=(1 << self.n) - 1)
            for job in filter(None, working):
                if job.happened is None and job.counted < clock and rng.random() < self.haste:
                    job.happened = clock
            ports["retire"] = loop.try_retire(clock)
            # what is counted as an iteration retires is of interest
            haste = max(self.haste, 0.8 * ports["retire"])
            for unit in range(self.n_units):
                working[unit] = self.count_event(loop, working[unit], clock, haste)
                self.show_unit(loop, unit, working[unit], clock, ports)
            for name in ("clear", "enabled", "shows", "even", "odd", "newest", "pends_older", "pends_newer"):
                self.set(**{name: ports[name]})
            # taken in the clock before, of what was ready two clocks before that
            taken = _bits(place for place in range(self.n) if clock - 1 in loop.taken[place])
            self.set(retire=ports["retire"], taken=taken)
            self.show_window(base, loop.count, running=clock > 0)

            ready = loop.ready(clock)
            for port, held, of_older in (
                (self.dut.older, self.dut.held_older, True),
                (self.dut.newer, self.dut.held_newer, False),
            ):
                expected = _bits(place for place, turn in ready.items() if (turn == base) == of_older)
                assert ctx.get(port) & ~ctx.get(held) == expected, clock
            turns = [loop.turn(place, clock) for place in range(self.n)]
            assert ctx.get(self.dut.turn_older) == _bits(place for place in range(self.n) if turns[place] == base)
            assert ctx.get(self.dut.turn_parity) == _bits(place for place in range(self.n) if turns[place] % 2)
            self.check_counts({name: loop.counts(clock, name) for name in OFFSETS})
            self.seen["older"] += any(turn == base for turn in ready.values())
            self.seen["newer"] += any(turn > base for turn in ready.values())
            self.seen["counted together"] += (ports["even"] | ports["odd"]).bit_count() > 1
            self.seen["counted as one retires"] += bool(ports["retire"] and ports["newest"])
            self.seen["pends as one retires"] += bool(ports["retire"] and ports["pends_newer"])

            may_take = [place for place, turn in history[-2].items() if turn == len(loop.taken[place])]
            for place in rng.sample(may_take, min(len(may_take), n_takes)):
                if rng.random() < 0.8:
                    loop.taken[place].append(clock)
            history = [*history[1:], ready]
            await ctx.tick()
            clock += 1
        self.set(clear=1, retire=0, even=0, odd=0, newest=0, pends_older=0, pends_newer=0)
        self.set(taken=_bits(place for place in range(self.n) if clock - 1 in loop.taken[place]))
        await ctx.tick()
        self.set(taken=0)

    def count_event(self, loop: Loop, job: Job | None, clock: int, haste: float) -> Job | None:
        """The event a unit counts in this clock, or the last one it counted."""
        rng = self.rng
        if job is None or (job.happened is not None and clock >= job.happened + 3):
            return (rng.random() < haste and loop.count_event(rng, clock, range(loop.count))) or job
        if job.happened == clock - 1 and not job.follows and rng.random() < 0.5:
            # as the end of what has just started
            following = loop.count_event(rng, clock, [job.iteration])
            if following:
                following.follows = True
                return following
        return job

    def show_unit(self, loop: Loop, unit: int, job: Job | None, clock: int, ports: Counter[str]) -> None:
        """What its slot shows in this clock, in ``ports``; the column of the event it counts."""
        counts = job is not None and job.counted == clock
        is_free = job is None or (job.happened is not None and clock >= job.happened + 2)
        self.show_column(unit, loop.columns[job.event] if counts else None)
        ports["shows"] |= (is_free or counts) << unit
        if job is None:
            return
        newer = job.iteration > loop.base(clock)
        if counts:
            ports["odd" if job.iteration % 2 else "even"] |= 1 << unit
            ports["newest"] |= newer << unit
        if job.pends(clock):
            ports["pends_newer" if newer else "pends_older"] |= 1 << unit


@pytest.mark.parametrize(("n", "n_units"), [(8, 1), (8, 4), (16, 3), (32, 5)])
def test_ready_when_all_awaited_has_happened(
    n: int, n_units: int, simulate_block: Callable[..., None], seed: int
) -> None:
    dut = WakeUp(SchedulerConfig(n_descriptors=n, n_operations=n, n_units=n_units))
    rng = random.Random(f"{seed} {n} {n_units}")
    seen: Counter[str] = Counter()

    def draw() -> list[Column]:
        """At most as many events as there are other places; some places wait for each, some for none."""
        # an iteration cannot end before all of the next that is awaited in it
        some, few = (0.0, 0.0, 0.1, 0.5, 1.0), (0.0,) * n + (0.1, 1.0)
        chances = {name: [rng.choice(few if name == "after" else some) for _ in range(n)] for name in OFFSETS}
        return [
            {name: _bits(place for place in range(n) if rng.random() < chances[name][place]) for name in OFFSETS}
            for _ in range(rng.choice((1, 3, n - 1)))
        ]

    async def testbench(ctx: object) -> None:
        bench = Bench(ctx, dut, rng, seen)
        for _ in range(50 if n < 32 else 14):
            columns, count = draw(), rng.randint(1, 5)
            bench.show_window(0, count, running=False)
            await bench.count_totals(columns)
            # the clocks until a start at the earliest: a word of an operation and the control word
            await ctx.tick().repeat(2)
            await bench.run(Loop(columns, n, count))

    simulate_block(dut, testbench, limit=40_000)
    # a place waits for all others
    assert seen["most"] == n - 1
    assert min(seen["older"], seen["newer"]) > 100, seen
    assert seen["counted as one retires"] + seen["pends as one retires"] > 0, seen
    assert n_units == 1 or seen["counted together"] > 10, seen
