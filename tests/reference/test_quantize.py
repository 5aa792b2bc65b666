"""The quantiser: scales, saturation, distances to the float field, and the committed integer fields."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from arch.activation_table import INTEGER_ACTIVATIONS, TABLE_ACTIVATIONS
from arch.checkpoint import FloatField, QuantizedField
from arch.errors import InputError
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.presets import FIELDS
from arch.trained import load_trained
from reference.field import field_float, field_integer
from reference.grid_encoding import integer_terms, quantize_coordinates
from reference.grid_terms import GridTerms
from reference.quality import gia_quality, nsdf_quality
from reference.quantize import draft, draft_outputs, finish, requantization
from reference.reconstruction import ReconstructionConfig, quantize, reconstruct
from reference.threads import torch_threads

SEED = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: more threads would only wait for one another."""
    with torch_threads(1):
        yield


def small_field(
    *, app: str = "gia", n_outputs: int = 3, activation: str = "ReLU", output_activation: str = "None"
) -> FloatField:
    dims = 2 if app == "gia" else 3
    grid = GridConfig(n_pos_dims=dims, n_levels=4, log2_hashmap_size=8, base_resolution=4, per_level_scale=1.7)
    network = MlpConfig(
        n_input_dims=grid.n_output_dims,
        n_neurons=16,
        n_output_dims=n_outputs,
        activation=activation,
        output_activation=output_activation,
    )
    rng = np.random.default_rng(SEED)
    tables = rng.uniform(-0.3, 0.3, (grid.n_entries, grid.n_features_per_level))
    # Levels of very different size, as training leaves them.
    for level in grid.levels:
        tables[level.offset : level.offset + level.entries] *= 4.0**-level.index
    weights = [rng.uniform(-0.5, 0.5, (layer.n_out, layer.n_in)) for layer in network.layers]
    return FloatField(
        config=FieldConfig(app=app, grid=grid, network=network),
        tables=tables.astype(np.float16),
        weights=(tuple(matrix.astype(np.float16) for matrix in weights),),
        source="random",
    )


def points(count: int = 2048, dims: int = 2) -> np.ndarray:
    return np.random.default_rng(SEED + 1).random((count, dims))


def distances_lsb(field: FloatField, quantized: QuantizedField, positions: np.ndarray) -> np.ndarray:
    step = quantized.networks[0].output_scale
    info = np.iinfo(quantized.arithmetic)
    expected = np.clip(field_float(field, torch.from_numpy(positions)).numpy() / step, info.min, info.max)
    return np.abs(field_integer(quantized, torch.from_numpy(positions)).numpy() - expected)


def output_peak(field: FloatField) -> float:
    return field_float(field, torch.from_numpy(points())).abs().max().item()


@pytest.mark.parametrize("ratio", [2.0**-31, 1e-5, 0.0123, 0.5, 0.99999999, 1.0, 3.7, 16383.9])
def test_requantization_keeps_sixteen_bits(ratio):
    multiplier, shift = requantization(ratio)
    assert 1 << 15 <= multiplier < 1 << 16
    assert 1 <= shift <= 47
    assert abs(multiplier / 2.0**shift / ratio - 1) <= 2.0**-16


@pytest.mark.parametrize("ratio", [2.0**-40, 2.0**15])
def test_requantization_refuses_what_the_registers_cannot_hold(ratio):
    with pytest.raises(InputError) as refused:
        requantization(ratio)
    assert str(refused.value) == f"requantisation ratio must be within 2^-32 and 2^15, not {ratio!r}"


@pytest.mark.parametrize(("arithmetic", "mean_lsb", "most_lsb"), [("int8", 1.0, 5.0), ("int16", 150.0, 1000.0)])
@pytest.mark.parametrize(("app", "n_outputs"), [("gia", 3), ("nsdf", 1)])
def test_nearest_rounding_stays_close_to_the_float_field(app, n_outputs, arithmetic, mean_lsb, most_lsb):
    field = small_field(app=app, n_outputs=n_outputs)
    positions = points(dims=field.config.grid.n_pos_dims)
    limit = field_float(field, torch.from_numpy(positions)).abs().max().item()
    distances = distances_lsb(field, quantize(field, positions, arithmetic=arithmetic, output_limit=limit), positions)
    print(f"{arithmetic} {app}: mean {distances.mean():.3f} LSB, most {distances.max():.2f} LSB")
    assert distances.mean() < mean_lsb
    assert distances.max() < most_lsb


@pytest.mark.parametrize("output_activation", ["None", "ReLU"])
@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_draft_is_the_integer_arithmetic_before_its_last_rounding(arithmetic, output_activation):
    field = small_field(output_activation=output_activation)
    positions = points()
    rough = draft(field, positions, arithmetic=arithmetic, output_limit=output_peak(field))
    terms = GridTerms(
        *integer_terms(field.config.grid, quantize_coordinates(torch.from_numpy(positions))),
        field.config.grid.n_entries,
    )
    raw = field_integer(finish(rough, field), torch.from_numpy(positions)).to(torch.float64)
    before = draft_outputs(rough, terms).to(torch.float64) / rough.output_scale
    # int16 sums pass 2**24, where the draft's float32 rounds them, and a hidden value may tip over to its neighbour.
    assert (raw - before).abs().max().item() <= {"int8": 0.501, "int16": 8.0}[arithmetic]


def test_finish_rounds_to_the_nearest_integer_in_range():
    field = small_field()
    rough = draft(field, points(), arithmetic="int8", output_limit=1.0)
    done = finish(rough, field, command="none")
    pairs = [(rough.tables, done.tables), *zip(rough.weights, done.networks[0].weights, strict=True)]
    for exact, raw in pairs:
        expected = np.clip(np.rint(exact.numpy()), -128, 127)
        assert raw.dtype == np.int8
        np.testing.assert_array_equal(raw, expected)
    assert (done.source, done.command) == ("random", "none")


