"""Putting a lookup's corners side by side."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.bank_arbiter import ServedLayout
from rtl.encoding.feature_table import PortWordLayout

__all__ = ["CornerGather"]


class CornerGather(wiring.Component):
    """Collect the words of a lookup's corners from the ports that read them, over one or more clocks.

    Timing: all corners are there ``config.corner_gather_latency`` = 1 clock after a lookup's last words.

    Parameters
    ----------
    config : the engine

    Members
    -------
    word : In(PortWordLayout)
    served : In(ServedLayout), of the same clock as ``word``
    corner : Out(n_corners x word bits); a corner that was never taken keeps its old value
    valid : Out(1)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "word": In(PortWordLayout(config)),
                "served": In(ServedLayout(config)),
                "corner": Out(data.ArrayLayout(config.row_bits, config.n_corners)),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self.word.as_value()
        width = self.config.row_bits
        m.d.sync += self.valid.eq(self.served.done)
        for corner in range(self.config.n_corners):
            chosen = Signal(width, name=f"chosen_{corner}")
            m.d.comb += chosen.eq(words.word_select(self.served.port[corner], width))
            with m.If(self.served.take[corner]):
                m.d.sync += self.corner[corner].eq(chosen)
        return m
