"""The registers of the scheduler unit and what one clock does to them (docs/engines/scheduler, "Clock by clock").

Sets of descriptors are integers, one bit a descriptor, so that a clock costs a few dozen integer operations whatever
the size of the program.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from arch.descriptor import PackedProgram
from arch.program import MAX_PREDECESSORS

__all__ = ["Pick", "SchedulerState"]

N_PRIORITIES = 4


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen nano-operation: descriptor and parity of its iteration."""

    index: int
    parity: int


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
        self._load(packed)

        self.base = 0
        self.running = True
        self.free = list(packed.capacities)
        self.busy = [False] * self.n_units
        self.pick: list[Pick | None] = [None] * self.n_units
        self.in_flight: list[Pick | None] = [None] * self.n_units
        self.pending_start = 0
        self.pending_done = 0
        self.event: tuple[bool, int] | None = None
        self.rows: dict[tuple[int, bool, int], int] = {}
        self.met = [[0, 0] for _ in range(MAX_PREDECESSORS)]
        self.issued = [0, 0]
        self.n_done = [0, 0]
        self.ready = [0, 0]
        self.offered = 0
        self._stale = True

    def _load(self, packed: PackedProgram) -> None:
        n = len(self.descriptors)
        everything = (1 << n) - 1
        self.of_unit = [0] * self.n_units
        self.of_priority = [0] * N_PRIORITIES
        # by predecessor number and layer offset: the descriptors that have such a predecessor
        self.with_offset = [{-1: 0, 0: 0, 1: 0} for _ in range(MAX_PREDECESSORS)]
        self.without = [everything] * MAX_PREDECESSORS
        # by operation and event: who listens, as (predecessor number, descriptor bit, chunks that must be there)
        self.listeners: dict[tuple[int, bool], list[tuple[int, int, int]]] = {}
        self.takes_shares = [any(descriptor.shares) for descriptor in self.descriptors]
        for index, descriptor in enumerate(self.descriptors):
            bit = 1 << index
            self.of_unit[descriptor.unit] |= bit
            self.of_priority[descriptor.priority] |= bit
            for number, predecessor in enumerate(descriptor.predecessors):
                self.with_offset[number][predecessor.layer_offset] |= bit
                self.without[number] &= ~bit
                needed = packed.operation_chunks[predecessor.operation] if predecessor.all else descriptor.chunks
                key = (predecessor.operation, predecessor.start)
                self.listeners.setdefault(key, []).append((number, bit, needed))

    def iteration(self, parity: int) -> int:
        """The iteration of that parity in the window."""
        return self.base + ((self.base ^ parity) & 1)

    def step(self, completions: int, accept: Callable[[Mapping[int, Pick]], int] | None = None) -> int:
        """Advance one clock; ``completions`` and the result are unit masks: completion pulses, and handshakes of
        the issue ports, both in this clock. ``accept`` says which of the offers (by unit) are taken, all by default."""
        if self._stale:
            self._find_ready()
            self._stale = False
        granted, starts = self._grant()
        accepted = granted
        if accept is not None:
            accepted = accept({**self._standing(), **{unit: self.pick[unit] for unit in _members(granted)}})
            starts = self._announcing(granted, accepted)
            self.offered = (self.offered | granted) & ~accepted
        picks = [
            None if self.busy[unit] or granted >> unit & 1 else self._best(self.of_unit[unit])
            for unit in range(self.n_units)
        ]
        if self.event is not None:
            self._apply(*self.event)
            self._stale = True
        self.event = self._arbitrate(starts, completions)
        if granted:
            self._take(granted)
        self.pick = picks
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

    def quiet(self, before: list[Pick | None]) -> bool:
        """Whether the last clock, which began with picks ``before``, left nothing to do but to hear completions."""
        return not (self.event or self.pending_start or self._stale) and self.pick == before

    def _find_ready(self) -> None:
        """Combinational: who could be picked, by parity, from the registered met bits."""
        old, new = self.base & 1, ~self.base & 1
        ready_old, ready_new = ~self.issued[old], self.issued[old] & ~self.issued[new]
        old_is_last, new_is_last = self.base == self.last_iteration, self.base + 1 == self.last_iteration
        for number, offsets in enumerate(self.with_offset):
            met, without = self.met[number], self.without[number]
            before, same, after = offsets[-1], offsets[0], offsets[1]
            ready_old &= without | before | same & met[old] | (after if old_is_last else after & met[new])
            ready_new &= without | before & met[old] | same & met[new] | (after if new_is_last else 0)
        self.ready[old] = ready_old & ((1 << len(self.descriptors)) - 1)
        self.ready[new] = 0 if old_is_last else ready_new

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

    def _grant(self) -> tuple[int, int]:
        """Combinational: units whose pick is issued in this clock, and those of them that announce their start."""
        granted, starts, port_taken = 0, 0, False
        for unit, pick in enumerate(self.pick):
            if pick is None:
                continue
            descriptor = self.descriptors[pick.index]
            if self.takes_shares[pick.index]:
                if port_taken or any(share > free for share, free in zip(descriptor.shares, self.free, strict=True)):
                    continue
                port_taken = True
            granted |= 1 << unit
            starts |= descriptor.announce_start << unit
        return granted, starts

    def _take(self, granted: int) -> None:
        for unit in range(self.n_units):
            if not granted >> unit & 1:
                continue
            pick = self.pick[unit]
            self.busy[unit] = True
            self.in_flight[unit] = pick
            self.issued[pick.parity] |= 1 << pick.index
            for pool, share in enumerate(self.descriptors[pick.index].shares):
                self.free[pool] -= share
        self._stale = True

    def _arbitrate(self, starts: int, completions: int) -> tuple[bool, int] | None:
        """Choose the event of the next clock and keep the rest: starts of earlier clocks, then completions; of each
        the lowest unit."""
        waiting, dones = self.pending_start, self.pending_done | completions
        event = None
        if waiting:
            event = (True, (waiting & -waiting).bit_length() - 1)
            waiting &= waiting - 1
        elif dones:
            event = (False, (dones & -dones).bit_length() - 1)
            dones &= dones - 1
        self.pending_start, self.pending_done = waiting | starts, dones
        return event

    def _apply(self, start: bool, unit: int) -> None:
        """Apply an event: scoreboard row, met bits, and for a completion the unit, its credits and the loop."""
        index, parity = self.in_flight[unit].index, self.in_flight[unit].parity
        descriptor = self.descriptors[index]
        key = (descriptor.operation, start)
        row = self.rows.get((*key, parity), 0) | descriptor.chunks
        self.rows[(*key, parity)] = row
        for number, bit, needed in self.listeners.get(key, ()):
            if not needed & ~row:
                self.met[number][parity] |= bit
        if start:
            return
        self.busy[unit] = False
        for pool, share in enumerate(descriptor.shares):
            self.free[pool] += share
        self.n_done[parity] += 1
        if parity == self.base & 1 and self.n_done[parity] == len(self.descriptors):
            self._retire(parity)

    def _retire(self, parity: int) -> None:
        """Close the oldest iteration: its half of the scoreboard serves the one after the next."""
        self.running = self.base != self.last_iteration
        self.base += 1
        self.rows = {key: row for key, row in self.rows.items() if key[2] != parity}
        for met in self.met:
            met[parity] = 0
        self.issued[parity] = 0
        self.n_done[parity] = 0


def _members(mask: int) -> list[int]:
    return [unit for unit in range(mask.bit_length()) if mask >> unit & 1]
