"""What a processor counts: points, results, and the clocks each engine, the source and the sink cost."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import COUNTER_BITS, NFP_COUNTERS, NfpConfig

__all__ = ["CountersLayout", "NfpCounters"]


class CountersLayout(data.StructLayout):
    """One unsigned number for each of ``arch.nfp.NFP_COUNTERS``."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(NFP_COUNTERS, unsigned(COUNTER_BITS)))


class NfpCounters(Component):
    """Watch a processor's three streams and count.

    ``encoding_limits``, ``mlp_limits`` and the transfers of features exclude one another, so the larger of the two
    names the engine that sets the pace.

    *Timing*: a counter shows an event one clock later. Counters start at 0 and go on from 0 past their largest value;
    nothing else sets them back.

    Parameters
    ----------
    config : the processor

    Members
    -------
    point_valid, point_ready, point_last : In, the stream of points
    feature_valid, feature_ready : In, the stream between the engines
    result_valid, result_ready : In, the stream of results
    empty : Out(1), no point is inside the processor
    o : Out(CountersLayout())
    """

    def __init__(self, config: NfpConfig) -> None:
        self.config = config
        names = ("point_valid", "point_ready", "point_last", "feature_valid", "feature_ready")
        inputs = {name: In(1) for name in (*names, "result_valid", "result_ready")}
        super().__init__({**inputs, "empty": Out(1), "o": Out(CountersLayout())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        point = self.point_valid & self.point_ready
        feature = self.feature_valid & self.feature_ready
        result = self.result_valid & self.result_ready
        encoding = Signal(range(self.config.encoding.points_in_flight + 1))
        inside = Signal(range(self.config.max_inside + 1))
        in_run = Signal()
        m.d.sync += [encoding.eq(encoding + point - feature), inside.eq(inside + point - result)]
        with m.If(point):
            m.d.sync += in_run.eq(~self.point_last)
        m.d.comb += self.empty.eq(inside == 0)
        events = {
            "points": point,
            "results": result,
            "busy": point | ~self.empty,
            "encoding_limits": self.feature_ready & ~self.feature_valid & (encoding != 0),
            "mlp_limits": self.feature_valid & ~self.feature_ready,
            "source_waits": self.point_ready & ~self.point_valid & in_run,
            "sink_waits": self.result_valid & ~self.result_ready,
        }
        for name, event in events.items():
            m.d.sync += self.o[name].eq(self.o[name] + event)
        return m
