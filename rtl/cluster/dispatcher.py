"""Deals nano-batches of points to processors."""

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import ClusterConfig
from rtl.cluster.beats import point_beats

__all__ = ["Dispatcher", "TagLayout"]


class TagLayout(data.StructLayout):
    """A nano-batch under way: processor ``nfp``, its ``n`` points less one, and ``last`` if it ends a run."""

    def __init__(self, config: ClusterConfig) -> None:
        nano_batch = config.nfp.mlp.nano_batch
        super().__init__({"nfp": range(max(2, config.n_nfps)), "n": range(max(2, nano_batch)), "last": 1})


class Dispatcher(Component):
    """Cut the stream of points into nano-batches and send each to the next processor that may have one.

    Points of a nano-batch go to one processor, the first of those behind the last one dealt to, in a ring, that is
    eligible when the nano-batch's first point is taken. A nano-batch has ``nano_batch`` points or ends with ``last``;
    its last point carries ``last``. A processor that is eligible must have room for a whole nano-batch.

    *Timing*: no clock of latency, a point, or a beat of points, a clock; ``i.ready`` depends on registers and on
    ``eligible`` and ``hold``.

    Parameters
    ----------
    config : the cluster

    Members
    -------
    i : In(stream of ``point_beats(config)``)
    eligible : In(n_nfps), which processors may have a nano-batch
    hold : In(1), no nano-batch begins
    w_en : Out(n_nfps), the processor that takes ``w_data`` now
    w_data : Out(``point_beats(config)``)
    opened : Out(n_nfps), a nano-batch begins on this processor
    dealing : Out(n_nfps), a nano-batch for this processor has begun and not all its points are dealt
    tag_valid, tag : Out, a nano-batch is dealt whole
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        points, n_nfps = point_beats(config), config.n_nfps
        super().__init__(
            {
                "i": In(stream.Signature(points)),
                "eligible": In(n_nfps),
                "hold": In(1),
                "w_en": Out(n_nfps),
                "w_data": Out(points),
                "opened": Out(n_nfps),
                "dealing": Out(n_nfps),
                "tag_valid": Out(1),
                "tag": Out(TagLayout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n_nfps, points = self.config.n_nfps, self.config.beat_points
        open_, current = Signal(), Signal(range(max(2, n_nfps)), init=n_nfps - 1)
        count, chosen = Signal.like(self.tag.n), Signal(range(max(2, n_nfps)))
        m.d.comb += [
            chosen.eq(Mux(open_, current, self._next(m, current))),
            self.i.ready.eq(open_ | (self.eligible.any() & ~self.hold)),
        ]
        take = self.i.valid & self.i.ready
        ends = self.i.payload.last | (count == self.config.nfp.mlp.nano_batch - points)
        one_hot = Array(1 << number for number in range(n_nfps))[chosen]
        m.d.comb += [
            self.w_en.eq(Mux(take, one_hot, 0)),
            self.w_data.eq(self.i.payload),
            self.w_data.last.eq(ends),
            self.opened.eq(Mux(take & ~open_, one_hot, 0)),
            self.dealing.eq(Mux(open_, one_hot, 0)),
            self.tag_valid.eq(take & ends),
            self.tag.nfp.eq(chosen),
            self.tag.n.eq(count if points == 1 else count + self.i.payload.n),
            self.tag.last.eq(self.i.payload.last),
        ]
        with m.If(take):
            m.d.sync += [current.eq(chosen), open_.eq(~ends), count.eq(Mux(ends, 0, count + points))]
        return m

    def _next(self, m: Module, current: Value) -> Signal:
        """The first eligible processor behind ``current`` in the ring."""
        n_nfps = self.config.n_nfps
        following = Signal(range(max(2, n_nfps)))
        # later assignments win: the lowest of all, then the lowest of those behind
        for behind in (False, True):
            for number in reversed(range(n_nfps)):
                with m.If(self.eligible[number] & ((number > current) if behind else 1)):
                    m.d.comb += following.eq(number)
        return following
