"""Fields with random parameters, for runs whose subject is the hardware: bits and clocks, not pictures."""

import numpy as np

from arch.activation_table import PRE_ACTIVATION_BITS, TABLE_ACTIVATIONS, activation_curve
from arch.checkpoint import FloatField, FloatMlp, QuantizedField, QuantizedMlp
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.number_format import IntegerProfile, integer_profile

__all__ = ["random_field", "random_float_field", "random_mlp", "random_mlp_fp16", "random_table_fp16"]

_TARGET_SHARE = 0.4
"""Standard deviation of a layer's outputs over their largest value: most are in range, some saturate."""
_FEATURE_SHARE, _HIDDEN_SHARE = 0.12, 0.28
"""Root mean square of a layer's inputs over their largest value: interpolated features; outputs behind a ReLU."""
_MAX_SHIFT = 2
"""Level shifts stay small, or interpolated features would be all zeros."""


def random_field(config: FieldConfig, *, arithmetic: str = "int8", seed: int = 0) -> QuantizedField:
    """A field whose tables and weights are uniform over their formats and whose layers use their outputs' range."""
    profile = integer_profile(arithmetic)
    rng = np.random.default_rng(seed)
    shape = (config.grid.n_entries, config.grid.n_features_per_level)
    return QuantizedField(
        config=config,
        arithmetic=arithmetic,
        tables=_uniform(rng, shape, profile.value_bits),
        level_shifts=tuple(int(shift) for shift in rng.integers(0, _MAX_SHIFT + 1, config.grid.n_levels)),
        networks=tuple(random_mlp(network, profile, rng) for network in config.networks),
        direction_scale=1.0 / profile.value.maximum if config.app == "nerf" else None,
        source="random",
    )


def random_mlp(config: MlpConfig, profile: IntegerProfile, rng: np.random.Generator) -> QuantizedMlp:
    """A network of uniform weights; each layer's requantisation brings its sums to 0.4 of the range behind it."""
    weights = tuple(_uniform(rng, (layer.n_out, layer.n_in), profile.weight_bits) for layer in config.layers)
    multipliers, shifts, curves = [], [], []
    for number, layer in enumerate(config.layers):
        table = layer.activation in TABLE_ACTIVATIONS
        curves.append(activation_curve(layer.activation, profile) if table else None)
        highest = (1 << (PRE_ACTIVATION_BITS - 1)) - 1 if table else profile.value.maximum
        input_rms = (_HIDDEN_SHARE if number else _FEATURE_SHARE) * profile.value.maximum
        weight_rms = 2**profile.weight_bits / np.sqrt(12)
        sum_deviation = input_rms * weight_rms * np.sqrt(layer.n_in)
        ratio = _TARGET_SHARE * highest / sum_deviation
        shift = int(profile.multiplier_bits - 1 - np.floor(np.log2(ratio)))
        multipliers.append(min(int(ratio * 2.0**shift), (1 << profile.multiplier_bits) - 1))
        shifts.append(shift)
    return QuantizedMlp(
        config=config,
        weights=weights,
        multipliers=tuple(multipliers),
        shifts=tuple(shifts),
        output_scale=1.0 / profile.value.maximum,
        curves=tuple(curves),
    )


def random_mlp_fp16(config: MlpConfig, rng: np.random.Generator) -> FloatMlp:
    """A network with the library's initial weights: uniform, +-sqrt(6 / (n_in + n_out))."""
    shapes = [(layer.n_out, layer.n_in) for layer in config.layers]
    weights = tuple((rng.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape))).astype(np.float16) for shape in shapes)
    return FloatMlp(config=config, weights=weights)


def random_float_field(config: FieldConfig, *, seed: int = 0) -> FloatField:
    """A field of random fp16 parameters, of the size of trained ones."""
    rng = np.random.default_rng(seed)
    return FloatField(
        config=config,
        tables=random_table_fp16(config.grid, rng),
        weights=tuple(random_mlp_fp16(network, rng).weights for network in config.networks),
        source="random",
    )


def random_table_fp16(grid: GridConfig, rng: np.random.Generator) -> np.ndarray:
    """(n_entries, n_features_per_level) float16 of standard deviation 0.35, that of trained fields' features."""
    return (0.35 * rng.standard_normal((grid.n_entries, grid.n_features_per_level), dtype=np.float32)).astype(
        np.float16
    )


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    half = 1 << (bits - 1)
    return rng.integers(-half, half, shape).astype(f"int{bits}")
