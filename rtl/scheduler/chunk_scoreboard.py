"""Started and done chunks of every operation."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.event_arbiter import of_lowest

__all__ = ["ChunkScoreboard"]


class ChunkScoreboard(wiring.Component):
    """Chunk bitmaps of every operation, event (start or done) and iteration parity.

    An event adds the chunks of its nano-operation to one bitmap. That takes two clocks, since an event is known late in
    its first: in that one every unit's bitmap is looked up, its chunks are added, and ``asks`` takes one of them; in
    the second it is shown and, if it was an event, written. All bitmaps of a parity are emptied at once, when its
    iteration retires; emptying wins over an event of that clock.

    Timing
    ------
    One event a clock; latency 1: ``row`` is a register and ``full`` combinational from it in the clock after
    ``asks``, that of ``valid``. An event sees all events before it.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_operation, load_chunks : In, writes the union of the chunks of an operation
    operation, start, parity, chunks : In, of every unit, the bitmap an event of it would change, and what it adds
    asks : In(n_units), units that may have an event; it is the lowest-numbered one's
    valid : In(1), one asked in the clock before
    row : Out(n_chunks), the bitmap with the chunks added
    full : Out(1), whether it then holds every chunk of the operation
    clear : In(2), empties all bitmaps of the parities whose bit is set
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        operation = index_bits(config.n_operations)
        super().__init__(
            {
                "load_valid": In(1),
                "load_operation": In(operation),
                "load_chunks": In(config.n_chunks),
                "operation": In(operation).array(config.n_units),
                "start": In(1).array(config.n_units),
                "parity": In(1).array(config.n_units),
                "chunks": In(config.n_chunks).array(config.n_units),
                "asks": In(config.n_units),
                "valid": In(1),
                "row": Out(config.n_chunks),
                "full": Out(1),
                "clear": In(2),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config, n_chunks = self.config, self.config.n_chunks
        depth = 1 << index_bits(config.n_operations)
        address = Signal(index_bits(config.n_operations) + 2)
        m.submodules.expected = expected = memory.Memory(shape=n_chunks, depth=depth, init=[])
        expected_write = expected.write_port()
        banks = [self._add_bank(m, number, address) for number in range(4)]

        whole = Signal(n_chunks)
        rows, addresses, wholes = [], [], []
        for unit in range(config.n_units):
            looked_up, row = Signal(len(address), name=f"looked_up{unit}"), Signal(n_chunks, name=f"row{unit}")
            again = Signal(name=f"again{unit}")
            expected_read = expected.read_port(domain="comb")
            m.d.comb += [
                expected_read.addr.eq(self.operation[unit]),
                looked_up.eq(Cat(self.operation[unit], self.start[unit], self.parity[unit])),
                # the memory does not have yet what the event of this clock writes
                again.eq(self.valid & (looked_up == address)),
                row.eq(self._look_up(unit, banks, m) | self.chunks[unit] | self.row & again.replicate(n_chunks)),
            ]
            rows.append(row)
            addresses.append(looked_up)
            wholes.append(expected_read.data)
        m.d.sync += [
            self.row.eq(of_lowest(self.asks, rows)),
            address.eq(of_lowest(self.asks, addresses)),
            whole.eq(of_lowest(self.asks, wholes)),
        ]
        m.d.comb += [
            expected_write.en.eq(self.load_valid),
            expected_write.addr.eq(self.load_operation),
            expected_write.data.eq(self.load_chunks),
            self.full.eq((whole & ~self.row) == 0),
        ]
        return m

    def _add_bank(self, m: Module, number: int, address: Signal) -> tuple[memory.Memory, Signal]:
        """The bitmaps of an event and a parity, and the age of those that mean anything.

        A memory cannot be emptied in one clock. So a bitmap has an age, which emptying changes: every iteration writes
        every bitmap, thus one of another age is from the iteration before the last.
        """
        config, operation_bits = self.config, len(self.load_operation)
        layout = data.StructLayout({"chunks": config.n_chunks, "age": 1, "written": 1})
        bank = memory.Memory(shape=layout, depth=1 << operation_bits, init=[])
        m.submodules[f"bank{number}"] = bank
        age = Signal(name=f"age{number}")
        write = bank.write_port()
        with m.If(self.clear[number >> 1]):
            m.d.sync += age.eq(~age)
        with m.If(self.load_valid):
            m.d.comb += [write.en.eq(1), write.addr.eq(self.load_operation), write.data.written.eq(0)]
        with m.Else():
            m.d.comb += [
                write.en.eq(self.valid & (address[operation_bits:] == number)),
                write.addr.eq(address),
                write.data.chunks.eq(self.row),
                write.data.age.eq(age),
                write.data.written.eq(1),
            ]
        return bank, age

    def _look_up(self, unit: int, banks: list[tuple[memory.Memory, Signal]], m: Module) -> Value:
        """What a unit's bitmap holds. Every bank is asked before one is chosen, which is shorter."""
        held = 0
        for number, (bank, age) in enumerate(banks):
            read = bank.read_port(domain="comb")
            counts = Signal(name=f"counts{unit}_{number}")
            m.d.comb += [
                read.addr.eq(self.operation[unit]),
                counts.eq(
                    (Cat(self.start[unit], self.parity[unit]) == number) & read.data.written & (read.data.age == age)
                ),
            ]
            held |= read.data.chunks & counts.replicate(self.config.n_chunks)
        return held
