"""The memory of a nano-batch's activations, two banks deep."""

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out, Signature

from arch.mlp_engine import MlpEngineConfig

__all__ = ["ActivationMemory", "ActivationMemorySignature"]


class ActivationMemorySignature(Signature):
    """Ports of an :class:`ActivationMemory`, seen from it.

    Parameters
    ----------
    config : the engine
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        n_lanes = config.point_banks * config.n_lanes
        lanes = data.ArrayLayout(unsigned(config.lane_values * config.profile.value_bits), n_lanes)
        index = range(config.nano_batch // config.point_banks)
        super().__init__(
            {
                "w_en": In(n_lanes),
                "w_bank": In(1),
                "w_index": In(index),
                "w_data": In(lanes),
                "r_en": In(1),
                "r_bank": In(1),
                "r_index": In(index),
                "r_data": Out(lanes),
            }
        )


class ActivationMemory(Component):
    """Two banks of ``nano_batch`` vectors of ``max_width`` values, written by lanes and read whole.

    A row holds ``point_banks`` vectors side by side: vector p is number ``p % point_banks`` of row
    ``p // point_banks``. A lane is ``lane_values`` values, so that row tiles and column tiles are both whole lanes.

    *Timing*: ``r_data`` one clock after ``r_en`` and held until the next. What a read gives of the lanes that are
    written in its clock is not defined: block memories would need a bypass and a register for every bit. Initiation
    interval 1.

    Parameters
    ----------
    config : the engine

    Members
    -------
    w_en : In, one bit a lane, vector 0 of the row lowest
    w_bank, w_index, w_data : In, bank, row, and the row as lanes
    r_en, r_bank, r_index : In
    r_data : Out, the row as lanes
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        super().__init__(ActivationMemorySignature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        bank_rows = 1 << len(self.w_index)  # the bank is the top address bit, so no adder stands before the memory
        depth = bank_rows + config.nano_batch // config.point_banks
        vector = data.ArrayLayout(self.w_data.shape().elem_shape, config.n_lanes)
        # a memory a vector of the row: tools look at every bit of a word once for each of its enables
        for point in range(config.point_banks):
            m.submodules[f"memory_{point}"] = memory = Memory(shape=vector, depth=depth, init=[])
            write = memory.write_port(granularity=1)
            read = memory.read_port()
            m.d.comb += [
                write.en.eq(self.w_en.word_select(point, config.n_lanes)),
                write.addr.eq(Cat(self.w_index, self.w_bank)),
                write.data.eq(self.w_data.as_value().word_select(point, vector.size)),
                read.en.eq(self.r_en),
                read.addr.eq(Cat(self.r_index, self.r_bank)),
                self.r_data.as_value().word_select(point, vector.size).eq(read.data),
            ]
        return m
