"""A stand-in for the processor, whose pace and health a test chooses."""

from collections.abc import Callable

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import NfpConfig
from rtl.nfp.nfp_counters import CountersLayout
from rtl.streams import LoadLayout, PointLayout, VectorLayout


class PacedNfp(Component):
    """Take a point every ``pace`` clocks and give coordinate 0's low byte plus what was loaded; stop after some points.

    A load word is taken in every clock up to every fourth, as the pace says, so that processors differ in it.
    """

    def __init__(self, config: NfpConfig, pace: int, stops_after: int | None) -> None:
        self.config, self.pace, self.stops_after = config, pace, stops_after
        bits = config.mlp.profile.value_bits
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "points": In(stream.Signature(PointLayout(config.encoding.n_pos_dims, 0, bits))),
                "results": Out(stream.Signature(VectorLayout(config.max_outputs, bits))),
                "counters": Out(CountersLayout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFOBuffered(width=9, depth=16)
        clock, taken, loaded = Signal(8), Signal(16), Signal(8)
        m.d.sync += clock.eq(clock + 1)
        healthy = 1 if self.stops_after is None else taken != self.stops_after
        wait = Signal(8)
        m.d.comb += [
            self.load.ready.eq(clock % (1 + self.pace % 4) == self.pace % 4),
            self.points.ready.eq((wait == 0) & queue.w_rdy & healthy),
            queue.w_en.eq(self.points.valid & self.points.ready),
            queue.w_data.eq(self.points.payload.position[0][:8] + loaded),
            queue.w_data[8].eq(self.points.payload.last),
            self.results.valid.eq(queue.r_rdy),
            self.results.payload.values[0].eq(queue.r_data[:8]),
            self.results.payload.last.eq(queue.r_data[8]),
            queue.r_en.eq(self.results.ready),
            self.counters.mlp_limits.eq(self.pace),
        ]
        with m.If(queue.w_en):
            m.d.sync += [taken.eq(taken + 1), wait.eq(self.pace - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.load.valid & self.load.ready):
            m.d.sync += loaded.eq(loaded + self.load.payload.data)
        return m


@pytest.fixture
def paced() -> Callable[..., Callable[[NfpConfig], PacedNfp]]:
    """``paced((pace, stops_after), ...)`` makes the factory of a cluster's processors, one after the other."""

    def factory(*kinds: tuple[int, int | None]) -> Callable[[NfpConfig], PacedNfp]:
        left = list(kinds)
        return lambda config: PacedNfp(config, *left.pop(0))

    return factory
