"""The lerp tree against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.interpolate import Interpolate


def mean(corners: list[int], fraction: list[int]) -> Fraction:
    total = Fraction(0)
    for corner, value in enumerate(corners):
        weight = Fraction(value)
        for dim, t in enumerate(fraction):
            weight *= Fraction(t, 256) if corner >> dim & 1 else Fraction(256 - t, 256)
        total += weight
    return total


def golden(value: Fraction, bits: int) -> int:
    # Python rounds fractions half to even.
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, round(value)))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("arithmetic", "n_features"), [("int8", 2), ("int16", 1)])
def test_golden(dims, arithmetic, n_features, run_pipeline, seed):
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig(n_pos_dims=dims, arithmetic=arithmetic, n_features_per_level=n_features)
    bits = config.profile.value_bits
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    cases = []
    for number in range(250):
        values = rng.integers(low, high, (1 << dims, n_features), endpoint=True)
        fraction = rng.integers(0, 256, dims)
        if number % 5 == 0:
            values = rng.choice([low, high], values.shape)
        if number % 3 == 0:
            # Ties: coarse fractions and small values.
            values, fraction = rng.integers(-4, 5, values.shape), rng.choice([0, 64, 128, 192], dims)
        cases.append((values, fraction.tolist(), int(rng.integers(0, 8))))
    inputs = [
        {
            "corner": [
                sum((int(value) & (1 << bits) - 1) << f * bits for f, value in enumerate(row)) for row in values
            ],
            "weight": fraction,
            "shift": shift,
        }
        for values, fraction, shift in cases
    ]
    results = run_pipeline(Interpolate(config), inputs, ["features"], config.interpolate_latency)
    ties = 0
    for (values, fraction, shift), found in zip(cases, results, strict=True):
        for feature in range(n_features):
            value = mean(values[:, feature].tolist(), fraction) / 2**shift
            assert found["features"][feature] == golden(value, bits)
            ties += value.denominator == 2
    assert ties > 0, "the stimulus must hold exact ties"
