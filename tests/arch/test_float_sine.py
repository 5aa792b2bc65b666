"""Sine of fp16: every number against integers of 200 bits, and what a table's words can hold."""

import numpy as np
import pytest

from arch.errors import InputError
from arch.float_activation import (
    COEFFICIENTS,
    FLOAT_TABLE_ACTIVATIONS,
    SEGMENT_BITS,
    float_activation,
    float_activation_table,
)
from arch.float_sine import APART_FROM, INFINITE, ITSELF_BELOW, PI_SEGMENT, float_sine_table, sine_address
from arch.load import DATA_BITS

FRACTION = 200
NUMBERS = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def _arctangent_of_inverse(n: int) -> int:
    term, found, k = (1 << FRACTION) // n, 0, 1
    while term:
        found += term // k if k % 4 == 1 else -(term // k)
        term, k = term // (n * n), k + 2
    return found


PI = 4 * (4 * _arctangent_of_inverse(5) - _arctangent_of_inverse(239))


def _sine(x: float) -> int:
    """Sine by its series around the nearest multiple of pi, ``FRACTION`` bits behind the point."""
    scaled = int(x * 2**24) << (FRACTION - 24)
    turns = (scaled + PI // 2) // PI
    rest = scaled - turns * PI
    term = found = rest
    k = 1
    while abs(term) > 1:
        term = -((term * rest >> FRACTION) * rest >> FRACTION) // ((k + 1) * (k + 2))
        found, k = found + term, k + 2
    return -found if turns % 2 else found


def test_every_number_is_correctly_rounded() -> None:
    """Between the ties on both sides; the nearest tie is 2**-16 of a step away, so 200 bits decide."""
    found = float_activation("Sine")
    assert np.isnan(found[INFINITE:0x8000]).all()
    assert np.array_equal(found[0x8000 : INFINITE + 0x8000], -found[:INFINITE])
    assert found[:1].view(np.uint16) == 0
    for bits in range(1, INFINITE):
        value = found[bits]
        ties = [
            int((float(value) + float(np.nextafter(value, np.float16(to)))) * 2**25) << (FRACTION - 26)
            for to in (-2, 2)
        ]
        assert ties[0] < _sine(float(NUMBERS[bits])) < ties[1], hex(bits)


def test_the_table_gives_every_number() -> None:
    found, wanted = float_sine_table().evaluate(), float_activation("Sine")
    nan = np.isnan(wanted)
    assert np.isnan(found[nan]).all()
    assert np.array_equal(found[~nan].view(np.uint16), wanted[~nan].view(np.uint16))


def test_words_have_places_of_their_own_and_hold_their_fields() -> None:
    table = float_sine_table()
    places = [*table.at.tolist(), *table.numbers]
    assert len(set(places)) == len(places) == 447 + 3588
    assert max(places) < 1 << SEGMENT_BITS
    assert max(table.numbers.values()) < 1 << DATA_BITS
    for field, (bits, _, signed) in COEFFICIENTS.items():
        values, top = table.segments.fields[field], 1 << (bits - signed)
        assert -top * signed <= values.min() and values.max() < top, field


def test_segments_and_numbers_meet_at_four_and_around_pi() -> None:
    edges = [ITSELF_BELOW, APART_FROM - 1, APART_FROM, PI_SEGMENT << 4, (PI_SEGMENT << 4) - 1, (PI_SEGMENT << 4) + 16]
    address, apart = sine_address(np.array(edges))
    assert apart.tolist() == [False, False, True, True, False, False]
    assert address.tolist() == [64, 255, 256, 144, 0xE3 & 0x3F | 3 << 6, 0xE5 & 0x3F | 3 << 6]


def test_sine_has_no_table_of_segments_alone() -> None:
    with pytest.raises(InputError) as error:
        float_activation_table("Sine")
    names = ", ".join(FLOAT_TABLE_ACTIVATIONS)
    assert str(error.value) == f"activation of a table must be one of {names}, not 'Sine'"
