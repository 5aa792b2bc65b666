"""A physical level engine: looks points up in the levels it serves, one lookup a clock."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import COUNTER_BITS, N_BANKS, EncodingEngineConfig, EngineCounter
from arch.encoding_image import LEVEL_ADDRESS_SHIFT
from arch.load import DATA_BITS
from arch.number_format import WEIGHT_FRACTION_BITS
from rtl.delay_line import DelayLine
from rtl.encoding.bank_arbiter import BankArbiter
from rtl.encoding.bank_select import BankSelect, BankSelectorLayout, bank_row_bits
from rtl.encoding.corner_gather import CornerGather
from rtl.encoding.corner_index import CornerIndex
from rtl.encoding.engine_counters import EngineCounters, counter_id_bits
from rtl.encoding.feature_table import FeatureTable, load_part_bits
from rtl.encoding.fraction_weight import FractionWeight
from rtl.encoding.interpolate import Interpolate, output_shift_bits
from rtl.encoding.level_registers import LevelRegisters
from rtl.encoding.pos_fract import PosFract
from rtl.encoding.tile_remainder import TileLayout, TileRemainder
from rtl.streams import PointLayout, VectorLayout

__all__ = ["LevelEngine"]


class LevelEngine(wiring.Component):
    """Encode points at up to ``config.levels_per_engine`` levels, in slots 0 to ``n_slots`` - 1.

    A *lookup* is one point at one level. Lookups issue in order of points, then slots. The stages up to the bank
    arbiter move together and pause while a lookup with bank conflicts is served; the stages behind it never pause.
    The features of a point's slots are put together and wait in an output FIFO.

    The parent keeps at most ``config.points_in_flight`` points between ``points`` and ``features``, which is the depth
    of that FIFO, so it never overflows; and it writes tables and registers only while there are none.

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
                "points": In(stream.Signature(PointLayout(config.n_pos_dims))),
                "features": Out(stream.Signature(VectorLayout(width, config.profile.value_bits))),
                "held": Out(1),
                "register_en": In(1),
                "register_slot": In(range(config.levels_per_engine)),
                "register_id": In(LEVEL_ADDRESS_SHIFT),
                "register_data": In(DATA_BITS),
                "table_en": In(1),
                "table_bank": In(range(N_BANKS)),
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
        index_stages = self._index(m, advance, issued)
        result = self._look_up(m, advance, issued, index_stages)
        self._collect(m, *result)
        m.d.comb += self.held.eq(~advance)
        if self.config.counters:
            self._count(m, advance, issued)
        return m

    def _issue(self, m: Module, advance: Signal) -> dict[str, Value]:
        """Point FIFO and the issue register: one lookup a clock."""
        config = self.config
        layout = PointLayout(config.n_pos_dims)
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
        events = {EngineCounter.LOOKUPS: advance & issued["waiting"], EngineCounter.CONFLICT: ~advance}
        m.d.comb += [
            counters.clear.eq(self.counters_clear),
            counters.counting.eq(self.counting & (self.n_slots != 0)),
            counters.events.eq(Cat(events.get(c, empty & (self.starved == c)) for c in EngineCounter)),
            counters.select.eq(self.counter_select),
            self.counter_value.eq(counters.value),
        ]

    def _index(self, m: Module, advance: Signal, issued: dict[str, Value]) -> tuple[PosFract, BankSelect]:
        """From position to bank and row of each corner."""
        config = self.config
        registers = issued["registers"]
        m.submodules.pos_fract = pos_fract = PosFract(config)
        m.submodules.corner_index = corner_index = CornerIndex(config)
        m.submodules.bank_select = bank_select = BankSelect(config)
        hash_layout = data.StructLayout(
            {
                "strides": data.ArrayLayout(unsigned(config.index_bits), config.n_pos_dims - 1),
                "limit": config.index_bits,
                "hashed": 1,
                "masked": 1,
            }
        )
        to_index = config.pos_fract_latency + config.tile_remainder_latency
        m.submodules.hash_delay = hashing = DelayLine(hash_layout, to_index)
        to_place = to_index + config.corner_index_latency
        m.submodules.bank_bits_delay = bank_bits = DelayLine(BankSelectorLayout(), to_place)
        for stage in (pos_fract, corner_index, bank_select, hashing, bank_bits):
            m.d.comb += stage.en.eq(advance)
        m.d.comb += [
            pos_fract.three_dims.eq(self.three_dims),
            pos_fract.position.eq(issued["position"]),
            pos_fract.scale.eq(registers.scale),
            hashing.i.strides.eq(registers.strides),
            hashing.i.limit.eq(registers.limit),
            hashing.i.hashed.eq(registers.hashed),
            hashing.i.masked.eq(registers.masked),
            corner_index.strides.eq(hashing.o.strides),
            corner_index.limit.eq(hashing.o.limit),
            corner_index.hashed.eq(hashing.o.hashed),
            corner_index.masked.eq(hashing.o.masked),
            bank_bits.i.eq(registers.bank_bits),
            bank_select.index.eq(corner_index.index),
            bank_select.bank_bits.eq(bank_bits.o),
        ]
        if config.tile_remainder:
            self._reduce(m, advance, registers, pos_fract, corner_index)
        else:
            m.d.comb += corner_index.cell.eq(pos_fract.cell)
        return pos_fract, bank_select

    def _reduce(
        self, m: Module, advance: Signal, registers: Value, pos_fract: PosFract, corner_index: CornerIndex
    ) -> None:
        """Between cell and corner indices: the remainder of tiles whose rows are no power of two."""
        config = self.config
        layout = data.StructLayout({"tile": TileLayout(config), "limit": config.index_bits})
        step = data.StructLayout({"reduced": 1, "both": config.index_bits - 1})
        m.submodules.tile_delay = tile = DelayLine(layout, config.pos_fract_latency)
        m.submodules.tile_remainder = remainder = TileRemainder(config)
        m.submodules.tile_step_delay = steps = DelayLine(step, config.tile_remainder_latency)
        for stage in (tile, remainder, steps):
            m.d.comb += stage.en.eq(advance)
        m.d.comb += [
            tile.i.tile.eq(registers.tile),
            tile.i.limit.eq(registers.limit),
            remainder.cell.eq(pos_fract.cell),
            remainder.tile.eq(tile.o.tile),
            remainder.limit.eq(tile.o.limit),
            steps.i.reduced.eq(tile.o.tile.reciprocal[-1]),
            steps.i.both.eq(tile.o.tile.both),
            corner_index.reduced.eq(steps.o.reduced),
            corner_index.both.eq(steps.o.both),
            corner_index.cell[0].eq(remainder.first),
        ]
        m.d.comb += [corner_index.cell[dim].eq(remainder.others[dim - 1]) for dim in range(1, config.n_pos_dims)]

    def _look_up(
        self, m: Module, advance: Signal, issued: dict[str, Value], stages: tuple[PosFract, BankSelect]
    ) -> tuple[Value, Value, Value]:
        """From banks and rows to interpolated features; returns them, their place and valid."""
        config = self.config
        pos_fract, bank_select = stages
        m.submodules.arbiter = arbiter = BankArbiter(config)
        m.submodules.table = table = FeatureTable(config)
        m.submodules.gather = gather = CornerGather(config)
        m.submodules.interpolate = interpolate = Interpolate(config)
        m.submodules.fraction_weight = fraction_weight = FractionWeight(config)

        # What waits for the corners: before the arbiter in step with it, behind it clock by clock.
        to_arbiter = config.front_latency - 2
        in_arbiter = to_arbiter + 1
        to_corners = config.bank_arbiter_latency - 1 + config.feature_table_latency + config.corner_gather_latency
        weight = data.ArrayLayout(unsigned(WEIGHT_FRACTION_BITS), config.n_pos_dims)
        tag = data.StructLayout({"where": self._where, "shift": output_shift_bits()})
        both = data.StructLayout({"weight": weight, "tag": tag})
        finished = data.StructLayout({"where": self._where, "valid": 1})
        m.submodules.valid_delay = valid = DelayLine(unsigned(1), to_arbiter)
        m.submodules.tag_delay = tags = DelayLine(tag, in_arbiter)
        to_weight = config.pos_fract_latency + config.fraction_weight_latency
        m.submodules.weight_delay = weights = DelayLine(weight, in_arbiter - to_weight)
        m.submodules.interpolation_delay = interpolation = DelayLine(unsigned(2), config.pos_fract_latency)
        m.submodules.first_row_delay = first_row = DelayLine(unsigned(bank_row_bits(config)), to_arbiter)
        m.submodules.corner_delay = waiting = DelayLine(both, to_corners)
        m.submodules.served_delay = served = DelayLine(arbiter.served.shape(), config.feature_table_latency)
        m.submodules.finished_delay = done = DelayLine(finished, config.interpolate_latency)
        for line in (valid, tags, weights, interpolation, first_row, fraction_weight):
            m.d.comb += line.en.eq(advance)
        for line in (waiting, served, done):
            m.d.comb += line.en.eq(1)

        m.d.comb += [
            advance.eq(arbiter.advance),
            valid.i.eq(issued["valid"]),
            tags.i.where.eq(issued["where"]),
            tags.i.shift.eq(issued["registers"].shift),
            interpolation.i.eq(issued["registers"].interpolation),
            first_row.i.eq(issued["registers"].first_row),
            fraction_weight.fraction.eq(pos_fract.fraction),
            fraction_weight.interpolation.eq(interpolation.o),
            weights.i.eq(fraction_weight.weight),
            arbiter.valid.eq(valid.o),
            arbiter.three_dims.eq(self.three_dims),
            arbiter.bank.eq(bank_select.bank),
            arbiter.row.eq(bank_select.row),
            arbiter.first_row.eq(first_row.o),
            table.address.eq(arbiter.address),
            table.w_en.eq(self.table_en),
            table.w_bank.eq(self.table_bank),
            table.w_row.eq(self.table_row),
            table.w_part.eq(self.table_part),
            table.w_data.eq(self.table_data),
            served.i.eq(arbiter.served),
            gather.served.eq(served.o),
            gather.word.eq(table.word),
            waiting.i.weight.eq(weights.o),
            waiting.i.tag.eq(tags.o),
            interpolate.corner.eq(gather.corner),
            interpolate.weight.eq(waiting.o.weight),
            interpolate.shift.eq(waiting.o.tag.shift),
            done.i.where.eq(waiting.o.tag.where),
            done.i.valid.eq(gather.valid),
        ]
        return interpolate.features, done.o.where, done.o.valid

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
