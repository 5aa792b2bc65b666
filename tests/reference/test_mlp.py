"""Networks: integer profiles against Python integers, distances between the arithmetics."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from arch.activation_table import INTEGER_ACTIVATIONS, TABLE_ACTIVATIONS
from arch.checkpoint import QuantizedMlp
from arch.errors import InputError
from arch.mlp import MlpConfig
from arch.number_format import integer_profile
from arch.random_field import random_mlp
from reference.activation import activate
from reference.mlp import mlp_float, mlp_fp16, mlp_integer

CONFIG = MlpConfig(n_input_dims=32, n_neurons=64, n_hidden_layers=2, n_output_dims=3)


def quantized(rng, config, *, shifts):
    """A network of random raw weights over the whole range."""
    return QuantizedMlp(
        config=config,
        weights=tuple(rng.integers(-128, 128, (layer.n_out, layer.n_in)).astype(np.int8) for layer in config.layers),
        multipliers=tuple(int(m) for m in rng.integers(1, 1 << 16, len(config.layers))),
        shifts=shifts,
        output_scale=0.01,
    )


@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
@pytest.mark.parametrize("width", [16, 128])
def test_integer_profiles_equal_python_integers(seed, arithmetic, width):
    """Bit for bit; shifts chosen so that some values saturate, some round at ties, some vanish."""
    rng = np.random.default_rng(seed)
    profile = integer_profile(arithmetic)
    config = replace(CONFIG, n_neurons=width)
    network = quantized(rng, config, shifts=(23, 24, 1))
    high = 1 << (profile.value_bits - 1)
    inputs = rng.integers(-high, high, (8, 32))
    found = mlp_integer(network, torch.from_numpy(inputs), profile)
    for point, outputs in zip(inputs.tolist(), found.tolist(), strict=True):
        x = point
        for number, layer in enumerate(config.layers):
            sums = [sum(int(w) * v for w, v in zip(row, x, strict=True)) for row in network.weights[number]]
            sums = [max(total, 0) if layer.activation == "ReLU" else total for total in sums]
            scaled = [round(Fraction(t * network.multipliers[number], 2 ** network.shifts[number])) for t in sums]
            x = [max(-high, min(high - 1, value)) for value in scaled]
        assert outputs == x


@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_integer_layers_are_half_a_step_from_float64(seed, arithmetic):
    """One layer is exact but for its one rounding: 0.5 LSB; three layers within what that grows to."""
    rng = np.random.default_rng(seed)
    profile = integer_profile(arithmetic)
    high = 1 << (profile.value_bits - 1)
    inputs = torch.from_numpy(rng.integers(-high // 2, high // 2, (256, 32)))
    network = quantized(rng, CONFIG, shifts=(26, 26, 26))
    scales = [m * 2.0**-s for m, s in zip(network.multipliers, network.shifts, strict=True)]
    weights = [torch.from_numpy(w).double() * s for w, s in zip(network.weights, scales, strict=True)]
    exact = mlp_float(CONFIG, weights, inputs.double())
    bound = 0.5
    for matrix in weights[1:]:
        bound = 0.5 + bound * float(matrix.abs().sum(dim=1).max())
    assert float((mlp_integer(network, inputs, profile).double() - exact).abs().max()) <= bound
    single = replace(CONFIG, n_hidden_layers=0)
    one = replace(network, config=single, weights=(network.weights[2][:, :32],), multipliers=(1,), shifts=(14,))
    exact = inputs.double() @ torch.from_numpy(one.weights[0]).double().T * 2.0**-14
    saturated = exact.clamp(-high, high - 1)
    assert float((mlp_integer(one, inputs, profile).double() - saturated).abs().max()) <= 0.5


@pytest.mark.parametrize("activation", INTEGER_ACTIVATIONS)
@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_one_layer_of_every_activation_is_near_float64(seed, arithmetic, activation):
    """Accumulator to output: the table's error, and half a step of the pre-activation times the slope, in LSB."""
    rng = np.random.default_rng(seed)
    profile = integer_profile(arithmetic)
    config = MlpConfig(n_input_dims=16, n_hidden_layers=0, n_output_dims=64, output_activation=activation)
    network = random_mlp(config, profile, rng)
    high = 1 << (profile.value_bits - 1)
    inputs = torch.from_numpy(rng.integers(-high, high, (256, 16)))
    curve = network.layer_curves[0]
    # raw inputs and weights on scale 1: the pre-activation's scale, or that of the outputs, is the requantisation's
    input_scale, output_scale = (curve.input_scale, curve.output_scale) if curve else (1.0, 1.0)
    scale = network.multipliers[0] * 2.0 ** -network.shifts[0] * input_scale
    sums = inputs.double() @ torch.from_numpy(network.weights[0]).double().T * scale
    exact = (activate(activation, sums) / output_scale).clamp(-high, high - 1)
    slope = 0.0
    if curve:
        slope = np.abs(np.diff(np.clip(curve.steps(np.arange(-(1 << 15), 1 << 15)), -high, high - 1))).max()
    fit = {"Exponential": 4.6, "Squareplus": 1.8, "Tanh": 1.5}.get(activation, 1.0) if arithmetic == "int16" else 0.6
    bound = (
        fit + slope / 2
        if activation in TABLE_ACTIVATIONS
        else {"LeakyReLU": 0.51 + 2.0**-16 * 4 * high}.get(activation, 0.5)
    )
    # LeakyReLU of the library has fp16's slope of 0.01, this one and float64's differ by 2.1e-6 of the sum
    if activation == "LeakyReLU":
        exact = torch.where(sums > 0, sums, sums * (1311 / 2**17)).clamp(-high, high - 1)
    distance = (mlp_integer(network, inputs, profile).double() - exact).abs()
    # in the pre-activation's saturation the function is a quarter of a step, or Squareplus' stated tail, from its end
    inside = sums.abs() < 32767 * scale / (network.multipliers[0] * 2.0 ** -network.shifts[0])
    assert float(distance[inside].max() if curve else distance.max()) <= bound
    assert float(distance.max()) <= bound + (82 if activation == "Squareplus" and arithmetic == "int16" else 0.5)


