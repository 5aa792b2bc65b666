"""Activations of fp16 as segments of parabolas: every number, and what a table's word can hold."""

import math

import numpy as np
import pytest

from arch.float_activation import (
    COEFFICIENTS,
    FLOAT_TABLE_ACTIVATIONS,
    SEGMENT_BITS,
    float_activation,
    float_activation_table,
)
from arch.load import DATA_BITS

NUMBERS = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("name", FLOAT_TABLE_ACTIVATIONS)
def test_a_table_gives_every_number_correctly_rounded(name: str) -> None:
    table = float_activation_table(name)
    found, wanted = table.evaluate(), float_activation(name)
    nan = np.isnan(NUMBERS)
    assert np.isnan(found[nan]).all()
    assert np.array_equal(found[~nan].view(np.uint16), wanted[~nan].view(np.uint16))


@pytest.mark.parametrize("name", FLOAT_TABLE_ACTIVATIONS)
def test_words_hold_their_fields(name: str) -> None:
    table, low = float_activation_table(name), 0
    words = table.words.view(np.uint64)
    assert words.shape == (1 << SEGMENT_BITS,)
    for field, (bits, _, signed) in COEFFICIENTS.items():
        raw = (words >> np.uint64(low)).astype(np.int64) & ((1 << bits) - 1)
        value = raw - ((raw >> (bits - 1) & int(signed)) << bits)
        assert np.array_equal(value, table.fields[field]), field
        low += bits
    assert low <= DATA_BITS


def test_functions_are_the_librarys() -> None:
    """By the definitions, with a few digits more than fp16 has."""
    definitions = {
        "SiLU": lambda x: x / (1 + math.exp(-x)),
        "Exponential": math.exp,
        "Sine": math.sin,
        "Sigmoid": lambda x: 1 / (1 + math.exp(-x)),
        "Squareplus": lambda x: (10 * x + math.sqrt(100 * x * x + 4)) / 20,
        "Softplus": lambda x: math.log(math.exp(10 * x) + 1) / 10,
        "Tanh": math.tanh,
    }
    for name, function in definitions.items():
        for x in (-3.0, -0.25, 0.0, 0.125, 1.5, 7.0):
            found = float_activation(name)[np.float16(x).view(np.uint16)]
            assert abs(found - function(x)) <= abs(function(x)) * 2**-11 + 2**-25, (name, x)
    ends = {
        "SiLU": (-0.0, math.inf), "Exponential": (0.0, math.inf), "Sigmoid": (0.0, 1.0), "Squareplus": (0.0, math.inf),
        "Softplus": (0.0, math.inf), "Tanh": (-1.0, 1.0),
    }  # fmt: skip
    for name, (lowest, highest) in ends.items():
        values = float_activation(name)
        assert (values[0xFC00], values[0x7C00]) == (lowest, highest), name
    # e^10x has no fp32 number from here on, and the library computes it
    softplus, edge = float_activation("Softplus"), int(np.float16(8.875).view(np.uint16))
    assert np.isfinite(softplus[edge - 1]) and np.isinf(softplus[edge])
