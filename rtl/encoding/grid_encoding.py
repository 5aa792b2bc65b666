"""The grid encoding engine: points in, encoded features out."""

from functools import reduce
from operator import and_

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import (
    ENGINE_ADDRESS_SHIFT,
    LEVEL_ADDRESS_SHIFT,
    WORD_ADDRESS_SHIFT,
    ControlRegister,
)
from arch.load import LoadTarget
from rtl.encoding.bank_select import bank_row_bits
from rtl.encoding.counter_port import CounterPort
from rtl.encoding.engine_counters import CounterSelectLayout, CounterValueLayout
from rtl.encoding.feature_table import load_part_bits
from rtl.encoding.level_engine import LevelEngine
from rtl.streams import LoadLayout, PointLayout, VectorLayout, connect_stream

__all__ = ["GridEncoding"]


class GridEncoding(wiring.Component):
    """Encode points by multiresolution grids; level l runs on physical level engine ``l % level_parallel``.

    A point goes to all engines at once and its features come out joined, in the order of points. Point FIFOs in front
    of the engines and output FIFOs behind them let engines run apart. Every grid that ``arch.encoding_image`` accepts
    runs on the same build; registers and tables are written through ``load`` (addresses there).

    A load word is taken only while no point is inside, and one that waits keeps points out, from the clock after its
    offer on; so loading never changes a point under way. Words for other engines, unknown registers and numbers the
    build cannot run are taken and ignored.

    Timing: ``config.latency`` clocks from a point's transfer to that of its features, plus one for each further level
    per engine and each clock of bank conflicts; one point every ``ceil(n_levels / level_parallel)`` clocks plus
    conflicts (``sim.engine.encoding`` gives every clock exactly). At most ``config.points_in_flight`` points are
    inside. ``features.valid`` and its payload and ``points.ready`` depend on registers alone. Loading takes one word a
    clock, the first one behind a pause a clock after its offer.

    Numerics: docs/numerics.md, "Grid encoding"; with ``fp16``, "Grid encoding in fp16".

    Parameters
    ----------
    config : the engine

    Members
    -------
    load : In(stream LoadLayout)
    points : In(stream PointLayout(n_pos_dims))
    features : Out(stream VectorLayout(n_levels * n_features_per_level, value bits)), feature f of level l at
        ``l * n_features_per_level + f``; levels past the grid's are 0; ``last`` follows its point
    counter_select : In(stream CounterSelectLayout), only with ``config.counters``: a counter to read
    counter_value : Out(stream CounterValueLayout), only with ``config.counters``: its count, three clocks later
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        self._engines = [LevelEngine(config) for _ in range(config.level_parallel)]
        width = config.n_levels * config.n_features_per_level
        counter_members = {
            "counter_select": In(stream.Signature(CounterSelectLayout())),
            "counter_value": Out(stream.Signature(CounterValueLayout())),
        }
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "points": In(stream.Signature(PointLayout(config.n_pos_dims, coordinate_bits=config.coordinate_bits))),
                "features": Out(stream.Signature(VectorLayout(width, config.profile.value_bits))),
                **(counter_members if config.counters else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for number, engine in enumerate(self._engines):
            m.submodules[f"engine_{number}"] = engine
        in_flight = Signal(range(self.config.points_in_flight + 1))
        # a word is taken from the clock after its offer on, so that points hear of it from a register
        offered = Signal()
        m.d.sync += offered.eq(self.load.valid)
        m.d.comb += self.load.ready.eq((in_flight == 0) & offered)
        active = self._load(m)
        self._fork(m, in_flight, active, offered)
        self._join(m, active)
        taken = self.points.valid & self.points.ready
        given = self.features.valid & self.features.ready
        m.d.sync += in_flight.eq(in_flight + taken - given)
        if self.config.counters:
            self._count(m, in_flight, offered, taken, given)
        return m

    def _load(self, m: Module) -> list[Signal]:
        """Control registers at once, level registers and tables a clock later; returns which engines are in use."""
        config = self.config
        parallel_bits = (config.level_parallel - 1).bit_length()
        n_levels = Signal(range(config.n_levels + 1), init=config.n_levels)
        three_dims = Signal(init=config.n_pos_dims > 2)
        fewest_dims = 4 if config.n_pos_dims == 4 else 2
        word = Signal(LoadLayout())
        offered = self.load.payload
        taken = self.load.valid & self.load.ready
        # compared while they are offered: the tables' addresses wait for the outcome
        level_fits = offered.address[LEVEL_ADDRESS_SHIFT:] < config.n_levels
        row_fits = offered.address[config.bank_bits : ENGINE_ADDRESS_SHIFT] < config.bank_rows
        part_fits = offered.address[WORD_ADDRESS_SHIFT:] < config.row_words
        is_level = taken & (offered.target == LoadTarget.LEVEL_REGISTER) & level_fits
        is_row = taken & (offered.target == LoadTarget.TABLE) & row_fits & part_fits
        level_engine = offered.address[LEVEL_ADDRESS_SHIFT:][:parallel_bits]
        table_engine = offered.address[ENGINE_ADDRESS_SHIFT:WORD_ADDRESS_SHIFT]
        with m.If(taken):
            m.d.sync += word.eq(offered)
            control = offered.target == LoadTarget.ENCODING_CONTROL
            levels_fit = (offered.data >= 1) & (offered.data <= config.n_levels)
            dims_fit = (offered.data >= fewest_dims) & (offered.data <= config.n_pos_dims)
            with m.If(control & (offered.address == ControlRegister.N_LEVELS) & levels_fit):
                m.d.sync += n_levels.eq(offered.data)
            with m.If(control & (offered.address == ControlRegister.N_POS_DIMS) & dims_fit):
                m.d.sync += three_dims.eq(offered.data > 2)

        level = word.address[LEVEL_ADDRESS_SHIFT:]
        row = word.address[config.bank_bits : ENGINE_ADDRESS_SHIFT]
        part = word.address[WORD_ADDRESS_SHIFT:]
        active = []
        for number, engine in enumerate(self._engines):
            m.d.comb += [
                engine.n_slots.eq((n_levels + (config.level_parallel - 1 - number)) >> parallel_bits),
                engine.three_dims.eq(three_dims),
                engine.register_slot.eq(level >> parallel_bits),
                engine.register_id.eq(word.address[:LEVEL_ADDRESS_SHIFT]),
                engine.register_data.eq(word.data),
                engine.table_bank.eq(word.address[: config.bank_bits]),
                engine.table_row.eq(row[: bank_row_bits(config)]),
                engine.table_part.eq(part),
                engine.table_data.eq(word.data[: load_part_bits(config)]),
            ]
            m.d.sync += [
                engine.register_en.eq(is_level & (level_engine == number)),
                engine.table_en.eq(is_row & (table_engine == number)),
            ]
            # a register, since points are kept out in the clock after the one that changes how many levels there are
            slots = (config.n_levels + config.level_parallel - 1 - number) >> parallel_bits
            active.append(Signal(name=f"active_{number}", init=slots != 0))
            m.d.sync += active[number].eq(engine.n_slots != 0)
        return active

    def _count(self, m: Module, in_flight: Signal, loading: Signal, taken: Value, given: Value) -> None:
        """The counters' port."""
        m.submodules.counter_port = port = CounterPort(self.config)
        word = self.load.payload
        clears = (word.target == LoadTarget.ENCODING_CONTROL) & (word.address == ControlRegister.CLEAR_COUNTERS)
        m.d.comb += [
            port.offered.eq(self.points.valid),
            port.taken.eq(taken),
            port.loading.eq(loading),
            port.no_credit.eq(in_flight == self.config.points_in_flight),
            port.ends.eq(given & self.features.payload.last & (in_flight == 1)),
        ]
        for number, engine in enumerate(self._engines):
            m.d.comb += [
                engine.starved.eq(port.starved),
                engine.counting.eq(port.counting),
                engine.counters_clear.eq(self.load.valid & self.load.ready & clears),
                engine.counter_select.eq(port.counter),
                port.value[number].eq(engine.counter_value),
            ]
        connect_stream(m, wiring.flipped(self.counter_select), port.select)
        connect_stream(m, port.result, wiring.flipped(self.counter_value))

    def _fork(self, m: Module, in_flight: Signal, active: list[Signal], loading: Signal) -> None:
        """A point goes to all engines in use, once every one of them has room."""
        room = [engine.points.ready | ~used for engine, used in zip(self._engines, active, strict=True)]
        credit = in_flight != self.config.points_in_flight
        m.d.comb += self.points.ready.eq(reduce(and_, room) & credit & ~loading)
        for engine, used in zip(self._engines, active, strict=True):
            m.d.comb += [
                engine.points.payload.eq(self.points.payload),
                engine.points.valid.eq(self.points.valid & self.points.ready & used),
            ]

    def _join(self, m: Module, active: list[Signal]) -> None:
        """A point leaves once every engine in use has its part."""
        config = self.config
        n_features = config.n_features_per_level
        there = [engine.features.valid | ~used for engine, used in zip(self._engines, active, strict=True)]
        m.d.comb += self.features.valid.eq(reduce(and_, there))
        for engine in self._engines:
            m.d.comb += engine.features.ready.eq(self.features.valid & self.features.ready)
        for level in range(config.n_levels):
            number, slot = level % config.level_parallel, level // config.level_parallel
            part = self._engines[number].features.payload.values
            for feature in range(n_features):
                value = Mux(active[number], part[slot * n_features + feature], 0)
                m.d.comb += self.features.payload.values[level * n_features + feature].eq(value)
        m.d.comb += self.features.payload.last.eq(self._engines[0].features.payload.last)
