"""One load stream for all processors of the cluster."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import ClusterConfig
from rtl.streams import LoadLayout

__all__ = ["LoadBroadcast"]


class LoadBroadcast(Component):
    """Give every load word to all processors that have not failed, each when it takes it.

    *Timing*: no clock of latency, a word a clock while all take it at once; the next word is offered when the slowest
    one has taken the present one.

    Parameters
    ----------
    config : the cluster

    Members
    -------
    en : In(1), low holds the words back
    failed : In(n_nfps)
    i : In(stream of LoadLayout)
    o : Out(stream of LoadLayout).array(n_nfps)
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        words = stream.Signature(LoadLayout())
        super().__init__(
            {"en": In(1), "failed": In(config.n_nfps), "i": In(words), "o": Out(words).array(config.n_nfps)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n_nfps = self.config.n_nfps
        done, finished = Signal(n_nfps), Signal(n_nfps)
        m.d.comb += self.i.ready.eq(self.en & finished.all())
        for number, o in enumerate(self.o):
            m.d.comb += [
                o.payload.eq(self.i.payload),
                o.valid.eq(self.i.valid & self.en & ~done[number] & ~self.failed[number]),
                finished[number].eq(done[number] | o.ready | self.failed[number]),
            ]
            with m.If(o.valid & o.ready):
                m.d.sync += done[number].eq(1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += done.eq(0)
        return m
