"""From a lookup's position to the banks and rows of its corners and their weights, in the ``fp16`` profile."""

from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.number_format import FP16, FP32
from rtl.delay_line import DelayLine
from rtl.encoding.bank_select import BankSelect, bank_row_bits
from rtl.encoding.float_corner_index import FloatCornerIndex
from rtl.encoding.float_corner_weight import FloatCornerWeight
from rtl.encoding.float_pos_fract import CELL_BITS, FloatPosFract
from rtl.encoding.level_registers import LevelLayoutRegisters
from rtl.shared_module import SharedModule

__all__ = ["FloatLookupFront"]


class FloatLookupFront(wiring.Component):
    """``FloatPosFract`` of each dimension, then ``FloatCornerWeight`` beside ``FloatCornerIndex`` and ``BankSelect``.

    The weights take longer than the indices, so cells wait before theirs: they are the narrowest place.

    Timing: latency ``config.front_latency - 2`` enabled clocks, initiation interval 1; ``cell`` comes
    ``config.pos_fract_latency`` clocks after its position.

    Numerics: docs/numerics.md, "Grid encoding in fp16", steps 1 to 5.

    Parameters
    ----------
    config : the engine, with ``fp16``

    Members
    -------
    en : In(1), the pipeline moves
    three_dims : In(1), low while a 3-dimensional build runs 2-dimensional grids
    position : In(n_pos_dims x 32 bits), fp32
    registers : In(LevelLayoutRegisters), of the lookup's level
    cell : Out(n_pos_dims x 32 bits)
    bank : Out(n_corners x bank bits)
    row : Out(n_corners x row bits), inside the level
    first_row : Out(row bits), of the level
    blend : Out(``weight``: n_corners x 16 bits, fp16)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        dims, corners = config.n_pos_dims, config.n_corners
        super().__init__(
            {
                "en": In(1),
                "three_dims": In(1),
                "position": In(data.ArrayLayout(unsigned(FP32.width), dims)),
                "registers": In(LevelLayoutRegisters(config)),
                "cell": Out(data.ArrayLayout(unsigned(CELL_BITS), dims)),
                "bank": Out(data.ArrayLayout(range(config.n_banks), corners)),
                "row": Out(data.ArrayLayout(unsigned(bank_row_bits(config)), corners)),
                "first_row": Out(bank_row_bits(config)),
                "blend": Out(data.StructLayout({"weight": data.ArrayLayout(FP16.width, corners)})),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, registers = self.config, self.registers
        m.submodules.corner_weight = corner_weight = FloatCornerWeight(config.n_pos_dims)
        m.submodules.corner_index = corner_index = FloatCornerIndex(config)
        m.submodules.bank_select = bank_select = BankSelect(config)
        assert config.pos_fract_latency == FloatPosFract.LATENCY
        assert config.fraction_weight_latency == corner_weight.LATENCY
        to_cell = config.pos_fract_latency + config.cell_wait
        to_index = to_cell + config.corner_index_latency
        m.submodules.interpolation_delay = interpolation = DelayLine(2, config.pos_fract_latency)
        m.submodules.cell_delay = waiting = DelayLine(self.cell.shape(), config.cell_wait)
        m.submodules.wrap_delay = wrap = DelayLine(registers.wrap.shape(), to_cell)
        m.submodules.bank_bits_delay = bank_bits = DelayLine(registers.bank_bits.shape(), to_index)
        m.submodules.first_row_delay = first_row = DelayLine(len(self.first_row), to_index + config.bank_select_latency)
        for stage in (corner_weight, corner_index, bank_select, interpolation, waiting, wrap, bank_bits, first_row):
            m.d.comb += stage.en.eq(self.en)
        for dim in range(config.n_pos_dims):
            m.submodules[f"pos_fract_{dim}"] = pos_fract = SharedModule(FloatPosFract(), "float_pos_fract")
            used = self.three_dims if dim == 2 else 1
            m.d.comb += [
                pos_fract.en.eq(self.en),
                pos_fract.scale.eq(registers.scale),
                pos_fract.position.eq(self.position[dim]),
                self.cell[dim].eq(Mux(used, pos_fract.cell, 0)),
                corner_weight.fraction[dim].eq(pos_fract.fraction),
            ]
        m.d.comb += [
            interpolation.i.eq(registers.interpolation),
            corner_weight.three_dims.eq(self.three_dims),
            corner_weight.interpolation.eq(interpolation.o),
            waiting.i.eq(self.cell),
            wrap.i.eq(registers.wrap),
            corner_index.cell.eq(waiting.o),
            corner_index.wrap.eq(wrap.o),
            bank_bits.i.eq(registers.bank_bits),
            bank_select.index.eq(corner_index.index),
            bank_select.bank_bits.eq(bank_bits.o),
            first_row.i.eq(registers.first_row),
            self.bank.eq(bank_select.bank),
            self.row.eq(bank_select.row),
            self.first_row.eq(first_row.o),
            self.blend.weight.eq(corner_weight.weight),
        ]
        return m
