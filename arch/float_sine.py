"""Sine of the ``fp16`` profile: correctly rounded for all 65,536 numbers, in a table of the size of all others.

Sine is odd, so a table holds positive inputs only and half of its words are free. Neighbouring inputs from 4 on are too
far apart for a parabola; each has its outcome itself, four to a word. By the magnitude of an input:

==========================  =====================================================================================
magnitude                   outcome
==========================  =====================================================================================
below ``ITSELF_BELOW``      the input itself
below ``APART_FROM``        a segment of 16 inputs (``arch.float_activation``), but for the one that pi lies in
in that one, and further    a number of its own: ``NUMBER_BITS`` bits, those of fp16 without the upper exponent bit
infinite                    NaN
==========================  =====================================================================================

Numbers of inputs that lie apart are at word ``(magnitude >> 2) mod 2**12``, input ``magnitude mod 4`` of the word; the
segments take exactly what is left (:func:`sine_address`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from arch.float_activation import (
    LOW_BITS,
    SEGMENT_BITS,
    FloatActivationTable,
    fit_segments,
    float_activation,
    float_activation_exact,
)
from arch.number_format import FP16

__all__ = [
    "APART_FROM",
    "BLOCK_FLIP",
    "INFINITE",
    "ITSELF_BELOW",
    "NUMBERS_BITS",
    "NUMBER_BITS",
    "PI_SEGMENT",
    "FloatSineTable",
    "float_sine_table",
    "sine_address",
]

ITSELF_BELOW = 10 << FP16.mantissa_bits
"""Bits of 2**-5: inputs of a smaller magnitude are their own sine, rounded."""
APART_FROM = 17 << FP16.mantissa_bits
"""Bits of 4: inputs of at least this magnitude have numbers."""
PI_SEGMENT = 0x4248 >> LOW_BITS
"""The segment in which the outcomes change their sign; its inputs have numbers."""
INFINITE = FP16.special << FP16.mantissa_bits
"""Bits of infinity."""
NUMBERS_BITS = 2
"""Bits of an input that choose one of the numbers of a word."""
NUMBER_BITS = FP16.width - 1
"""Bits of a number: sign, the lower four bits of the exponent, mantissa. No outcome is above 1, whose fifth is 0."""
BLOCK_FLIP = 3
"""Segments of exponent e are in block ``(e ^ BLOCK_FLIP) mod 8`` of 64, counted as signed: 1, 0, -1 .. -4, 3."""


def sine_address(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the outcomes of magnitudes are: the word, and whether they have numbers there.

    Parameters
    ----------
    magnitude : bits of inputs, ``ITSELF_BELOW`` to ``INFINITE`` - 1
    """
    magnitude = np.asarray(magnitude, dtype=np.int64)
    apart = (magnitude >= APART_FROM) | (magnitude >> LOW_BITS == PI_SEGMENT)
    exponent, upper = magnitude >> FP16.mantissa_bits, FP16.mantissa_bits - LOW_BITS
    block = (exponent ^ BLOCK_FLIP) & 7
    block = np.where(block >= 4, block - 8, block)
    segment = block << upper | (magnitude >> LOW_BITS) & ((1 << upper) - 1)
    return np.where(apart, magnitude >> NUMBERS_BITS, segment) & ((1 << SEGMENT_BITS) - 1), apart


@dataclass(frozen=True, kw_only=True)
class FloatSineTable:
    """The table of Sine.

    Parameters
    ----------
    segments : the segments of positive inputs
    at : (segments,) int64, where they are
    numbers : where the others are, to the words there: four numbers each, the first one lowest
    """

    segments: FloatActivationTable
    at: np.ndarray
    numbers: Mapping[int, int]

    @property
    def words(self) -> np.ndarray:
        """Load data of each address, int64."""
        words = np.zeros(1 << SEGMENT_BITS, dtype=np.int64)
        words[self.at] = self.segments.words
        words[list(self.numbers)] = list(self.numbers.values())
        return words

    def evaluate(self) -> np.ndarray:
        """(65536,) float16: what the table gives for every number, NaN for NaN."""
        bits = np.arange(1 << 16, dtype=np.int64)
        magnitude, sign = bits & 0x7FFF, bits >> 15
        found = np.where(magnitude >= INFINITE, FP16.nan, magnitude)
        read = (magnitude >= ITSELF_BELOW) & (magnitude < INFINITE)
        address, apart = sine_address(magnitude)
        place = np.zeros(1 << SEGMENT_BITS, dtype=np.int64)
        place[self.at] = np.arange(len(self.at))
        values = self.segments.values().view(np.uint16).astype(np.int64)
        of_segment = values[place[address], magnitude & ((1 << LOW_BITS) - 1)]
        number = self.words[address] >> (magnitude & 3) * NUMBER_BITS & ((1 << NUMBER_BITS) - 1)
        of_number = (number & 0x4000) << 1 | number & 0x3FFF
        found = np.where(read, np.where(apart, of_number, of_segment), found)
        return (found ^ np.where(magnitude < INFINITE, sign << 15, 0)).astype(np.uint16).view(np.float16)


@lru_cache(maxsize=1)
def float_sine_table() -> FloatSineTable:
    """The table of Sine; every outcome is ``float_activation("Sine")``'s."""
    wanted, exact = float_activation("Sine"), float_activation_exact("Sine")
    magnitude = np.arange(ITSELF_BELOW, INFINITE)
    address, apart = sine_address(magnitude)
    segments, side = magnitude[~apart].reshape(-1, 1 << LOW_BITS), 1 << NUMBERS_BITS
    outcomes = wanted[magnitude[apart]].view(np.uint16).astype(np.int64)
    numbers = (outcomes >> 1 & 0x4000 | outcomes & 0x3FFF).reshape(-1, side)
    words = (numbers << NUMBER_BITS * np.arange(side)).sum(axis=1)
    return FloatSineTable(
        segments=fit_segments(exact[segments], wanted[segments]),
        at=address[~apart].reshape(-1, 1 << LOW_BITS)[:, 0],
        numbers=dict(zip(address[apart][::side].tolist(), words.tolist(), strict=True)),
    )
