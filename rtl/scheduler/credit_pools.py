"""Shared resources, counted in credits."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import shares_layout

__all__ = ["CreditPools"]


class CreditPools(wiring.Component):
    """Free credits of every pool; never negative, never above the capacity.

    Who asks for no credit is granted at once. The others are granted in the order of their numbers, as many as fit
    together; the first that does not fit ends this. One whose shares do not fit alone either is *passed over* in the
    next clock. So a unit delays those after it by two clocks at most: one in which it does not fit beside those before
    it, one in which it does not fit alone. What is left after one unit, two, three .. is worked out side by side, and
    one of those remainders becomes what is free.

    Timing
    ------
    Grants are combinational from registers; ``fits`` comes last. Credits taken count from the next clock, credits
    returned from the second clock after ``gives``.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    idle : In(1), all pools are full: ``capacities``; nobody asks
    capacities : In(shares), credits of every pool
    asks : In(n_units), the unit asks in the next clock, if it is not granted anything in this one
    shares : In(shares) of every unit, for what
    certain : Out(n_units), who asks in this clock and is given its shares
    hopeful, fits : Out(n_units), who asks and is given its shares if they fit; whether they do
    busy : In(n_units), the unit was granted something and has not asked since
    gives : In(n_units), the unit returns what it holds; the next grant is later
    held : Out(shares) of every unit, what it was given last
    free : Out(shares), free credits

    Attributes
    ----------
    kept, back : registers, what was left in the clock before, and what has come back since
    asking, passed_over : registers, who asks in this clock, and whose asking does not count
    asked, counted, returning : registers of every unit, what it asks for, what of it counts, what comes back
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        shares, n_units = shares_layout(config), config.n_units
        self.kept, self.back = Signal(shares), Signal(shares)
        self.asking, self.passed_over = Signal(n_units), Signal(n_units)
        self.asked, self.counted, self.returning = (
            [Signal(shares, name=f"{name}{unit}") for unit in range(n_units)]
            for name in ("asked", "counted", "returning")
        )
        super().__init__(
            {
                "idle": In(1),
                "capacities": In(shares),
                "asks": In(n_units),
                "shares": In(shares).array(n_units),
                "certain": Out(n_units),
                "hopeful": Out(n_units),
                "fits": Out(n_units),
                "busy": In(n_units),
                "gives": In(n_units),
                "held": Out(shares).array(n_units),
                "free": Out(shares),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n_units, n_pools = self.config.n_units, self.config.n_pools
        asking, passed_over = self.asking, self.passed_over
        fits_alone, takes_none, grant = Signal(n_units), Signal(n_units), Signal(n_units)
        remainders = [self._subtract(m, pool) for pool in range(n_pools)]
        for unit, (asked, counted, returning) in enumerate(zip(self.asked, self.counted, self.returning, strict=True)):
            shares, held = self.shares[unit].as_value(), self.held[unit].as_value()
            m.d.comb += [
                self.fits[unit].eq(~Cat(left[unit][-1] for left, _ in remainders).any()),
                fits_alone[unit].eq(~Cat(alone[unit][-1] for _, alone in remainders).any()),
                takes_none[unit].eq(~asked.as_value().any()),
            ]
            # the last word is that of ``fits``
            may_count = Signal(name=f"may_count{unit}")
            m.d.comb += may_count.eq(self.asks[unit] & ~(asking[unit] & (takes_none[unit] | ~fits_alone[unit])))
            counts = may_count & ~(self.hopeful[unit] & self.fits[unit])
            m.d.sync += [
                asked.as_value().eq(shares),
                counted.as_value().eq(shares & counts.replicate(len(shares))),
                returning.as_value().eq(held & self.gives[unit].replicate(len(held))),
            ]
            with m.If(~self.busy[unit]):
                m.d.sync += self.held[unit].eq(asked)
        m.d.comb += [
            self.certain.eq(asking & takes_none),
            self.hopeful.eq(asking & ~passed_over),
            grant.eq(self.certain | self.hopeful & self.fits),
        ]
        m.d.sync += [asking.eq(self.asks & ~grant), passed_over.eq(asking & ~fits_alone)]
        for pool, (left, _) in enumerate(remainders):
            back = _sum([returning[pool] for returning in self.returning])
            m.d.comb += self.free[pool].eq(self.kept[pool] + self.back[pool])
            m.d.sync += [
                self.kept[pool].eq(Mux(self.idle, 0, _last([self.free[pool], *left], self.fits))),
                self.back[pool].eq(Mux(self.idle, self.capacities[pool], back)),
            ]
        return m

    def _subtract(self, m: Module, pool: int) -> tuple[list, list]:
        """What is left of a pool after one unit, two, three .., and after each one alone; negative if it is not enough.

        What is free is the sum of what was left in the clock before and what has come back since.
        """
        n_units = self.config.n_units
        free = [self.kept[pool], self.back[pool]]
        counted, asked = ([one[pool] for one in shares] for shares in (self.counted, self.asked))
        left, alone = [], []
        width = self.config.share_bits + (n_units + 1).bit_length()
        for unit in range(n_units):
            for name, results, shares in (("left", left, counted[: unit + 1]), ("alone", alone, [asked[unit]])):
                result = Signal(width, name=f"{name}{pool}_{unit}")
                m.d.comb += result.eq(_difference(free, shares, width))
                results.append(result)
        return left, alone


def _difference(plus: Sequence[Value], minus: Sequence[Value], width: int) -> Value:
    """Sum of some values less others, with one carry chain at the end."""
    # a number's negative is its complement and 1: each step of three to two has room for the 1 of one of them
    values = [*(_wide(value, width) for value in plus), *(~_wide(value, width) for value in minus)]
    n_ones = len(minus)
    while len(values) > 2:
        n_groups = len(values) // 3
        groups, rest = values[: 3 * n_groups], values[3 * n_groups :]
        values = []
        for a, b, c in zip(groups[::3], groups[1::3], groups[2::3], strict=True):
            one, n_ones = int(n_ones > 0), n_ones - 1
            values += [a ^ b ^ c, Cat(Const(one, 1), (a & b | a & c | b & c)[: width - 1])]
        values += rest
    return (values[0] + values[1])[:width]


def _wide(value: Value, width: int) -> Value:
    return Cat(value, Const(0, width - len(value)))


def _sum(values: Sequence[Value]) -> Value:
    return values[0] if len(values) == 1 else _difference(values, [], len(values[0]))


def _last(values: Sequence[Value], fits: Value) -> Value:
    """The value whose number is that of the units that fit: these are the first ones.

    The last unit's sum comes last, and has the last word.
    """
    result = values[0]
    for unit, value in enumerate(values[1:]):
        result = Mux(fits[unit], value, result)
    return result
