"""Activations of the ``fp16`` profile."""

from amaranth.hdl import Module, Mux
from amaranth.lib.wiring import Component, In, Out

from arch.activation_table import NegativePart
from arch.mlp_engine import FLOAT_ACTIVATE_CYCLES, MlpEngineConfig
from arch.number_format import FP16
from rtl.delay_line import DelayLine
from rtl.floating.multiply import Multiply
from rtl.shared_module import SharedModule

__all__ = ["FloatActivate"]

_SLOPE = 0x211F  # 0.01 rounded to fp16


class FloatActivate(Component):
    """None, ReLU or LeakyReLU of each column's sum, as the GPU computes them.

    *Timing*: latency ``config.activate_cycles`` = 5, initiation interval 1, no stall. ``negative`` belongs to the ``i``
    of the same clock.

    *Numerics*: ``reference.activation.activate_fp16``: ReLU of what is not above zero, NaN included, is +0; LeakyReLU
    multiplies it by 0.01 rounded to fp16 and rounds the product to fp16.

    Parameters
    ----------
    config : the engine, with ``fp16``

    Members
    -------
    valid : In(1)
    negative : In(2), ``arch.activation_table.NegativePart`` of the layer
    i : In(16) of each column
    o_valid : Out(1)
    o : Out(16) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        assert FLOAT_ACTIVATE_CYCLES == Multiply.LATENCY
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "negative": In(2),
                "i": In(FP16.width).array(config.cols),
                "o_valid": Out(1),
                "o": Out(FP16.width).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.valid = valid = DelayLine(1, FLOAT_ACTIVATE_CYCLES)
        m.submodules.negative = negative = DelayLine(2, FLOAT_ACTIVATE_CYCLES)
        m.d.comb += [valid.i.eq(self.valid), self.o_valid.eq(valid.o), negative.i.eq(self.negative)]
        for c in range(self.config.cols):
            m.submodules[f"leak_{c}"] = leak = SharedModule(Multiply(FP16), "multiply_fp16")
            m.submodules[f"sum_{c}"] = late = DelayLine(FP16.width, FLOAT_ACTIVATE_CYCLES)
            m.d.comb += [leak.a.eq(self.i[c]), leak.b.eq(_SLOPE), late.i.eq(self.i[c])]
            above_zero = ~late.o[-1] & (late.o != 0) & (late.o <= FP16.special << FP16.mantissa_bits)
            below = Mux(negative.o == NegativePart.LEAKY, leak.o, 0)
            kept = above_zero | (negative.o == NegativePart.KEPT)
            m.d.comb += self.o[c].eq(Mux(kept, late.o, below))
        return m
