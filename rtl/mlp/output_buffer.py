"""The two banks from which results leave."""

from functools import reduce
from operator import or_

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
    Lanes that no layer has written leave as 0.

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
    opens : In(1), with the first write of the last column tile; ``n`` and ``last`` belong to it
    n, last : In, vectors in the bank, whether they end a run
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
                "empty": Out(1),
                "o": Out(stream.Signature(VectorLayout(config.max_width, config.profile.value_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.memory = memory = ActivationMemory(config)
        taken, leaving = Signal(2), Signal(2)
        last_index = Array(Signal(range(config.nano_batch), name=f"last_index_{bank}") for bank in range(2))
        last = Array(Signal(name=f"last_{bank}") for bank in range(2))
        written = Array(Signal(config.n_lanes, name=f"written_{bank}") for bank in range(2))
        r_bank, r_index, o_written = Signal(), Signal(range(config.nano_batch)), Signal(config.n_lanes)
        o_point = Signal(range(max(2, config.point_banks)))
        advance = ~self.o.valid | self.o.ready
        read, ends = Signal(), Signal()
        m.d.comb += [
            read.eq(advance & leaving.bit_select(r_bank, 1)),
            ends.eq(r_index == last_index[r_bank]),
            self.free.eq(~taken.bit_select(self.bank, 1)),
            self.empty.eq((taken == 0) & ~self.o.valid),
            memory.w_en.eq(self.w_en),
            memory.w_bank.eq(self.w_bank),
            memory.w_index.eq(self.w_index),
            memory.w_data.eq(self.w_data),
            memory.r_en.eq(read),
            memory.r_bank.eq(r_bank),
            memory.r_index.eq(r_index // config.point_banks),
        ]
        vector = Signal(config.max_width * config.profile.value_bits)
        m.d.comb += vector.eq(memory.r_data.as_value().word_select(o_point, len(vector)))
        lane_bits = config.lane_values * config.profile.value_bits
        for lane in range(config.n_lanes):
            with m.If(o_written[lane]):
                values = self.o.payload.values.as_value().word_select(lane, lane_bits)
                m.d.comb += values.eq(vector.word_select(lane, lane_bits))
        lanes = reduce(or_, (self.w_en.word_select(bank, config.n_lanes) for bank in range(config.point_banks)))
        m.d.sync += written[self.w_bank].eq(written[self.w_bank] | lanes)
        with m.If(self.take):
            m.d.sync += written[self.bank].eq(0)
            m.d.sync += [taken.bit_select(self.bank, 1).eq(1), self.bank.eq(~self.bank)]
        with m.If(self.opens):
            m.d.sync += [
                leaving.bit_select(self.w_bank, 1).eq(1),
                last_index[self.w_bank].eq(self.n - 1),
                last[self.w_bank].eq(self.last),
            ]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(read)
        with m.If(read):
            m.d.sync += [
                self.o.payload.last.eq(last[r_bank] & ends),
                o_written.eq(written[r_bank]),
                o_point.eq(r_index % config.point_banks),
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
