"""Activations of the integer profiles: a sign-dependent multiplier, or a table of straight segments.

None, ReLU and LeakyReLU are straight on both sides of zero, so requantisation computes them alone: negative
accumulators take another multiplier (:func:`negative_multiplier`). All others go through a 16-bit *pre-activation*,
whose upper bits choose a segment ``offset + slope * low`` of a table (:class:`ActivationTable`). The arithmetic is
docs/numerics.md, "Activations"; tables are made here from float64 and are the same integers in reference and RTL.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np

from arch.errors import InputError, check_one_of, check_positive
from arch.number_format import IntegerProfile

__all__ = [
    "INTEGER_ACTIVATIONS",
    "LEAKY_SLOPE",
    "LEAKY_SLOPE_BITS",
    "OFFSET_BITS",
    "PRE_ACTIVATION_BITS",
    "SLOPE_BITS",
    "STRAIGHT_ACTIVATIONS",
    "TABLE_ACTIVATIONS",
    "ActivationCurve",
    "ActivationTable",
    "NegativePart",
    "activation_curve",
    "activation_table",
    "leaky_multiplier",
    "negative_multiplier",
    "negative_part",
    "offset_fraction_bits",
    "segment_bits",
    "slope_fraction_bits",
]

PRE_ACTIVATION_BITS = 16
"""Bits of a pre-activation (signed)."""

SLOPE_BITS = 16
"""Bits of a segment's slope (signed)."""

OFFSET_BITS = 20
"""Bits of a segment's value at its middle (signed)."""

LEAKY_SLOPE = 1311
"""LeakyReLU's slope, ``LEAKY_SLOPE_BITS`` behind the point: 1311 / 2**17 is exactly 0.01 rounded to fp16, as
tiny-cuda-nn's ``common_device.h`` has it."""

LEAKY_SLOPE_BITS = 17
"""Fraction bits of LeakyReLU's slope."""

_SHARPNESS = 10.0  # K_ACT of tiny-cuda-nn's common_device.h: Softplus and Squareplus of 10 x, divided by 10
_TAIL_STEPS = 0.25  # past its ends a curve may differ from its end by this many output steps
_WIDEST_SQUAREPLUS = 4.0  # over the output limit: its lower tail falls as 1 / (100 |x|), too slowly to follow

_FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "Exponential": np.exp,
    "Softplus": lambda x: np.logaddexp(0.0, _SHARPNESS * x) / _SHARPNESS,
    "Squareplus": lambda x: 0.5 * (_SHARPNESS * x + np.hypot(_SHARPNESS * x, 2.0)) / _SHARPNESS,
    "Tanh": np.tanh,
}

TABLE_ACTIVATIONS = tuple(_FUNCTIONS)
"""Activations that take a table."""


class NegativePart(IntEnum):
    """What requantisation makes of negative accumulators (field ``negative`` of a layer register).

    ``SINE``, in ``fp16`` alone: the layer's table is Sine's (``arch.float_sine``), which has positive inputs only.
    """

    KEPT = 0
    ZERO = 1
    LEAKY = 2
    SINE = 3


_NEGATIVE_PARTS = {"ReLU": NegativePart.ZERO, "LeakyReLU": NegativePart.LEAKY, "Sine": NegativePart.SINE}

STRAIGHT_ACTIVATIONS = ("None", "ReLU", "LeakyReLU")
"""Activations that are straight on both sides of zero and take no table."""

INTEGER_ACTIVATIONS = (*STRAIGHT_ACTIVATIONS, *TABLE_ACTIVATIONS)
"""Activations of the integer profiles."""


def segment_bits(profile: IntegerProfile) -> int:
    """Upper bits of a pre-activation that choose the segment: 128 segments for int8, 512 for int16."""
    return {8: 7, 16: 9}[profile.value_bits]


def slope_fraction_bits(profile: IntegerProfile) -> int:
    """Fraction bits of a slope, in output steps a pre-activation step: slopes are below 1/16 (int8) and 16 (int16)."""
    return 27 - profile.value_bits


def offset_fraction_bits(profile: IntegerProfile) -> int:
    """Fraction bits of an offset, in output steps: 8 fewer than a slope's."""
    return slope_fraction_bits(profile) - 8


def negative_part(activation: str) -> NegativePart:
    """What ``activation`` makes of negative accumulators; a table takes them as they are, but Sine's."""
    return _NEGATIVE_PARTS.get(activation, NegativePart.KEPT)


def leaky_multiplier(multiplier: int) -> int:
    """``round(multiplier * 1311 / 2**17)``; there are no ties, as multipliers are below 2**16."""
    return (multiplier * LEAKY_SLOPE + (1 << (LEAKY_SLOPE_BITS - 1))) >> LEAKY_SLOPE_BITS


def negative_multiplier(activation: str, multiplier: int) -> int:
    """The multiplier of negative accumulators in a layer whose other ones take ``multiplier``."""
    others = {NegativePart.ZERO: 0, NegativePart.LEAKY: leaky_multiplier(multiplier)}
    return others.get(negative_part(activation), multiplier)


