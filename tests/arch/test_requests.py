"""Lengths of published traces: presets and refusals."""

import pytest

from arch.errors import InputError
from arch.requests import RequestLengths
from arch.workload import MARKS, figures, load_requests, preset_names

GOOD = {"name": "x", "prompt_mean": 100.0, "prompt_std": 10.0, "decode_mean": 20.0, "decode_std": 0}


@pytest.mark.parametrize("name", preset_names("requests"))
def test_presets_load_and_name_their_source(name):
    lengths = load_requests(name)
    assert lengths.prompt > 0 and lengths.decode > 0
    assert all(figure.mark in MARKS and figure.source for figure in figures("requests", name).values())


def test_published_means():
    splitwise = load_requests("splitwise")
    assert (splitwise.prompt, splitwise.prompt_std, splitwise.decode, splitwise.decode_std) == (1155, 1109, 211, 163)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_mean": 0.5}, "prompt_mean of x must be at least 1, not 0.5"),
        ({"prompt_std": -1}, "prompt_std of x must be a number above 0, not -1"),
        ({"decode_mean": "9"}, "decode_mean of x must be a number above 0, not '9'"),
        ({"decode_mean": float("nan")}, "decode_mean of x must be a number above 0, not nan"),
    ],
)
def test_bad_lengths_are_refused(change, message):
    with pytest.raises(InputError) as error:
        RequestLengths(**{**GOOD, **change})
    assert str(error.value) == message
