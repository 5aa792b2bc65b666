"""The memory of weight tiles."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from arch.load import DATA_BITS
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import weight_word_bits, weights_per_word

__all__ = ["WeightMemory"]

_GRANULE = 4  # weights written together; cols is a multiple of it


class WeightMemory(Component):
    """Hold ``weight_tiles`` tiles; take load words, give one row of ``cols`` weights a clock.

    *Timing*: ``r_data`` (and ``r_valid``, ``r_row`` beside it) two clocks after ``r_en``: memory, then a register
    that drives the whole array. Initiation interval 1. A load word is written in its own clock.

    Parameters
    ----------
    config : the engine

    Members
    -------
    w_en, w_addr, w_data : In, a load word: ``weight row << k | word`` and its weights, the first one lowest
    r_en, r_addr, i_row : In, weight row to read, and the array row it is for
    r_valid, r_row, r_data : Out, the array row and its weights
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        row = range(config.rows)
        self._word_bits = weight_word_bits(config)
        super().__init__(
            {
                "w_en": In(1),
                "w_addr": In((config.weight_rows - 1).bit_length() + self._word_bits),
                "w_data": In(DATA_BITS),
                "r_en": In(1),
                "r_addr": In(range(config.weight_rows)),
                "i_row": In(row),
                "r_valid": Out(1),
                "r_row": Out(row),
                "r_data": Out(signed(config.profile.weight_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        bits = config.profile.weight_bits
        granules = config.cols // _GRANULE
        per_word = weights_per_word(config) // _GRANULE
        shape = data.ArrayLayout(unsigned(_GRANULE * bits), granules)
        m.submodules.memory = memory = Memory(shape=shape, depth=config.weight_rows, init=[])
        write = memory.write_port(granularity=1)
        read = memory.read_port()
        word = self.w_addr[: self._word_bits]
        m.d.comb += [
            write.addr.eq(self.w_addr[self._word_bits :]),
            read.addr.eq(self.r_addr),
            read.en.eq(self.r_en),
        ]
        for g in range(granules):
            m.d.comb += [
                write.en[g].eq(self.w_en & (word == g // per_word)),
                write.data[g].eq(self.w_data.word_select(g % per_word, _GRANULE * bits)),
            ]
        valid, row = Signal(), Signal(range(config.rows))
        m.d.sync += [valid.eq(self.r_en), self.r_valid.eq(valid)]
        m.d.sync += [row.eq(self.i_row), self.r_row.eq(row)]
        with m.If(valid):
            flat = read.data.as_value()
            for c in range(config.cols):
                m.d.sync += self.r_data[c].eq(flat.word_select(c, bits))
        return m
