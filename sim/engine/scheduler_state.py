"""The registers of the scheduler unit and what one clock does to them (docs/engines/scheduler, "Clock by clock").

Sets of descriptors are integers, one bit a descriptor, so that a clock costs a few dozen integer operations whatever
the size of the program.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from arch.descriptor import Descriptor, PackedProgram

__all__ = ["Pick", "SchedulerState"]

N_PRIORITIES = 4


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen nano-operation: descriptor and parity of its iteration."""

    index: int
    parity: int


class _Waits:
    """How many awaited events of one iteration have yet to happen, by layer offset and descriptor that waits.

    Parameters
    ----------
    totals : by layer offset, how many events each descriptor waits for
    """

    def __init__(self, totals: Mapping[int, list[int]]) -> None:
        self._totals = totals
        self._all = {
            offset: sum(1 << index for index, n in enumerate(counts) if n) for offset, counts in totals.items()
        }
        self.reset()

    def reset(self) -> None:
        """Nothing of the iteration has happened."""
        self._left = {offset: list(counts) for offset, counts in self._totals.items()}
        self.open = dict(self._all)

    def count(self, offset: int, index: int) -> None:
        """An event happened that descriptor ``index`` waits for."""
        self._left[offset][index] -= 1
        if not self._left[offset][index]:
            self.open[offset] &= ~(1 << index)


