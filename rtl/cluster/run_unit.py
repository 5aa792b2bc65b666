"""The cluster as a unit of the scheduler: one run of points a nano-operation."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, stream
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import ClusterConfig
from rtl.cluster.beats import point_beats
from rtl.scheduler.supervision_signature import completion_signature, offer_layout

__all__ = ["RunUnit"]


class _State(enum.Enum, shape=2):
    IDLE = 0
    OPEN = 1
    DRAIN = 2
    COMPLETE = 3


class RunUnit(Component):
    """Let one run of points into the cluster for each nano-operation, complete when its last result has left.

    A run is the points up to one with ``last``. While ``scheduled`` is high points wait for an issue; while it is low
    they pass freely and nothing is issued.

    *Timing*: points pass from the clock behind the handshake at ``issue``; ``complete`` comes in the clock behind the
    transfer of the run's last result.

    Parameters
    ----------
    config : the cluster, with its scheduler

    Members
    -------
    scheduled : In(1); changes while no point is inside
    issue : In(stream), descriptor and iteration
    complete : Out(completion); in supervised builds an error if a result of the run is one
    i, o : In, Out(stream of ``point_beats(config)``)
    result_moves, result_last, result_error : In, a result leaves the cluster; it ends a run; its processor failed
    active : Out(1), a nano-operation is in work
    index : Out, its descriptor
    error : Out(1), with ``complete``: a result of the run is an error
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        points = stream.Signature(point_beats(config))
        issue, completion = offer_layout(config.scheduler), completion_signature(config.scheduler)
        super().__init__(
            {
                "scheduled": In(1),
                "issue": In(stream.Signature(issue)),
                "complete": Out(completion),
                "i": In(points),
                "o": Out(points),
                **{name: In(1) for name in ("result_moves", "result_last", "result_error")},
                "active": Out(1),
                "index": Out(issue["index"].shape),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state, opened, wrong = Signal(_State), Signal(), Signal()
        m.d.comb += [
            opened.eq(Mux(self.scheduled, state == _State.OPEN, 1)),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & opened),
            self.i.ready.eq(self.o.ready & opened),
            self.issue.ready.eq(self.scheduled & (state == _State.IDLE)),
            self.active.eq(state != _State.IDLE),
            self.complete.valid.eq(state == _State.COMPLETE),
            self.complete.index.eq(self.index),
            self.error.eq(self.complete.valid & wrong),
        ]
        if self.config.scheduler.supervised:
            m.d.comb += self.complete.error.eq(wrong)
            with m.If(self.issue.valid & self.issue.ready):
                m.d.sync += self.complete.attempt.eq(self.issue.payload.attempt)
        with m.If(self.result_moves & self.result_error):
            m.d.sync += wrong.eq(1)
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += wrong.eq(0)
                with m.If(self.issue.valid & self.issue.ready):
                    m.d.sync += [state.eq(_State.OPEN), self.index.eq(self.issue.payload.index)]
            with m.Case(_State.OPEN), m.If(self.o.valid & self.o.ready & self.o.payload.last):
                m.d.sync += state.eq(_State.DRAIN)
            with m.Case(_State.DRAIN), m.If(self.result_moves & self.result_last):
                m.d.sync += state.eq(_State.COMPLETE)
            with m.Case(_State.COMPLETE):
                m.d.sync += state.eq(_State.IDLE)
        return m
