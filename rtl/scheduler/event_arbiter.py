"""The order in which starts and completions reach the scoreboard."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig

__all__ = ["EventArbiter"]


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
    clear : In(1), forget all
    starts, completions : In(n_units), pulses
    valid : Out(1), an event passes
    start : Out(1), it is a start
    unit : Out, whose it is

    Attributes
    ----------
    waiting : register, starts and above them completions that have not passed
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.waiting = Signal(2 * config.n_units)
        super().__init__(
            {
                "clear": In(1),
                "starts": In(config.n_units),
                "completions": In(config.n_units),
                "valid": Out(1),
                "start": Out(1),
                "unit": Out(index_bits(config.n_units)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n_units = self.config.n_units
        waiting = self.waiting
        asking = Signal(2 * n_units)
        m.d.comb += asking.eq(waiting | Cat(self.starts, self.completions))
        m.d.comb += self.valid.eq(asking.any())
        m.d.sync += waiting.eq(asking & (asking - 1)[: 2 * n_units])  # without its lowest set bit, the one that passes
        for number in reversed(range(2 * n_units)):
            with m.If(asking[number]):
                m.d.comb += [self.start.eq(number < n_units), self.unit.eq(number % n_units)]
        with m.If(self.clear):
            m.d.sync += waiting.eq(0)
        return m
