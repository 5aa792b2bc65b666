"""The two banks from which results leave."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.activation_memory import ActivationMemory, ActivationMemorySignature
from rtl.streams import VectorLayout

__all__ = ["OutputBuffer"]


class OutputBuffer(Component):
    """Hold the last layer's activations until the sink has taken them, one bank filling while the other leaves.

    A bank leaves while its last column tile is still being written: the writer is ahead and never slower.
    Values past the last column tile leave as 0.

    *Timing*: ``o.valid`` ``STREAM_CYCLES`` behind the first write of the last column tile (``opens``), then one
    vector a clock for a sink that is always ready. A bank is free when its last vector has been read.

    Parameters
    ----------
    config : the engine

    Members
    -------
    take : In(1), the bank ``bank`` is taken; ``free`` tells whether it may be
    free, bank : Out, the bank to be filled next
    w_en, w_bank, w_index, w_data : In, write port (ActivationMemory's)
    opens : In(1), with the first write of the last column tile; the next three belong to it
    n, last, col_tile : In, vectors in the bank, whether they end a run, number of the last column tile
    empty : Out(1), no bank taken and nothing offered
    o : Out(stream of VectorLayout(max_width, value_bits))
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        memory = ActivationMemorySignature(config).members
        super().__init__(
            {
                "take": In(1),
                "free": Out(1),
                "bank": Out(1),
                **{name: memory[name] for name in ("w_en", "w_bank", "w_index", "w_data")},
                "opens": In(1),
                "n": In(range(config.nano_batch + 1)),
                "last": In(1),
                "col_tile": In(range(max(2, config.max_width // config.cols))),
                "empty": Out(1),
                "o": Out(stream.Signature(VectorLayout(config.max_width, config.profile.value_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.memory = memory = ActivationMemory(config)
        taken, leaving = Signal(2), Signal(2)
        n = Array(Signal.like(self.n, name=f"n_{bank}") for bank in range(2))
        last = Array(Signal(name=f"last_{bank}") for bank in range(2))
        col_tile = Array(Signal.like(self.col_tile, name=f"col_tile_{bank}") for bank in range(2))
        r_bank, r_index, o_col_tile = Signal(), Signal(range(config.nano_batch)), Signal.like(self.col_tile)
        advance = ~self.o.valid | self.o.ready
        read, ends = Signal(), Signal()
        m.d.comb += [
            read.eq(advance & leaving.bit_select(r_bank, 1)),
            ends.eq(r_index + 1 == n[r_bank]),
            self.free.eq(~taken.bit_select(self.bank, 1)),
            self.empty.eq((taken == 0) & ~self.o.valid),
            memory.w_en.eq(self.w_en),
            memory.w_bank.eq(self.w_bank),
            memory.w_index.eq(self.w_index),
            memory.w_data.eq(self.w_data),
            memory.r_en.eq(read),
            memory.r_bank.eq(r_bank),
            memory.r_index.eq(r_index),
        ]
        for lane in range(config.n_lanes):
            tile = lane * config.lane_values // config.cols
            values = self.o.payload.values.as_value().word_select(lane, len(memory.r_data[lane]))
            with m.If(o_col_tile >= tile):
                m.d.comb += values.eq(memory.r_data[lane])
        with m.If(self.take):
            m.d.sync += [taken.bit_select(self.bank, 1).eq(1), self.bank.eq(~self.bank)]
        with m.If(self.opens):
            m.d.sync += [
                leaving.bit_select(self.w_bank, 1).eq(1),
                n[self.w_bank].eq(self.n),
                last[self.w_bank].eq(self.last),
                col_tile[self.w_bank].eq(self.col_tile),
            ]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(read)
        with m.If(read):
            m.d.sync += [
                self.o.payload.last.eq(last[r_bank] & ends),
                o_col_tile.eq(col_tile[r_bank]),
                r_index.eq(r_index + 1),
            ]
            with m.If(ends):
                m.d.sync += [
                    r_index.eq(0),
                    r_bank.eq(~r_bank),
                    leaving.bit_select(r_bank, 1).eq(0),
                    taken.bit_select(r_bank, 1).eq(0),
                ]
        return m
