"""Where requantised activations go."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig, Split
from rtl.mlp.activation_memory import ActivationMemorySignature
from rtl.mlp.layer_sequencer import PassLayout

__all__ = ["WriteBack"]


class WriteBack(Component):
    """Write a column tile's activations into the activation memory, behind a network's last layer also into the output
    buffer.

    *Timing*: combinational from ``valid``, ``i`` and ``upper_i`` to the write ports. ``first`` comes one clock before
    the first activations of a pass, and ``current`` still holds that pass then.

    With fission the points of one clock go side by side into the rows of the memories: with both halves, point 0 is
    the upper half's; with column groups, group g has the points from ``g * row_halves``.

    Parameters
    ----------
    config : the engine

    Members
    -------
    first : In(1)
    current : In(PassLayout)
    valid : In(1)
    i : In(signed(value_bits)) of each column
    upper_i : In(signed(value_bits)) of each column, with fission: activations of the upper row half
    activation_en, output_en : Out, one bit a lane
    w_index, w_data : Out, for both memories
    written : Out(PassLayout), the pass whose activations these are
    opens : Out(1), the first write of the nano-batch's last pass
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        memory = ActivationMemorySignature(config).members
        columns = signed(config.profile.value_bits)
        super().__init__(
            {
                "first": In(1),
                "current": In(PassLayout(config)),
                "valid": In(1),
                "i": In(columns).array(config.cols),
                **({"upper_i": In(columns).array(config.cols)} if config.fission else {}),
                "activation_en": memory["w_en"].flip(),
                "output_en": memory["w_en"].flip(),
                **{name: memory[name].flip() for name in ("w_index", "w_data")},
                "written": Out(PassLayout(config)),
                "opens": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        index, now, fresh = Signal(range(config.nano_batch)), Signal(range(config.nano_batch)), Signal()
        with m.If(self.first):
            m.d.sync += [self.written.eq(self.current), fresh.eq(1)]
        with m.Elif(self.valid):
            m.d.sync += fresh.eq(0)
        m.d.comb += [
            now.eq(Mux(fresh, 0, index)),
            self.opens.eq(self.valid & fresh & self.written.ends_batch),
        ]
        with m.If(self.valid):
            m.d.sync += index.eq(now + 1)
        enable = Signal.like(self.activation_en)
        # signals, since an expression would be built anew for each lane taken of it
        bottom, upper = (Signal(config.cols * config.profile.value_bits, name=name) for name in ("bottom", "upper"))
        m.d.comb += bottom.eq(Cat(*self.i))
        if config.fission:
            m.d.comb += upper.eq(Cat(*self.upper_i))
            with m.Switch(self.written.split):
                for number, split in enumerate(config.splits):
                    with m.Case(number):
                        self._place(m, now, split, enable, (bottom, upper))
        else:
            self._place(m, now, config.splits[0], enable, (bottom, upper))
        if config.has_routes:
            first, last = self.written.first_lane, self.written.last_lane
            lanes = Cat((first <= lane) & (last >= lane) for lane in range(config.n_lanes))
            results = enable & lanes.replicate(config.point_banks)
            m.d.comb += [self.activation_en.eq(enable), self.output_en.eq(Mux(self.written.to_output, results, 0))]
        else:
            m.d.comb += [
                self.activation_en.eq(Mux(self.written.to_output, 0, enable)),
                self.output_en.eq(Mux(self.written.to_output, enable, 0)),
            ]
        return m

    def _place(self, m: Module, now: Signal, split: Split, enable: Signal, activations: tuple[Signal, Signal]) -> None:
        """Put the activations of one clock, ``now`` of the pass, into the lanes of their points."""
        config = self.config
        lane_bits = config.lane_values * config.profile.value_bits
        bottom, upper = activations
        point = now * split.points
        tile_lanes = config.cols // split.column_groups // config.lane_values
        m.d.comb += self.w_index.eq(point // config.point_banks)
        for bank in range(config.point_banks):
            group, half = divmod(bank % split.points, split.row_halves)
            source = upper if split.row_halves == 2 and half == 0 else bottom
            chosen = point % config.point_banks == bank - bank % split.points
            for lane in range(config.n_lanes):
                place = bank * config.n_lanes + lane
                tile, within = divmod(lane, tile_lanes)
                m.d.comb += [
                    enable[place].eq(self.valid & chosen & (self.written.col_tile == tile)),
                    self.w_data.as_value()
                    .word_select(place, lane_bits)
                    .eq(source.word_select(group * tile_lanes + within, lane_bits)),
                ]
