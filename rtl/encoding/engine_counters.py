"""Counting the clocks of a physical level engine, cause by cause."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import COUNTER_BITS, EncodingEngineConfig, EngineCounter

__all__ = ["CounterSelectLayout", "CounterValueLayout", "EngineCounters", "counter_id_bits"]

_ENGINE_BITS = 4


def counter_id_bits() -> int:
    """Bits that name a counter."""
    return (len(EngineCounter) - 1).bit_length()


class CounterSelectLayout(data.StructLayout):
    """Which counter to read: physical ``engine`` and ``counter``, an ``arch.encoding_engine.EngineCounter``."""

    def __init__(self) -> None:
        super().__init__({"engine": _ENGINE_BITS, "counter": counter_id_bits()})


class CounterValueLayout(data.StructLayout):
    """What a counter holds: ``count``, unsigned."""

    def __init__(self) -> None:
        super().__init__({"count": COUNTER_BITS})


class EngineCounters(wiring.Component):
    """One counter for each ``EngineCounter``.

    Timing: an event shows in its counter two clocks later; ``value`` follows ``select`` one clock later. Nothing stands
    between ``events`` and a register, nor between the counters' carry chains and theirs.

    Parameters
    ----------
    config : the engine

    Members
    -------
    clear : In(1), all counters become 0
    counting : In(1), events of this clock count
    events : In(one bit a counter)
    select : In(counter_id_bits), an ``EngineCounter``; others read as 0
    value : Out(32)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "clear": In(1),
                "counting": In(1),
                "events": In(len(EngineCounter)),
                "select": In(counter_id_bits()),
                "value": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        happened = Signal(len(EngineCounter))
        counts = [Signal(unsigned(COUNTER_BITS), name=counter.name.lower()) for counter in EngineCounter]
        m.d.sync += happened.eq(self.events & self.counting.replicate(len(EngineCounter)))
        for counter, count in zip(EngineCounter, counts, strict=True):
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            with m.Elif(happened[counter]):
                m.d.sync += count.eq(count + 1)
        with m.Switch(self.select):
            for counter, count in zip(EngineCounter, counts, strict=True):
                with m.Case(counter):
                    m.d.sync += self.value.eq(count)
            with m.Default():
                m.d.sync += self.value.eq(0)
        return m
