"""Where requantised activations go."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.activation_memory import ActivationMemorySignature
from rtl.mlp.layer_sequencer import PassLayout

__all__ = ["WriteBack"]


class WriteBack(Component):
    """Write a column tile's activations into the activation memory, or behind the last layer into the output buffer.

    *Timing*: combinational from ``valid`` and ``i`` to the write ports. ``first`` comes one clock before the first
    vector of a pass, and ``current`` still holds that pass then.

    Parameters
    ----------
    config : the engine

    Members
    -------
    first : In(1)
    current : In(PassLayout)
    valid : In(1)
    i : In(signed(value_bits)) of each column
    activation_en, output_en : Out, one bit a lane
    w_index, w_data : Out, for both memories
    written : Out(PassLayout), the pass whose activations these are
    opens : Out(1), the first write of the last column tile of the last layer
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        memory = ActivationMemorySignature(config).members
        super().__init__(
            {
                "first": In(1),
                "current": In(PassLayout(config)),
                "valid": In(1),
                "i": In(signed(config.profile.value_bits)).array(config.cols),
                "activation_en": Out(config.n_lanes),
                "output_en": Out(config.n_lanes),
                **{name: memory[name].flip() for name in ("w_index", "w_data")},
                "written": Out(PassLayout(config)),
                "opens": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        index, fresh = Signal.like(self.w_index), Signal()
        with m.If(self.first):
            m.d.sync += [self.written.eq(self.current), fresh.eq(1)]
        with m.Elif(self.valid):
            m.d.sync += fresh.eq(0)
        m.d.comb += [
            self.w_index.eq(Mux(fresh, 0, index)),
            self.opens.eq(self.valid & fresh & self.written.to_output & self.written.ends_layer),
        ]
        with m.If(self.valid):
            m.d.sync += index.eq(self.w_index + 1)
        lanes_per_tile = config.cols // config.lane_values
        data = self.w_data.as_value()
        for lane in range(config.n_lanes):
            write = self.valid & (self.written.col_tile == lane // lanes_per_tile)
            m.d.comb += [
                self.activation_en[lane].eq(write & ~self.written.to_output),
                self.output_en[lane].eq(write & self.written.to_output),
            ]
            for number in range(config.lane_values):
                column = lane % lanes_per_tile * config.lane_values + number
                place = data.word_select(lane * config.lane_values + number, config.profile.value_bits)
                m.d.comb += place.eq(self.i[column])
        return m
