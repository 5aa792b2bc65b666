"""Bank and row of table indices."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from arch.bank_layout import N_BANK_BIT_POSITIONS
from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import BANK_BIT_FIELD

__all__ = ["BankSelect", "BankSelectorLayout", "bank_row_bits"]


class BankSelectorLayout(data.ArrayLayout):
    """Positions of a level's bank bits in a table index, ascending, each below ``N_BANK_BIT_POSITIONS``."""

    def __init__(self, config: EncodingEngineConfig) -> None:
        super().__init__(unsigned(BANK_BIT_FIELD), config.bank_bits)


def bank_row_bits(config: EncodingEngineConfig) -> int:
    """Bits of a row of a bank, at least 1."""
    return max(1, ceil_log2(config.bank_rows))


class BankSelect(wiring.Component):
    """Split each corner's index into bank and row, as ``arch.encoding_engine.LevelLayout.place`` does.

    The selected bits make the bank; the row inside the level is the index without them.

    Timing: latency ``config.bank_select_latency`` = 1 enabled clock, initiation interval 1.

    Parameters
    ----------
    config : the engine

    Members
    -------
    en : In(1), the pipeline moves
    index : In(n_corners x (index_bits - 1))
    bank_bits : In(BankSelectorLayout)
    bank : Out(n_corners x bank_bits)
    row : Out(n_corners x row bits), the level's first row not yet added
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        row_bits = bank_row_bits(config)
        super().__init__(
            {
                "en": In(1),
                "index": In(data.ArrayLayout(unsigned(config.index_bits - 1), config.n_corners)),
                "bank_bits": In(BankSelectorLayout(config)),
                "bank": Out(data.ArrayLayout(unsigned(config.bank_bits), config.n_corners)),
                "row": Out(data.ArrayLayout(unsigned(row_bits), config.n_corners)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        low_bits = N_BANK_BIT_POSITIONS
        # above[i]: bit positions at or past selector i; those move down by one when the selector is taken out
        above = [Signal(low_bits, name=f"above_{number}") for number in range(self.config.bank_bits)]
        for number, mask in enumerate(above):
            m.d.comb += mask.eq(Cat(position >= self.bank_bits[number] for position in range(low_bits)))
        for corner in range(self.config.n_corners):
            index = Signal(max(self.config.index_bits - 1, low_bits), name=f"index_{corner}")
            m.d.comb += index.eq(self.index[corner])
            low = index[:low_bits]
            bank = [low.bit_select(self.bank_bits[number], 1) for number in range(self.config.bank_bits)]
            squeezed = low
            for number in reversed(range(self.config.bank_bits)):
                kept = Signal(len(squeezed) - 1, name=f"kept_{corner}_{number}")
                m.d.comb += kept.eq((squeezed & ~above[number]) | (squeezed >> 1 & above[number]))
                squeezed = kept
            with m.If(self.en):
                m.d.sync += [
                    self.bank[corner].eq(Cat(bank)),
                    self.row[corner].eq(Cat(squeezed, index[low_bits:])),
                ]
        return m
