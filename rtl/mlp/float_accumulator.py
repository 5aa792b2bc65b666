"""Sums of the row tiles of a layer in the ``fp16`` profile, in front of the array and behind it."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import ACCUMULATE_CYCLES, READ_CYCLES, MlpEngineConfig
from arch.number_format import FP16
from rtl.delay_line import DelayLine

__all__ = ["FloatAccumulator"]


class FloatAccumulator(Component):
    """Keep the array's sums of one row tile for the next one, which goes on from them.

    The accumulator of a tensor core passes through the dot units, so a row tile's sums enter the array with its
    vectors instead of being added behind it. Passes with ``starts_sum`` begin with 0; passes with ``ends_sum`` hand
    the sums out, all others keep them in a memory of ``nano_batch x cols`` numbers. An engine as wide as its widest
    layer has no such memory.

    *Timing*: ``before`` follows ``READ_CYCLES`` behind ``r_en``, as the array's activations do. ``valid`` and ``first``
    come with ``i``; ``o`` follows ``ACCUMULATE_CYCLES`` behind it. Initiation interval 1, no stall. A pass must read a
    vector's sums later than the one before it over the same nano-batch writes them.

    *Numerics*: none, numbers pass unchanged.

    Parameters
    ----------
    config : the engine, with ``fp16``

    Members
    -------
    r_en, r_first : In(1), a vector is read; it is the first of its pass
    starts_sum : In(1), taken with ``r_en``
    before : Out(16) of each column
    valid, first : In(1), a vector's sums are there; it is the first of its pass
    ends_sum : In(1), taken with ``first``
    i : In(16) of each column
    o_valid, o_first : Out(1), with ``o``
    o : Out(16) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        assert ACCUMULATE_CYCLES == 1
        self.config = config
        sums = FP16.width
        super().__init__(
            {
                "r_en": In(1),
                "r_first": In(1),
                "starts_sum": In(1),
                "before": Out(sums).array(config.cols),
                "valid": In(1),
                "first": In(1),
                "ends_sum": In(1),
                "i": In(sums).array(config.cols),
                "o_valid": Out(1),
                "o_first": Out(1),
                "o": Out(sums).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        held = Signal()
        ends_sum = Mux(self.first, self.ends_sum, held)
        m.d.sync += [
            held.eq(ends_sum),
            self.o_valid.eq(self.valid & ends_sum),
            self.o_first.eq(self.first & ends_sum),
        ]
        with m.If(self.valid):
            m.d.sync += [o.eq(i) for o, i in zip(self.o, self.i, strict=True)]
        if config.max_width > config.rows:
            self._remember(m, ends_sum)
        return m

    def _remember(self, m: Module, ends_sum: Value) -> None:
        """Sums of a pass in a memory, and those of the one before out of it."""
        config, bits = self.config, FP16.width
        m.submodules.memory = memory = Memory(shape=bits * config.cols, depth=config.nano_batch, init=[])
        read, write = memory.read_port(), memory.write_port()
        index, r_index = Signal(range(config.nano_batch)), Signal(range(config.nano_batch))
        now, r_now = Mux(self.first, 0, index), Mux(self.r_first, 0, r_index)
        starts_sum = Signal()
        before = Signal(bits * config.cols, reset_less=True)
        with m.If(self.r_en):
            m.d.sync += r_index.eq(r_now + 1)
        with m.If(self.valid):
            m.d.sync += index.eq(now + 1)
        m.d.sync += [
            write.en.eq(self.valid & ~ends_sum),
            write.addr.eq(now),
            starts_sum.eq(self.starts_sum),
            before.eq(Mux(starts_sum, 0, read.data)),
        ]
        m.submodules.late = late = DelayLine(len(before), READ_CYCLES - 2)
        m.d.comb += [
            read.en.eq(self.r_en),
            read.addr.eq(r_now),
            write.data.eq(Cat(*self.o)),
            late.i.eq(before),
        ]
        m.d.comb += [o.eq(late.o.word_select(c, bits)) for c, o in enumerate(self.before)]
