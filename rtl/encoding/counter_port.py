"""When the level engines of an encoding engine count, what they blame for a missing point, and reading them."""

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import COUNTER_BITS, EncodingEngineConfig, EngineCounter
from rtl.encoding.engine_counters import CounterSelectLayout, CounterValueLayout, counter_id_bits

__all__ = ["CounterPort"]


class CounterPort(wiring.Component):
    """The part of the counters that all level engines share.

    A run starts with a point's transfer and ends with ``ends``; both clocks count.

    Timing: ``counting`` and ``starved`` are combinational. A counter's value comes three clocks after its
    ``select`` transfer; one request at a time.

    Parameters
    ----------
    config : the engine

    Members
    -------
    offered : In(1), a point is offered
    taken : In(1), a point is transferred
    loading : In(1), a load word is offered
    no_credit : In(1), ``points_in_flight`` points are inside
    ends : In(1), features are transferred that end a run
    counting : Out(1), for ``EngineCounters``
    starved : Out(EngineCounter), to blame by an engine with nothing to issue
    counter : Out(EngineCounter), the counter that every engine shows on ``value``
    value : In(level_parallel x 32 bits), one clock later
    select : In(stream CounterSelectLayout)
    result : Out(stream CounterValueLayout), 0 for engines and counters that are not there
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "offered": In(1),
                "taken": In(1),
                "loading": In(1),
                "no_credit": In(1),
                "ends": In(1),
                "counting": Out(1),
                "starved": Out(counter_id_bits()),
                "counter": Out(counter_id_bits()),
                "value": In(data.ArrayLayout(unsigned(COUNTER_BITS), config.level_parallel)),
                "select": In(stream.Signature(CounterSelectLayout())),
                "result": Out(stream.Signature(CounterValueLayout())),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        running = Signal()
        with m.If(self.taken):
            m.d.sync += running.eq(1)
        with m.Elif(self.ends):
            m.d.sync += running.eq(0)
        m.d.comb += self.counting.eq(running | self.taken)
        with m.If(self.loading):
            m.d.comb += self.starved.eq(EngineCounter.LOAD)
        with m.Elif(self.offered & self.no_credit):
            m.d.comb += self.starved.eq(EngineCounter.OUTPUT)
        with m.Elif(self.offered & ~self.taken):
            m.d.comb += self.starved.eq(EngineCounter.PEER)
        with m.Else():
            m.d.comb += self.starved.eq(EngineCounter.POINT)

        selected = Signal(CounterSelectLayout())
        asked, answered = Signal(), Signal()
        values = Array(self.value)
        m.d.comb += [
            self.select.ready.eq(~asked & ~answered & ~self.result.valid),
            self.counter.eq(selected.counter),
        ]
        m.d.sync += [asked.eq(self.select.valid & self.select.ready), answered.eq(asked)]
        with m.If(self.select.ready):
            m.d.sync += selected.eq(self.select.payload)
        with m.If(answered):
            known = selected.engine < self.config.level_parallel
            m.d.sync += [
                self.result.payload.count.eq(Mux(known, values[selected.engine], 0)),
                self.result.valid.eq(1),
            ]
        with m.Elif(self.result.ready):
            m.d.sync += self.result.valid.eq(0)
        return m
