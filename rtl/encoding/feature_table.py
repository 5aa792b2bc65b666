"""The banked feature table of a physical level engine."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.load import DATA_BITS
from rtl.encoding.bank_arbiter import PortAddressLayout
from rtl.encoding.bank_select import bank_row_bits

__all__ = ["FeatureTable", "PortWordLayout", "load_part_bits"]


def load_part_bits(config: EncodingEngineConfig) -> int:
    """Bits of a table row that a load word writes."""
    return min(config.row_bits, DATA_BITS)


class PortWordLayout(data.ArrayLayout):
    """One table row per read port: port p of bank b is element ``b * bank_ports + p``."""

    def __init__(self, config: EncodingEngineConfig) -> None:
        super().__init__(config.row_bits, config.n_banks * config.bank_ports)


class FeatureTable(wiring.Component):
    """``config.n_banks`` banks of ``config.bank_rows`` rows, each read through ``config.bank_ports`` ports.

    Port 0 of a bank shares its address with the write port, so that a bank is one true dual-port or one single-port
    RAM; what port 0 reads in a clock of writing is undefined.

    Timing: words come ``config.feature_table_latency`` = 2 clocks after their addresses, every clock. The second one is
    for registers behind the RAMs, whose clock-to-output alone is half a clock of an ECP5.

    Parameters
    ----------
    config : the engine

    Members
    -------
    address : In(PortAddressLayout)
    word : Out(PortWordLayout)
    w_en : In(1), write a part of a row
    w_bank : In(bank_bits)
    w_row : In(row bits)
    w_part : In(range(row_words)), which 64 bits of the row
    w_data : In(part bits)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "address": In(PortAddressLayout(config)),
                "word": Out(PortWordLayout(config)),
                "w_en": In(1),
                "w_bank": In(config.bank_bits),
                "w_row": In(bank_row_bits(config)),
                "w_part": In(range(config.row_words)),
                "w_data": In(load_part_bits(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = self.config.row_words
        for number in range(self.config.n_banks):
            m.submodules[f"bank_{number}"] = bank = memory.Memory(
                shape=self.config.row_bits, depth=self.config.bank_rows, init=[]
            )
            write = bank.write_port(granularity=load_part_bits(self.config))
            first = number * self.config.bank_ports
            m.d.comb += [
                write.addr.eq(Mux(self.w_en, self.w_row, self.address[first])),
                write.data.eq(self.w_data.replicate(parts)),
                *(
                    write.en[part].eq(self.w_en & (self.w_bank == number) & (self.w_part == part))
                    for part in range(parts)
                ),
            ]
            for port in range(self.config.bank_ports):
                read = bank.read_port()
                m.d.comb += [
                    read.addr.eq(write.addr if port == 0 else self.address[first + port]),
                    read.en.eq(~self.w_en),
                ]
                m.d.sync += self.word[first + port].eq(read.data)
        return m
