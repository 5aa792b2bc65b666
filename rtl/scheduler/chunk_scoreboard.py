"""Started and done chunks of every operation."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig

__all__ = ["ChunkScoreboard"]


class ChunkScoreboard(wiring.Component):
    """Chunk bitmaps of every operation, event (start or done) and iteration parity.

    An event adds the chunks of its nano-operation to one bitmap and shows the outcome in the same clock. All bitmaps
    of a parity are emptied at once, when its iteration retires; emptying wins over an event of that clock.

    Timing
    ------
    One event a clock; ``row`` and ``full`` are combinational (latency 0) and hold for the clock of the event.
    An event sees all events before it.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_operation, load_chunks : In, writes the union of the chunks of an operation
    valid : In(1), an event is here
    operation, start, parity, chunks : In, its bitmap and the chunks it adds
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
                "valid": In(1),
                "operation": In(operation),
                "start": In(1),
                "parity": In(1),
                "chunks": In(config.n_chunks),
                "row": Out(config.n_chunks),
                "full": Out(1),
                "clear": In(2),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n_operations, n_chunks = self.config.n_operations, self.config.n_chunks
        depth = 1 << index_bits(n_operations)

        m.submodules.expected = expected = memory.Memory(shape=n_chunks, depth=depth, init=[])
        expected_write, expected_read = expected.write_port(), expected.read_port(domain="comb")
        m.submodules.rows = rows = memory.Memory(shape=n_chunks, depth=4 * depth, init=[])
        write, read = rows.write_port(), rows.read_port(domain="comb")
        # a memory cannot be emptied in one clock, so a bit a row says whether the row means anything
        used = Signal(4 * depth)

        address = Cat(self.operation, self.start, self.parity)
        before = Signal(n_chunks)
        m.d.comb += [
            expected_write.en.eq(self.load_valid),
            expected_write.addr.eq(self.load_operation),
            expected_write.data.eq(self.load_chunks),
            expected_read.addr.eq(self.operation),
            read.addr.eq(address),
            before.eq(read.data & used.bit_select(address, 1).replicate(n_chunks)),
            self.row.eq(before | self.chunks),
            self.full.eq((expected_read.data & ~self.row) == 0),
            write.en.eq(self.valid),
            write.addr.eq(address),
            write.data.eq(self.row),
        ]
        with m.If(self.valid):
            m.d.sync += used.bit_select(address, 1).eq(1)
        for parity in range(2):
            with m.If(self.clear[parity]):
                m.d.sync += used[2 * depth * parity : 2 * depth * (parity + 1)].eq(0)
        return m
