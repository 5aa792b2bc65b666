"""A processor of the cluster with its queues, its credits and its watchdog."""

from collections.abc import Callable

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from arch.nfp import COUNTER_BITS, ClusterConfig, NfpConfig
from rtl.nfp.nfp import Nfp
from rtl.nfp.nfp_counters import CountersLayout
from rtl.streams import LoadLayout, PointLayout, VectorLayout

__all__ = ["NfpLane"]


class NfpLane(Component):
    """Run a processor at its own pace between the dispatcher and the collector.

    Queues hold all that the credits allow, so points are taken in every clock and the processor's results never wait.
    A lane is eligible while it has begun fewer than ``queued_batches`` nano-batches it has not finished, and fewer than
    ``reorder_batches`` whose results have not left the cluster.

    The watchdog: a lane whose processor has unfinished nano-batches, all points of which are dealt, and gives no result
    for ``watchdog`` clocks has failed, until reset. It is not eligible and drops what its processor still gives; the
    results it had before stay. When all processors have failed it takes points again, to
    drop them: they leave the cluster as errors, and nothing upstream waits for ever.

    *Timing*: two clocks from ``w_en`` to the processor, two from the processor's result to ``results``.

    Parameters
    ----------
    config : the cluster
    make_nfp : makes the processor, a component with the ports of ``rtl.nfp.Nfp``

    Members
    -------
    load : In(stream of LoadLayout)
    w_en, w_data : In, a point
    opened : In(1), with the first point of a nano-batch
    dealing : In(1), more points of the present nano-batch will follow
    returned : In(1), the last result of a nano-batch leaves the cluster
    watchdog : In(32), clocks; 0: never
    all_failed : In(1), there is no other processor left
    results : Out(stream of VectorLayout), in order
    eligible, failed, idle : Out(1); idle if all its results have left the cluster
    counters : Out(CountersLayout())
    """

    def __init__(self, config: ClusterConfig, make_nfp: Callable[[NfpConfig], Component] = Nfp) -> None:
        self.config = config
        mlp, bits = config.nfp.mlp, config.nfp.mlp.profile.value_bits
        self._nfp = make_nfp(config.nfp)
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "w_en": In(1),
                "w_data": In(PointLayout(config.nfp.encoding.n_pos_dims, mlp.side_inputs, bits)),
                "opened": In(1),
                "dealing": In(1),
                "returned": In(1),
                "watchdog": In(COUNTER_BITS),
                "all_failed": In(1),
                "results": Out(stream.Signature(VectorLayout(config.nfp.max_outputs, bits))),
                "eligible": Out(1),
                "failed": Out(1),
                "idle": Out(1),
                "counters": Out(CountersLayout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, nano_batch = self.config, self.config.nfp.mlp.nano_batch
        m.submodules.nfp = nfp = self._nfp
        m.submodules.point_queue = points = SyncFIFOBuffered(
            width=len(self.w_data.as_value()), depth=config.queued_batches * nano_batch
        )
        m.submodules.result_queue = results = SyncFIFOBuffered(
            width=len(nfp.results.payload.as_value()), depth=config.reorder_batches * nano_batch
        )
        dead = Signal()
        connect(m, flipped(self.load), nfp.load)
        m.d.comb += [
            points.w_en.eq(self.w_en),
            points.w_data.eq(self.w_data),
            nfp.points.payload.eq(points.r_data),
            nfp.points.valid.eq(points.r_rdy),
            points.r_en.eq(nfp.points.ready),
            nfp.results.ready.eq(1),
            results.w_en.eq(nfp.results.valid & ~dead),
            results.w_data.eq(nfp.results.payload),
            self.results.payload.eq(results.r_data),
            self.results.valid.eq(results.r_rdy),
            results.r_en.eq(self.results.ready),
            self.failed.eq(dead),  # at least three clocks behind its last result, which can leave by then
            self.counters.eq(nfp.counters),
        ]
        self._credit(m, nfp.results.valid & nfp.results.payload.last, dead)
        return m

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
