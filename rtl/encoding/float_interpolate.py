"""Interpolation of a cell's corners in the floating-point arithmetic of tiny-cuda-nn."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FP16
from rtl.delay_line import DelayLine
from rtl.encoding.float_corner_weight import NOTHING
from rtl.floating.fused_multiply_add import FusedMultiplyAdd
from rtl.shared_module import SharedModule

__all__ = ["FloatInterpolate"]


class FloatInterpolate(wiring.Component):
    """Add up the corners' features by their weights, one after the other, as the GPU does.

    Timing: latency ``LATENCY`` = 6 * ``2**n_pos_dims`` enabled clocks, initiation interval 1: a chain of fused
    multiply-adds, where each corner waits for those before it.

    Numerics: ``result = fma(weight, value, result)`` in fp16 from a result of +0, corner 0 first. The value of a corner
    of weight ``NOTHING`` is taken as +0, so that neither an infinite one nor the sign of a result of zero changes.

    Parameters
    ----------
    n_pos_dims : dimensions
    n_features_per_level : features of a corner

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    weight : In(2**n_pos_dims x 16 bits), fp16
    corner : In(2**n_pos_dims x n_features_per_level x 16 bits), fp16
    features : Out(n_features_per_level x 16 bits), fp16

    Attributes
    ----------
    LATENCY : enabled clocks
    """

    def __init__(self, n_pos_dims: int, n_features_per_level: int) -> None:
        self.n_corners = 1 << n_pos_dims
        self.n_features = n_features_per_level
        self.LATENCY = self.n_corners * FusedMultiplyAdd.LATENCY
        features = data.ArrayLayout(FP16.width, n_features_per_level)
        super().__init__(
            {
                "en": In(1, init=1),
                "weight": In(data.ArrayLayout(FP16.width, self.n_corners)),
                "corner": In(data.ArrayLayout(features, self.n_corners)),
                "features": Out(features),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums = [0] * self.n_features
        for corner in range(self.n_corners):
            clocks = corner * FusedMultiplyAdd.LATENCY
            m.submodules[f"weight_{corner}"] = weight = DelayLine(FP16.width, clocks=clocks)
            m.submodules[f"values_{corner}"] = values = DelayLine(FP16.width * self.n_features, clocks=clocks)
            m.d.comb += [line.en.eq(self.en) for line in (weight, values)]
            counts = self.weight[corner] != NOTHING
            m.d.comb += [weight.i.eq(self.weight[corner]), values.i.eq(Mux(counts, self.corner[corner].as_value(), 0))]
            for feature in range(self.n_features):
                m.submodules[f"add_{corner}_{feature}"] = add = SharedModule(
                    FusedMultiplyAdd(FP16), "fused_multiply_add_fp16"
                )
                m.d.comb += [
                    add.en.eq(self.en),
                    add.a.eq(weight.o),
                    add.b.eq(values.o.word_select(feature, FP16.width)),
                    add.c.eq(sums[feature]),
                ]
                sums[feature] = add.o
        m.d.comb += [self.features[feature].eq(total) for feature, total in enumerate(sums)]
        return m
