"""A processor of the cluster with its queues, its credits and its watchdog."""

from collections.abc import Callable

from amaranth.hdl import Module, Signal, ValueLike
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from arch.nfp import COUNTER_BITS, ClusterConfig, NfpConfig
from rtl.cluster.beat_gatherer import BeatGatherer
from rtl.cluster.beat_splitter import BeatSplitter
from rtl.cluster.beats import point_beats
from rtl.cluster.collector import queued_results
from rtl.nfp.nfp import Nfp
from rtl.nfp.nfp_counters import CountersLayout
from rtl.skid_buffer import SkidBuffer
from rtl.streams import LoadLayout

__all__ = ["NfpLane"]

_FLUSH_CYCLES = 3
"""Clocks from the watchdog's verdict on a processor to ``failed``, with beats: what was flushed can leave by then."""

_Ends = tuple[stream.Interface, tuple[ValueLike, ValueLike], ValueLike]
"""What takes points; whether a word goes into the queue of results, and which; whether the lane has failed."""


class NfpLane(Component):
    """Run a processor at its own pace between the dispatcher and the collector.

    Queues hold all that the credits allow, so points are taken in every clock and the processor's results never wait.
    A lane is eligible while it has begun fewer than ``queued_batches`` nano-batches it has not finished, and fewer than
    ``reorder_batches`` whose results have not left the cluster.

    The watchdog: a lane whose processor has unfinished nano-batches, all points of which are dealt, and gives no result
    for ``watchdog`` clocks has failed, until reset. It is not eligible and drops what its processor still gives; the
    results it had before stay. When all processors have failed it takes points again, to
    drop them: they leave the cluster as errors, and nothing upstream waits for ever.

    With several points a clock the queues hold beats; the processor still takes and gives one a clock. A failed
    processor's unfinished beat goes into the queue before the lane counts as failed.

    *Timing*: two clocks from ``w_en`` to the processor, two from the processor's result, or the last one of a beat, to
    ``results``; one from ``load`` to the processor, all of whose ways end in registers.

    Parameters
    ----------
    config : the cluster
    make_nfp : makes the processor, a component with the ports of ``rtl.nfp.Nfp``

    Members
    -------
    load : In(stream of LoadLayout)
    loading : Out(1), the processor has yet to take a load word; no nano-batch may begin
    w_en, w_data : In, a point, or a beat of points (``point_beats(config)``)
    opened : In(1), with the first point of a nano-batch
    dealing : In(1), more points of the present nano-batch will follow
    returned : In(1), the last result of a nano-batch leaves the cluster
    watchdog : In(32), clocks; 0: never
    all_failed : In(1), there is no other processor left
    results : Out(stream of ``queued_results(config)``), in order
    eligible, failed, idle : Out(1); idle if all its results have left the cluster
    counters : Out(CountersLayout())
    """

    def __init__(self, config: ClusterConfig, make_nfp: Callable[[NfpConfig], Component] = Nfp) -> None:
        self.config = config
        self._nfp = make_nfp(config.nfp)
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "loading": Out(1),
                "w_en": In(1),
                "w_data": In(point_beats(config)),
                "opened": In(1),
                "dealing": In(1),
                "returned": In(1),
                "watchdog": In(COUNTER_BITS),
                "all_failed": In(1),
                "results": Out(stream.Signature(queued_results(config))),
                "eligible": Out(1),
                "failed": Out(1),
                "idle": Out(1),
                "counters": Out(CountersLayout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        batch_beats = config.nfp.mlp.nano_batch // config.beat_points
        m.submodules.nfp = nfp = self._nfp
        m.submodules.point_queue = points = SyncFIFOBuffered(
            width=len(self.w_data.as_value()), depth=config.queued_batches * batch_beats
        )
        m.submodules.result_queue = results = SyncFIFOBuffered(
            width=len(self.results.payload.as_value()), depth=config.reorder_batches * batch_beats
        )
        dead = Signal()
        m.submodules.load_buffer = words = SkidBuffer(LoadLayout())
        connect(m, flipped(self.load), words.i)
        connect(m, words.o, nfp.load)
        taker, given, failed = (self._beats if config.beat_points > 1 else self._singles)(m, dead)
        m.d.comb += [
            points.w_en.eq(self.w_en),
            points.w_data.eq(self.w_data),
            taker.payload.eq(points.r_data),
            taker.valid.eq(points.r_rdy),
            points.r_en.eq(taker.ready),
            nfp.results.ready.eq(1),
            results.w_en.eq(given[0]),
            results.w_data.eq(given[1]),
            self.results.payload.eq(results.r_data),
            self.results.valid.eq(results.r_rdy),
            results.r_en.eq(self.results.ready),
            self.failed.eq(failed),
            self.counters.eq(nfp.counters),
            # a failed processor may never take it
            self.loading.eq(words.o.valid & ~dead),
        ]
        self._credit(m, nfp.results.valid & nfp.results.payload.last, dead)
        return m

    def _singles(self, _m: Module, dead: Signal) -> _Ends:
        """A point at a time; ``dead`` comes at least three clocks behind the last result, which can leave by then."""
        results = self._nfp.results
        return self._nfp.points, (results.valid & ~dead, results.payload), dead

    def _beats(self, m: Module, dead: Signal) -> _Ends:
        """Several at a time: points of a beat one after the other, results gathered."""
        results = self._nfp.results
        m.submodules.splitter = splitter = BeatSplitter(self.config)
        m.submodules.gatherer = gatherer = BeatGatherer(self.config)
        connect(m, splitter.o, self._nfp.points)
        since = Signal(_FLUSH_CYCLES)  # bit k: dead for more than k clocks
        m.d.sync += since.eq(dead | since << 1)
        m.d.comb += [
            gatherer.valid.eq(results.valid & ~dead),
            gatherer.result.eq(results.payload),
            gatherer.flush.eq(dead & ~since[0]),
        ]
        return splitter.i, (gatherer.w_en, gatherer.w_data), since[-1]

    def _credit(self, m: Module, finished: Signal, dead: Signal) -> None:
        config = self.config
        unfinished, outstanding = Signal(range(config.queued_batches + 1)), Signal(range(config.reorder_batches + 1))
        waited = Signal(COUNTER_BITS)
        m.d.sync += [
            unfinished.eq(unfinished + self.opened - finished),
            outstanding.eq(outstanding + self.opened - self.returned),
        ]
        begins = ~dead & (unfinished != config.queued_batches) | self.all_failed
        m.d.comb += [
            self.eligible.eq(begins & (outstanding != config.reorder_batches)),
            self.idle.eq(outstanding == 0),
        ]
        with m.If(self._nfp.results.valid | self.dealing | self.opened | (unfinished == 0)):
            m.d.sync += waited.eq(0)
        with m.Else():
            m.d.sync += waited.eq(waited + 1)
        with m.If((self.watchdog != 0) & (waited >= self.watchdog)):
            m.d.sync += dead.eq(1)