class SchedulerState:
    """Clock-exact state of the unit.

    Parameters
    ----------
    packed : the loaded program
    """

    def __init__(self, packed: PackedProgram) -> None:
        descriptors = packed.descriptors
        self.descriptors = descriptors
        self.n_units = packed.config.n_units
        self.last_iteration = packed.count - 1
        self._load()

        self.base = 0
        self.running = True
        self.free = list(packed.capacities)
        self.busy = [False] * self.n_units
        self.pick: list[Pick | None] = [None] * self.n_units
        self.blocked = 0
        self.in_flight: list[Pick | None] = [None] * self.n_units
        # units whose awaited start was accepted in the clock before, and in the one before that; who completed since,
        # too early
        self.raised = 0
        self.settling = 0
        self.deferred = 0
        # starts and completions that are applied in this clock
        self.events = (0, 0)
        self.issued = [0, 0]
        self.n_done = [0, 0]
        self.ready = [0, 0]
        self.offered = 0
        self._stale = True

    def _load(self) -> None:
        n = len(self.descriptors)
        self.of_unit = [0] * self.n_units
        self.of_priority = [0] * N_PRIORITIES
        # by descriptor and whether its start is meant: who waits for that, as (layer offset, descriptor)
        self.waiters: dict[tuple[int, bool], list[tuple[int, int]]] = {}
        totals = {offset: [0] * n for offset in (-1, 0, 1)}
        self.takes_shares = [any(descriptor.shares) for descriptor in self.descriptors]
        for index, descriptor in enumerate(self.descriptors):
            bit = 1 << index
            self.of_unit[descriptor.unit] |= bit
            self.of_priority[descriptor.priority] |= bit
            for other, start, offset in self._awaited(index, descriptor):
                self.waiters.setdefault((other, start), []).append((offset, index))
                totals[offset][index] += 1
        # by parity of the awaited iteration
        self.waits = [_Waits(totals) for _ in range(2)]
        self.waits_for_next = self.waits[0].open[1]

    def _awaited(self, index: int, descriptor: Descriptor) -> set[tuple[int, bool, int]]:
        """What a descriptor waits for: descriptor, whether its start, layer offset. Its own iteration before is left
        out: the iterations of a descriptor are issued in order."""
        return {
            (number, wait.start, wait.layer_offset)
            for wait in descriptor.predecessors
            for number, other in enumerate(self.descriptors)
            if other.operation == wait.operation
            and (wait.all or other.chunks & descriptor.chunks)
            and not (number == index and wait.layer_offset == -1)
        }

    def iteration(self, parity: int) -> int:
        """The iteration of that parity in the window."""
        return self.base + ((self.base ^ parity) & 1)

    def step(self, completions: int, accept: Callable[[Mapping[int, Pick]], int] | None = None) -> int:
        """Advance one clock; ``completions`` and the result are unit masks: completion pulses, and handshakes of
        the issue ports, both in this clock. ``accept`` says which of the offers (by unit) are taken, all by default."""
        if self._stale:
            self._find_ready()
            self._stale = False
        granted, blocked = self._admit()
        accepted = granted
        if accept is not None:
            accepted = accept({**self._standing(), **{unit: self.pick[unit] for unit in _members(granted)}})
            self.offered = (self.offered | granted) & ~accepted
        starts = self._announcing(granted, accepted)
        picks = [
            None if self.busy[unit] or granted >> unit & 1 else self._best(self.of_unit[unit])
            for unit in range(self.n_units)
        ]
        if any(self.events):
            self._apply(*self.events)
            self._stale = True
        early, completed = self.raised | self.settling, completions | self.deferred
        self.events = (self.raised, completed & ~early)
        self.raised, self.settling, self.deferred = starts, self.raised, completed & early
        if granted:
            self._take(granted)
        self.pick, self.blocked = picks, blocked
        return accepted

    def _standing(self) -> dict[int, Pick]:
        """Offers of earlier clocks that were not taken."""
        return {unit: self.in_flight[unit] for unit in _members(self.offered)}

    def _announcing(self, granted: int, accepted: int) -> int:
        """Of those accepted, who announce their start."""
        starts = 0
        for unit in _members(accepted):
            pick = self.pick[unit] if granted >> unit & 1 else self.in_flight[unit]
            starts |= self.descriptors[pick.index].announce_start << unit
        return starts

    def asking(self) -> tuple[list[Pick | None], int]:
        """What the units are chosen for, and who is passed over in the next clock."""
        return self.pick, self.blocked

    def quiet(self, before: tuple[list[Pick | None], int]) -> bool:
        """Whether the last clock, which began with ``before`` (:meth:`asking`), left nothing to do but to hear
        completions."""
        busy = any(self.events) or self.raised or self.settling or self.deferred or self._stale
        return not busy and self.asking() == before

    def _find_ready(self) -> None:
        """Combinational: who could be picked, by parity, from the events that have happened."""
        old, new = self.base & 1, ~self.base & 1
        old_is_last, new_is_last = self.base == self.last_iteration, self.base + 1 == self.last_iteration
        waits_old, waits_new = self.waits[old].open, self.waits[new].open
        ready_old = ~self.issued[old] & ~waits_old[0] & ~(0 if old_is_last else waits_new[1])
        ready_new = self.issued[old] & ~self.issued[new] & ~waits_new[0] & ~waits_old[-1]
        self.ready[old] = ready_old & ((1 << len(self.descriptors)) - 1)
        self.ready[new] = 0 if old_is_last else ready_new & ~(0 if new_is_last else self.waits_for_next)

    def _best(self, mine: int) -> Pick | None:
        """Combinational: the most urgent, then oldest, ready nano-operation of a unit."""
        old = self.base & 1
        ready_old, ready_new = self.ready[old] & mine, self.ready[old ^ 1] & mine
        if not ready_old | ready_new:
            return None
        for urgent in self.of_priority:
            for parity, ready in ((old, ready_old & urgent), (old ^ 1, ready_new & urgent)):
                if ready:
                    return Pick((ready & -ready).bit_length() - 1, parity)
        raise AssertionError("a ready nano-operation has one of the priorities")

    def _admit(self) -> tuple[int, int]:
        """Combinational: units whose pick is issued in this clock, and those that are passed over in the next."""
        granted, blocked, left, fits = 0, 0, self.free, True
        for unit, pick in enumerate(self.pick):
            if pick is None:
                continue
            if not self.takes_shares[pick.index]:
                granted |= 1 << unit
                continue
            shares = self.descriptors[pick.index].shares
            blocked |= any(share > free for share, free in zip(shares, self.free, strict=True)) << unit
            if fits and not self.blocked >> unit & 1:
                after = [free - share for free, share in zip(left, shares, strict=True)]
                fits = min(after) >= 0
                if fits:
                    left = after
                    granted |= 1 << unit
        return granted, blocked

    def _take(self, granted: int) -> None:
        for unit in _members(granted):
            pick = self.pick[unit]
            self.busy[unit] = True
            self.in_flight[unit] = pick
            self.issued[pick.parity] |= 1 << pick.index
            for pool, share in enumerate(self.descriptors[pick.index].shares):
                self.free[pool] -= share
        self._stale = True

    def _apply(self, starts: int, completions: int) -> None:
        """Count what happened for those who wait; a completion also frees its unit and credits and moves the loop."""
        for start, units in ((True, starts), (False, completions)):
            for unit in _members(units):
                pick = self.in_flight[unit]
                for offset, waiter in self.waiters.get((pick.index, start), ()):
                    self.waits[pick.parity].count(offset, waiter)
        for unit in _members(completions):
            pick = self.in_flight[unit]
            self.busy[unit] = False
            for pool, share in enumerate(self.descriptors[pick.index].shares):
                self.free[pool] += share
            self.n_done[pick.parity] += 1
        if self.n_done[self.base & 1] == len(self.descriptors):
            self._retire(self.base & 1)

    def _retire(self, parity: int) -> None:
        """Close the oldest iteration: its half of the counts serves the one after the next."""
        self.running = self.base != self.last_iteration
        self.base += 1
        self.waits[parity].reset()
        self.issued[parity] = 0
        self.n_done[parity] = 0


def _members(mask: int) -> list[int]:
    return [unit for unit in range(mask.bit_length()) if mask >> unit & 1]