@dataclass(frozen=True, kw_only=True)
class ActivationCurve:
    """An activation with the scales on both sides of its table.

    Parameters
    ----------
    activation : one of ``TABLE_ACTIVATIONS``
    input_scale : real value of one pre-activation step
    output_scale : real value of one output step
    """

    activation: str
    input_scale: float
    output_scale: float

    def __post_init__(self) -> None:
        check_one_of("activation of a curve", self.activation, TABLE_ACTIVATIONS)
        check_positive("input_scale of a curve", self.input_scale)
        check_positive("output_scale of a curve", self.output_scale)

    def steps(self, pre: np.ndarray) -> np.ndarray:
        """The exact outputs of raw pre-activations, in output steps, neither rounded nor saturated (float64)."""
        with np.errstate(over="ignore"):
            return _FUNCTIONS[self.activation](np.asarray(pre, np.float64) * self.input_scale) / self.output_scale


def activation_curve(activation: str, profile: IntegerProfile, *, output_limit: float = 1.0) -> ActivationCurve:
    """The curve whose largest output is ``output_limit`` and whose inputs go as far as its outputs change.

    At both ends the function is saturated or within a quarter of an output step of its limit; Squareplus, whose lower
    tail is long, ends at -4 ``output_limit`` at the latest.
    """
    check_one_of("activation of a curve", activation, TABLE_ACTIVATIONS)
    check_positive("output_limit", output_limit)
    output_scale = output_limit / profile.value.maximum
    tail = _TAIL_STEPS * output_scale
    input_range = {
        "Sigmoid": lambda: np.log(1.0 / tail),
        "Tanh": lambda: np.log(2.0 / tail) / 2,
        "Exponential": lambda: max(np.log(1.0 / tail), np.log(output_limit)),
        "Softplus": lambda: max(output_limit, np.log(1.0 / (_SHARPNESS * tail)) / _SHARPNESS),
        "Squareplus": lambda: max(output_limit, min(1.0 / (_SHARPNESS**2 * tail), _WIDEST_SQUAREPLUS * output_limit)),
    }[activation]()
    input_scale = float(input_range) / (1 << (PRE_ACTIVATION_BITS - 1))
    return ActivationCurve(activation=activation, input_scale=input_scale, output_scale=output_scale)


@dataclass(frozen=True, kw_only=True)
class ActivationTable:
    """The segments of one curve, by the upper ``segment_bits`` of the pre-activation as they are (two's complement).

    Parameters
    ----------
    offsets : (segments,) int64, value at the middle of the segment, ``offset_fraction_bits``
    slopes : (segments,) int64, ``slope_fraction_bits``
    """

    offsets: np.ndarray
    slopes: np.ndarray

    @property
    def words(self) -> np.ndarray:
        """Load data of each segment: the slope in the lowest ``SLOPE_BITS`` bits, above it the offset."""
        low = (1 << SLOPE_BITS) - 1
        return (self.slopes & low) | (self.offsets & ((1 << OFFSET_BITS) - 1)) << SLOPE_BITS


@lru_cache(maxsize=64)
def activation_table(curve: ActivationCurve, profile: IntegerProfile) -> ActivationTable:
    """The segments of ``curve``: chords, shifted so that the largest errors above and below are equal.

    Raises
    ------
    InputError
        If a slope does not fit: the pre-activation's steps are too coarse for the output's.
    """
    bits = segment_bits(profile)
    width = 1 << (PRE_ACTIVATION_BITS - bits)
    half = 1 << (PRE_ACTIVATION_BITS - 1)
    pre = np.arange(-half, half).reshape(-1, width)
    highest = profile.value.maximum
    # saturation is behind the table; a cap keeps what lies far above it in the range of an offset
    steps = np.minimum(curve.steps(pre), 2.0 * highest)
    steps = np.where(steps[:, :1] >= highest, highest, steps)
    slopes = np.rint((steps[:, -1] - steps[:, 0]) / (width - 1) * 2.0 ** slope_fraction_bits(profile))
    if np.abs(slopes).max() >= 1 << (SLOPE_BITS - 1):
        steepest = 2.0 ** (SLOPE_BITS - 1 - slope_fraction_bits(profile))
        raise InputError(
            f"output steps a pre-activation step of an activation curve must be below {steepest:g}, "
            f"not {np.abs(slopes).max() * 2.0 ** -slope_fraction_bits(profile):g}; take a smaller input_scale"
        )
    low = np.arange(width) - width // 2
    rest = steps - slopes[:, None] * low * 2.0 ** -slope_fraction_bits(profile)
    offsets = np.rint((rest.max(axis=1) + rest.min(axis=1)) / 2 * 2.0 ** offset_fraction_bits(profile))
    order = np.roll(np.arange(len(pre)), len(pre) // 2)  # negative pre-activations have the upper addresses
    return ActivationTable(offsets=offsets[order].astype(np.int64), slopes=slopes[order].astype(np.int64))
