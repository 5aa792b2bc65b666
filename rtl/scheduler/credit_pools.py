"""Shared resources, counted in credits."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import shares_layout

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
    shares : In(shares) of every unit, what they ask for
    grant : Out(n_units), whose shares are taken in this clock
    give_back : In(1), ``returned`` comes back
    returned : In(shares)
    free : Out(shares), free credits
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        shares = shares_layout(config)
        super().__init__(
            {
                "fill": In(1),
                "capacities": In(shares),
                "request": In(config.n_units),
                "shares": In(data.ArrayLayout(shares, config.n_units)),
                "grant": Out(config.n_units),
                "give_back": In(1),
                "returned": In(shares),
                "free": Out(shares),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        admitted = Signal(shares_layout(config))
        fits = Signal(config.n_units)
        for unit in reversed(range(config.n_units)):
            wanted = self.shares[unit]
            fitting = Signal(config.n_pools, name=f"fitting{unit}")
            m.d.comb += [fitting[pool].eq(wanted[pool] <= self.free[pool]) for pool in range(config.n_pools)]
            taken = wanted.as_value().any()
            m.d.comb += fits[unit].eq(self.request[unit] & taken & fitting.all())
            m.d.comb += self.grant[unit].eq(self.request[unit] & ~taken | fits[unit] & ~fits[:unit].any())
            # written from the highest unit down: the last assignment, the lowest unit, holds
            with m.If(fits[unit]):
                m.d.comb += admitted.eq(wanted)
        for pool in range(config.n_pools):
            returned = Mux(self.give_back, self.returned[pool], 0)
            m.d.sync += self.free[pool].eq(self.free[pool] - admitted[pool] + returned)
        with m.If(self.fill):
            m.d.sync += self.free.eq(self.capacities)
        return m
