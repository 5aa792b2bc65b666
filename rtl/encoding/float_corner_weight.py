"""Weights of a cell's corners in the floating-point arithmetic of tiny-cuda-nn."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_image import INTERPOLATION_CODES
from arch.number_format import FP16, FP32
from rtl.delay_line import DelayLine
from rtl.floating.convert import Narrow
from rtl.floating.fraction import OneMinus
from rtl.floating.fused_multiply_add import FusedMultiplyAdd
from rtl.floating.multiply import Multiply
from rtl.shared_module import SharedModule

__all__ = ["NOTHING", "FloatCornerWeight"]

NOTHING = 1 << FP16.width - 1
"""Weight of a corner that does not count, -0: times +0 and added it changes no sum. No corner that counts has it."""

_MINUS_TWO, _THREE = 0xC0000000, 0x40400000  # in fp32


class _Smoothstep(wiring.Component):
    """``(t * t) * (3 - 2 t)`` in fp32, rounded after each operation; ``2 t`` is exact.

    Timing: latency ``LATENCY`` = 11 enabled clocks, initiation interval 1.
    """

    LATENCY = FusedMultiplyAdd.LATENCY + Multiply.LATENCY

    def __init__(self) -> None:
        super().__init__({"en": In(1), "t": In(FP32.width), "o": Out(FP32.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.square = square = SharedModule(Multiply(FP32), "multiply_fp32")
        m.submodules.wait = wait = DelayLine(FP32.width, clocks=FusedMultiplyAdd.LATENCY - Multiply.LATENCY)
        m.submodules.slope = slope = FusedMultiplyAdd(FP32)
        m.submodules.product = product = SharedModule(Multiply(FP32), "multiply_fp32")
        m.d.comb += [part.en.eq(self.en) for part in (square, wait, slope, product)]
        m.d.comb += [
            square.a.eq(self.t),
            square.b.eq(self.t),
            wait.i.eq(square.o),
            slope.a.eq(_MINUS_TWO),
            slope.b.eq(self.t),
            slope.c.eq(_THREE),
            product.a.eq(wait.o),
            product.b.eq(slope.o),
            self.o.eq(product.o),
        ]
        return m


class FloatCornerWeight(wiring.Component):
    """Weights of the ``2**n_pos_dims`` corners from the fractions of a point inside its cell.

    Timing: latency ``latency`` = 17 + 5 (n_pos_dims - 1) enabled clocks, initiation interval 1. Stages: Smoothstep
    (11), 1 - t (4), a product for every dimension but the first (5 each), rounding to fp16 (2).

    Numerics: ``reference.grid_lookup.corner_weights`` and ``smoothstep``: fp32, rounded after each operation, the
    product over the dimensions in their order; then rounded to fp16. Bit d of a corner's number says far in dimension
    d. Nearest gives corner 0 the weight 1 and the others ``NOTHING``, and so do 2-dimensional grids corners 4 to 7.

    Parameters
    ----------
    n_pos_dims : dimensions, 2, 3 or 4

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    three_dims : In(1), low while 3 dimensions serve 2-dimensional grids: the fraction of dimension 2 does not count;
        left unconnected it is high
    interpolation : In(2), ``arch.encoding_image.INTERPOLATION_CODES``; others are Linear
    fraction : In(n_pos_dims x 32 bits), fp32
    weight : Out(2**n_pos_dims x 16 bits), fp16

    Attributes
    ----------
    LATENCY : enabled clocks
    """

    def __init__(self, n_pos_dims: int) -> None:
        if n_pos_dims not in {2, 3, 4}:
            raise ValueError(f"Dimensions must be 2, 3 or 4, not {n_pos_dims!r}")
        self.n_pos_dims = n_pos_dims
        self.LATENCY = _Smoothstep.LATENCY + OneMinus.LATENCY + (n_pos_dims - 1) * Multiply.LATENCY + Narrow.LATENCY
        super().__init__(
            {
                "en": In(1, init=1),
                "three_dims": In(1, init=1),
                "interpolation": In(2),
                "fraction": In(data.ArrayLayout(FP32.width, n_pos_dims)),
                "weight": Out(data.ArrayLayout(FP16.width, 1 << n_pos_dims)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.mode = mode = DelayLine(2, clocks=_Smoothstep.LATENCY)
        m.d.comb += [mode.en.eq(self.en), mode.i.eq(self.interpolation)]
        weights = list(self._factors(m, 0, mode.o))
        for dim in range(1, self.n_pos_dims):
            # a later dimension is a slower bit of the corner's number, and its factor waits for the products before
            factors = [self._late(m, value, (dim - 1) * Multiply.LATENCY) for value in self._factors(m, dim, mode.o)]
            products = []
            for weight, factor in ((weight, factor) for factor in factors for weight in weights):
                m.submodules[f"product_{dim}_{len(products)}"] = product = SharedModule(Multiply(FP32), "multiply_fp32")
                m.d.comb += [product.en.eq(self.en), product.a.eq(weight), product.b.eq(factor)]
                products.append(product.o)
            weights = products
        nearest = self._late(m, mode.o == INTERPOLATION_CODES["Nearest"], self.LATENCY - _Smoothstep.LATENCY)
        for corner, weight in enumerate(weights):
            m.submodules[f"narrow_{corner}"] = narrow = SharedModule(Narrow(FP32, FP16), "narrow_fp32_fp16")
            counts = (~nearest if corner else 1) & (self.three_dims if corner >> 2 else 1)
            m.d.comb += [
                narrow.en.eq(self.en),
                narrow.i.eq(weight),
                self.weight[corner].eq(Mux(counts, narrow.o, NOTHING)),
            ]
        return m

    def _factors(self, m: Module, dim: int, mode: Value) -> tuple[Value, Value]:
        """Factors of the near and the far corners in a dimension."""
        m.submodules[f"smoothstep_{dim}"] = smoothstep = SharedModule(_Smoothstep(), "smoothstep_fp32")
        m.submodules[f"one_minus_{dim}"] = one_minus = SharedModule(OneMinus(FP32), "one_minus_fp32")
        fraction = Mux(self.three_dims, self.fraction[dim], 0) if dim == 2 else self.fraction[dim]
        linear = self._late(m, fraction, _Smoothstep.LATENCY)
        far = Signal(FP32.width, name=f"far_{dim}")
        m.d.comb += [
            smoothstep.en.eq(self.en),
            smoothstep.t.eq(fraction),
            far.eq(Mux(mode == INTERPOLATION_CODES["Smoothstep"], smoothstep.o, linear)),
            one_minus.en.eq(self.en),
            one_minus.i.eq(far),
        ]
        with m.If(mode == INTERPOLATION_CODES["Nearest"]):
            m.d.comb += far.eq(0)
        return one_minus.o, self._late(m, far, OneMinus.LATENCY)

    def _late(self, m: Module, value: Value, clocks: int) -> Value:
        line = DelayLine(len(value), clocks=clocks)
        m.submodules += line
        m.d.comb += [line.en.eq(self.en), line.i.eq(value)]
        return line.o
