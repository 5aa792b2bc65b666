"""From beats of points to the points of one processor."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import ClusterConfig
from rtl.cluster.beats import PointBeatLayout
from rtl.streams import points_layout

__all__ = ["BeatSplitter"]


class BeatSplitter(Component):
    """Give the points of a beat one after the other; the last one of a beat with ``last`` carries it.

    *Timing*: no clock of latency, a point a clock; a beat is taken with its last point.

    Parameters
    ----------
    config : the cluster, of several points a beat

    Members
    -------
    i : In(stream of PointBeatLayout)
    o : Out(stream of PointLayout)
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        point, beat = points_layout(config.nfp), PointBeatLayout(config)
        super().__init__({"i": In(stream.Signature(beat)), "o": Out(stream.Signature(point))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, point = self.i.payload, self.o.payload
        place = Signal.like(beat.n)
        ends = place == beat.n
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & ends),
            point.last.eq(beat.last & ends),
        ]
        for name in ("position", "side") if self.config.nfp.mlp.side_inputs else ("position",):
            m.d.comb += point[name].as_value().eq(beat[name].as_value().word_select(place, len(point[name].as_value())))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += place.eq(place + 1)
            with m.If(ends):
                m.d.sync += place.eq(0)
        return m
