"""Brings results back into the order of the points."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import ClusterConfig
from rtl.cluster.beat_gatherer import GatheredLayout
from rtl.cluster.beats import result_beats
from rtl.cluster.dispatcher import TagLayout
from rtl.streams import VectorLayout

__all__ = ["Collector", "queued_results"]


def queued_results(config: ClusterConfig) -> data.StructLayout:
    """What a processor's queue of results holds: one, or a beat of them."""
    if config.beat_points > 1:
        return GatheredLayout(config)
    return VectorLayout(config.nfp.max_outputs, config.nfp.mlp.profile.value_bits)


class Collector(Component):
    """Give the results of nano-batches in the order in which their tags came.

    A nano-batch's results come from its processor's queue. If that one has failed, the results it did not give leave as
    errors, as many as the nano-batch has points; of a beat of several results those that it did give are kept.

    *Timing*: a tag is in use two clocks after ``tag_valid``; then no clock of latency, a result, or a beat of results,
    a clock.

    Parameters
    ----------
    config : the cluster

    Members
    -------
    tag_valid, tag : In, a nano-batch under way; at most ``n_nfps * reorder_batches`` at a time
    results : In(stream of ``queued_results(config)``).array(n_nfps), one queue a processor
    failed : In(n_nfps)
    returned : Out(n_nfps), the last result of a nano-batch of this processor leaves
    o : Out(stream of ``result_beats(config)``)
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        n_nfps = config.n_nfps
        super().__init__(
            {
                "tag_valid": In(1),
                "tag": In(TagLayout(config)),
                "results": In(stream.Signature(queued_results(config))).array(n_nfps),
                "failed": In(n_nfps),
                "returned": Out(n_nfps),
                "o": Out(stream.Signature(result_beats(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        tag = Signal(TagLayout(config))
        m.submodules.tags = tags = SyncFIFOBuffered(
            width=len(tag.as_value()), depth=config.n_nfps * config.reorder_batches
        )
        count = Signal.like(tag.n)
        valid = Array(queue.valid for queue in self.results)[tag.nfp]
        values = Array(queue.payload.values.as_value() for queue in self.results)[tag.nfp]
        failed = self.failed.bit_select(tag.nfp, 1)
        points = config.beat_points
        ends = count == tag.n if points == 1 else (count | points - 1) >= tag.n
        n = Mux(ends, tag.n & points - 1, points - 1)
        moves = self.o.valid & self.o.ready
        m.d.comb += [
            tags.w_en.eq(self.tag_valid),
            tags.w_data.eq(self.tag),
            tag.eq(tags.r_data),
            tags.r_en.eq(moves & ends),
            self.o.valid.eq(tags.r_rdy & (valid | failed)),
            self.o.payload.values.eq(Mux(valid, values, 0)),
            self.o.payload.error.eq(~valid if points == 1 else self._errors(n, valid, tag.nfp)),
            self.o.payload.last.eq(tag.last & ends),
        ]
        with m.If(moves):
            m.d.sync += count.eq(Mux(ends, 0, count + points))
        if points > 1:
            m.d.comb += self.o.payload.n.eq(n)
        for number, queue in enumerate(self.results):
            here = tag.nfp == number
            m.d.comb += [queue.ready.eq(moves & here), self.returned[number].eq(moves & ends & here)]
        return m

    def _errors(self, n: Value, valid: Value, nfp: Value) -> Value:
        """Which results of a beat of ``n + 1`` their processor did not give."""
        given = Array(queue.payload.n for queue in self.results)[nfp]
        return Cat((number <= n) & ~(valid & (number <= given)) for number in range(self.config.beat_points))
