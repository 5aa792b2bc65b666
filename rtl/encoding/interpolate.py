"""Linear interpolation of a cell's corners."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.checkpoint import MAX_LEVEL_SHIFT
from arch.encoding_engine import EncodingEngineConfig
from arch.number_format import WEIGHT_FRACTION_BITS
from rtl.encoding.feature_table import table_word_bits

__all__ = ["Interpolate", "output_shift_bits"]


def output_shift_bits() -> int:
    """Bits of a level's output shift."""
    return MAX_LEVEL_SHIFT.bit_length()


class Interpolate(wiring.Component):
    """Interpolate the corners of a cell linearly and round to the encoding's scale.

    A tree of ``2^n_pos_dims - 1`` lerps a feature, dimension 0 first; each is a difference, a product and a sum with
    registers between, the shape of a DSP slice.

    Timing: latency ``config.interpolate_latency`` = 3 n_pos_dims + 2 clocks, initiation interval 1; never stalls.

    Numerics: docs/numerics.md, "Grid encoding" steps 6 and 7. The lerps are exact. A mean of values is a value, so
    the rounded result always fits and nothing is left to saturate. A 2-dimensional grid in a 3-dimensional build has
    fraction 0 in dimension 2: the last lerp then multiplies by 256 and corners 4 to 7 do not count.

    Parameters
    ----------
    config : the engine

    Members
    -------
    corner : In(n_corners x word bits)
    fraction : In(n_pos_dims x 8 bits)
    shift : In(3), the level's output shift
    features : Out(n_features_per_level x value bits, signed)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        values = data.ArrayLayout(signed(config.profile.value_bits), config.n_features_per_level)
        super().__init__(
            {
                "corner": In(data.ArrayLayout(table_word_bits(config), config.n_corners)),
                "fraction": In(data.ArrayLayout(unsigned(WEIGHT_FRACTION_BITS), config.n_pos_dims)),
                "shift": In(output_shift_bits()),
                "features": Out(values),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dims, value_bits = self.config.n_pos_dims, self.config.profile.value_bits
        weights = [self._delayed(m, f"weight_{dim}", self.fraction[dim], 3 * dim + 1) for dim in range(dims)]
        # The shift is turned round: results move left, so that the rounding point stays in one place.
        shift = self._delayed(m, "shift", self.shift, 3 * dims)
        for feature in range(self.config.n_features_per_level):
            low = feature * value_bits
            values = [
                self.corner[corner][low : low + value_bits].as_signed() for corner in range(self.config.n_corners)
            ]
            for dim in range(dims):
                values = [
                    self._lerp(m, f"lerp_{feature}_{dim}_{pair}", values[2 * pair], values[2 * pair + 1], weights[dim])
                    for pair in range(len(values) // 2)
                ]
            self._round(m, feature, values[0], shift)
        return m

    def _delayed(self, m: Module, name: str, value: object, clocks: int) -> Signal:
        for clock in range(clocks):
            later = Signal(len(value), name=f"{name}_{clock}")
            m.d.sync += later.eq(value)
            value = later
        return value

    def _lerp(self, m: Module, name: str, a: Signal, b: Signal, weight: Signal) -> Signal:
        width = len(a)
        difference = Signal(signed(width + 1), name=f"{name}_difference")
        product = Signal(signed(width + 1 + WEIGHT_FRACTION_BITS), name=f"{name}_product")
        a_1, a_2 = (Signal(signed(width), name=f"{name}_a{clock}") for clock in (1, 2))
        result = Signal(signed(width + WEIGHT_FRACTION_BITS), name=name)
        m.d.sync += [
            difference.eq(b - a),
            a_1.eq(a),
            product.eq(difference * weight),
            a_2.eq(a_1),
            result.eq((a_2 << WEIGHT_FRACTION_BITS) + product),
        ]
        return result

    def _round(self, m: Module, feature: int, value: Signal, shift: Signal) -> None:
        point = self.config.interpolation_fraction_bits + MAX_LEVEL_SHIFT
        moved = Signal(signed(len(value) + MAX_LEVEL_SHIFT), name=f"moved_{feature}")
        m.d.sync += moved.eq(value << (MAX_LEVEL_SHIFT - shift).as_unsigned())
        quotient = moved >> point
        half, below = moved[point - 1], moved[: point - 1]
        m.d.sync += self.features[feature].eq(quotient + (half & (below.any() | moved[point])))
