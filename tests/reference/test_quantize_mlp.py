"""Networks of every activation, quantised: distance from float64, and the tables they need."""

import numpy as np
import pytest
import torch

from arch.activation_table import INTEGER_ACTIVATIONS
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.number_format import integer_profile
from reference.mlp import mlp_float, mlp_integer
from reference.quantize_mlp import quantize_mlp


@pytest.mark.parametrize("output_activation", ["None", "Sigmoid", "Exponential"])
@pytest.mark.parametrize("activation", INTEGER_ACTIVATIONS)
def test_quantised_networks_are_near_float64(seed: int, activation: str, output_activation: str) -> None:
    """Inputs on int8's steps, weights of 8 bits: the mean error is within 3 % of the outputs' spread or 2 steps.

    Two layers of Exponential multiply what is wrong with their sums by what they put out, so 6 % there.

    With int16 values only the weights' rounding remains, which int8 has too. Two tables serve both kinds of layers.
    """
    rng = np.random.default_rng(seed)
    config = MlpConfig(
        n_input_dims=16, n_neurons=32, n_output_dims=4, activation=activation, output_activation=output_activation
    )
    weights = [
        torch.from_numpy(rng.uniform(-1, 1, (layer.n_out, layer.n_in)) * np.sqrt(6 / (layer.n_in + layer.n_out)))
        for layer in config.layers
    ]
    raw = torch.from_numpy(rng.integers(-127, 128, (1024, 16)))
    exact = mlp_float(config, weights, raw.double() / 127)
    spread = float(exact.max() - exact.min())
    errors = {}
    for arithmetic, high in (("int8", 127), ("int16", 127 * 257)):
        profile = integer_profile(arithmetic)
        network = quantize_mlp(config, weights, raw.double() / 127, input_scale=1 / high, arithmetic=arithmetic)
        found = mlp_integer(network, raw * (high // 127), profile).double() * network.output_scale
        errors[arithmetic] = float((found - exact).abs().mean())
        share = 0.06 if activation == "Exponential" else 0.03
        assert errors[arithmetic] <= max(share * spread, 2 * network.output_scale)
        engine = MlpEngineConfig(rows=16, cols=16, max_width=32, arithmetic=arithmetic, activation_tables=2)
        assert len(mlp_image(network, engine))
    assert errors["int16"] <= 1.2 * errors["int8"]
