"""Activations of the ``fp16`` profile that no straight line gives: correctly rounded, as segments of parabolas.

:func:`float_activation` is the function itself, over all 65,536 numbers: evaluated in float64 and rounded once. A table
(:class:`FloatActivationTable`) gives the same numbers in hardware. Its segments are the runs of 16 neighbouring inputs,
chosen by the upper 12 bits of a number; ``low``, the other four bits counted from their middle, is -8 .. 7:

``|y| = (c0 * 2**3 + (c1 * 2**4 + c2 * low) * low) * 2**(exponent - 40)``, rounded to nearest even.

The coefficients are searched for until every input's outcome is the correctly rounded one; 16 inputs a segment leave
room for that in all six functions. Sine's table is ``arch.float_sine``'s. The library computes the same functions in
fp32 with the GPU's approximate instructions: docs/numerics.md, "Networks in fp16".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from arch.errors import check_one_of

__all__ = [
    "COEFFICIENTS",
    "FLOAT_TABLE_ACTIVATIONS",
    "LOW_BITS",
    "SEGMENT_BITS",
    "TABLE_FRACTION_BITS",
    "FloatActivationTable",
    "fit_segments",
    "float_activation",
    "float_activation_exact",
    "float_activation_table",
]

LOW_BITS = 4
"""Lower bits of a number, which count inside a segment."""
SEGMENT_BITS = 16 - LOW_BITS
"""Upper bits of a number, which choose the segment: sign, exponent and six bits of the mantissa."""
TABLE_FRACTION_BITS = 7
"""Fraction bits of a segment's value, in the unit of which ``c0`` has 18 bits."""
COEFFICIENTS: Mapping[str, tuple[int, int, bool]] = {
    "c0": (22, 4, False),
    "c1": (16, 3, True),
    "c2": (12, 7, True),
    "exponent": (6, 0, False),
    "negative": (1, 0, False),
    "infinite_from": (5, 0, False),
}
"""Fields of a table's word, lowest first: bits, fraction bits, whether signed.

``exponent`` is that of the value's bit 25, biased as in fp16; inputs of the segment from number ``infinite_from`` on, 0
to 16, have an infinite outcome.
"""

_SHARPNESS = 10.0  # K_ACT of tiny-cuda-nn's common_device.h
_UNIT_BITS = 18
_LARGEST_FP32 = float(np.finfo(np.float32).max)
_SEARCH = (0, 1, -1, 2, -2, 3, -3)
_STEEPEST = 4000  # units an input: what a ``c1`` of 16 bits holds, 3 of them behind the point, less the search


def _softplus(x: np.ndarray) -> np.ndarray:
    """ln(e^10x + 1) / 10, infinite where e^10x has no fp32 number, as in the library."""
    sharp = _SHARPNESS * x
    return np.where(sharp > np.log(_LARGEST_FP32), np.inf, np.logaddexp(0.0, sharp) / _SHARPNESS)


def _squareplus(x: np.ndarray) -> np.ndarray:
    """(10 x + sqrt(100 x^2 + 4)) / 20, without cancellation below zero."""
    sharp = _SHARPNESS * np.abs(x)
    far = sharp + np.hypot(sharp, 2.0)
    return np.where(x < 0, 4.0 / far, far) / (2.0 * _SHARPNESS)


def _silu(x: np.ndarray) -> np.ndarray:
    return np.where(x == -np.inf, -0.0, x / (1.0 + np.exp(-x)))


_FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "SiLU": _silu,
    "Exponential": np.exp,
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "Squareplus": _squareplus,
    "Softplus": _softplus,
    "Tanh": np.tanh,
}
FLOAT_TABLE_ACTIVATIONS = tuple(_FUNCTIONS)
"""Activations of ``fp16`` whose table is segments alone. From 4 on, Sine's neighbouring inputs are too far apart."""


