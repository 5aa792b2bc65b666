"""Several grid encoding engines side by side: groups of points in, groups of encoded features out."""

from functools import reduce
from operator import and_

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_image import ENGINE_ADDRESS_SHIFT, LEVEL_ADDRESS_SHIFT, WORD_ADDRESS_SHIFT, ControlRegister
from arch.load import LoadTarget
from arch.multi_point_encoding import MultiPointConfig
from arch.number_format import COORDINATE
from rtl.encoding.grid_encoding import GridEncoding
from rtl.streams import LoadLayout

__all__ = ["MultiPointEncoding", "PointGroupLayout", "VectorGroupLayout"]


class PointGroupLayout(data.StructLayout):
    """Points of one transfer.

    ``position``: coordinate d of point i at ``i * n_pos_dims + d``, unsigned 1.23; ``last_index``: number of the
    group's last point; ``last``: the group is the last of a run.
    """

    def __init__(self, config: MultiPointConfig) -> None:
        count = config.points_per_clock
        position = data.ArrayLayout(unsigned(COORDINATE.width), config.engine.n_pos_dims * count)
        super().__init__({"position": position, "last_index": range(count), "last": 1})


class VectorGroupLayout(data.StructLayout):
    """Features of one transfer.

    ``values``: feature f of level l of point i at ``(i * level_parallel / lanes + l) * n_features_per_level + f``;
    ``last_index`` and ``last`` as in the group of points.
    """

    def __init__(self, config: MultiPointConfig) -> None:
        engine = config.engine
        values = data.ArrayLayout(signed(engine.profile.value_bits), engine.n_levels * engine.n_features_per_level)
        super().__init__({"values": values, "last_index": range(config.points_per_clock), "last": 1})


