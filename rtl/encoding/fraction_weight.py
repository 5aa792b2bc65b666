"""Interpolation weights from fractions."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import INTERPOLATION_CODES
from arch.number_format import WEIGHT_FRACTION_BITS

__all__ = ["FractionWeight"]

_ONE = 1 << WEIGHT_FRACTION_BITS


def _smoothstep(fraction: int) -> int:
    """``min(255, round(fraction^2 * (768 - 2 fraction) / 2^16))``; the quotient is exact, so Python rounds to even."""
    return min(_ONE - 1, round(fraction**2 * (3 * _ONE - 2 * fraction) / _ONE**2))


class FractionWeight(wiring.Component):
    """Turn a point's fraction inside its cell into the weight of the corners at +1, every dimension at once.

    Timing: latency ``config.fraction_weight_latency`` = 1 enabled clock, initiation interval 1.

    Numerics: docs/numerics.md, "Grid encoding" step 4, exact; Smoothstep is a table of 256 rows.

    Parameters
    ----------
    config : the engine

    Members
    -------
    en : In(1), the pipeline moves
    fraction : In(n_pos_dims x 8 bits)
    interpolation : In(2), ``arch.encoding_image.INTERPOLATION_CODES``; others are Linear
    weight : Out(n_pos_dims x 8 bits)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        fractions = data.ArrayLayout(unsigned(WEIGHT_FRACTION_BITS), config.n_pos_dims)
        super().__init__({"en": In(1), "fraction": In(fractions), "interpolation": In(2), "weight": Out(fractions)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.smoothstep = table = memory.Memory(
            shape=WEIGHT_FRACTION_BITS, depth=_ONE, init=[_smoothstep(fraction) for fraction in range(_ONE)]
        )
        interpolation = Signal(2)
        with m.If(self.en):
            m.d.sync += interpolation.eq(self.interpolation)
        for dim in range(self.config.n_pos_dims):
            read = table.read_port()
            fraction = Signal(WEIGHT_FRACTION_BITS, name=f"fraction_{dim}")
            with m.If(self.en):
                m.d.sync += fraction.eq(self.fraction[dim])
            is_smooth = interpolation == INTERPOLATION_CODES["Smoothstep"]
            is_nearest = interpolation == INTERPOLATION_CODES["Nearest"]
            m.d.comb += [
                read.addr.eq(self.fraction[dim]),
                read.en.eq(self.en),
                self.weight[dim].eq(Mux(is_smooth, read.data, Mux(is_nearest, 0, fraction))),
            ]
        return m
