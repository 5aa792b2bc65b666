"""Several neural fields processors behind one stream of points and one of results."""

from collections.abc import Callable
from functools import reduce
from operator import add

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from arch.nfp import COUNTER_BITS, ClusterConfig, NfpConfig
from rtl.cluster.beats import point_beats, result_beats
from rtl.cluster.collector import Collector
from rtl.cluster.dispatcher import Dispatcher
from rtl.cluster.load_broadcast import LoadBroadcast
from rtl.cluster.nfp_lane import NfpLane
from rtl.nfp.nfp import Nfp
from rtl.nfp.nfp_counters import CountersLayout
from rtl.streams import LoadLayout

__all__ = ["NfpCluster"]


class NfpCluster(Component):
    """Deal nano-batches to ``n_nfps`` processors and give the results in the order of the points.

    Guarantee: one result a point, in order. A slow processor gets fewer nano-batches; one that stops is found by the
    watchdog, its nano-batches leave as errors and the others go on; if none is left all points leave as errors.

    *Timing*: points are dealt ``config.beat_points`` a clock, so of processors of c clocks a point up to c times as
    many run side by side. ``sim.engine.cluster`` gives every clock.

    *Loading*: a load word goes to all processors, a clock later. It waits until the results of all points have left,
    and behind a pause one clock; from then on until the last processor has it no nano-batch begins.

    Parameters
    ----------
    config : the cluster
    make_nfp : makes a processor

    Members
    -------
    load : In(stream of LoadLayout), ``arch.nfp_image``
    points : In(stream of ``point_beats(config)``)
    results : Out(stream of ``result_beats(config)``)
    watchdog : In(32), clocks without a result after which a processor with work has failed; 0: never
    failed : Out(n_nfps), processors that failed
    busy : Out(1), points are inside
    opened : Out(n_nfps), the processor to which a nano-batch begins to be dealt
    counters : Out(CountersLayout()), of the cluster's own streams, an event two clocks later; ``encoding_limits`` and
        ``mlp_limits`` are the processors' sums, ``busy`` counts the clocks of ``busy``
    """

    def __init__(self, config: ClusterConfig, make_nfp: Callable[[NfpConfig], Component] = Nfp) -> None:
        self.config = config
        self._lanes = [NfpLane(config, make_nfp) for _ in range(config.n_nfps)]
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "points": In(stream.Signature(point_beats(config))),
                "results": Out(stream.Signature(result_beats(config))),
                "watchdog": In(COUNTER_BITS),
                "failed": Out(config.n_nfps),
                "busy": Out(1),
                "opened": Out(config.n_nfps),
                "counters": Out(CountersLayout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dispatcher = dispatcher = Dispatcher(self.config)
        m.submodules.collector = collector = Collector(self.config)
        m.submodules.broadcast = broadcast = LoadBroadcast(self.config)
        # a word is taken from the clock after its offer on, so that points hear of it from a register
        offered = Signal()
        m.d.sync += offered.eq(self.load.valid)
        connect(m, flipped(self.points), dispatcher.i)
        connect(m, flipped(self.load), broadcast.i)
        connect(m, collector.o, flipped(self.results))
        m.d.comb += [
            self.busy.eq(~Cat(lane.idle for lane in self._lanes).all()),
            broadcast.en.eq(offered & ~self.busy),
            broadcast.failed.eq(self.failed),
            dispatcher.hold.eq(offered | Cat(lane.loading for lane in self._lanes).any()),
            dispatcher.eligible.eq(Cat(lane.eligible for lane in self._lanes)),
            collector.tag_valid.eq(dispatcher.tag_valid),
            collector.tag.eq(dispatcher.tag),
            collector.failed.eq(self.failed),
            self.opened.eq(dispatcher.opened),
            self.failed.eq(Cat(lane.failed for lane in self._lanes)),
        ]
        for number, lane in enumerate(self._lanes):
            m.submodules[f"lane_{number}"] = lane
            connect(m, broadcast.o[number], lane.load)
            connect(m, lane.results, collector.results[number])
            m.d.comb += [
                lane.w_en.eq(dispatcher.w_en[number]),
                lane.w_data.eq(dispatcher.w_data),
                lane.opened.eq(dispatcher.opened[number]),
                lane.dealing.eq(dispatcher.dealing[number]),
                lane.returned.eq(collector.returned[number]),
                lane.watchdog.eq(self.watchdog),
                lane.all_failed.eq(self.failed.all()),
            ]
        self._count(m)
        return m

    def _count(self, m: Module) -> None:
        in_run = Signal()
        point, result = self.points, self.results
        with m.If(point.valid & point.ready):
            m.d.sync += in_run.eq(~point.payload.last)
        events = {
            "points": self._moved(point),
            "results": self._moved(result),
            "busy": self.busy | point.valid & point.ready,
            "source_waits": point.ready & ~point.valid & in_run,
            "sink_waits": result.valid & ~result.ready,
        }
        for name, event in events.items():
            # counted a clock late: handshakes come late in theirs, and carries are long
            happened = Signal.like(Value.cast(event), name=f"{name}_happened")
            m.d.sync += [happened.eq(event), self.counters[name].eq(self.counters[name] + happened)]
        for name in ("encoding_limits", "mlp_limits"):
            m.d.sync += self.counters[name].eq(reduce(add, (lane.counters[name] for lane in self._lanes)))

    def _moved(self, beats: stream.Interface) -> Value:
        """Points that a transfer moves in this clock."""
        moves = beats.valid & beats.ready
        return moves if self.config.beat_points == 1 else Mux(moves, beats.payload.n + 1, 0)
