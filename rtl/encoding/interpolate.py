"""Interpolation of a cell's corners."""

from amaranth.hdl import Module, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.checkpoint import MAX_LEVEL_SHIFT
from arch.encoding_engine import EncodingEngineConfig
from arch.number_format import WEIGHT_FRACTION_BITS

__all__ = ["Interpolate", "output_shift_bits"]

_FACTOR = 18
"""Widest signed factor of an ECP5's multiplier; unsigned factors have a bit less."""


def output_shift_bits() -> int:
    """Bits of a level's output shift."""
    return MAX_LEVEL_SHIFT.bit_length()


class Interpolate(wiring.Component):
    """Interpolate the corners of a cell by the weights of its dimensions and round to the encoding's scale.

    A tree of ``2^n_pos_dims - 1`` lerps a feature, dimension 0 first. A lerp is ``a * 256 + (b - a) * t``: its product
    stands between registers, and its sum is made together with the next lerp's difference, whose part ``a_1 - a_0``
    is ready before the products are. The output shift takes no clock of its own: the last lerp's weight and its ``a``
    are shifted instead of its sum, beside stages that are there anyway.

    Timing: latency ``config.interpolate_latency`` = 2 n_pos_dims + 2 clocks, initiation interval 1; never stalls.

    Numerics: docs/numerics.md, "Grid encoding" steps 6 and 7. The lerps are exact. A mean of values is a value, so
    the rounded result always fits and nothing is left to saturate. A 2-dimensional grid in a 3-dimensional build has
    weight 0 in dimension 2: the last lerp then multiplies by 256 and corners 4 to 7 do not count.

    Parameters
    ----------
    config : the engine

    Members
    -------
    corner : In(n_corners x word bits)
    weight : In(n_pos_dims x 8 bits), of the corners at +1
    shift : In(3), the level's output shift
    features : Out(n_features_per_level x value bits, signed)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        values = data.ArrayLayout(signed(config.profile.value_bits), config.n_features_per_level)
        super().__init__(
            {
                "corner": In(data.ArrayLayout(config.row_bits, config.n_corners)),
                "weight": In(data.ArrayLayout(unsigned(WEIGHT_FRACTION_BITS), config.n_pos_dims)),
                "shift": In(output_shift_bits()),
                "features": Out(values),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dims, value_bits = self.config.n_pos_dims, self.config.profile.value_bits
        weights = [self._delayed(m, f"weight_{dim}", self.weight[dim], 2 * dim + 1) for dim in range(dims - 1)]
        last = self._shifted_weight(m)
        for feature in range(self.config.n_features_per_level):
            low = feature * value_bits
            values = [
                self.corner[corner][low : low + value_bits].as_signed() for corner in range(self.config.n_corners)
            ]
            near, difference = self._first(m, feature, values)
            for dim, weight in enumerate(weights):
                near, difference = self._lerp(m, f"lerp_{feature}_{dim}", near, difference, weight)
            self._last_lerp(m, feature, near[0], difference[0], last)
        return m

    def _shifted_weight(self, m: Module) -> tuple[Signal, Signal]:
        """The last dimension's weight moved left and by how many bits, when the last lerp multiplies.

        The shift is turned round: results move left, so that the rounding point stays in one place.
        """
        last = self.config.n_pos_dims - 1
        before = self._delayed(m, f"weight_{last}", self.weight[last], 2 * last)
        wanted = Signal(output_shift_bits())
        left = Signal(output_shift_bits())
        weight = Signal(WEIGHT_FRACTION_BITS + MAX_LEVEL_SHIFT)
        m.d.comb += wanted.eq(MAX_LEVEL_SHIFT - self._delayed(m, "shift", self.shift, 2 * last))
        m.d.sync += [left.eq(wanted), weight.eq(before << wanted)]
        return weight, left

    def _delayed(self, m: Module, name: str, value: object, clocks: int) -> Signal:
        for clock in range(clocks):
            later = Signal(len(value), name=f"{name}_{clock}")
            m.d.sync += later.eq(value)
            value = later
        return value

    def _first(self, m: Module, feature: int, values: list[Value]) -> tuple[list[Signal], list[Signal]]:
        """Near corner and difference of each pair along dimension 0."""
        width = self.config.profile.value_bits
        pairs = range(len(values) // 2)
        near = [Signal(signed(width), name=f"near_{feature}_{pair}") for pair in pairs]
        difference = [Signal(signed(width + 1), name=f"difference_{feature}_{pair}") for pair in pairs]
        for pair in pairs:
            m.d.sync += near[pair].eq(values[2 * pair])
            m.d.sync += difference[pair].eq(values[2 * pair + 1] - values[2 * pair])
        return near, difference

    def _lerp(
        self, m: Module, name: str, near: list[Signal], difference: list[Signal], weight: Signal
    ) -> tuple[list[Signal], list[Signal]]:
        """Near results and differences of pairs of results, two clocks later."""
        width = len(near[0])
        wide = width + WEIGHT_FRACTION_BITS
        products, starts = [], []
        for number, (a, d) in enumerate(zip(near, difference, strict=True)):
            product = Signal(signed(width + 1 + WEIGHT_FRACTION_BITS), name=f"{name}_product_{number}")
            m.d.sync += product.eq(d * weight)
            products.append(product)
            # The near result keeps its own start, the far one its distance from it.
            before = Signal(signed(width + number % 2), name=f"{name}_start_{number}")
            m.d.sync += before.eq(a - near[number - 1] if number % 2 else a)
            starts.append(before)
        results, differences = [], []
        for pair in range(len(near) // 2):
            result = Signal(signed(wide), name=f"{name}_{pair}")
            m.d.sync += result.eq((starts[2 * pair] << WEIGHT_FRACTION_BITS) + products[2 * pair])
            results.append(result)
            step = Signal(signed(wide + 1), name=f"{name}_difference_{pair}")
            apart = products[2 * pair + 1] - products[2 * pair]
            m.d.sync += step.eq((starts[2 * pair + 1] << WEIGHT_FRACTION_BITS) + apart)
            differences.append(step)
        return results, differences

    def _last_lerp(
        self, m: Module, feature: int, near: Signal, difference: Signal, shifted: tuple[Signal, Signal]
    ) -> None:
        """The last result, moved left with its weight, and its rounding."""
        weight, left = shifted
        start = Signal(signed(len(near) + MAX_LEVEL_SHIFT), name=f"last_start_{feature}")
        # One multiplier a product, so that no sum stands between a multiplier and its register.
        low = _FACTOR - 1
        factors = {0: difference} if len(difference) <= _FACTOR else {0: difference[:low], low: difference >> low}
        products = {}
        for position, factor in factors.items():
            products[position] = Signal((factor * weight).shape(), name=f"last_product_{feature}_{position}")
            m.d.sync += products[position].eq(factor * weight)
        total = sum((product << position for position, product in products.items()), start << WEIGHT_FRACTION_BITS)
        moved = Signal(signed(len(start) + WEIGHT_FRACTION_BITS), name=f"moved_{feature}")
        point = self.config.interpolation_fraction_bits + MAX_LEVEL_SHIFT
        quotient = moved >> point
        half, below = moved[point - 1], moved[: point - 1]
        m.d.sync += [
            start.eq(near << left),
            moved.eq(total),
            self.features[feature].eq(quotient + (half & (below.any() | moved[point]))),
        ]