class MultiPointEncoding(wiring.Component):
    """Encode up to ``config.lanes(n_levels)`` points a clock by ``config.points_per_clock`` grid encoding engines.

    Points of a group go in together and their features come out together, in the order of groups. A group of fewer
    points than lanes looks up no others. With one lane it is a grid encoding engine of all level engines, clock for
    clock. The host loads every lane's copy (``arch.multi_point_encoding.multi_point_image``); how many lanes there
    are follows from the register N_LEVELS.

    Timing: ``config.engine.latency`` clocks from a group's transfer to that of its features, plus one for each clock
    of bank conflicts of its slowest lookup; a group every clock, plus conflicts, if there is a level engine for every
    level (``sim.engine.multi_point_encoding`` gives every clock exactly). Handshakes as in
    :class:`~rtl.encoding.grid_encoding.GridEncoding`.

    Numerics: docs/numerics.md, "Grid encoding".

    Parameters
    ----------
    config : the sections

    Members
    -------
    load : In(stream LoadLayout), addresses as for one grid encoding engine of all level engines
    points : In(stream PointGroupLayout); points past the lanes are dropped, their ``last_index`` becomes the last lane
    features : Out(stream VectorGroupLayout); levels past the grid's and points past ``last_index`` are 0
    """

    def __init__(self, config: MultiPointConfig) -> None:
        self.config = config
        self._sections = [GridEncoding(config.section) for _ in range(config.points_per_clock)]
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "points": In(stream.Signature(PointGroupLayout(config))),
                "features": Out(stream.Signature(VectorGroupLayout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for number, section in enumerate(self._sections):
            m.submodules[f"section_{number}"] = section
        inside = Signal()
        lane, used, last_lane = self._load(m, inside)
        groups = self._fork(m, lane, used, last_lane)
        m.d.comb += inside.eq(groups.r_rdy)
        self._join(m, lane, used, groups)
        return m

    def _load(self, m: Module, inside: Signal) -> tuple[list[Signal], list[Signal], Signal]:
        """Words go to all sections, once all are empty; to those that one is not for it has a target they ignore.

        Returns each section's lane and whether it has a level, and the last lane: registers written with N_LEVELS.
        """
        config = self.config
        engine_bits = (config.engine.level_parallel - 1).bit_length()
        local_bits = (config.section_engines - 1).bit_length()
        word = self.load.payload
        taken = self.load.valid & self.load.ready
        m.d.comb += self.load.ready.eq(reduce(and_, (section.load.ready for section in self._sections)))
        sets_levels = (word.target == LoadTarget.ENCODING_CONTROL) & (word.address == ControlRegister.N_LEVELS)
        level, engine = word.address[LEVEL_ADDRESS_SHIFT:], word.address[ENGINE_ADDRESS_SHIFT:WORD_ADDRESS_SHIFT]
        for number, section in enumerate(self._sections):
            local = section.load.payload
            m.d.comb += [local.eq(word), section.load.valid.eq(self.load.valid & ~inside)]
            with m.If(sets_levels):
                # 0 where a section has no level, or the word no number to run; the section ignores it.
                m.d.comb += local.data.eq(self._levels(m, number, word.data))
            with m.Elif(word.target == LoadTarget.LEVEL_REGISTER):
                local_level = Cat(level[:local_bits], level[engine_bits:])
                m.d.comb += local.address.eq(Cat(word.address[:LEVEL_ADDRESS_SHIFT], local_level))
                with m.If(level[local_bits:engine_bits] != number):
                    m.d.comb += local.target.eq(LoadTarget.NFP_CONTROL)
            with m.Elif(word.target == LoadTarget.TABLE):
                m.d.comb += local.address[ENGINE_ADDRESS_SHIFT:WORD_ADDRESS_SHIFT].eq(engine[:local_bits])
                with m.If(engine[local_bits:] != number):
                    m.d.comb += local.target.eq(LoadTarget.NFP_CONTROL)

        sections = range(config.points_per_clock)
        lane = [Signal(sections, name=f"lane_{number}") for number in sections]
        used = [Signal(init=1, name=f"used_{number}") for number in sections]
        last_lane = Signal(sections)
        with m.If(taken & sets_levels), m.Switch(word.data):
            for levels in range(1, config.engine.n_levels + 1):
                with m.Case(levels):
                    m.d.sync += last_lane.eq(config.lanes(levels) - 1)
                    for number in sections:
                        m.d.sync += lane[number].eq(config.lane_of(number, levels))
                        m.d.sync += used[number].eq(config.section_levels(number, levels) > 0)
        return lane, used, last_lane

    def _levels(self, m: Module, section: int, n_levels: Value) -> Signal:
        """Levels of a section by the grid's number of levels."""
        count = Signal(range(self.config.section.n_levels + 1), name=f"levels_{section}")
        with m.Switch(n_levels):
            for levels in range(1, self.config.engine.n_levels + 1):
                with m.Case(levels):
                    m.d.comb += count.eq(self.config.section_levels(section, levels))
        return count

    def _fork(self, m: Module, lane: list[Signal], used: list[Signal], last_lane: Signal) -> fifo.SyncFIFO:
        """A group goes to its lanes once every section in use has room; returns the FIFO of groups inside."""
        config = self.config
        dims = config.engine.n_pos_dims
        points = self.points.payload
        m.submodules.groups = groups = fifo.SyncFIFO(width=len(points.last_index), depth=config.engine.points_in_flight)
        room = [section.points.ready | ~use for section, use in zip(self._sections, used, strict=True)]
        last_index = Mux(points.last_index > last_lane, last_lane, points.last_index)
        taken = self.points.valid & self.points.ready
        m.d.comb += [
            self.points.ready.eq(reduce(and_, room) & ~self.load.valid),
            groups.w_en.eq(taken),
            groups.w_data.eq(last_index),
        ]
        width = COORDINATE.width * dims
        for section, own, use in zip(self._sections, lane, used, strict=True):
            m.d.comb += [
                section.points.valid.eq(taken & use & (own <= last_index)),
                section.points.payload.position.as_value().eq(points.position.as_value().word_select(own, width)),
                section.points.payload.last.eq(points.last),
            ]
        return groups

    def _join(self, m: Module, lane: list[Signal], used: list[Signal], groups: fifo.SyncFIFO) -> None:
        """A group leaves once every section that took a point of it has its part."""
        config = self.config
        engine = config.engine
        n_features, engines = engine.n_features_per_level, config.section_engines
        features = self.features.payload
        needed = [use & (own <= groups.r_data) for own, use in zip(lane, used, strict=True)]
        there = [section.features.valid | ~need for section, need in zip(self._sections, needed, strict=True)]
        m.d.comb += [
            self.features.valid.eq(groups.r_rdy & reduce(and_, there)),
            groups.r_en.eq(self.features.valid & self.features.ready),
            features.last_index.eq(groups.r_data),
            features.last.eq(self._sections[0].features.payload.last),
        ]
        for section, need in zip(self._sections, needed, strict=True):
            m.d.comb += section.features.ready.eq(groups.r_en & need)
        for level in range(engine.n_levels):
            slot, number = divmod(level, engine.level_parallel)
            section, local = divmod(number, engines)
            part = self._sections[section].features.payload.values
            for feature in range(n_features):
                value = part[(slot * engines + local) * n_features + feature]
                m.d.comb += features.values[level * n_features + feature].eq(Mux(needed[section], value, 0))
