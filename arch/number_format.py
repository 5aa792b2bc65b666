"""Fixed-point number formats and the arithmetic profiles built from them.

A format names how the bits of an integer stand for a real number; the integer
itself is called the *raw* value. Rounding is half to even and overflow
saturates, unless a docstring says otherwise.
"""

from dataclasses import dataclass

import numpy as np

from arch.errors import check_integer, check_one_of

__all__ = [
    "ARITHMETICS",
    "COORDINATE",
    "FP16",
    "FP32",
    "HARDWARE_ARITHMETICS",
    "LEVEL_SCALE",
    "WEIGHT_FRACTION_BITS",
    "FixedPoint",
    "FloatFormat",
    "FloatProfile",
    "IntegerProfile",
    "hardware_profile",
    "integer_profile",
    "round_shift",
]

ARITHMETICS = ("float64", "fp16", "int8", "int16")


@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """A fixed-point format: ``value = raw * 2**-fraction_bits``.

    Parameters
    ----------
    signed : two's complement if true, unsigned otherwise
    integer_bits : bits left of the point, the sign bit included
    fraction_bits : bits right of the point
    """

    signed: bool
    integer_bits: int
    fraction_bits: int

    def __post_init__(self) -> None:
        check_one_of("signed", self.signed, (True, False))
        check_integer("integer_bits", self.integer_bits, 0, 64)
        check_integer("fraction_bits", self.fraction_bits, 0, 64)
        check_integer("integer_bits + fraction_bits", self.width, 1, 64)

    @property
    def width(self) -> int:
        """Bits of the raw value."""
        return self.integer_bits + self.fraction_bits

    @property
    def minimum(self) -> int:
        """Smallest raw value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Largest raw value."""
        return (1 << (self.width - self.signed)) - 1

    def quantize(self, values: np.ndarray | float) -> np.ndarray:
        """Raw int64 values nearest to ``values``: half to even, saturating."""
        scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**self.fraction_bits)
        return np.clip(scaled, self.minimum, self.maximum).astype(np.int64)

    def to_float(self, raw: np.ndarray) -> np.ndarray:
        """The float64 values that raw values stand for (exact for widths up to 53)."""
        return np.asarray(raw, dtype=np.float64) * 2.0**-self.fraction_bits


COORDINATE = FixedPoint(signed=False, integer_bits=1, fraction_bits=23)
"""A point's coordinate. 0 and 1 are exact; anything outside [0, 1] is clamped to it by the host."""

LEVEL_SCALE = FixedPoint(signed=False, integer_bits=14, fraction_bits=10)
"""A level's scale register. Rounding it moves a position by at most 2**-11 cells."""

WEIGHT_FRACTION_BITS = 8
"""Bits of a position's fraction inside its cell, hence of an interpolation weight; truncated, so always below 1."""


@dataclass(frozen=True, kw_only=True)
class FloatFormat:
    """A binary interchange format of IEEE 754: sign, biased exponent, mantissa, from the highest bit down.

    A value is ``(-1)**sign * 2**(exponent - bias - mantissa_bits) * significand``; the significand has the hidden bit
    above the mantissa. Subnormals have exponent field 0, count as exponent 1 and have no hidden bit. The highest
    exponent field is infinity with mantissa 0, else NaN.

    Parameters
    ----------
    exponent_bits, mantissa_bits : widths of the fields
    """

    exponent_bits: int
    mantissa_bits: int

    def __post_init__(self) -> None:
        check_integer("exponent_bits", self.exponent_bits, 2, 11)
        check_integer("mantissa_bits", self.mantissa_bits, 2, 52)

    @property
    def width(self) -> int:
        """Bits of a number."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def significand_bits(self) -> int:
        """Mantissa and hidden bit."""
        return self.mantissa_bits + 1

    @property
    def bias(self) -> int:
        """Exponent field of 1.0."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def special(self) -> int:
        """Exponent field of infinity and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def nan(self) -> int:
        """The NaN every operation gives: all bits but the sign, as an NVIDIA GPU's."""
        return (1 << (self.width - 1)) - 1


FP16 = FloatFormat(exponent_bits=5, mantissa_bits=10)
"""IEEE 754 binary16."""

FP32 = FloatFormat(exponent_bits=8, mantissa_bits=23)
"""IEEE 754 binary32."""


@dataclass(frozen=True, kw_only=True)
class IntegerProfile:
    """One integer arithmetic profile of the hardware.

    Parameters
    ----------
    name : ``int8`` or ``int16``
    value_bits : bits of table features, encoded features and activations (signed)
    weight_bits : bits of MLP weights (signed)
    accumulator_bits : bits of MLP accumulators (signed); 128 products always fit
    multiplier_bits : bits of the unsigned requantisation multiplier
    """

    name: str
    value_bits: int
    weight_bits: int = 8
    accumulator_bits: int = 32
    multiplier_bits: int = 16

    @property
    def value(self) -> FixedPoint:
        """Format of a value as a plain signed integer; its real scale is kept beside it."""
        return FixedPoint(signed=True, integer_bits=self.value_bits, fraction_bits=0)

    @property
    def weight(self) -> FixedPoint:
        """Format of a weight as a plain signed integer."""
        return FixedPoint(signed=True, integer_bits=self.weight_bits, fraction_bits=0)


_PROFILES = {
    "int8": IntegerProfile(name="int8", value_bits=8),
    "int16": IntegerProfile(name="int16", value_bits=16),
}


@dataclass(frozen=True, kw_only=True)
class FloatProfile:
    """The arithmetic profile of the hardware that gives a GPU's bits.

    Parameters
    ----------
    name : ``fp16``
    value_bits : bits of table features, encoded features and activations
    weight_bits : bits of MLP weights
    accumulator_bits : bits of MLP accumulators
    """

    name: str
    value_bits: int = FP16.width
    weight_bits: int = FP16.width
    accumulator_bits: int = FP16.width

    @property
    def value(self) -> FixedPoint:
        """Format of a raw value: the bits of an fp16 number, read as a signed integer."""
        return FixedPoint(signed=True, integer_bits=self.value_bits, fraction_bits=0)

    @property
    def weight(self) -> FixedPoint:
        """Format of a raw weight, the same."""
        return FixedPoint(signed=True, integer_bits=self.weight_bits, fraction_bits=0)


_FLOAT_PROFILE = FloatProfile(name="fp16")

HARDWARE_ARITHMETICS = (*_PROFILES, _FLOAT_PROFILE.name)
"""What the engines compute in."""


def hardware_profile(name: str) -> IntegerProfile | FloatProfile:
    """The profile called ``name``; raises InputError for what is none of ``HARDWARE_ARITHMETICS``."""
    check_one_of("arithmetic", name, HARDWARE_ARITHMETICS)
    return _PROFILES.get(name, _FLOAT_PROFILE)


def integer_profile(name: str) -> IntegerProfile:
    """The integer profile called ``name``; raises InputError for any other name."""
    check_one_of("arithmetic", name, tuple(_PROFILES))
    return _PROFILES[name]


def round_shift(values: np.ndarray, shift: int) -> np.ndarray:
    """``values / 2**shift`` rounded half to even, on int64 arrays (``shift`` >= 0)."""
    values = np.asarray(values, dtype=np.int64)
    if shift == 0:
        return values
    quotient = values >> shift
    remainder = values - (quotient << shift)
    half = np.int64(1) << (shift - 1)
    return quotient + ((remainder > half) | ((remainder == half) & (quotient & 1 == 1)))
