"""Partial sums of the row tiles of a layer."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import ACCUMULATE_CYCLES, MlpEngineConfig

__all__ = ["Accumulator"]


class Accumulator(Component):
    """Add the array's sums of one row tile to those of the row tiles before it, vector by vector.

    Passes with ``starts_sum`` begin new sums; passes with ``ends_sum`` hand the sums out, all others keep them in a
    memory of ``nano_batch x cols`` accumulators. An engine as wide as its widest layer has no such memory.

    *Timing*: ``valid`` and ``first`` announce a vector of sums one clock before it stands at ``i``; ``o`` follows
    ``ACCUMULATE_CYCLES`` behind ``i``. ``starts_sum`` and ``ends_sum`` are taken with ``first``. Initiation interval
    1, no stall. Passes over the same nano-batch must be 3 clocks long or more.

    *Numerics*: ``accumulator_bits``, exact.

    Parameters
    ----------
    config : the engine

    Members
    -------
    valid, first : In(1), a vector comes next clock; it is the first of its pass
    starts_sum, ends_sum : In(1)
    i : In(signed(partial_sum_bits)) of each column
    o_valid, o_first : Out(1), with ``o``
    o : Out(signed(accumulator_bits)) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        assert ACCUMULATE_CYCLES == 1
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "starts_sum": In(1),
                "ends_sum": In(1),
                "i": In(signed(config.partial_sum_bits)).array(config.cols),
                "o_valid": Out(1),
                "o_first": Out(1),
                "o": Out(signed(config.profile.accumulator_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        index, r_index = Signal(range(config.nano_batch)), Signal(range(config.nano_batch))
        valid, first, starts_sum, ends_sum = Signal(), Signal(), Signal(), Signal()
        m.d.comb += r_index.eq(Mux(self.first, 0, index))
        m.d.sync += [valid.eq(self.valid), first.eq(self.first)]
        with m.If(self.valid):
            m.d.sync += index.eq(r_index + 1)
        with m.If(self.first):
            m.d.sync += [starts_sum.eq(self.starts_sum), ends_sum.eq(self.ends_sum)]
        m.d.sync += [self.o_valid.eq(valid & ends_sum), self.o_first.eq(first & ends_sum)]
        before = [0] * config.cols
        if config.max_width > config.rows:
            bits = config.profile.accumulator_bits
            shape = data.ArrayLayout(unsigned(bits), config.cols)
            m.submodules.memory = memory = Memory(shape=shape, depth=config.nano_batch, init=[])
            read, write = memory.read_port(), memory.write_port()
            w_index, s_index, w_en = Signal.like(index), Signal.like(index), Signal()
            m.d.sync += [s_index.eq(r_index), w_index.eq(s_index), w_en.eq(valid & ~ends_sum)]
            m.d.comb += [
                read.en.eq(self.valid),
                read.addr.eq(r_index),
                write.en.eq(w_en),
                write.addr.eq(w_index),
            ]
            for c in range(config.cols):
                m.d.comb += write.data[c].eq(self.o[c])
                before[c] = Mux(starts_sum, 0, read.data[c].as_signed())
        with m.If(valid):
            for c in range(config.cols):
                m.d.sync += self.o[c].eq(self.i[c] + before[c])
        return m
