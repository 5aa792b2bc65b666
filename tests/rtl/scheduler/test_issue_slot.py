"""The life of a nano-operation in its unit's slot, clock by clock."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.issue_slot import IssueSlot

CONFIG = SchedulerConfig()


def test_from_choice_to_release(simulate_block: Callable[..., None]) -> None:
    dut = IssueSlot(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.base, 7)
        ctx.set(dut.choice_valid, 1)
        ctx.set(dut.choice, 3)
        assert (ctx.get(dut.asks), ctx.get(dut.request)) == (1, 0)
        await ctx.tick()
        assert (ctx.get(dut.request), ctx.get(dut.pick), ctx.get(dut.issue.valid)) == (1, 3, 0)
        # without a grant a better choice takes its place
        ctx.set(dut.choice, 5)
        await ctx.tick()
        assert (ctx.get(dut.request), ctx.get(dut.pick)) == (1, 5)
        # what lies at that place
        ctx.set(dut.index, 20)
        # granted: offered in the same clock; from now on the choice is deaf to others, and the offer holds
        ctx.set(dut.certain, 1)
        ctx.set(dut.choice_parity, 1)
        for clock in range(3):
            assert (ctx.get(dut.grant), ctx.get(dut.busy), ctx.get(dut.issue.valid)) == (clock == 0, clock > 0, 1)
            assert ctx.get(dut.issue.payload) == {"index": 20, "iteration": 8}
            assert ctx.get(dut.started) == 0
            await ctx.tick()
            ctx.set(dut.certain, 0)
            assert (ctx.get(dut.request), ctx.get(dut.pick), ctx.get(dut.parity)) == (0, 5, 0)
        # the window moves on while the offer stands: the iteration stays
        ctx.set(dut.base, 8)
        ctx.set(dut.issue.ready, 1)
        assert ctx.get(dut.issue.payload.iteration) == 8
        assert (ctx.get(dut.started), ctx.get(dut.in_flight)) == (1, 0)
        await ctx.tick()
        assert (ctx.get(dut.issue.valid), ctx.get(dut.started), ctx.get(dut.in_flight)) == (0, 0, 1)
        # nobody awaits its start
        assert (ctx.get(dut.starts), ctx.get(dut.ends)) == (0, 0)
        # a completion with another index is not the one awaited
        ctx.set(dut.complete.valid, 1)
        ctx.set(dut.complete.index, 9)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected), ctx.get(dut.ends)) == (0, 1, 0)
        await ctx.tick()
        ctx.set(dut.complete.index, 20)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected), ctx.get(dut.ends)) == (1, 0, 1)
        await ctx.tick()
        # a second one finds nothing in flight
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected), ctx.get(dut.ends)) == (0, 1, 0)
        ctx.set(dut.complete.valid, 0)
        # its completion is being applied: it takes the next choice in the clock after
        ctx.set(dut.choice, 9)
        assert (ctx.get(dut.asks), ctx.get(dut.pick)) == (0, 5)
        await ctx.tick()
        assert (ctx.get(dut.asks), ctx.get(dut.request)) == (1, 0)
        await ctx.tick()
        assert (ctx.get(dut.request), ctx.get(dut.pick), ctx.get(dut.parity)) == (1, 9, 1)

    simulate_block(dut, testbench)


@pytest.mark.parametrize("clocks", [1, 2, 3, 4])
@pytest.mark.parametrize("stands", [0, 2])
def test_an_awaited_start_happens_in_the_clock_after_its_handshake_and_before_the_end(
    clocks: int, stands: int, simulate_block: Callable[..., None]
) -> None:
    dut = IssueSlot(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.choice_valid, 1)
        ctx.set(dut.announce_start, 1)
        await ctx.tick()
        ctx.set(dut.certain, 1)
        for clock in range(stands + 5):
            ctx.set(dut.issue.ready, clock == stands)
            ctx.set(dut.complete.valid, clock == stands + clocks)
            # the start is counted with the grant, the end when the start has happened
            assert ctx.get(dut.even) == ctx.get(dut.shows) == (clock in (0, stands + 2))
            assert ctx.get(dut.starts) == (clock == stands + 1)
            # later if it would not have been counted yet
            assert ctx.get(dut.ends) == (clock == stands + max(3, clocks))
            assert ctx.get(dut.completed) == (clock == stands + clocks)
            await ctx.tick()
            ctx.set(dut.certain, 0)

    simulate_block(dut, testbench)


def test_a_completion_before_the_handshake_is_unexpected(simulate_block: Callable[..., None]) -> None:
    dut = IssueSlot(CONFIG)

    async def testbench(ctx: object) -> None:
        ctx.set(dut.choice_valid, 1)
        ctx.set(dut.complete.valid, 1)
        await ctx.tick()
        ctx.set(dut.certain, 1)
        ctx.set(dut.issue.ready, 1)
        # the clock of the handshake itself is still before
        assert (ctx.get(dut.started), ctx.get(dut.unexpected)) == (1, 1)
        await ctx.tick()
        ctx.set(dut.certain, 0)
        assert (ctx.get(dut.completed), ctx.get(dut.unexpected)) == (1, 0)

    simulate_block(dut, testbench)


@dataclass
class Work:
    """A nano-operation from its grant on, and the clocks of what happens to it."""

    place: int
    index: int
    iteration: int
    announces: bool
    granted: int
    accepted: int | None = None
    completed: int | None = None

    @property
    def ended(self) -> int | None:
        """The clock its completion happens in."""
        if self.completed is None or not self.announces:
            return self.completed
        return max(self.completed, self.accepted + 3)

    @property
    def started(self) -> int | None:
        """The clock its awaited start happens in."""
        return self.accepted + 1 if self.announces and self.accepted is not None else None

    def events(self) -> Iterator[tuple[int, int | None]]:
        """The clock each event is counted in so far, and that it happens in."""
        yield self.granted, self.started if self.announces else self.ended
        if self.started is not None:
            yield self.started + 1, self.ended

    def works(self, clock: int) -> bool:
        return self.granted < clock and (self.ended is None or clock <= self.ended)

    def busy(self, clock: int) -> bool:
        return self.granted < clock and (self.ended is None or clock <= self.ended + 1)

    def pends(self, clock: int) -> bool:
        return any(
            counted + 2 <= clock and (happened is None or clock <= happened) for counted, happened in self.events()
        )


class Loop:
    """What there is to do for the slot in every iteration, and iterations that retire when they like."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.base, self.retired = rng, 0, -9
        self.left = [self._number(), self._number()]

    def _number(self) -> int:
        return self.rng.choice((0, 1, 1, 2, 4))

    def choices(self, clock: int) -> list[int]:
        """Iterations a choice may be of; one that opens shows in the second clock after the retirement."""
        open_ = 2 if clock >= self.retired + 2 else 1
        return [self.base + number for number in range(open_) if self.left[number]]

    def take(self, iteration: int) -> None:
        self.left[iteration - self.base] -= 1

    def retires(self, clock: int, work: Work) -> bool:
        """Whether the older iteration ends; it does so several clocks after the one before, with all that was done."""
        works = work.iteration == self.base and (work.ended is None or clock < work.ended)
        return not self.left[0] and not works and clock >= self.retired + 4 and self.rng.random() < 0.4

    def move_on(self, clock: int) -> None:
        self.base, self.retired, self.left = self.base + 1, clock, [self.left[1], self._number()]


