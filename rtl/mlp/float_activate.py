"""Activations of the ``fp16`` profile."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from arch.activation_table import NegativePart
from arch.mlp_engine import FLOAT_ACTIVATE_CYCLES, FLOAT_TABLE_CYCLES, MlpEngineConfig
from arch.number_format import FP16
from rtl.delay_line import DelayLine
from rtl.floating.multiply import Multiply
from rtl.mlp.float_activation_unit import FloatActivationUnit, table_members
from rtl.shared_module import SharedModule

__all__ = ["FloatActivate"]

_SLOPE = 0x211F  # 0.01 rounded to fp16


class FloatActivate(Component):
    """The activation of each column's sum: None, ReLU and LeakyReLU as the GPU computes them, others by a table.

    *Timing*: latency ``config.activate_cycles`` = 5, with tables 8, initiation interval 1, no stall. ``negative`` and
    ``table`` belong to the ``i`` of the same clock.

    *Numerics*: ``reference.activation.activate_fp16``: ReLU of what is not above zero, NaN included, is +0; LeakyReLU
    multiplies it by 0.01 rounded to fp16 and rounds the product to fp16. Others are correctly rounded.

    Parameters
    ----------
    config : the engine, with ``fp16``

    Members
    -------
    valid : In(1)
    negative : In(2), ``arch.activation_table.NegativePart`` of the layer
    w_en, w_addr, w_data, table : In, with tables, as in ``FloatActivationUnit``; table 0: none
    i : In(16) of each column
    o_valid : Out(1)
    o : Out(16) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        assert FLOAT_ACTIVATE_CYCLES == Multiply.LATENCY
        self.config = config
        tables = table_members(config) if config.activation_tables else {}
        super().__init__(
            {
                **tables,
                "valid": In(1),
                "negative": In(2),
                "i": In(FP16.width).array(config.cols),
                "o_valid": Out(1),
                "o": Out(FP16.width).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.valid = valid = DelayLine(1, self.config.activate_cycles)
        m.submodules.negative = negative = DelayLine(2, FLOAT_ACTIVATE_CYCLES)
        m.d.comb += [valid.i.eq(self.valid), self.o_valid.eq(valid.o), negative.i.eq(self.negative)]
        straight = [Signal(FP16.width, name=f"straight_{c}") for c in range(self.config.cols)]
        for c in range(self.config.cols):
            m.submodules[f"leak_{c}"] = leak = SharedModule(Multiply(FP16), "multiply_fp16")
            m.submodules[f"sum_{c}"] = late = DelayLine(FP16.width, FLOAT_ACTIVATE_CYCLES)
            m.d.comb += [leak.a.eq(self.i[c]), leak.b.eq(_SLOPE), late.i.eq(self.i[c])]
            above_zero = ~late.o[-1] & (late.o != 0) & (late.o <= FP16.special << FP16.mantissa_bits)
            below = Mux(negative.o == NegativePart.LEAKY, leak.o, 0)
            kept = above_zero | (negative.o == NegativePart.KEPT)
            if self.config.sine:
                kept |= negative.o == NegativePart.SINE
            m.d.comb += straight[c].eq(Mux(kept, late.o, below))
        if self.config.activation_tables:
            straight = self._look_up(m, straight)
        m.d.comb += [o.eq(value) for o, value in zip(self.o, straight, strict=True)]
        return m

    def _look_up(self, m: Module, straight: list[Value]) -> list[Value]:
        """What a table gives in a layer that has one."""
        rest = FLOAT_TABLE_CYCLES - FLOAT_ACTIVATE_CYCLES
        m.submodules.tables = tables = FloatActivationUnit(self.config)
        m.submodules.straight = late = DelayLine(FP16.width * len(straight), rest)
        # with Sine every column for itself: small numbers are what they are
        found = [self.table != 0]
        if self.config.sine:
            m.d.comb += tables.sine.eq(self.negative == NegativePart.SINE)
            found = [found[0] & ~itself for itself in tables.itself]
        m.submodules.looks_up = looks_up = DelayLine(len(found), FLOAT_TABLE_CYCLES)
        m.d.comb += [getattr(tables, name).eq(getattr(self, name)) for name in table_members(self.config)]
        m.d.comb += [i.eq(own) for i, own in zip(tables.i, self.i, strict=True)]
        m.d.comb += [tables.valid.eq(self.valid), looks_up.i.eq(Cat(*found)), late.i.eq(Cat(*straight))]
        return [
            Mux(looks_up.o[c % len(found)], table, late.o.word_select(c, FP16.width))
            for c, table in enumerate(tables.o)
        ]