def test_tables_of_every_level_fill_the_range():
    field = small_field()
    done = quantize(field, points(), arithmetic="int8", output_limit=1.0)
    for level in field.config.grid.levels:
        peaks = np.abs(done.tables[level.offset : level.offset + level.entries].astype(int)).max(axis=0)
        assert (peaks >= 120).all(), level.index


def test_outputs_beyond_the_limit_saturate():
    field = small_field()
    positions = points()
    limit = output_peak(field) / 4
    done = quantize(field, positions, arithmetic="int8", output_limit=limit)
    exact = field_float(field, torch.from_numpy(positions)).numpy()
    raw = field_integer(done, torch.from_numpy(positions)).numpy()
    assert done.networks[0].output_scale == limit / 127
    assert (raw[exact > 1.5 * limit] == 127).all()
    assert (raw[exact < -1.5 * limit] == -128).all()
    assert (np.abs(exact) > 1.5 * limit).sum() > 100


@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_reconstruction_brings_the_field_closer(arithmetic):
    field = small_field()
    calibration, fresh = points(), np.random.default_rng(SEED + 2).random((4096, 2))
    rough = draft(field, calibration, arithmetic=arithmetic, output_limit=output_peak(field))
    config = ReconstructionConfig(rounds=60, batch=1024)
    adjusted = reconstruct(rough, field, calibration, config)
    before = distances_lsb(field, finish(rough, field), fresh)
    after = distances_lsb(field, finish(adjusted, field), fresh)
    print(f"{arithmetic}: mean {before.mean():.3f} LSB before, {after.mean():.3f} LSB after")
    # The last rounding alone costs a quarter of a step on average; reconstruction works on the rest.
    assert after.mean() - 0.25 < 0.9 * (before.mean() - 0.25)


def test_quantising_twice_gives_the_same_field():
    field = small_field()
    config = ReconstructionConfig(rounds=3, batch=1024)
    one, two = (quantize(field, points(), arithmetic="int8", output_limit=1.0, reconstruction=config) for _ in range(2))
    np.testing.assert_array_equal(one.tables, two.tables)
    for left, right in zip(one.networks[0].weights, two.networks[0].weights, strict=True):
        np.testing.assert_array_equal(left, right)
    assert one.level_shifts == two.level_shifts
    assert one.networks[0].multipliers == two.networks[0].multipliers


@pytest.mark.parametrize("output_activation", ["None", "Sigmoid"])
@pytest.mark.parametrize("activation", INTEGER_ACTIVATIONS)
def test_fields_of_every_activation(activation, output_activation):
    """Nearest rounding, int8: the mean error is within 2 % of the outputs' spread or 1 step."""
    field = small_field(activation=activation, output_activation=output_activation)
    positions = points()
    quantized = quantize(field, positions, arithmetic="int8", output_limit=output_peak(field))
    network = quantized.networks[0]
    assert [curve is not None for curve in network.layer_curves] == [
        layer.activation in TABLE_ACTIVATIONS for layer in network.config.layers
    ]
    assert len({curve for curve in network.layer_curves[:-1]}) == 1
    exact = field_float(field, torch.from_numpy(positions)).numpy() / network.output_scale
    distances = distances_lsb(field, quantized, positions)
    print(f"{activation}, {output_activation}: mean {distances.mean():.3f} LSB of a spread of {np.ptp(exact):.0f}")
    assert distances.mean() <= max(0.02 * np.ptp(exact), 1.0)


def test_activations_without_integer_arithmetic_are_refused():
    some = "None, ReLU, LeakyReLU, Sigmoid, Exponential, Softplus, Squareplus, Tanh"
    outputs = rf"^output activation of a field to quantise must be one of {some}, not 'Sine'$"
    with pytest.raises(InputError, match=outputs):
        quantize(small_field(output_activation="Sine"), points(), arithmetic="int8", output_limit=1.0)
    hidden = rf"^hidden activation of a field to quantise must be one of {some}, not 'SiLU'$"
    with pytest.raises(InputError, match=hidden):
        quantize(small_field(activation="SiLU"), points(), arithmetic="int8", output_limit=1.0)


def test_nerf_is_refused():
    config = FIELDS["nerf_lowres"]
    config = replace(config, grid=replace(config.grid, base_resolution=4))
    field = FloatField(
        config=config,
        tables=np.zeros((config.grid.n_entries, config.grid.n_features_per_level), dtype=np.float16),
        weights=tuple(
            tuple(np.zeros((layer.n_out, layer.n_in), dtype=np.float16) for layer in network.layers)
            for network in config.networks
        ),
    )
    with pytest.raises(InputError, match=r"^app of a field to quantise must be one of nsdf, gia, nvr, not 'nerf'$"):
        quantize(field, points(dims=3), arithmetic="int8", output_limit=1.0)


def test_committed_photograph_reaches_its_stated_quality():
    quality = gia_quality(load_trained("gia", "fp16"), load_trained("gia", "int8"), stride=15)
    print(quality)
    assert quality["float_photograph"] >= 41.0
    assert quality["integer_photograph"] >= 39.5
    assert quality["integer_float"] >= 44.0


def test_committed_solid_reaches_its_stated_quality():
    quality = nsdf_quality(load_trained("nsdf", "fp16"), load_trained("nsdf", "int8"), count=1 << 14)
    print(quality)
    assert quality["float_truth"] < 0.0003
    assert quality["integer_truth"] < 0.0009
    assert quality["integer_float_lsb"] < 0.9
    assert quality["integer_float_lsb_max"] < 10.0