def _numbers() -> np.ndarray:
    """Every fp16 number by its bits, float64."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)


def float_activation_exact(name: str) -> np.ndarray:
    """(65536,) float64: the activation of every fp16 number by its bits."""
    function = np.sin if name == "Sine" else _FUNCTIONS[name]
    with np.errstate(all="ignore"):
        return function(_numbers())


@lru_cache(maxsize=16)
def float_activation(name: str) -> np.ndarray:
    """(65536,) float16, read-only: the activation of every fp16 number by its bits, correctly rounded.

    Parameters
    ----------
    name : one of ``FLOAT_TABLE_ACTIVATIONS``, or Sine
    """
    check_one_of("activation of a table", name, (*FLOAT_TABLE_ACTIVATIONS, "Sine"))
    with np.errstate(over="ignore"):
        found = float_activation_exact(name).astype(np.float16)
    found.flags.writeable = False
    return found


@dataclass(frozen=True, kw_only=True)
class FloatActivationTable:
    """Segments of one activation; of all but Sine every one, by the upper ``SEGMENT_BITS`` of a number.

    Parameters
    ----------
    fields : name of ``COEFFICIENTS``: (segments,) int64
    """

    fields: Mapping[str, np.ndarray]

    @property
    def words(self) -> np.ndarray:
        """Load data of each segment, int64."""
        word, low = np.zeros_like(self.fields["c0"]), 0
        for name, (bits, _, _) in COEFFICIENTS.items():
            word |= (self.fields[name] & ((1 << bits) - 1)) << low
            low += bits
        return word

    def values(self) -> np.ndarray:
        """(segments, 16) float16: what they give for each of their inputs."""
        fields = self.fields
        magnitude = _magnitude(*(fields[name] for name in ("c0", "c1", "c2")))
        values = _rounded(magnitude, fields["exponent"])
        values[np.arange(1 << LOW_BITS) >= fields["infinite_from"][:, None]] = np.inf
        return np.where(fields["negative"][:, None] != 0, -values, values)

    def evaluate(self) -> np.ndarray:
        """(65536,) float16: what the segments give for every number, NaN for NaN."""
        return np.where(np.isnan(_numbers()), np.float16(np.nan), self.values().reshape(-1))


def _magnitude(c0: np.ndarray, c1: np.ndarray, c2: np.ndarray) -> np.ndarray:
    """(segments, 16) int64, ``TABLE_FRACTION_BITS`` behind the point."""
    low = np.arange(1 << LOW_BITS) - (1 << (LOW_BITS - 1))
    inner = (c1[:, None] << 4) + c2[:, None] * low
    return (c0[:, None] << 3) + inner * low


def _rounded(magnitude: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.ldexp(magnitude.astype(np.float64), (exponent - 40)[:, None]).astype(np.float16)


@lru_cache(maxsize=16)
def float_activation_table(name: str) -> FloatActivationTable:
    """The segments of an activation; every outcome is :func:`float_activation`'s.

    Parameters
    ----------
    name : one of ``FLOAT_TABLE_ACTIVATIONS``
    """
    check_one_of("activation of a table", name, FLOAT_TABLE_ACTIVATIONS)
    side = 1 << LOW_BITS
    return fit_segments(float_activation_exact(name).reshape(-1, side), float_activation(name).reshape(-1, side))


def fit_segments(exact: np.ndarray, wanted: np.ndarray) -> FloatActivationTable:
    """Segments whose outcomes are ``wanted``.

    Parameters
    ----------
    exact : (segments, 16) float64, of one sign in a segment, infinite only at its end; NaN: any outcome will do
    wanted : the same, correctly rounded
    """
    side = 1 << LOW_BITS
    counts = ~np.isnan(wanted)
    infinite = np.isinf(wanted)
    finite = counts & ~infinite
    infinite_from = np.where(infinite.any(axis=1), infinite.argmax(axis=1), side)
    exact = np.where(finite, np.abs(exact), 0.0)
    top = exact.max(axis=1)
    # the unit in which the largest value of the segment has 18 bits, or the finest with an exponent of fp16
    exponent = np.maximum(np.frexp(np.maximum(top, 2.0**-40))[1] + 15, 1).astype(np.int64)
    scaled = np.ldexp(exact, (15 + _UNIT_BITS - exponent)[:, None])
    steps = np.abs(np.diff(scaled, axis=1)) * (finite[:, 1:] & finite[:, :-1])
    # a coarser one where a segment is too steep, as beside a zero
    coarser = np.ceil(np.log2(np.maximum(steps.max(axis=1) / _STEEPEST, 1.0))).astype(np.int64)
    exponent, scaled = exponent + coarser, np.ldexp(scaled, -coarser[:, None])
    c0, c1, c2 = _fit(scaled, exponent, np.abs(wanted), finite)
    fields = {
        "c0": c0, "c1": c1, "c2": c2, "exponent": exponent, "infinite_from": infinite_from,
        "negative": np.signbit(np.where(counts, wanted, np.float16(0))).any(axis=1).astype(np.int64),
    }  # fmt: skip
    return FloatActivationTable(fields=fields)


def _fit(
    scaled: np.ndarray, exponent: np.ndarray, wanted: np.ndarray, finite: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients whose rounded values are ``wanted`` where ``finite``: least squares, then the nearest that do."""
    low = np.arange(1 << LOW_BITS) - (1 << (LOW_BITS - 1))
    # no more coefficients than points
    degrees = np.arange(3) < np.clip(finite.sum(axis=1), 1, 3)[:, None]
    powers = (low[:, None] ** np.arange(3)) * finite[:, :, None] * degrees[:, None, :]
    start = np.einsum("skp,sp->sk", np.linalg.pinv(powers), scaled)
    found = np.zeros((3, len(scaled)), dtype=np.int64)
    left = np.arange(len(scaled))
    for step2, step1 in product(_SEARCH, _SEARCH):
        c1 = np.rint(start[left, 1] * 8).astype(np.int64) + step1
        c2 = np.rint(start[left, 2] * 128).astype(np.int64) + step2
        rest = scaled[left] * 128 - _magnitude(np.zeros_like(c1), c1, c2)
        # around the middle of what the others leave
        highest = np.where(finite[left], rest, -(2.0**60)).max(axis=1)
        lowest = np.where(finite[left], rest, 2.0**60).min(axis=1)
        middle = (highest + lowest) / 16
        undone = np.ones(len(left), dtype=bool)
        for step0 in range(-8, 9):
            c0 = np.maximum(np.rint(middle).astype(np.int64) + step0, 0)
            magnitude = _magnitude(c0, c1, c2)
            good = (_rounded(magnitude, exponent[left]) == wanted[left]) & (magnitude >= 0) | ~finite[left]
            new = good.all(axis=1) & undone
            found[:, left[new]] = np.stack([c0, c1, c2])[:, new]
            undone &= ~new
        left = left[undone]
        if not len(left):
            return tuple(found)
    raise RuntimeError(f"{len(left)} segments of an activation have no coefficients")
