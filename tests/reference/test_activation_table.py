"""Activation tables over every pre-activation: against float64 functions of torch, and against Python integers."""

import numpy as np
import pytest
import torch

from arch.activation_table import (
    OFFSET_BITS,
    SLOPE_BITS,
    TABLE_ACTIVATIONS,
    ActivationCurve,
    activation_curve,
    activation_table,
    leaky_multiplier,
)
from arch.errors import InputError
from arch.number_format import integer_profile
from reference.activation import activate
from reference.activation_table import activate_integer

PRE = torch.arange(-(1 << 15), 1 << 15)
BOUNDED = ("Sigmoid", "Tanh")
LIMITS = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0, 64.0, 1000.0)
# docs/numerics.md, "Activations": output steps
BOUNDS = {
    "int8": {"Sigmoid": 0.51, "Tanh": 0.52, "Exponential": 0.605, "Softplus": 0.56, "Squareplus": 0.57},
    "int16": {"Sigmoid": 0.93, "Tanh": 1.46, "Exponential": 5.7, "Softplus": 3.8, "Squareplus": 12.9},
}


@pytest.mark.parametrize("activation", TABLE_ACTIVATIONS)
@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_distance_from_float64(arithmetic: str, activation: str) -> None:
    """The bound of docs/numerics.md holds for every input, and is not much too wide."""
    profile = integer_profile(arithmetic)
    worst = 0.0
    for limit in (1.0,) if activation in BOUNDED else LIMITS:
        curve = activation_curve(activation, profile, output_limit=limit)
        x = PRE.double() * curve.input_scale
        # softplus as the library writes it overflows; this form does not
        exact = (
            torch.nn.functional.softplus(x, beta=10, threshold=100)
            if activation == "Softplus"
            else activate(activation, x)
        )
        steps = (exact / curve.output_scale).clamp(profile.value.minimum, profile.value.maximum)
        found = activate_integer(curve, PRE, profile)
        worst = max(worst, float((found.double() - steps).abs().max()))
        if activation not in BOUNDED:
            assert profile.value.maximum - int(found.max()) <= 2 * BOUNDS[arithmetic][activation]
    assert 0.8 * BOUNDS[arithmetic][activation] < worst <= BOUNDS[arithmetic][activation]


@pytest.mark.parametrize("activation", TABLE_ACTIVATIONS)
@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_curves_end_where_outputs_stop_changing(arithmetic: str, activation: str) -> None:
    """Past both ends the function is saturated or a quarter of a step off; Squareplus' lower tail is stated."""
    profile = integer_profile(arithmetic)
    limits = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
    for limit in (1.0,) if activation in BOUNDED else LIMITS:
        curve = activation_curve(activation, profile, output_limit=limit)
        low, high = limits.get(activation, (0.0, limit))
        lowest, highest = curve.steps(np.array([-(1 << 15), 1 << 15])) * curve.output_scale
        allowed = 0.2501 * curve.output_scale
        assert highest >= high - allowed
        if activation == "Squareplus":
            allowed = max(allowed, 1 / (100 * 4 * limit))
        assert lowest <= low + allowed


@pytest.mark.parametrize("activation", TABLE_ACTIVATIONS)
@pytest.mark.parametrize(("arithmetic", "bits", "fraction"), [("int8", 7, 19), ("int16", 9, 11)])
def test_arithmetic_is_that_of_the_page(arithmetic: str, bits: int, fraction: int, activation: str) -> None:
    """Every input in Python integers, as docs/numerics.md writes it."""
    profile = integer_profile(arithmetic)
    curve = activation_curve(activation, profile)
    table = activation_table(curve, profile)
    assert len(table.offsets) == len(table.slopes) == 1 << bits
    assert np.abs(table.slopes).max() < 1 << (SLOPE_BITS - 1)
    assert np.abs(table.offsets).max() < 1 << (OFFSET_BITS - 1)
    offsets, slopes = table.offsets.tolist(), table.slopes.tolist()
    width = 1 << (16 - bits)
    expected = []
    for pre in PRE.tolist():
        segment, low = divmod(pre % (1 << 16), width)
        total = offsets[segment] * 256 + slopes[segment] * (low - width // 2)
        whole, rest = divmod(total, 1 << fraction)
        half = 1 << (fraction - 1)
        whole += rest > half or (rest == half and whole % 2 == 1)
        expected.append(max(profile.value.minimum, min(profile.value.maximum, whole)))
    assert activate_integer(curve, PRE, profile).tolist() == expected


def test_the_slope_of_leaky_relu() -> None:
    """1311 / 2**17 is fp16's 0.01; a multiplier of 16 significant bits keeps it to half a unit in 2**16."""
    slope = float(torch.tensor(0.01, dtype=torch.float16))
    assert slope == 1311 / 2**17
    multipliers = np.arange(1, 1 << 16)
    rounded = np.array([leaky_multiplier(int(multiplier)) for multiplier in multipliers])
    assert np.abs(rounded - multipliers * slope).max() < 0.5
    normal = multipliers >= 1 << 15
    assert np.abs(rounded / multipliers - slope)[normal].max() <= 2.0**-16


def test_refusals() -> None:
    profile = integer_profile("int8")
    with pytest.raises(InputError, match=r"^activation of a curve must be one of .*, not 'ReLU'$"):
        activation_curve("ReLU", profile)
    with pytest.raises(InputError, match=r"^output_limit must be a number above 0, not -1\.0$"):
        activation_curve("Tanh", profile, output_limit=-1.0)
    with pytest.raises(InputError, match=r"^input_scale of a curve must be a number above 0, not 0$"):
        ActivationCurve(activation="Tanh", input_scale=0, output_scale=1.0)
    steep = ActivationCurve(activation="Exponential", input_scale=2.0**-10, output_scale=1 / 127)
    with pytest.raises(InputError, match=r"^output steps a pre-activation step of an activation curve must be below 0"):
        activation_table(steep, profile)
