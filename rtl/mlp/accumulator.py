"""Partial sums of the row tiles of a layer."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import ACCUMULATE_CYCLES, MlpEngineConfig
from rtl.delay_line import DelayLine

__all__ = ["ANNOUNCED", "Accumulator"]

ANNOUNCED = 2
"""Clocks from the announcement of a vector to its sums: the memory, then the register in front of the adder."""


class Accumulator(Component):
    """Add the array's sums of one row tile to those of the row tiles before it, vector by vector.

    Passes with ``starts_sum`` begin new sums; passes with ``ends_sum`` hand the sums out, all others keep them in a
    memory of ``nano_batch x cols`` accumulators. An engine as wide as its widest layer has no such memory.

    *Timing*: ``valid`` and ``first`` announce a vector of sums ``ANNOUNCED`` clocks before it stands at ``i``, so that
    the sums before it pass a register between memory and adder; ``o`` follows ``ACCUMULATE_CYCLES`` behind ``i``.
    ``starts_sum`` and ``ends_sum`` are taken with ``first``. Initiation interval 1, no stall. Passes over the same
    nano-batch must be 4 clocks long or more.

    *Numerics*: ``accumulator_bits``, exact.

    Parameters
    ----------
    config : the engine

    Members
    -------
    valid, first : In(1), a vector comes ``ANNOUNCED`` clocks later; it is the first of its pass
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
        valid, first = Signal(ANNOUNCED), Signal(ANNOUNCED)  # bit 0: one clock behind the announcement
        starts_sum, ends_sum, ends = Signal(), Signal(), Signal()
        m.d.comb += r_index.eq(Mux(self.first, 0, index))
        m.d.sync += [valid.eq(valid << 1 | self.valid), first.eq(first << 1 | self.first), ends.eq(ends_sum)]
        with m.If(self.valid):
            m.d.sync += index.eq(r_index + 1)
        with m.If(self.first):
            m.d.sync += [starts_sum.eq(self.starts_sum), ends_sum.eq(self.ends_sum)]
        m.d.sync += [self.o_valid.eq(valid[-1] & ends), self.o_first.eq(first[-1] & ends)]
        before = [0] * config.cols
        if config.max_width > config.rows:
            bits = config.profile.accumulator_bits
            shape = data.ArrayLayout(unsigned(bits), config.cols)
            m.submodules.memory = memory = Memory(shape=shape, depth=config.nano_batch, init=[])
            read, write = memory.read_port(), memory.write_port()
            w_en = Signal()
            m.submodules.w_index = w_index = DelayLine(index.shape(), ANNOUNCED + ACCUMULATE_CYCLES)
            m.d.comb += w_index.i.eq(r_index)
            m.d.sync += w_en.eq(valid[-1] & ~ends)
            m.d.comb += [
                read.en.eq(self.valid),
                read.addr.eq(r_index),
                write.en.eq(w_en),
                write.addr.eq(w_index.o),
            ]
            for c in range(config.cols):
                m.d.comb += write.data[c].eq(self.o[c])
                before[c] = Signal(signed(bits), name=f"before_{c}", reset_less=True)
                m.d.sync += before[c].eq(Mux(starts_sum, 0, read.data[c].as_signed()))
        with m.If(valid[-1]):
            for c in range(config.cols):
                m.d.sync += self.o[c].eq(self.i[c] + before[c])
        return m
