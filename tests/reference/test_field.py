"""Whole fields of the four applications, and the direction code of nerf."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.checkpoint import FloatField, QuantizedField, QuantizedMlp
from arch.errors import InputError
from arch.field import APPS, FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.number_format import integer_profile
from reference.field import field_float, field_fp16, field_integer, output_scales
from reference.spherical_harmonics import harmonics_float, harmonics_fp32, harmonics_integer

FEATURE_SCALE = 1 / 64
WEIGHT_SCALE = 1 / 1024
OUTPUT_SCALE = 1 / 256
DENSITY_SCALE = DIRECTION_SCALE = 1 / 64  # the weights behind both share one scale


def config_of(app):
    """A small field of an application: 24 features, so that fp16 pads them."""
    grid = GridConfig(
        n_pos_dims=2 if app == "gia" else 3, n_levels=6, n_features_per_level=4, log2_hashmap_size=10,
        base_resolution=4, per_level_scale=1.5,
    )  # fmt: skip
    outputs = {"nerf": 16, "nsdf": 1, "gia": 3, "nvr": 4}[app]
    network = MlpConfig(n_input_dims=24, n_neurons=32, n_hidden_layers=1, n_output_dims=outputs)
    rgb = MlpConfig(n_input_dims=32, n_neurons=32, n_hidden_layers=2, n_output_dims=3) if app == "nerf" else None
    return FieldConfig(app=app, grid=grid, network=network, rgb_network=rgb)


def fields_of(app, seed):
    """The same field twice: raw int8 with one scale a tensor, and the fp16 numbers these stand for (exactly)."""
    rng = np.random.default_rng(seed)
    config = config_of(app)
    tables = rng.integers(-128, 128, (config.grid.n_entries, 4)).astype(np.int8)
    # Every hidden activation has the features' scale, so that one requantisation serves all layers but the last.
    networks, floats = [], []
    for network in config.networks:
        raw = [rng.integers(-128, 128, (layer.n_out, layer.n_in)).astype(np.int8) for layer in network.layers]
        scale_in = [DENSITY_SCALE if network is config.rgb_network else FEATURE_SCALE]
        scale_in += [FEATURE_SCALE] * network.n_hidden_layers
        last = OUTPUT_SCALE if network is config.networks[-1] else DENSITY_SCALE
        scale_out = [*scale_in[1:], last]
        ratios = [a * WEIGHT_SCALE / b for a, b in zip(scale_in, scale_out, strict=True)]
        networks.append(
            QuantizedMlp(
                config=network,
                weights=tuple(raw),
                multipliers=tuple(int(r * 2**20) for r in ratios),
                shifts=(20,) * len(raw),
                output_scale=last,
            )
        )
        floats.append(tuple((matrix * WEIGHT_SCALE).astype(np.float16) for matrix in raw))
    integer = QuantizedField(
        config=config, arithmetic="int8", tables=tables, level_shifts=(0,) * 6, networks=tuple(networks),
        direction_scale=DIRECTION_SCALE if app == "nerf" else None,
    )  # fmt: skip
    real = FloatField(config=config, tables=(tables * FEATURE_SCALE).astype(np.float16), weights=tuple(floats))
    points = torch.from_numpy(rng.random((256, config.grid.n_pos_dims)).astype(np.float32))
    directions = rng.standard_normal((256, 3))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True) + 1) / 2
    return real, integer, points, torch.from_numpy(directions.astype(np.float32)) if app == "nerf" else None


@pytest.mark.parametrize("app", APPS)
def test_arithmetics_agree(seed, app):
    """int8 and fp16 against float64, in steps of the int8 output (LSB).

    Measured over twelve seeds, at outputs of up to 87 LSB: int8 at most 1.75 (mean 0.43), fp16 at most 0.062.
    """
    real, integer, points, directions = fields_of(app, seed)
    exact = field_float(real, points, directions)
    scales = output_scales(integer)
    density = [DENSITY_SCALE] if app == "nerf" else []
    assert scales.tolist() == [OUTPUT_SCALE] * {"nerf": 3, "nsdf": 1, "gia": 3, "nvr": 4}[app] + density
    assert exact.shape == (256, len(scales))
    raw = field_integer(integer, points, directions)
    assert raw.dtype == torch.int8
    distance = (raw.double() - (exact / scales).clamp(-128, 127)).abs()
    assert float(distance.max()) <= 3.0
    assert float(distance.mean()) <= 0.6
    half = (field_fp16(real, points, directions).double() - exact).abs() / scales
    assert float(half.max()) <= 0.15


def test_nerf_ends_with_its_density(seed):
    """The last column is the density network's first output, whatever the direction."""
    real, integer, points, directions = fields_of("nerf", seed)
    turned = 1 - directions
    for function, field in ((field_float, real), (field_fp16, real), (field_integer, integer)):
        one, other = function(field, points, directions), function(field, points, turned)
        assert torch.equal(one[:, 3], other[:, 3])
        assert not torch.equal(one[:, :3], other[:, :3])


def test_directions_belong_to_nerf(seed):
    """Given where they must not be, missing where they must, or too few."""
    real, integer, points, directions = fields_of("nerf", seed)
    image = fields_of("gia", seed)
    for call, sentence in (
        (
            lambda: field_integer(integer, points),
            "directions must be given for nerf and for no other app, not none for nerf",
        ),
        (
            lambda: field_fp16(image[0], image[2], directions),
            "directions must be given for nerf and for no other app, not some for gia",
        ),
        (
            lambda: field_float(real, points, directions[:9]),
            "number of directions must be that of positions, 256, not 9",
        ),
        (
            lambda: field_float(real, points, directions[:, :2]),
            "shape of directions must be (points, 3), not (256, 2)",
        ),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
            call()


def test_harmonics_are_orthonormal():
    """Integrated over the sphere (Gauss-Legendre in z, equal angles): the identity, to 1e-12."""
    z, weights = np.polynomial.legendre.leggauss(8)
    angle = np.arange(16) * (2 * np.pi / 16)
    radius = np.sqrt(1 - z * z)[:, None]
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    points = np.stack([x, y, np.broadcast_to(z[:, None], x.shape)], axis=-1).reshape(-1, 3)
    area = np.repeat(weights * (2 * np.pi / 16), 16)
    values = harmonics_float(torch.from_numpy((points + 1) / 2)).numpy()
    assert np.abs(values.T @ (values * area[:, None]) - np.eye(16)).max() < 1e-12


def test_harmonics_of_integers_and_fp32():
    """fp32 within four steps of float64; integers are its nearest steps, saturated."""
    with np.load(Path(__file__).parent / "vectors" / "sh4.npz") as archive:
        directions = torch.from_numpy(archive["directions01"])
    exact = harmonics_float(directions)
    assert float((harmonics_fp32(directions).double() - exact).abs().max()) <= 2.0**-21
    raw = harmonics_integer(directions, 1 / 200, integer_profile("int8"))
    assert raw.tolist() == np.clip(np.rint(exact.numpy() * 200), -128, 127).astype(int).tolist()
    assert raw.min() == -128
    assert raw.max() == 127


def test_a_level_shift_undoes_finer_features(seed):
    """Features twice as fine, shifted by one, are the same field."""
    _, integer, points, _ = fields_of("nsdf", seed)
    coarse = (integer.tables // 2).astype(np.int8)
    finer = replace(integer, tables=(coarse * 2).astype(np.int8), level_shifts=(1,) * 6)
    assert torch.equal(field_integer(finer, points), field_integer(replace(integer, tables=coarse), points))
