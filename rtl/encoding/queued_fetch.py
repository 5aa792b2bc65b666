"""From banks and rows of a lookup's corners to their table rows, over 16 single-port banks with queues."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data

from rtl.delay_line import DelayLine
from rtl.encoding.corner_fetch import CornerFetch
from rtl.encoding.feature_table import FeatureTable
from rtl.encoding.lookup_window import LookupWindow

__all__ = ["QueuedFetch"]


class QueuedFetch(CornerFetch):
    """Serve up to ``config.lookup_window`` lookups at once: ``LookupWindow``, ``FeatureTable``, words sorted.

    Timing: a lookup taken in clock t is served from clock t + 1 on; ``done`` is high
    ``1 + feature_table_latency + corner_gather_latency`` clocks after its last corner was served, or a clock after
    the ``done`` before it. ``advance`` depends on registers and ``valid``.

    Parameters
    ----------
    config : the engine, with ``bank_ports`` = 1
    tag : shape of what goes with a lookup and comes out with its corners

    Members
    -------
    those of ``CornerFetch``
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        places, corners = config.lookup_window, config.n_corners
        m.submodules.window = window = LookupWindow(config, self.tag.shape())
        m.submodules.table = table = FeatureTable(config)
        m.submodules.served_delay = served = DelayLine(window.served.shape(), config.feature_table_latency)
        leaving = data.StructLayout({"valid": 1, "place": range(places), "tag": self.tag.shape()})
        m.submodules.leave_delay = left = DelayLine(leaving, config.feature_table_latency + 1)
        m.d.comb += [
            self.advance.eq(window.advance),
            window.valid.eq(self.valid),
            window.three_dims.eq(self.three_dims),
            window.bank.eq(self.bank),
            window.row.eq(self.row),
            window.first_row.eq(self.first_row),
            window.tag.eq(self.tag),
            table.address.eq(window.address),
            table.w_en.eq(self.w_en),
            table.w_bank.eq(self.w_bank),
            table.w_row.eq(self.w_row),
            table.w_part.eq(self.w_part),
            table.w_data.eq(self.w_data),
            served.en.eq(1),
            served.i.eq(window.served),
            left.en.eq(1),
            left.i.valid.eq(window.leave),
            left.i.place.eq(window.place),
            left.i.tag.eq(window.leave_tag),
        ]
        if config.reuse_cells:
            m.d.comb += window.reuse.eq(self.reuse)
        words = table.word.as_value()
        collected = [Signal(data.ArrayLayout(config.row_bits, corners), name=f"collected_{p}") for p in range(places)]
        for place in range(places):
            for corner in range(corners):
                number = place * corners + corner
                with m.If(served.o.take[number]):
                    word = words.word_select(served.o.bank[number], config.row_bits)
                    m.d.sync += collected[place][corner].eq(word)
            with m.If(left.o.place == place):
                m.d.sync += self.corner.eq(collected[place])
        m.d.sync += [self.done.eq(left.o.valid), self.done_tag.eq(left.o.tag)]
        return m
