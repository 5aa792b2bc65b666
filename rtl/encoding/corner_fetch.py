"""From banks and rows of a lookup's corners to their table rows, over eight dual-port banks."""

from amaranth.hdl import Module, ShapeLike, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from rtl.delay_line import DelayLine
from rtl.encoding.bank_arbiter import BankArbiter
from rtl.encoding.bank_select import bank_row_bits
from rtl.encoding.corner_gather import CornerGather
from rtl.encoding.feature_table import FeatureTable, load_part_bits

__all__ = ["CornerFetch"]


class CornerFetch(wiring.Component):
    """Serve one lookup at a time: ``BankArbiter``, ``FeatureTable`` and ``CornerGather`` in a row.

    Timing: a lookup taken in clock t is served from clock t + 1 on, in ``conflict_clocks`` clocks; ``done`` is high
    ``1 + feature_table_latency + corner_gather_latency`` clocks after the last of them. ``advance`` depends on
    registers alone.

    Parameters
    ----------
    config : the engine
    tag : shape of what goes with a lookup and comes out with its corners

    Members
    -------
    advance : Out(1), the stages before move, and the lookup is taken
    valid : In(1), there is a lookup
    three_dims : In(1), low while a 3-dimensional build runs 2-dimensional grids: corners 4 to 7 read nothing
    reuse : In(1), with ``config.reuse_cells`` only: no corner reads anything
    bank : In(n_corners x bank bits)
    row : In(n_corners x row bits), inside the level
    first_row : In(row bits), of the lookup's level
    tag : In(tag)
    corner : Out(n_corners x row_bits); a corner that read nothing has no defined value
    done : Out(1), ``corner`` and ``done_tag`` are those of a lookup
    done_tag : Out(tag)
    w_en, w_bank, w_row, w_part, w_data : In, see ``FeatureTable``
    """

    def __init__(self, config: EncodingEngineConfig, tag: ShapeLike) -> None:
        self.config = config
        super().__init__(
            {
                "advance": Out(1),
                "valid": In(1),
                "three_dims": In(1),
                **({"reuse": In(1)} if config.reuse_cells else {}),
                "bank": In(data.ArrayLayout(range(config.n_banks), config.n_corners)),
                "row": In(data.ArrayLayout(unsigned(bank_row_bits(config)), config.n_corners)),
                "first_row": In(bank_row_bits(config)),
                "tag": In(tag),
                "corner": Out(data.ArrayLayout(config.row_bits, config.n_corners)),
                "done": Out(1),
                "done_tag": Out(tag),
                "w_en": In(1),
                "w_bank": In(config.bank_bits),
                "w_row": In(bank_row_bits(config)),
                "w_part": In(range(config.row_words)),
                "w_data": In(load_part_bits(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.arbiter = arbiter = BankArbiter(config)
        m.submodules.table = table = FeatureTable(config)
        m.submodules.gather = gather = CornerGather(config)
        # The tag stands in the arbiter beside its lookup; behind it, it moves every clock.
        to_corners = config.bank_arbiter_latency - 1 + config.feature_table_latency + config.corner_gather_latency
        m.submodules.held_tag = held = DelayLine(self.tag.shape(), 1)
        m.submodules.tag_delay = tags = DelayLine(self.tag.shape(), to_corners)
        m.submodules.served_delay = served = DelayLine(arbiter.served.shape(), config.feature_table_latency)
        m.d.comb += [
            self.advance.eq(arbiter.advance),
            arbiter.valid.eq(self.valid),
            arbiter.three_dims.eq(self.three_dims),
            arbiter.bank.eq(self.bank),
            arbiter.row.eq(self.row),
            arbiter.first_row.eq(self.first_row),
            table.address.eq(arbiter.address),
            table.w_en.eq(self.w_en),
            table.w_bank.eq(self.w_bank),
            table.w_row.eq(self.w_row),
            table.w_part.eq(self.w_part),
            table.w_data.eq(self.w_data),
            served.en.eq(1),
            served.i.eq(arbiter.served),
            gather.served.eq(served.o),
            gather.word.eq(table.word),
            held.en.eq(arbiter.advance),
            held.i.eq(self.tag),
            tags.en.eq(1),
            tags.i.eq(held.o),
            self.corner.eq(gather.corner),
            self.done.eq(gather.valid),
            self.done_tag.eq(tags.o),
        ]
        if config.reuse_cells:
            m.d.comb += arbiter.reuse.eq(self.reuse)
        return m
