"""The order in which starts and completions reach the scoreboard."""

import itertools
from collections.abc import Sequence

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.scheduler import SchedulerConfig

__all__ = ["EventArbiter", "of_lowest"]


class EventArbiter(wiring.Component):
    """Let one event a clock pass, and keep the others: none is lost.

    Starts pass before completions, so that the start of a nano-operation always passes before its completion; then
    the lower-numbered unit. A unit may raise one start and one completion and no further ones until those passed.

    Timing
    ------
    Combinational (latency 0) for an event that finds no other; each event served before it costs one clock.
    At most ``2 * n_units - 1`` others can wait when it comes.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    starts, completions : In(n_units), pulses
    valid : Out(1), an event passes
    start : Out(1), it is a start
    asks : Out(n_units), whose it may be: the lowest-numbered one's
    select : Out(n_units), whose it is

    Attributes
    ----------
    waiting : register, starts and above them completions that have not passed
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.waiting = Signal(2 * config.n_units)
        super().__init__(
            {
                "starts": In(config.n_units),
                "completions": In(config.n_units),
                "valid": Out(1),
                "start": Out(1),
                "asks": Out(config.n_units),
                "select": Out(config.n_units),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n_units = self.config.n_units
        starting, waiting = Signal(n_units), self.waiting[n_units:]
        # completions of this clock are known late: the rest is worked out beside them
        of_starts = self.start.replicate(n_units)
        m.d.comb += [
            starting.eq(self.waiting[:n_units] | self.starts),
            self.start.eq(starting.any()),
            self.asks.eq(of_starts & starting | ~of_starts & (waiting | self.completions)),
            self.valid.eq(self.asks.any()),
            self.select.eq(Cat(self.asks[unit] & ~self.asks[:unit].any() for unit in range(n_units))),
        ]
        m.d.sync += self.waiting.eq(
            Cat(starting & ~(of_starts & self.select), (waiting | self.completions) & ~(~of_starts & self.select))
        )
        return m


def of_lowest(asks: Value, values: Sequence[Value]) -> Value:
    """The value of the lowest-numbered unit that asks, or 0: a tree of choices, which is shorter than ``select``."""
    nodes = [(ask, value & ask.replicate(len(value))) for ask, value in zip(asks, values, strict=True)]
    while len(nodes) > 1:
        pairs = itertools.zip_longest(nodes[::2], nodes[1::2])
        nodes = [low if high is None else _lower(low, high) for low, high in pairs]
    return nodes[0][1]


def _lower(low: tuple[Value, Value], high: tuple[Value, Value]) -> tuple[Value, Value]:
    # gates and no multiplexer, for which synthesis would share the memories' ports and look up late
    (low_asks, low_value), (high_asks, high_value) = low, high
    return low_asks | high_asks, low_value | high_value & ~low_asks.replicate(len(high_value))
