"""A physical level engine: looks points up in the levels it serves, one lookup a clock."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import COUNTER_BITS, EncodingEngineConfig, EngineCounter
from arch.encoding_image import LEVEL_ADDRESS_SHIFT
from arch.load import DATA_BITS
from rtl.delay_line import DelayLine
from rtl.encoding.bank_select import bank_row_bits
from rtl.encoding.corner_fetch import CornerFetch
from rtl.encoding.engine_counters import EngineCounters, counter_id_bits
from rtl.encoding.feature_table import load_part_bits
from rtl.encoding.float_interpolate import FloatInterpolate
from rtl.encoding.float_lookup_front import FloatLookupFront
from rtl.encoding.interpolate import Interpolate
from rtl.encoding.last_cell import LastCell
from rtl.encoding.last_corners import LastCorners
from rtl.encoding.level_registers import LevelRegisters
from rtl.encoding.lookup_front import LookupFront
from rtl.encoding.queued_fetch import QueuedFetch
from rtl.streams import PointLayout, VectorLayout

__all__ = ["LevelEngine"]


class LevelEngine(wiring.Component):
    """Encode points at up to ``config.levels_per_engine`` levels, in slots 0 to ``n_slots`` - 1.

    A *lookup* is one point at one level. Lookups issue in order of points, then slots. The stages up to the bank
    arbiter move together and pause while a lookup with bank conflicts is served; the stages behind it never pause.
    The features of a point's slots are put together and wait in an output FIFO.

    The parent keeps at most ``config.points_in_flight`` points between ``points`` and ``features``, which is the depth
    of that FIFO, so it never overflows; and it writes tables and registers only while there are none.

    With ``config.reuse_cells`` a lookup in the same cell as the one before it at its level reads no bank, hence has no
    conflict: its corners' rows are still there. Loading a register or a row forgets all cells.

    Timing: one lookup a clock, plus ``conflict_clocks - 1`` for each lookup with conflicts. A point accepted by an
    empty engine gives its features ``config.latency + n_slots - 1`` clocks later, without conflicts. ``ready`` and
    ``valid`` come from registers.

    Parameters
    ----------
    config : the engine

    Members
    -------
    n_slots : In, levels to look up, at least 1 while there are points
    three_dims : In(1), low while a 3-dimensional build runs 2-dimensional grids
    points : In(stream PointLayout)
    features : Out(stream VectorLayout(levels_per_engine * n_features_per_level)), slots past ``n_slots`` are 0
    held : Out(1), high in each clock lost to a bank conflict
    register_en, register_slot, register_id, register_data : In, write a register of a level
    table_en, table_bank, table_row, table_part, table_data : In, write a part of a table row
    starved : In, with counters only: the ``EngineCounter`` to blame in a clock with an empty point FIFO
    counting, counters_clear, counter_select, counter_value : with counters only, see ``EngineCounters``
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        width = config.levels_per_engine * config.n_features_per_level
        counter_members = {
            "starved": In(counter_id_bits()),
            "counting": In(1),
            "counters_clear": In(1),
            "counter_select": In(counter_id_bits()),
            "counter_value": Out(COUNTER_BITS),
        }
        super().__init__(
            {
                "n_slots": In(range(config.levels_per_engine + 1)),
                "three_dims": In(1),
                "points": In(stream.Signature(PointLayout(config.n_pos_dims, coordinate_bits=config.coordinate_bits))),
                "features": Out(stream.Signature(VectorLayout(width, config.profile.value_bits))),
                "held": Out(1),
                "register_en": In(1),
                "register_slot": In(range(config.levels_per_engine)),
                "register_id": In(LEVEL_ADDRESS_SHIFT),
                "register_data": In(DATA_BITS),
                "table_en": In(1),
                "table_bank": In(config.bank_bits),
                "table_row": In(bank_row_bits(config)),
                "table_part": In(range(config.row_words)),
                "table_data": In(load_part_bits(config)),
                **(counter_members if config.counters else {}),
            }
        )
        self._where = data.StructLayout({"slot": range(config.levels_per_engine), "last_slot": 1, "last": 1})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        issued = self._issue(m, advance)
        result = self._look_up(m, advance, issued)
        self._collect(m, *result)
        m.d.comb += self.held.eq(~advance)
        if self.config.counters:
            self._count(m, advance, issued)
        return m

    def _issue(self, m: Module, advance: Signal) -> dict[str, Value]:
        """Point FIFO and the issue register: one lookup a clock."""
        config = self.config
        layout = PointLayout(config.n_pos_dims, coordinate_bits=config.coordinate_bits)
        m.submodules.point_fifo = points = fifo.SyncFIFO(width=layout.size, depth=config.point_fifo_depth)
        m.submodules.registers = registers = LevelRegisters(config)
        head = data.View(layout, points.r_data)
        slot = Signal(range(config.levels_per_engine))
        last_slot = Signal()
        valid = Signal()
        position = Signal(layout["position"].shape)
        where = Signal(self._where)
        m.d.comb += [
            points.w_data.eq(self.points.payload),
            points.w_en.eq(self.points.valid),
            self.points.ready.eq(points.w_rdy),
            last_slot.eq(slot + 1 == self.n_slots),
            points.r_en.eq(points.r_rdy & advance & last_slot),
            registers.r_en.eq(advance),
            registers.r_slot.eq(slot),
            registers.w_en.eq(self.register_en),
            registers.w_slot.eq(self.register_slot),
            registers.w_register.eq(self.register_id),
            registers.w_data.eq(self.register_data),
        ]
        with m.If(advance):
            m.d.sync += [
                valid.eq(points.r_rdy),
                position.eq(head.position),
                where.slot.eq(slot),
                where.last_slot.eq(last_slot),
                where.last.eq(head.last),
            ]
            with m.If(points.r_rdy):
                m.d.sync += slot.eq(Mux(last_slot, 0, slot + 1))
        return {
            "waiting": points.r_rdy,
            "valid": valid,
            "position": position,
            "where": where,
            "registers": registers.registers,
        }

    def _count(self, m: Module, advance: Signal, issued: dict[str, Value]) -> None:
        """Each clock is one event: a lookup is issued, the front is held, or there is no point."""
        m.submodules.counters = counters = EngineCounters(self.config)
        empty = advance & ~issued["waiting"]
        events = {
            EngineCounter.LOOKUPS: advance & issued["waiting"],
            EngineCounter.CONFLICT: ~advance,
            EngineCounter.REUSED: issued.get("reused", Const(0)),
        }
        m.d.comb += [
            counters.clear.eq(self.counters_clear),
            counters.counting.eq(self.counting & (self.n_slots != 0)),
            counters.events.eq(Cat(events.get(c, empty & (self.starved == c)) for c in EngineCounter)),
            counters.select.eq(self.counter_select),
            self.counter_value.eq(counters.value),
        ]

    def _look_up(self, m: Module, advance: Signal, issued: dict[str, Value]) -> tuple[Value, Value, Value]:
        """From positions to interpolated features; returns them, their place and valid."""
        config = self.config
        m.submodules.front = front = (FloatLookupFront if config.floating else LookupFront)(config)
        tag_layout = data.StructLayout(
            {
                "blend": front.blend.shape(),
                "where": self._where,
                **({"reuse": 1} if config.reuse_cells else {}),
            }
        )
        finished = data.StructLayout({"where": self._where, "valid": 1})
        m.submodules.fetch = fetch = (CornerFetch if config.bank_ports == 2 else QueuedFetch)(config, tag_layout)

        # What goes with a lookup on its way to the table.
        to_fetch = config.front_latency - 2
        m.submodules.valid_delay = valid = DelayLine(unsigned(1), to_fetch)
        m.submodules.where_delay = where = DelayLine(self._where, to_fetch)
        m.submodules.finished_delay = done = DelayLine(finished, config.interpolate_latency)
        m.d.comb += [
            advance.eq(fetch.advance),
            valid.en.eq(advance),
            valid.i.eq(issued["valid"]),
            where.en.eq(advance),
            where.i.eq(issued["where"]),
            front.en.eq(advance),
            front.three_dims.eq(self.three_dims),
            front.position.eq(issued["position"]),
            front.registers.eq(issued["registers"]),
            fetch.valid.eq(valid.o),
            fetch.three_dims.eq(self.three_dims),
            fetch.bank.eq(front.bank),
            fetch.row.eq(front.row),
            fetch.first_row.eq(front.first_row),
            fetch.tag.blend.eq(front.blend),
            fetch.tag.where.eq(where.o),
            fetch.w_en.eq(self.table_en),
            fetch.w_bank.eq(self.table_bank),
            fetch.w_row.eq(self.table_row),
            fetch.w_part.eq(self.table_part),
            fetch.w_data.eq(self.table_data),
        ]
        corner, tag, there = fetch.corner, fetch.done_tag, fetch.done
        if config.reuse_cells:
            same = self._compare(m, advance, issued, front.cell)
            m.d.comb += [fetch.reuse.eq(same), fetch.tag.reuse.eq(same)]
            corner, tag, there = self._reuse(m, fetch)
            issued["reused"] = valid.o & same & advance
        m.d.comb += [
            done.en.eq(1),
            done.i.where.eq(tag.where),
            done.i.valid.eq(there),
        ]
        return self._interpolate(m, corner, tag.blend), done.o.where, done.o.valid

    def _interpolate(self, m: Module, corner: Value, blend: Value) -> Value:
        """Features of a lookup from its corners and what they are blended by."""
        config = self.config
        if config.floating:
            interpolate = FloatInterpolate(config.n_pos_dims, config.n_features_per_level)
        else:
            interpolate = Interpolate(config)
            m.d.comb += interpolate.shift.eq(blend.shift)
        m.submodules.interpolate = interpolate
        m.d.comb += [interpolate.corner.as_value().eq(corner), interpolate.weight.eq(blend.weight)]
        return interpolate.features

    def _compare(self, m: Module, advance: Signal, issued: dict[str, Value], cell: Value) -> Value:
        """Whether a lookup on its way to the table has the cell of the one before it at its level."""
        config = self.config
        place = data.StructLayout({"valid": 1, "slot": self._where["slot"].shape})
        m.submodules.last_cell = last = LastCell(config)
        m.submodules.cell_place_delay = placed = DelayLine(place, config.pos_fract_latency)
        m.submodules.same_delay = same = DelayLine(unsigned(1), config.front_latency - 3 - config.pos_fract_latency)
        three_dims = Signal()
        m.d.sync += three_dims.eq(self.three_dims)
        m.d.comb += [
            placed.en.eq(advance),
            placed.i.valid.eq(issued["valid"]),
            placed.i.slot.eq(issued["where"].slot),
            last.en.eq(advance),
            last.clear.eq(self.register_en | self.table_en | (three_dims != self.three_dims)),
            last.valid.eq(placed.o.valid),
            last.slot.eq(placed.o.slot),
            last.cell.eq(cell),
            same.en.eq(advance),
            same.i.eq(last.same),
        ]
        return same.o

    def _reuse(self, m: Module, fetch: CornerFetch) -> tuple[Value, Value, Value]:
        """The corners that were fetched, or those of the lookup before at the same level, a clock later."""
        m.submodules.last_corners = last = LastCorners(self.config)
        tag = Signal(fetch.done_tag.shape())
        there = Signal()
        m.d.comb += [
            last.valid.eq(fetch.done),
            last.slot.eq(fetch.done_tag.where.slot),
            last.reuse.eq(fetch.done_tag.reuse),
            last.gathered.eq(fetch.corner),
        ]
        m.d.sync += [tag.eq(fetch.done_tag), there.eq(fetch.done)]
        return last.corner, tag, there

    def _collect(self, m: Module, features: Value, where: Value, valid: Value) -> None:
        """Put a point's slots together; the output FIFO."""
        config = self.config
        width = config.row_bits
        # A point's last slot goes straight from the interpolation to the FIFO, beside the slots before it.
        before = [Signal(width, name=f"before_{slot}") for slot in range(config.levels_per_engine)]
        vector = [
            Mux(where.slot == slot, features, Mux(where.slot > slot, word, 0)) for slot, word in enumerate(before)
        ]
        m.submodules.output_fifo = output = fifo.SyncFIFO(
            width=self.features.payload.shape().size, depth=config.points_in_flight
        )
        with m.If(valid):
            for slot, word in enumerate(before):
                with m.If(where.slot == slot):
                    m.d.sync += word.eq(features)
        m.d.comb += [
            output.w_en.eq(valid & where.last_slot),
            output.w_data.eq(Cat(*vector, where.last)),
            self.features.valid.eq(output.r_rdy),
            self.features.payload.eq(output.r_data),
            output.r_en.eq(self.features.ready),
        ]
