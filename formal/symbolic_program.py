"""A program the solver chooses: every field a free constant, with the rules of ``arch.program`` as assumptions."""

import itertools

from amaranth.asserts import AnyConst
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from arch.descriptor import control_fields
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import LoadTable, descriptor_layout

__all__ = ["OFFSETS", "SymbolicProgram"]

OFFSETS = {"same": 0, "before": -1, "after": 1}
"""Layer offsets by the names of a column's parts."""

_RANK_BITS = 5


class SymbolicProgram:
    """Descriptors, chunks of the operations and control word of a program with ``n_nanos`` nano-operations at most.

    Every descriptor is free but for what a register cannot hold: numbers of operations and units exist, and only the
    first ``n_predecessors`` of the four predecessors are used, to keep the problem small. The iterations are free from
    1 to ``max_count``.

    Parameters
    ----------
    config : the scheduler unit
    n_nanos, n_predecessors, max_count : bounds
    """

    def __init__(self, config: SchedulerConfig, *, n_nanos: int, n_predecessors: int, max_count: int) -> None:
        self.config, self.n_nanos, self.n_predecessors, self.max_count = config, n_nanos, n_predecessors, max_count
        layout = descriptor_layout(config)
        self.words = [AnyConst(layout.size) for _ in range(n_nanos)]
        self.descriptors = [data.View(layout, Signal(layout.size, name=f"nano{n}")) for n in range(n_nanos)]
        self.operation_chunks = [Signal(config.n_chunks, name=f"chunks_of{row}") for row in range(config.n_operations)]
        control = data.StructLayout(control_fields(config))
        self.control = data.View(control, Signal(control.size, name="program_control"))
        self._control_word = AnyConst(control.size)

    @property
    def count(self) -> Value:
        """Iterations of the body."""
        return self.control.count

    def exists(self, index: int) -> Value:
        """Whether there is a nano-operation ``index``."""
        return index <= self.control.last

    def connect(self, m: Module) -> Value:
        """Tie names to the free constants; returns what holds of every program that can be loaded at all."""
        config = self.config
        m.d.comb += self.control.as_value().eq(self._control_word)
        rules = [self.control.last < self.n_nanos, self.count >= 1, self.count <= self.max_count]
        for index, (descriptor, word) in enumerate(zip(self.descriptors, self.words, strict=True)):
            m.d.comb += descriptor.as_value().eq(word)
            rules += [descriptor.operation < config.n_operations, descriptor.unit < config.n_units]
            for number in range(config.n_predecessors):
                valid, operation, offset = self.predecessor(index, number)[:3]
                rules += [operation < config.n_operations, offset != -2]
                if number >= self.n_predecessors:
                    rules.append(~valid)
        for row, chunks in enumerate(self.operation_chunks):
            m.d.comb += chunks.eq(
                _union(
                    Mux(self.exists(n) & (nano.operation == row), nano.chunks, 0)
                    for n, nano in enumerate(self.descriptors)
                )
            )
        return Cat(rules).all()

    def in_order_of_choice(self) -> Value:
        """Descriptors come by unit, then priority, as the unit wants them loaded."""
        keys = [Cat(nano.priority, nano.unit) for nano in self.descriptors]
        pairs = enumerate(itertools.pairwise(keys), start=1)
        return Cat(~self.exists(index) | (before <= after) for index, (before, after) in pairs).all()

    def predecessor(self, index: int, number: int) -> tuple[Value, Value, Value, Value, Value]:
        """(valid, operation, layer_offset, start, all) of a predecessor."""
        descriptor = self.descriptors[index]
        names = ("valid", "operation", "layer_offset", "start", "all")
        valid, operation, offset, start, everything = (descriptor[f"predecessor{number}_{name}"] for name in names)
        return valid, operation, offset.as_signed(), start, everything

    def needed(self, index: int, number: int) -> Value:
        """Chunks a nano-operation waits for by one of its predecessors."""
        _, operation, _, _, everything = self.predecessor(index, number)
        of_operation = _union(Mux(operation == row, chunks, 0) for row, chunks in enumerate(self.operation_chunks))
        return Mux(everything, of_operation, self.descriptors[index].chunks)

    def waits(self, index: int, awaited: int, offset: int, start: int) -> Value:
        """Whether the matrix has a nano-operation wait for another one's start, or for its end: not for the start
        if for the end as well, and not for its own iteration before."""
        nano, other = self.descriptors[index], self.descriptors[awaited]
        found = [0, 0]
        for number in range(self.n_predecessors):
            valid, operation, layer_offset, of_start, everything = self.predecessor(index, number)
            meets = (operation == other.operation) & (everything | (other.chunks & nano.chunks).any())
            named = valid & meets & (layer_offset == offset)
            found = [found[0] | named & ~of_start, found[1] | named & of_start]
        if index == awaited and offset == -1:
            return Const(0)
        return found[1] & ~found[0] if start else found[0]

    def legal(self) -> Value:
        """What ``arch.program.Program`` accepts of names, chunks and shares, beyond :meth:`connect`."""
        rules: list[Value] = []
        for index, nano in enumerate(self.descriptors):
            here = self.exists(index)
            rules.append(nano.chunks.any())
            rules += [nano[f"share{pool}"] <= self.control[f"capacity{pool}"] for pool in range(self.config.n_pools)]
            awaited: list[Value] = []
            for other_index, other in enumerate(self.descriptors):
                there = self.exists(other_index)
                if other_index < index:
                    overlap = (other.operation == nano.operation) & (other.chunks & nano.chunks).any()
                    rules.append(~(here & there & overlap))
                for number in range(self.n_predecessors):
                    valid, operation, _, start, _ = self.predecessor(other_index, number)
                    awaited.append(there & valid & start & (operation == nano.operation))
            # who is waited for at its start must say when it starts
            rules.append(nano.announce_start == Cat(awaited).any())
            for number in range(self.n_predecessors):
                valid, operation, _, _, everything = self.predecessor(index, number)
                chunks = _union(Mux(operation == row, chunks, 0) for row, chunks in enumerate(self.operation_chunks))
                rules.append(~(here & valid) | Mux(everything, chunks.any(), ~(nano.chunks & ~chunks).any()))
        return Cat(rules).all()

    def free_of_circles(self, m: Module) -> Value:
        """There are ranks that grow along every wait, as ``arch.program`` has it."""
        n = self.n_nanos + 3
        ranks = [Signal(_RANK_BITS, name=f"rank{number}") for number in range(self.n_nanos + 1)]
        m.d.comb += [rank.eq(AnyConst(_RANK_BITS)) for rank in ranks]
        end = ranks[-1]
        rules: list[Value] = []
        for index, nano in enumerate(self.descriptors):
            here, rank = self.exists(index), ranks[index]
            rules += [~here | (end >= rank + 1), ~here | (rank + (2 * n - 1) >= end)]
            for other_index, other in enumerate(self.descriptors):
                for number in range(self.n_predecessors):
                    valid, operation, offset, _, everything = self.predecessor(index, number)
                    meets = (operation == other.operation) & (everything | (other.chunks & nano.chunks).any())
                    weight = Mux(offset == 0, 1, Mux(offset == 1, n + 1, 1 - n))
                    grows = _wide(rank) >= _wide(ranks[other_index]) + weight
                    rules.append(~(here & self.exists(other_index) & valid & meets) | grows)
        return Cat(rules).all()

    def load(self, m: Module, load: object) -> Value:
        """Send the program through the load port, word by word; returns whether all of it has been taken. In the clock
        of a descriptor beyond the last nothing is sent."""
        words = [(LoadTable.DESCRIPTOR, index, nano.as_value()) for index, nano in enumerate(self.descriptors)]
        words += [(LoadTable.OPERATION, row, chunks) for row, chunks in enumerate(self.operation_chunks)]
        words += [(LoadTable.CONTROL, 0, self.control.as_value())]
        step, skips = Signal(range(len(words) + 1)), Signal()
        with m.Switch(step):
            for number, (table, address, word) in enumerate(words):
                with m.Case(number):
                    if number < self.n_nanos:
                        m.d.comb += skips.eq(~self.exists(number))
                    m.d.comb += [
                        load.valid.eq(~skips),
                        load.payload.table.eq(table),
                        load.payload.address.eq(address),
                        load.payload.data.eq(word),
                    ]
        with m.If(skips | load.valid & load.ready):
            m.d.sync += step.eq(step + 1)
        return step == len(words)


def _wide(value: Value) -> Value:
    """An unsigned value as a signed one that a weight can be added to."""
    return Cat(value, 0).as_signed()


def _union(values: object) -> Value:
    result = 0
    for value in values:
        result = result | value
    return result
