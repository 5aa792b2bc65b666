"""Cycle model of the load checker: the verdict and the clock of ``rtl/scheduler/load_checker.py``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from arch.descriptor import Descriptor, PackedProgram, PredecessorField, index_bits
from arch.load_check import Arrival, LoadFault, Verdict, check_order
from arch.program import MAX_PREDECESSORS
from arch.scheduler import SchedulerConfig

__all__ = ["CheckTimeline", "check_clocks", "max_check_clk"]

_OWN_CLK = 3
_OPERATION_CLK = 2
_READ_CLK = 2
"""A descriptor is fetched, and what its first wait needs is read, before the wait is tried: one wait a clock."""


@dataclass(frozen=True, kw_only=True)
class CheckTimeline:
    """What the checker says and when.

    Parameters
    ----------
    verdict : accepted or not
    clocks : from the clock of ``check`` to that of ``accepted`` or ``refused``
    """

    verdict: Verdict
    clocks: int


def max_check_clk(config: SchedulerConfig) -> int:
    """Most clocks a check can take, on any words.

    Every sweep but the last issues a nano-operation of one of the two iterations, and visits each once.
    """
    n = config.n_descriptors
    sweep = 2 * n * (_READ_CLK + MAX_PREDECESSORS + 1)
    passes = n * _OWN_CLK + config.n_operations * _OPERATION_CLK + n * (_READ_CLK + MAX_PREDECESSORS)
    return _clear_clk(config) + passes + (2 * n + 1) * (sweep + 1) + 1


def check_clocks(packed: PackedProgram, arrival: Sequence[Arrival] | None = None) -> CheckTimeline:
    """Check ``packed``, which may hold any words; ``arrival`` as ``arch.load_check.check_packed`` has it."""
    return _Check(packed, arrival).run()


def _clear_clk(config: SchedulerConfig) -> int:
    return 4 << max(index_bits(config.n_operations), index_bits(config.n_descriptors) - 1)


class _Check:
    """One check: walks the words as the hardware does and counts clocks."""

    def __init__(self, packed: PackedProgram, arrival: Sequence[Arrival] | None) -> None:
        self._packed, self._arrival = packed, arrival
        self._n = len(packed.descriptors)
        self._clocks = 0
        self._unions = [0] * (1 << index_bits(packed.config.n_operations))
        self._silent: set[int] = set()
        self._rows: list[list[int]] = [list(self._unions), list(self._unions)]
        self._issued: list[set[int]] = [set(), set()]
        self._ahead = False

    def run(self) -> CheckTimeline:
        for step in (self._control, self._own, self._operations, self._waits, self._circles):
            for verdict in step():
                return CheckTimeline(verdict=verdict, clocks=self._clocks + 1)
        return CheckTimeline(verdict=Verdict(fault=LoadFault.NONE), clocks=self._clocks + 1)

    def _control(self) -> Iterator[Verdict]:
        self._clocks += _clear_clk(self._packed.config)
        if self._packed.count == 0:
            yield Verdict(fault=LoadFault.COUNT)
        yield from check_order(self._packed, self._arrival)

    def _own(self) -> Iterator[Verdict]:
        config = self._packed.config
        for index, descriptor in enumerate(self._packed.descriptors):
            self._clocks += _OWN_CLK
            if not descriptor.chunks:
                yield Verdict(fault=LoadFault.NO_CHUNKS, index=index)
            if descriptor.unit >= config.n_units:
                yield Verdict(fault=LoadFault.UNIT, index=index)
            if descriptor.operation >= config.n_operations:
                yield Verdict(fault=LoadFault.OPERATION, index=index)
            if any(share > most for share, most in zip(descriptor.shares, self._packed.capacities, strict=True)):
                yield Verdict(fault=LoadFault.SHARE, index=index)
            if self._unions[descriptor.operation] & descriptor.chunks:
                yield Verdict(fault=LoadFault.OVERLAP, index=index)
            self._unions[descriptor.operation] |= descriptor.chunks
            if not descriptor.announce_start:
                self._silent.add(descriptor.operation)

    def _operations(self) -> Iterator[Verdict]:
        loaded = self._packed.operation_chunks
        for row in range(self._packed.config.n_operations):
            self._clocks += _OPERATION_CLK
            if self._unions[row] and self._unions[row] != (loaded[row] if row < len(loaded) else 0):
                yield Verdict(fault=LoadFault.OPERATION_CHUNKS, index=row)

    def _waits(self) -> Iterator[Verdict]:
        for index, descriptor in enumerate(self._packed.descriptors):
            self._clocks += _READ_CLK
            for wait in _slots(descriptor):
                self._clocks += 1
                if wait is None:
                    continue
                union = self._unions[wait.operation]
                if not union:
                    yield Verdict(fault=LoadFault.AWAITED_OPERATION, index=index)
                if wait.layer_offset == -2:
                    yield Verdict(fault=LoadFault.LAYER_OFFSET, index=index)
                if not wait.all and descriptor.chunks & ~union:
                    yield Verdict(fault=LoadFault.AWAITED_CHUNKS, index=index)
                if wait.start and wait.operation in self._silent:
                    yield Verdict(fault=LoadFault.ANNOUNCE, index=index)
                self._ahead |= wait.layer_offset == 1

    def _circles(self) -> Iterator[Verdict]:
        parities = (0, 1) if self._ahead else (0,)
        while True:
            missed, progress = None, False
            for index, descriptor in enumerate(self._packed.descriptors):
                for newer in parities:
                    self._clocks += _READ_CLK
                    if index in self._issued[newer]:
                        continue
                    if self._try(descriptor, newer):
                        self._issued[newer].add(index)
                        progress = True
                    elif not newer and missed is None:
                        missed = index
            self._clocks += 1
            if missed is None:
                return
            if not progress:
                yield Verdict(fault=LoadFault.CIRCLE, index=missed)

    def _try(self, descriptor: Descriptor, newer: int) -> bool:
        """Try the waits in order, up to the first that is not met; issue if all are."""
        for wait in _slots(descriptor):
            self._clocks += 1
            if wait is not None and not self._met(descriptor, newer, wait):
                return False
        self._clocks += 1
        self._rows[newer][descriptor.operation] |= descriptor.chunks
        return True

    def _met(self, descriptor: Descriptor, newer: int, wait: PredecessorField) -> bool:
        iteration = newer + wait.layer_offset
        needed = self._unions[wait.operation] if wait.all else descriptor.chunks
        return iteration < 0 or (iteration < 2 and not needed & ~self._rows[iteration][wait.operation])


def _slots(descriptor: Descriptor) -> Iterator[PredecessorField | None]:
    """The four predecessor fields; the hardware walks over empty ones too."""
    yield from descriptor.predecessors
    yield from [None] * (MAX_PREDECESSORS - len(descriptor.predecessors))
