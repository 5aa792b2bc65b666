"""Interpolation weights of every fraction, in exact rational arithmetic."""

from fractions import Fraction

import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import INTERPOLATION_CODES
from rtl.encoding.fraction_weight import FractionWeight

WEIGHTS = {
    "Linear": lambda t: t,
    "Nearest": lambda t: 0,
    # Python rounds fractions half to even.
    "Smoothstep": lambda t: min(255, round(Fraction(t * t * (768 - 2 * t), 1 << 16))),
}


@pytest.mark.parametrize("interpolation", WEIGHTS)
@pytest.mark.parametrize("stalls", [False, True])
def test_golden(interpolation, stalls, run_pipeline):
    config = EncodingEngineConfig()
    code = INTERPOLATION_CODES[interpolation]
    inputs = [{"fraction": [t, 255 - t, t ^ 85], "interpolation": code} for t in range(256)]
    results = run_pipeline(FractionWeight(config), inputs, ["weight"], config.fraction_weight_latency, stalls=stalls)
    expected = [[WEIGHTS[interpolation](t) for t in given["fraction"]] for given in inputs]
    assert [list(found["weight"]) for found in results] == expected


def test_the_interpolation_travels_with_its_fraction(run_pipeline):
    config = EncodingEngineConfig(n_pos_dims=2)
    names = ["Linear", "Smoothstep", "Nearest", "Smoothstep", "Linear"] * 4
    inputs = [{"fraction": [37, 200], "interpolation": INTERPOLATION_CODES[name]} for name in names]
    results = run_pipeline(FractionWeight(config), inputs, ["weight"], config.fraction_weight_latency, stalls=True)
    assert [list(found["weight"]) for found in results] == [[WEIGHTS[name](t) for t in (37, 200)] for name in names]
