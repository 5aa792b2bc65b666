"""The registers that describe levels to a physical level engine."""

from amaranth.hdl import Module, Value, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import (
    CARRY_SHIFT,
    FIRST_ROW_SHIFT,
    HASHED_SHIFT,
    INTERPOLATION_SHIFT,
    LEVEL_ADDRESS_SHIFT,
    MASKED_SHIFT,
    RECIPROCAL_BITS,
    REDUCED_SHIFT,
    TILE_STRIDE_BITS,
    LevelRegister,
)
from arch.load import DATA_BITS
from arch.number_format import FP32, LEVEL_SCALE
from rtl.encoding.bank_select import BankSelectorLayout, bank_row_bits
from rtl.encoding.float_corner_index import FloatWrapLayout
from rtl.encoding.interpolate import output_shift_bits
from rtl.encoding.tile_remainder import TileLayout

__all__ = ["LevelLayoutRegisters", "LevelRegisters"]


class LevelLayoutRegisters(data.StructLayout):
    """All registers of one level, as the pipeline uses them."""

    def __init__(self, config: EncodingEngineConfig) -> None:
        place = {"bank_bits": BankSelectorLayout(config), "first_row": bank_row_bits(config), "interpolation": 2}
        if config.floating:
            super().__init__({"scale": FP32.width, "wrap": FloatWrapLayout(config), **place})
            return
        super().__init__(
            {
                "scale": LEVEL_SCALE.width,
                "strides": data.ArrayLayout(unsigned(config.index_bits), config.n_pos_dims - 1),
                "limit": config.index_bits,
                "hashed": 1,
                "masked": 1,
                "shift": output_shift_bits(),
                **place,
                **({"tile": TileLayout(config)} if config.tile_remainder else {}),
            }
        )


class LevelRegisters(wiring.Component):
    """Small memories, one per register, with a row per level of this engine.

    Timing: a read gives its registers one clock later and holds them while ``r_en`` is low; a write shows in reads
    of the next clock.

    Parameters
    ----------
    config : the engine

    Members
    -------
    r_en : In(1)
    r_slot : In(levels_per_engine), local number of the level
    registers : Out(LevelLayoutRegisters)
    w_en : In(1)
    w_slot : In(levels_per_engine)
    w_register : In(3), ``arch.encoding_image.LevelRegister``; others are ignored
    w_data : In(64)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        slot = range(config.levels_per_engine)
        super().__init__(
            {
                "r_en": In(1),
                "r_slot": In(slot),
                "registers": Out(LevelLayoutRegisters(config)),
                "w_en": In(1),
                "w_slot": In(slot),
                "w_register": In(LEVEL_ADDRESS_SHIFT),
                "w_data": In(DATA_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        read = self.registers
        fields = self._float_fields() if self.config.floating else self._integer_fields()
        fields[LevelRegister.SCALE] = [(read.scale, 0)]
        fields[LevelRegister.PLACE] = [(read.bank_bits.as_value(), 0), (read.first_row, FIRST_ROW_SHIFT)]
        fields[LevelRegister.SHIFT].append((read.interpolation, INTERPOLATION_SHIFT))
        for register, parts in fields.items():
            width = sum(len(part) for part, _ in parts)
            # A memory of one row has no address bit, and Yosys writes Verilog for it that reads nothing.
            m.submodules[register.name.lower()] = rows = memory.Memory(
                shape=width, depth=max(2, self.config.levels_per_engine), init=[]
            )
            w_port, r_port = rows.write_port(), rows.read_port()
            m.d.comb += [
                w_port.en.eq(self.w_en & (self.w_register == register)),
                w_port.addr.eq(self.w_slot),
                r_port.en.eq(self.r_en),
                r_port.addr.eq(self.r_slot),
            ]
            low = 0
            for part, shift in parts:
                m.d.comb += w_port.data[low : low + len(part)].eq(self.w_data[shift : shift + len(part)])
                m.d.comb += part.eq(r_port.data[low : low + len(part)])
                low += len(part)
        return m

    def _integer_fields(self) -> dict[LevelRegister, list[tuple[Value, int]]]:
        """Per register, what it holds and at which bit."""
        read = self.registers
        fields = {
            LevelRegister.WRAP: [(read.limit, 0), (read.hashed, HASHED_SHIFT), (read.masked, MASKED_SHIFT)],
            LevelRegister.SHIFT: [(read.shift, 0)],
        }
        if self.config.tile_remainder:
            tile = read.tile
            shifts = (0, TILE_STRIDE_BITS[0], sum(TILE_STRIDE_BITS))
            fields[LevelRegister.TILE] = list(zip((tile.stride_1, tile.stride_2, tile.both), shifts, strict=True))
            fields[LevelRegister.RECIPROCAL] = [(tile.reciprocal, 0), (tile.shift, RECIPROCAL_BITS)]
        for dim in range(1, self.config.n_pos_dims):
            fields[LevelRegister(LevelRegister.STRIDE_1 + dim - 1)] = [(read.strides[dim - 1], 0)]
        return fields

    def _float_fields(self) -> dict[LevelRegister, list[tuple[Value, int]]]:
        """The same in ``fp16``."""
        wrap = self.registers.wrap
        fields = {
            LevelRegister.WRAP: [(wrap.limit, 0), (wrap.hashed, HASHED_SHIFT), (wrap.masked, MASKED_SHIFT)],
            LevelRegister.RECIPROCAL: [(wrap.reciprocal, 0), (wrap.shift, RECIPROCAL_BITS), (wrap.carry, CARRY_SHIFT)],
            LevelRegister.SHIFT: [],
        }
        strides = (LevelRegister.STRIDE_1, LevelRegister.STRIDE_2, LevelRegister.STRIDE_3)
        for dim, register in enumerate(strides[: self.config.n_pos_dims - 1]):
            fields[register] = [(wrap.strides[dim], 0), (wrap.reduced[dim], REDUCED_SHIFT)]
        return fields
