"""From a lookup's position to the banks and rows of its corners and their weights, in the integer profiles."""

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.number_format import COORDINATE, WEIGHT_FRACTION_BITS
from rtl.delay_line import DelayLine
from rtl.encoding.bank_select import BankSelect, BankSelectorLayout, bank_row_bits
from rtl.encoding.corner_index import CornerIndex
from rtl.encoding.fraction_weight import FractionWeight
from rtl.encoding.interpolate import output_shift_bits
from rtl.encoding.level_registers import LevelLayoutRegisters
from rtl.encoding.pos_fract import CELL_BITS, PosFract
from rtl.encoding.tile_remainder import TileLayout, TileRemainder

__all__ = ["LookupFront"]


class LookupFront(wiring.Component):
    """``PosFract``, ``TileRemainder``, ``CornerIndex`` and ``BankSelect`` in a row, and ``FractionWeight`` beside them.

    Timing: latency ``config.front_latency - 2`` enabled clocks, initiation interval 1; ``cell`` comes
    ``config.pos_fract_latency`` clocks after its position.

    Numerics: those of its parts.

    Parameters
    ----------
    config : the engine, with an integer profile

    Members
    -------
    en : In(1), the pipeline moves
    three_dims : In(1), low while a 3-dimensional build runs 2-dimensional grids
    position : In(n_pos_dims x 24 bits)
    registers : In(LevelLayoutRegisters), of the lookup's level
    cell : Out(n_pos_dims x 15 bits)
    bank : Out(n_corners x bank bits)
    row : Out(n_corners x row bits), inside the level
    first_row : Out(row bits), of the level
    blend : Out(``weight``: n_pos_dims x 8 bits, of the corners at +1; ``shift``: the level's output shift)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        dims, corners = config.n_pos_dims, config.n_corners
        weight = data.ArrayLayout(unsigned(WEIGHT_FRACTION_BITS), dims)
        super().__init__(
            {
                "en": In(1),
                "three_dims": In(1),
                "position": In(data.ArrayLayout(unsigned(COORDINATE.width), dims)),
                "registers": In(LevelLayoutRegisters(config)),
                "cell": Out(data.ArrayLayout(unsigned(CELL_BITS), dims)),
                "bank": Out(data.ArrayLayout(range(config.n_banks), corners)),
                "row": Out(data.ArrayLayout(unsigned(bank_row_bits(config)), corners)),
                "first_row": Out(bank_row_bits(config)),
                "blend": Out(data.StructLayout({"weight": weight, "shift": output_shift_bits()})),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        pos_fract = self._index(m)
        m.submodules.fraction_weight = fraction_weight = FractionWeight(config)
        to_end = config.front_latency - 2
        to_weight = config.pos_fract_latency + config.fraction_weight_latency
        m.submodules.shift_delay = shift = DelayLine(unsigned(output_shift_bits()), to_end)
        m.submodules.weight_delay = weights = DelayLine(self.blend.weight.shape(), to_end - to_weight)
        m.submodules.interpolation_delay = interpolation = DelayLine(unsigned(2), config.pos_fract_latency)
        m.submodules.first_row_delay = first_row = DelayLine(unsigned(bank_row_bits(config)), to_end)
        for line in (shift, weights, interpolation, first_row, fraction_weight):
            m.d.comb += line.en.eq(self.en)
        m.d.comb += [
            shift.i.eq(self.registers.shift),
            interpolation.i.eq(self.registers.interpolation),
            first_row.i.eq(self.registers.first_row),
            fraction_weight.fraction.eq(pos_fract.fraction),
            fraction_weight.interpolation.eq(interpolation.o),
            weights.i.eq(fraction_weight.weight),
            self.cell.eq(pos_fract.cell),
            self.first_row.eq(first_row.o),
            self.blend.weight.eq(weights.o),
            self.blend.shift.eq(shift.o),
        ]
        return m

    def _index(self, m: Module) -> PosFract:
        """From position to bank and row of each corner."""
        config = self.config
        registers = self.registers
        m.submodules.pos_fract = pos_fract = PosFract(config)
        m.submodules.corner_index = corner_index = CornerIndex(config)
        m.submodules.bank_select = bank_select = BankSelect(config)
        hash_layout = data.StructLayout(
            {
                "strides": data.ArrayLayout(unsigned(config.index_bits), config.n_pos_dims - 1),
                "limit": config.index_bits,
                "hashed": 1,
                "masked": 1,
            }
        )
        to_index = config.pos_fract_latency + config.tile_remainder_latency
        m.submodules.hash_delay = hashing = DelayLine(hash_layout, to_index)
        to_place = to_index + config.corner_index_latency
        m.submodules.bank_bits_delay = bank_bits = DelayLine(BankSelectorLayout(config), to_place)
        for stage in (pos_fract, corner_index, bank_select, hashing, bank_bits):
            m.d.comb += stage.en.eq(self.en)
        m.d.comb += [
            pos_fract.three_dims.eq(self.three_dims),
            pos_fract.position.eq(self.position),
            pos_fract.scale.eq(registers.scale),
            hashing.i.strides.eq(registers.strides),
            hashing.i.limit.eq(registers.limit),
            hashing.i.hashed.eq(registers.hashed),
            hashing.i.masked.eq(registers.masked),
            corner_index.strides.eq(hashing.o.strides),
            corner_index.limit.eq(hashing.o.limit),
            corner_index.hashed.eq(hashing.o.hashed),
            corner_index.masked.eq(hashing.o.masked),
            bank_bits.i.eq(registers.bank_bits),
            bank_select.index.eq(corner_index.index),
            bank_select.bank_bits.eq(bank_bits.o),
            self.bank.eq(bank_select.bank),
            self.row.eq(bank_select.row),
        ]
        if config.tile_remainder:
            self._reduce(m, pos_fract, corner_index)
        else:
            m.d.comb += corner_index.cell.eq(pos_fract.cell)
        return pos_fract

    def _reduce(self, m: Module, pos_fract: PosFract, corner_index: CornerIndex) -> None:
        """Between cell and corner indices: the remainder of tiles whose rows are no power of two."""
        config, registers = self.config, self.registers
        layout = data.StructLayout({"tile": TileLayout(config), "limit": config.index_bits})
        step = data.StructLayout({"reduced": 1, "both": config.index_bits - 1})
        m.submodules.tile_delay = tile = DelayLine(layout, config.pos_fract_latency)
        m.submodules.tile_remainder = remainder = TileRemainder(config)
        m.submodules.tile_step_delay = steps = DelayLine(step, config.tile_remainder_latency)
        for stage in (tile, remainder, steps):
            m.d.comb += stage.en.eq(self.en)
        m.d.comb += [
            tile.i.tile.eq(registers.tile),
            tile.i.limit.eq(registers.limit),
            remainder.cell.eq(pos_fract.cell),
            remainder.tile.eq(tile.o.tile),
            remainder.limit.eq(tile.o.limit),
            steps.i.reduced.eq(tile.o.tile.reciprocal[-1]),
            steps.i.both.eq(tile.o.tile.both),
            corner_index.reduced.eq(steps.o.reduced),
            corner_index.both.eq(steps.o.both),
            corner_index.cell[0].eq(remainder.first),
        ]
        m.d.comb += [corner_index.cell[dim].eq(remainder.others[dim - 1]) for dim in range(1, config.n_pos_dims)]
