"""From sums to activations."""

from amaranth.hdl import Module, signed
from amaranth.lib.wiring import Component, In, Out

from arch.activation_table import OFFSET_BITS, SLOPE_BITS
from arch.mlp_engine import REQUANTIZE_CYCLES, MlpEngineConfig
from rtl.delay_line import DelayLine
from rtl.mlp.activation_unit import ActivationUnit
from rtl.mlp.requantize import Requantize

__all__ = ["Activate"]


class Activate(Component):
    """Requantise each column's sum, and look it up in a table if the engine has any and the layer names one.

    *Timing*: latency ``config.activate_cycles``, initiation interval 1, no stall. ``multiplier``,
    ``negative_multiplier``, ``shift`` and ``table`` belong to the ``i`` of the same clock. A load word is written in
    its own clock.

    *Numerics*: docs/numerics.md, "Networks" and "Activations".

    Parameters
    ----------
    config : the engine

    Members
    -------
    w_en, w_addr, w_data : In, a load word of the tables; in an engine without tables they do nothing
    valid : In(1)
    multiplier, negative_multiplier, shift, table : In, the layer's
    i : In(signed(accumulator_bits)) of each column
    o_valid : Out(1)
    o : Out(signed(value_bits)) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        profile = config.profile
        super().__init__(
            {
                "w_en": In(1),
                "w_addr": In(12),
                "w_data": In(SLOPE_BITS + OFFSET_BITS),
                "valid": In(1),
                "multiplier": In(profile.multiplier_bits),
                "negative_multiplier": In(profile.multiplier_bits),
                "shift": In(6),
                "table": In(3),
                "i": In(signed(profile.accumulator_bits)).array(config.cols),
                "o_valid": Out(1),
                "o": Out(signed(profile.value_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.requantize = requantize = Requantize(self.config)
        names = ("valid", "multiplier", "negative_multiplier", "shift")
        m.d.comb += [getattr(requantize, name).eq(getattr(self, name)) for name in names]
        m.d.comb += [i.eq(o) for i, o in zip(requantize.i, self.i, strict=True)]
        last = requantize
        if self.config.activation_tables:
            m.submodules.unit = last = unit = ActivationUnit(self.config)
            m.submodules.table = table = DelayLine(self.table.shape(), REQUANTIZE_CYCLES)
            m.d.comb += [
                table.i.eq(self.table),
                unit.table.eq(table.o),
                unit.valid.eq(requantize.o_valid),
                unit.w_en.eq(self.w_en),
                unit.w_addr.eq(self.w_addr),
                unit.w_data.eq(self.w_data),
            ]
            m.d.comb += [i.eq(o) for i, o in zip(unit.i, requantize.o, strict=True)]
        m.d.comb += self.o_valid.eq(last.o_valid)
        m.d.comb += [i.eq(o) for i, o in zip(self.o, last.o, strict=True)]
        return m