def test_leaky_relu_takes_its_own_multiplier(seed):
    """Both sides of zero in Python integers."""
    rng = np.random.default_rng(seed)
    profile = integer_profile("int16")
    config = MlpConfig(n_input_dims=16, n_hidden_layers=0, n_output_dims=64, output_activation="LeakyReLU")
    network = random_mlp(config, profile, rng)
    inputs = rng.integers(-(1 << 15), 1 << 15, (64, 16))
    found = mlp_integer(network, torch.from_numpy(inputs), profile)
    sums = inputs @ network.weights[0].T.astype(np.int64)
    leaky = round(Fraction(network.multipliers[0] * 1311, 1 << 17))
    for total, value in zip(sums.ravel().tolist(), found.ravel().tolist(), strict=True):
        scaled = round(Fraction(total * (leaky if total < 0 else network.multipliers[0]), 1 << network.shifts[0]))
        assert value == max(-(1 << 15), min((1 << 15) - 1, scaled))


def test_fp16_is_close_to_float64(seed):
    """fp16 accumulators are a few steps (2**-11 at output magnitude 1) off: at most 8, on average below 1."""
    rng = np.random.default_rng(seed)
    weights = [
        torch.from_numpy(rng.uniform(-1, 1, (layer.n_out, layer.n_in)) * np.sqrt(6 / (layer.n_in + layer.n_out))).half()
        for layer in CONFIG.layers
    ]
    inputs = torch.from_numpy(rng.uniform(-1, 1, (512, 32))).half()
    exact = mlp_float(CONFIG, weights, inputs.double())
    distance = (mlp_fp16(CONFIG, weights, inputs).double() - exact).abs() * 2.0**11
    assert float(distance.max()) <= 8
    assert float(distance.mean()) < 1


def test_gradients_reach_every_weight(seed):
    """mlp_float is what fields are trained on."""
    rng = np.random.default_rng(seed)
    weights = [
        torch.from_numpy(rng.standard_normal((layer.n_out, layer.n_in))).requires_grad_() for layer in CONFIG.layers
    ]
    mlp_float(CONFIG, weights, torch.from_numpy(rng.standard_normal((64, 32)))).square().sum().backward()
    assert all(float(matrix.grad.abs().sum()) > 0 for matrix in weights)


def test_refusals(seed):
    """Every refused argument, with its sentence."""
    rng = np.random.default_rng(seed)
    network = quantized(rng, CONFIG, shifts=(20, 20, 20))
    int8 = integer_profile("int8")
    inputs = torch.zeros(4, 32)
    halves = [torch.from_numpy(w).half() for w in network.weights]
    silu = replace(network, config=replace(CONFIG, activation="SiLU"))
    huge = MlpConfig(n_input_dims=512, n_hidden_layers=0, n_output_dims=1)
    wide = QuantizedMlp(
        config=huge, weights=(np.zeros((1, 512), np.int8),), multipliers=(1,), shifts=(1,), output_scale=1.0
    )
    for call, sentence in (
        (lambda: mlp_fp16(CONFIG, halves, inputs, chunk=4), "chunk must be one of 8, 16, not 4"),
        (lambda: mlp_fp16(CONFIG, halves[:2], inputs), "number of weight matrices must be 3, not 2"),
        (lambda: mlp_fp16(CONFIG, halves, inputs[:, :9]), "shape of inputs must be (points, 32), not (4, 9)"),
        (
            lambda: mlp_fp16(CONFIG, [halves[0], halves[0], halves[2]], inputs),
            "shape of weight matrix 1 must be (64, 64), not (64, 32)",
        ),
        (
            lambda: mlp_integer(silu, inputs.int(), int8),
            f"activation in an integer profile must be one of {', '.join(INTEGER_ACTIVATIONS)}, not 'SiLU'",
        ),
        (
            lambda: replace(network, config=replace(CONFIG, output_activation="Tanh")),
            "curve of layer 2 must be that of Tanh, not None",
        ),
        (
            lambda: replace(network, curves=(None, None)),
            "number of curves must be 3, not 2",
        ),
        (
            lambda: mlp_integer(wide, torch.zeros(1, 512), integer_profile("int16")),
            "inputs of a layer must be few enough for a 32-bit accumulator, not 512",
        ),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
            call()
