"""Shared resources, counted in credits."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import BANK_BITS, banks_layout, shares_layout

__all__ = ["CreditPools"]


class CreditPools(wiring.Component):
    """Free credits of every pool; never negative, never above the capacity.

    Who asks for no credit is granted at once. Of those who ask for some, the lowest-numbered unit whose shares all
    fit is granted: one a clock, so that admission is one comparison deep whatever the number of units.

    Timing
    ------
    ``grant`` is combinational from ``request``, ``shares`` and the free credits of the clock (latency 0). Credits
    taken or returned count from the next clock.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    fill : In(1), all pools become full: ``capacities``
    capacities : In(shares), credits of every pool
    request : In(n_units), which units ask
    takes : In(n_units), which of them ask for some credit
    shares, bank : In, of every unit, the shares in every bank of places, and the bank that counts
    grant : Out(n_units), whose shares are taken in this clock
    returned : In(shares), what comes back in this clock
    free : Out(shares), free credits
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        shares = shares_layout(config)
        bank_bits = max(0, index_bits(config.n_descriptors) - BANK_BITS)
        super().__init__(
            {
                "fill": In(1),
                "capacities": In(shares),
                "request": In(config.n_units),
                "takes": In(config.n_units),
                "shares": In(banks_layout(config)).array(config.n_units),
                "bank": In(bank_bits).array(config.n_units),
                "grant": Out(config.n_units),
                "returned": In(shares),
                "free": Out(shares),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        fits = Signal(config.n_units)
        whole = [self.free[pool] + self.returned[pool] for pool in range(config.n_pools)]
        for pool in range(config.n_pools):
            m.d.sync += self.free[pool].eq(whole[pool])
        for unit in reversed(range(config.n_units)):
            # compared in every bank of places before the pick's own is taken
            lacking = Signal(len(self.shares[unit]), name=f"lacking{unit}")
            for bank, shares in enumerate(self.shares[unit]):
                differences = [(self.free[pool] - shares[pool])[-1] for pool in range(config.n_pools)]
                m.d.comb += lacking[bank].eq(Cat(differences).any())
            wanted = self.shares[unit][self.bank[unit]]
            asks, asks_none = self.request[unit] & self.takes[unit], self.request[unit] & ~self.takes[unit]
            m.d.comb += [
                fits[unit].eq(asks & ~lacking.bit_select(self.bank[unit], 1)),
                self.grant[unit].eq(asks_none | fits[unit] & ~fits[:unit].any()),
            ]
            # what would be left is worked out beside the comparison; written from the highest unit down: the last
            # assignment, the lowest unit, holds
            with m.If(fits[unit]):
                for pool in range(config.n_pools):
                    m.d.sync += self.free[pool].eq(whole[pool] - wanted[pool])
        with m.If(self.fill):
            m.d.sync += self.free.eq(self.capacities)
        return m