@pytest.mark.parametrize("n", [8, 32])
def test_follows_the_rules_in_every_clock(n: int, simulate_block: Callable[..., None], seed: int) -> None:
    dut = IssueSlot(SchedulerConfig(n_descriptors=n, n_operations=8))
    rng = random.Random(f"{seed} {n}")
    names, announcing = rng.sample(range(n), n), [rng.random() < 0.5 for _ in range(n)]
    loop = Loop(rng)
    seen: Counter[str] = Counter()

    def complete_index(work: Work) -> int:
        """Often that of the work in flight; else another one, also one that differs in a single bit."""
        other = work.index ^ 1 << rng.randrange((n - 1).bit_length())
        return rng.choice((work.index, work.index, work.index, other))

    async def testbench(ctx: object) -> None:
        # nothing yet: as if one had ended long ago
        work = Work(0, 0, 0, False, granted=-9, accepted=-8, completed=-7)
        # what was chosen in the clock before: place and iteration; whether it asks
        chosen, requests = (0, 0), False
        haste = 1.0
        for clock in range(6000):
            if not clock % 100:
                haste = rng.choice((0.1, 0.5, 0.9, 1.0))
            busy = work.busy(clock)
            base, choices = loop.base, loop.choices(clock)
            assert ctx.get(dut.busy) == busy
            assert ctx.get(dut.request) == requests
            place, iteration = (work.place, work.iteration) if busy else chosen
            if busy or requests:
                assert (ctx.get(dut.pick), ctx.get(dut.parity)) == (place, iteration % 2)
            # what is looked up
            pick = ctx.get(dut.pick)
            ctx.set(dut.index, names[pick])
            ctx.set(dut.announce_start, announcing[pick])
            ctx.set(dut.base, base)
            ctx.set(dut.old, base % 2)
            # while it is busy there is no choice but what it stands at, and that is none
            chosen = (pick if busy else rng.randrange(n), rng.choice(choices or [base]))
            valid = bool(choices) and (busy or rng.random() < 0.8)
            ctx.set(dut.choice_valid, valid)
            ctx.set(dut.choice, chosen[0])
            ctx.set(dut.choice_parity, chosen[1] % 2)
            certain, hopeful = (requests and rng.random() < 0.3 for _ in range(2))
            fits, ready, completes = rng.random() < 0.5, rng.random() < haste, rng.random() < haste
            completion = complete_index(work)
            for port, value in (
                (dut.certain, certain),
                (dut.hopeful, hopeful),
                (dut.fits, fits),
                (dut.issue.ready, ready),
                (dut.complete.valid, completes),
                (dut.complete.index, completion),
            ):
                ctx.set(port, value)

            grant = certain or (hopeful and fits)
            in_flight = busy and work.accepted is not None and work.completed is None
            completed = completes and in_flight and completion == work.index
            if completed:
                work.completed = clock
            if grant:
                work = Work(place, names[place], iteration, announcing[place], granted=clock)
                loop.take(iteration)
            offers = grant or (busy and work.accepted is None)
            if offers and ready:
                work.accepted = clock
            retires = loop.retires(clock, work)
            ctx.set(dut.retire, retires)

            assert ctx.get(dut.asks) == (valid and not busy)
            assert ctx.get(dut.grant) == grant
            assert ctx.get(dut.issue.valid) == offers
            if offers:
                assert ctx.get(dut.issue.payload) == {"index": work.index, "iteration": work.iteration}
            assert ctx.get(dut.started) == (offers and ready)
            assert ctx.get(dut.completed) == completed
            assert ctx.get(dut.unexpected) == (completes and not completed)
            starts, ends = work.started == clock, work.ended == clock
            assert (ctx.get(dut.starts), ctx.get(dut.ends)) == (starts, ends)
            counted = any(counted == clock for counted, _ in work.events())
            renews = counted and not grant
            parity, newest = work.iteration % 2, work.iteration > base
            assert (ctx.get(dut.even), ctx.get(dut.odd)) == (counted and not parity, counted and parity)
            assert ctx.get(dut.newest) == (counted and newest)
            assert ctx.get(dut.shows) == (not busy or renews)
            works, pends = work.works(clock), work.pends(clock)
            assert (ctx.get(dut.works_even), ctx.get(dut.works_odd)) == (works and not parity, works and parity)
            assert (ctx.get(dut.pends_older), ctx.get(dut.pends_newer)) == (pends and not newest, pends and newest)
            seen["kept"] += completed and not ends
            seen["end at once"] += ends and clock == work.granted + 1
            seen["grant in the newer, which becomes the older"] += grant and newest and retires
            seen["pends and becomes the older"] += pends and newest and retires
            seen["happens and becomes the older"] += (starts or ends) and newest and retires
            seen["end retires"] += ends and not newest and retires
            seen["again, in the newer"] += renews and newest
            seen["again as it becomes the older"] += renews and newest and retires
            seen["unexpected while busy"] += busy and completes and not completed
            requests = valid and not busy and not grant
            if retires:
                loop.move_on(clock)
            await ctx.tick()

    simulate_block(dut, testbench, limit=6100)
    assert len(seen) == 9 and min(seen.values()) > 3, seen
