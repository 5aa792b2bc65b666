"""The order among ready nano-operations."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.oldest_first import OldestFirst
from rtl.scheduler.signature import BANK


def bits(values: list[bool]) -> int:
    return sum(value << place for place, value in enumerate(values))


def banks(place: int | None, n: int) -> list[tuple[int, int]]:
    """A place, or none, as every bank shows it."""
    return [(place // BANK == number, place % BANK) if place is not None and place // BANK == number else (0, 0)
            for number in range(-(-n // BANK))]  # fmt: skip


@pytest.mark.parametrize("n", [8, 32, 64])
def test_priority_then_iteration_then_place(n: int, simulate_block: Callable[..., None], seed: int) -> None:
    rng = random.Random(f"{seed} {n}")
    config = SchedulerConfig(n_descriptors=n, n_operations=n, n_units=3)
    dut = OldestFirst(config)
    seen: Counter[str] = Counter()

    def show_body(ctx: object) -> list[tuple[int, int]]:
        """Load a body: by place, whose it is and of which priority."""
        # also a body of few places, or of a unit that has none
        units = rng.sample(range(config.n_units), rng.randint(1, config.n_units))
        n_used = rng.choice((n, n, rng.randint(1, n)))
        classes = sorted((rng.choice(units), rng.randrange(4)) for _ in range(n_used))
        ends = [place == n_used - 1 or classes[place] != classes[place + 1] for place in range(n_used)]
        unit_begins = [place == 0 or classes[place][0] != classes[place - 1][0] for place in range(n_used)]
        # at the places behind, what is left of the body before
        rest, kept = rng.choice(range(config.n_units)), n - n_used
        for unit in range(config.n_units):
            ctx.set(dut.mine[unit], bits([its == unit for its, _ in classes] + [rest == unit] * kept))
        ctx.set(dut.class_ends, bits(ends))
        ctx.set(dut.unit_begins, bits(unit_begins + [rng.random() < 0.5 for _ in range(kept)]))
        return classes

    def check(ctx: object, classes: list[tuple[int, int]], older: list[bool], newer: list[bool]) -> None:
        assert ctx.get(dut.ready) == bits(older) | bits(newer)
        for unit in range(config.n_units):
            # by priority and place
            of_older, of_newer = (
                [(class_, place) for place, class_ in enumerate(classes) if ready[place] and class_[0] == unit]
                for ready in (older, newer)
            )
            assert ctx.get(dut.valid) >> unit & 1 == bool(of_older or of_newer)
            for found, candidates in ((dut.first_older, of_older), (dut.first_newer, of_newer)):
                place = min(candidates)[1] if candidates else None
                shown = ctx.get(found[unit].banks)
                assert [(bank.any, bank.place) for bank in shown] == banks(place, n)
            # the older one's goes first among those of a priority
            goes_first = bool(of_newer) and (not of_older or min(of_newer)[0] < min(of_older)[0])
            assert ctx.get(dut.is_newer) >> unit & 1 == goes_first
            if of_newer and of_older:
                same = min(of_newer)[0] == min(of_older)[0]
                seen["more urgent"] += goes_first
                seen["less urgent"] += not goes_first and not same
                seen["older before"] += same and min(of_older) < min(of_newer)
                seen["older behind"] += same and min(of_older) > min(of_newer)
            seen["none"] += not of_older and not of_newer

    async def bench(ctx: object) -> None:
        for _ in range(30):
            classes = show_body(ctx)
            shown = None
            for _ in range(30):
                density, share = rng.choice((0.02, 0.1, 0.3, 1.0)), rng.choice((0.1, 0.5, 0.9))
                ready, is_older = ([rng.random() < chance for _ in classes] for chance in (density, share))
                older = [one and first for one, first in zip(ready, is_older, strict=True)]
                newer = [one and not first for one, first in zip(ready, is_older, strict=True)]
                for may, held, ready_ones in (
                    (dut.older, dut.held_older, older),
                    (dut.newer, dut.held_newer, newer),
                ):
                    # what is held back is not ready, whatever else it is
                    holds = [not one and rng.random() < 0.5 for one in ready_ones] + [rng.random() < 0.5] * (
                        n - len(older)
                    )
                    ctx.set(held, bits(holds))
                    ctx.set(may, bits(ready_ones) | bits(holds[: len(older)]) & rng.getrandbits(n))
                if shown:
                    # that of the clock before stands
                    check(ctx, classes, *shown)
                shown = older, newer
                await ctx.tick()
                check(ctx, classes, *shown)
            for port in (dut.older, dut.newer):
                ctx.set(port, 0)
            await ctx.tick()

    simulate_block(dut, bench)
    assert len(seen) == 5 and min(seen.values()) > 10, seen
