"""Sharing the banks' ports among a lookup's corners."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.bank_select import bank_row_bits

__all__ = ["BankArbiter", "PortAddressLayout", "ServedLayout"]


class PortAddressLayout(data.ArrayLayout):
    """One row address per read port: port p of bank b is element ``b * bank_ports + p``."""

    def __init__(self, config: EncodingEngineConfig) -> None:
        super().__init__(unsigned(bank_row_bits(config)), config.n_banks * config.bank_ports)


class ServedLayout(data.StructLayout):
    """Which corners a clock serves and where their words come from.

    ``take``: one bit a corner, set if this clock reads it; ``port``: per corner, the port that reads it;
    ``done``: set in the last clock of a lookup.
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        ports = config.n_banks * config.bank_ports
        super().__init__(
            {
                "take": config.n_corners,
                "port": data.ArrayLayout(range(ports), config.n_corners),
                "done": 1,
            }
        )


class BankArbiter(wiring.Component):
    """Give each corner of a lookup a read port of its bank.

    A lookup takes as many consecutive clocks as ``arch.bank_layout.conflict_clocks`` says: corners of one bank
    are served two a clock, in corner order. The stages before it move only in a lookup's last clock, so no other
    lookup comes between.

    Timing: latency ``config.bank_arbiter_latency`` = 2 clocks to a lookup's first addresses; initiation interval
    1 to 4 clocks (8 in 4 dimensions). ``advance`` depends on registers alone.

    Parameters
    ----------
    config : the engine

    Members
    -------
    advance : Out(1), the stages before the arbiter move, and ``valid``, ``bank``, ``row`` and ``first_row`` are taken
    valid : In(1), there is a lookup
    three_dims : In(1), low while a 3-dimensional build runs 2-dimensional grids: corners 4 to 7 read nothing
    reuse : In(1), with ``config.reuse_cells`` only: no corner reads anything
    bank : In(n_corners x 3)
    row : In(n_corners x row bits), inside the level
    first_row : In(row bits), of the lookup's level; added here, beside the ranks
    address : Out(PortAddressLayout), 0 for ports that nobody uses
    served : Out(ServedLayout), of the same clock as ``address``
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "advance": Out(1),
                "valid": In(1),
                "three_dims": In(1),
                **({"reuse": In(1)} if config.reuse_cells else {}),
                "bank": In(data.ArrayLayout(range(config.n_banks), config.n_corners)),
                "row": In(data.ArrayLayout(unsigned(bank_row_bits(config)), config.n_corners)),
                "first_row": In(bank_row_bits(config)),
                "address": Out(PortAddressLayout(config)),
                "served": Out(ServedLayout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        corners = self.config.n_corners
        ports = self.config.bank_ports
        port_bits = (ports - 1).bit_length()
        clocks = corners // ports

        # Stage 1: a corner's rank is how many lower corners want its bank; two ranks are served a clock.
        valid = Signal()
        bank = Signal.like(self.bank)
        row = Signal.like(self.row)
        present = Signal(corners)
        rank = [Signal(range(corners), name=f"rank_{corner}") for corner in range(corners)]
        last = Signal(range(clocks))
        reads = ~self.reuse if self.config.reuse_cells else Const(1)
        wanted = Cat(reads if corner < 4 else reads & self.three_dims for corner in range(corners))
        ranks = [
            self._count(m, f"rank_{corner}", [self.bank[corner] == self.bank[lower] for lower in range(corner)])
            for corner in range(corners)
        ]
        past = [
            reduce(or_, (wanted[corner] & (ranks[corner][port_bits:] >= n) for corner in range(corners)))
            for n in range(1, clocks)
        ]
        with m.If(self.advance):
            m.d.sync += [valid.eq(self.valid), bank.eq(self.bank), present.eq(wanted)]
            m.d.sync += [row[corner].eq(self.row[corner] + self.first_row) for corner in range(corners)]
            m.d.sync += [register.eq(value) for register, value in zip(rank, ranks, strict=True)]
            m.d.sync += last.eq(sum(past))

        # Stage 2: one clock a pair of ranks.
        phase = Signal(range(clocks))
        m.d.comb += self.advance.eq(~valid | (phase == last))
        m.d.sync += phase.eq(Mux(self.advance, 0, phase + 1))
        now = Signal(corners)
        for corner in range(corners):
            clock = rank[corner] >> port_bits
            m.d.comb += now[corner].eq(valid & present[corner] & (clock == phase))
            m.d.sync += self.served.port[corner].eq(Cat(rank[corner][:port_bits], bank[corner]))
        m.d.sync += [self.served.take.eq(now), self.served.done.eq(valid & self.advance)]
        for number in range(self.config.n_banks):
            for port in range(ports):
                chosen = [
                    Mux(now[corner] & (bank[corner] == number) & (rank[corner][:port_bits] == port), row[corner], 0)
                    for corner in range(port, corners)
                ]
                m.d.sync += self.address[number * ports + port].eq(reduce(or_, chosen))
        return m

    def _count(self, m: Module, name: str, bits: list[Value]) -> Value:
        """How many bits are set, as wide as a rank: full adders of LUTs, where a sum would be a row of carry chains."""
        count = []
        while bits:
            carries = []
            while len(bits) > 1:
                a, b, c = [*bits, Const(0, 1)][:3]
                total, carry = (Signal(name=f"{name}_{part}") for part in ("total", "carry"))
                m.d.comb += [total.eq(a ^ b ^ c), carry.eq(a & b | (a ^ b) & c)]
                bits = [*bits[3:], total]
                carries.append(carry)
            count += bits
            bits = carries
        rank_bits = (self.config.n_corners - 1).bit_length()
        return Cat(*count, Const(0, rank_bits))[:rank_bits]
