"""Brings results back into the order of the points."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import ClusterConfig, NfpConfig
from rtl.cluster.dispatcher import TagLayout
from rtl.streams import VectorLayout

__all__ = ["Collector", "ResultLayout"]


class ResultLayout(data.StructLayout):
    """A result of a cluster: ``values``, ``last``, and ``error`` if its processor failed; values are 0 then."""

    def __init__(self, config: NfpConfig) -> None:
        vector = VectorLayout(config.max_outputs, config.mlp.profile.value_bits)
        super().__init__({**{name: field.shape for name, field in vector}, "error": 1})


class Collector(Component):
    """Give the results of nano-batches in the order in which their tags came.

    A nano-batch's results come from its processor's queue. If that one has failed, the results it did not give leave as
    errors, as many as the nano-batch has points.

    *Timing*: a tag is in use two clocks after ``tag_valid``; then no clock of latency, a result a clock.

    Parameters
    ----------
    config : the cluster

    Members
    -------
    tag_valid, tag : In, a nano-batch under way; at most ``n_nfps * reorder_batches`` at a time
    results : In(stream of VectorLayout).array(n_nfps), one queue a processor
    failed : In(n_nfps)
    returned : Out(n_nfps), the last result of a nano-batch of this processor leaves
    o : Out(stream of ResultLayout)
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        vector = VectorLayout(config.nfp.max_outputs, config.nfp.mlp.profile.value_bits)
        n_nfps = config.n_nfps
        super().__init__(
            {
                "tag_valid": In(1),
                "tag": In(TagLayout(config)),
                "results": In(stream.Signature(vector)).array(n_nfps),
                "failed": In(n_nfps),
                "returned": Out(n_nfps),
                "o": Out(stream.Signature(ResultLayout(config.nfp))),
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
        ends = count == tag.n
        moves = self.o.valid & self.o.ready
        m.d.comb += [
            tags.w_en.eq(self.tag_valid),
            tags.w_data.eq(self.tag),
            tag.eq(tags.r_data),
            tags.r_en.eq(moves & ends),
            self.o.valid.eq(tags.r_rdy & (valid | failed)),
            self.o.payload.values.eq(Mux(valid, values, 0)),
            self.o.payload.error.eq(~valid),
            self.o.payload.last.eq(tag.last & ends),
        ]
        with m.If(moves):
            m.d.sync += count.eq(Mux(ends, 0, count + 1))
        for number, queue in enumerate(self.results):
            here = tag.nfp == number
            m.d.comb += [queue.ready.eq(moves & here), self.returned[number].eq(moves & ends & here)]
        return m
