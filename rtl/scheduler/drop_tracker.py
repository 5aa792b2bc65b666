"""What was dropped, and what hangs on it."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits, predecessor_fields
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import LoadTable, descriptor_layout, issue_layout, load_layout
from rtl.scheduler.supervision_signature import DROPPED_BITS

__all__ = ["ITERATIONS", "DropTracker"]

ITERATIONS = 4
"""Iterations a row is kept of: those in flight wait for one before and, at most, one after them."""


class DropTracker(wiring.Component):
    """Keep the chunks of every operation and iteration that were dropped, and say of a nano-operation whether it waits
    for some of them; if so it is dropped as well, and noted.

    Rows carry the iteration they are of, so that none has to be emptied when an iteration ends; before the first note
    of a program all are.

    Timing
    ------
    One question at a time, the lowest-numbered unit's first. ``answer`` comes 6 clocks after the clock in which it is
    taken up, for a note 2 clocks; before the first note of a program come as many clocks as there are rows.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load : In, a word the unit takes in this clock
    begin : In(1), a program begins: nothing is dropped
    asks : In(n_units), hold until the answer
    marks : In(n_units), it is not a question but a note
    at : In(issue) of every unit, descriptor and iteration
    answer : Out(n_units), whose answer is there in this clock
    hit : Out(1), it waits for something dropped, or has been noted
    dropping : Out(1), something was dropped
    dropped : Out(32), how many nano-operations
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__(
            {
                "load_valid": In(1),
                "load": In(load_layout(config)),
                "begin": In(1),
                "asks": In(config.n_units),
                "marks": In(config.n_units),
                "at": In(issue_layout(config)).array(config.n_units),
                "answer": Out(config.n_units),
                "hit": Out(1),
                "dropping": Out(1),
                "dropped": Out(DROPPED_BITS),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        self._served = Signal(config.n_units)
        self._at = Signal(issue_layout(config))
        self._descriptor = Signal(descriptor_layout(config))
        self._marks, self._hit = Signal(), Signal()
        self._number = Signal(range(config.n_predecessors))
        self._add, self._sweeping = Signal(), Signal()
        self._copy(m)
        overlaps = self._rows(m)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [self._hit.eq(0), self._number.eq(0), self._swept.eq(0)]
                m.d.sync += self._served.eq(self.asks & ~(self.asks - 1))
                for unit in reversed(range(config.n_units)):
                    with m.If(self.asks[unit]):
                        m.d.sync += [self._at.eq(self.at[unit]), self._marks.eq(self.marks[unit])]
                with m.If(self.asks.any()):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += self._descriptor.as_value().eq(self._read)
                m.next = "WAIT"
                with m.If(self._marks):
                    m.next = "NOTE"
                    with m.If(~self.dropping):
                        m.next = "SWEEP"
            with m.State("SWEEP"):
                m.d.comb += self._sweeping.eq(1)
                m.d.sync += self._swept.eq(self._swept + 1)
                with m.If(self._swept.all()):
                    m.next = "NOTE"
            with m.State("WAIT"):
                m.d.sync += [self._number.eq(self._number + 1), self._hit.eq(self._hit | overlaps)]
                with m.If(self._number == config.n_predecessors - 1):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self._add.eq(self._hit), self.answer.eq(self._served), self.hit.eq(self._hit)]
                m.next = "IDLE"
            with m.State("NOTE"):
                m.d.comb += [self._add.eq(1), self.answer.eq(self._served), self.hit.eq(1)]
                m.next = "IDLE"
        with m.If(self._add):
            m.d.sync += [self.dropping.eq(1), self.dropped.eq(self.dropped + 1)]
        with m.If(self.begin):
            m.d.sync += [self.dropping.eq(0), self.dropped.eq(0)]
        return m

    def _copy(self, m: Module) -> None:
        """The descriptors, by index."""
        size = descriptor_layout(self.config).size
        m.submodules.descriptors = copy = memory.Memory(shape=size, depth=self.config.n_descriptors, init=[])
        write, read = copy.write_port(), copy.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.load_valid & (self.load.table == LoadTable.DESCRIPTOR)),
            write.addr.eq(self.load.address),
            write.data.eq(self.load.data),
            read.addr.eq(self._at.index),
        ]
        self._read = read.data

    def _rows(self, m: Module) -> Value:
        """Dropped chunks; returns whether the wait at hand is for some of them."""
        config, at, descriptor = self.config, self._at, self._descriptor
        operation_bits = index_bits(config.n_operations)
        layout = data.StructLayout({"chunks": config.n_chunks, "iteration": COUNT_BITS})
        rows = memory.Memory(shape=layout, depth=ITERATIONS << operation_bits, init=[])
        m.submodules.rows = rows
        write, read = rows.write_port(), rows.read_port(domain="comb")
        self._swept = Signal(operation_bits + 2)
        names = list(predecessor_fields(config))
        wait = Signal(data.StructLayout(predecessor_fields(config)))
        with m.Switch(self._number):
            for number in range(config.n_predecessors):
                with m.Case(number):
                    fields = [descriptor[f"predecessor{number}_{name}"] for name in names]
                    m.d.comb += wait.as_value().eq(Cat(fields))
        awaited, there = Signal(COUNT_BITS), Signal(config.n_chunks)
        with m.If(self._add):
            m.d.comb += read.addr.eq(Cat(descriptor.operation, at.iteration[:2]))
        with m.Else():
            m.d.comb += read.addr.eq(Cat(wait.operation, awaited[:2]))
        m.d.comb += [
            awaited.eq(at.iteration + wait.layer_offset.as_signed()),
            there.eq(Mux(read.data.iteration == Mux(self._add, at.iteration, awaited), read.data.chunks, 0)),
            write.en.eq(self._add | self._sweeping),
            write.addr.eq(Mux(self._sweeping, self._swept, read.addr)),
            write.data.chunks.eq(Mux(self._sweeping, 0, there | descriptor.chunks)),
            write.data.iteration.eq(at.iteration),
        ]
        return wait.valid & Mux(wait.all, there.any(), (there & descriptor.chunks).any())
