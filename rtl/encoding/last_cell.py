"""Recognising a lookup that hits the same cell as the one before it at its level."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding import float_pos_fract, pos_fract

__all__ = ["LastCell"]


class LastCell(wiring.Component):
    """Keep the last cell of each level and compare the next one with it.

    Timing: latency 1 enabled clock, initiation interval 1, also for lookups of one level one behind the other.

    Parameters
    ----------
    config : the engine

    Members
    -------
    en : In(1), the pipeline moves
    clear : In(1), forget all cells: rows or registers change; not while there are lookups
    valid : In(1), there is a lookup
    slot : In(levels_per_engine), its level in this engine
    cell : In(n_pos_dims x 15 bits; 32 with ``fp16``)
    same : Out(1), the lookup's cell is the one before it at its level
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        cell_bits = (float_pos_fract if config.floating else pos_fract).CELL_BITS
        super().__init__(
            {
                "en": In(1),
                "clear": In(1),
                "valid": In(1),
                "slot": In(range(config.levels_per_engine)),
                "cell": In(data.ArrayLayout(unsigned(cell_bits), config.n_pos_dims)),
                "same": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A memory of one row has no address bit, and Yosys writes Verilog for it that reads nothing.
        slots = max(2, self.config.levels_per_engine)
        cell = self.cell.as_value()
        m.submodules.cells = cells = memory.Memory(shape=len(cell), depth=slots, init=[])
        write, read = cells.write_port(), cells.read_port(domain="comb")
        known = Signal(slots)
        m.d.comb += [
            read.addr.eq(self.slot),
            write.addr.eq(self.slot),
            write.data.eq(cell),
            write.en.eq(self.en & self.valid),
        ]
        with m.If(self.en):
            m.d.sync += self.same.eq(self.valid & known.bit_select(self.slot, 1) & (read.data == cell))
            with m.If(self.valid):
                m.d.sync += known.bit_select(self.slot, 1).eq(1)
        with m.If(self.clear):
            m.d.sync += known.eq(0)
        return m
