"""The grid encoding: integer profiles against Python integers, distances between the arithmetics, properties."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.errors import InputError
from arch.grid import GridConfig
from arch.number_format import integer_profile
from reference.grid_encoding import encode_float, encode_fp16, encode_fp32, encode_integer, quantize_coordinates

SMALL = GridConfig(n_pos_dims=3, n_levels=3, log2_hashmap_size=9, base_resolution=4, per_level_scale=2.3)
GRIDS = [
    SMALL,
    replace(SMALL, interpolation="Smoothstep", n_features_per_level=4),
    replace(SMALL, interpolation="Nearest", n_features_per_level=8),
    replace(SMALL, n_pos_dims=2, n_features_per_level=1, grid_type="Dense"),
    replace(SMALL, n_pos_dims=4, grid_type="Tiled"),
    replace(SMALL, n_pos_dims=4, interpolation="Smoothstep"),
    replace(SMALL, grid_type="Tiled", per_level_scale=20.0),
    replace(SMALL, base_resolution=1500),
]


def name_of(config):
    """Identifier of a grid in test names."""
    return f"{config.grid_type}-D{config.n_pos_dims}-F{config.n_features_per_level}-{config.interpolation}"


def points_of(rng, count, dims):
    """Points inside and on the surface of the unit cube, cell boundaries among them."""
    points = rng.random((count, dims))
    points[: count // 2] = rng.integers(0, 33, (count // 2, dims)) / 32
    return points


def raw_tables(rng, config, bits):
    """Raw features over the whole range."""
    high = 1 << (bits - 1)
    return rng.integers(-high, high, (config.n_entries, config.n_features_per_level))


@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
@pytest.mark.parametrize("config", GRIDS, ids=name_of)
def test_integer_profiles_equal_python_integers(slow, seed, config, arithmetic):
    """Bit for bit, every level shift, saturation included."""
    rng = np.random.default_rng(seed)
    profile = integer_profile(arithmetic)
    tables, shifts = raw_tables(rng, config, profile.value_bits), (0, 1, 7)
    points = quantize_coordinates(points_of(rng, 16, config.n_pos_dims))
    found = encode_integer(config, tables, shifts, points, profile)
    expected = [slow.encode_integer(config, tables, shifts, p, profile.value_bits) for p in points.tolist()]
    assert found.dtype == {"int8": torch.int8, "int16": torch.int16}[arithmetic]
    assert found.tolist() == expected


@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
@pytest.mark.parametrize("config", GRIDS[:2] + GRIDS[3:6], ids=name_of)
def test_integer_profiles_are_close_to_float64(seed, config, arithmetic):
    """In LSB of the output: half for the rounding, and per dimension what moving a fraction costs.

    A fraction moves by less than 2**-8 cells (truncation), 2**-11 (scale register) and scale * 2**-24 (coordinate);
    a cell's features differ by at most one full range, and smoothstep is at most 1.5 times as steep, its weight
    rounded once more to 2**-8.
    """
    rng = np.random.default_rng(seed)
    profile = integer_profile(arithmetic)
    tables = raw_tables(rng, config, profile.value_bits)
    points = points_of(rng, 512, config.n_pos_dims)
    raw = encode_integer(config, tables, (0, 0, 0), quantize_coordinates(points), profile)
    exact = encode_float(config, torch.from_numpy(tables).double(), torch.from_numpy(points))
    distance = (raw.double() - exact).abs()
    full_range = 2.0**profile.value_bits
    smooth = config.interpolation == "Smoothstep"
    moved = 2.0**-8 + 2.0**-11 + float(config.levels[-1].scale) * 2.0**-24
    bound = 0.5 + config.n_pos_dims * (moved * (1.5 if smooth else 1.0) + (2.0**-8 if smooth else 0.0)) * full_range
    assert float(distance.max()) <= bound
    if arithmetic == "int8":
        assert float(distance.mean()) < 0.6


@pytest.mark.parametrize("config", GRIDS, ids=name_of)
def test_fp16_and_fp32_are_close_to_float64(seed, config):
    """fp16 within 2**D + 1 roundings of half a step and one of each weight; fp32 within a position's fp32 rounding."""
    rng = np.random.default_rng(seed)
    tables = torch.from_numpy(rng.uniform(-1, 1, (config.n_entries, config.n_features_per_level))).half()
    points = torch.from_numpy(rng.random((512, config.n_pos_dims)).astype(np.float32))
    exact = encode_float(config, tables.double(), points.double())
    if config.interpolation == "Nearest":
        assert torch.equal(encode_fp16(config, tables, points).double(), exact)
        return
    moved = 2 * config.n_pos_dims * 1.5 * float(config.levels[-1].scale) * 2.0**-23
    corners = 2**config.n_pos_dims
    distance = (encode_fp16(config, tables, points).double() - exact).abs().max()
    assert float(distance) <= moved + (corners * 0.5 + 1) * 2.0**-11
    distance = (encode_fp32(config, tables.float(), points).double() - exact).abs().max()
    assert float(distance) <= moved + (2 * corners) * 2.0**-23


def test_clamping_and_wrapping_outside_the_unit_cube(seed):
    """Integer profiles move a point to the surface; the library's arithmetic wraps it, as float64 does."""
    rng = np.random.default_rng(seed)
    outside = torch.tensor([[-0.3, 0.5, 1.2], [1.7, -5.0, 0.1]])
    assert quantize_coordinates(outside).tolist() == [[0, 2**22, 2**23], [2**23, 0, 838861]]
    tables = torch.from_numpy(rng.uniform(-1, 1, (SMALL.n_entries, 2))).half()
    exact = encode_float(SMALL, tables.double(), outside.double())
    assert float((encode_fp16(SMALL, tables, outside).double() - exact).abs().max()) < 0.005


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    config=st.sampled_from(GRIDS[:6]),
    value=st.integers(-128, 127),
    shift=st.integers(0, 7),
    position=st.lists(st.floats(-1.5, 2.5, width=32), min_size=4, max_size=4),
)
def test_weights_sum_to_one(config, value, shift, position):
    """A constant table gives that constant, in every arithmetic and wherever the point lies."""
    point = torch.tensor([position[: config.n_pos_dims]])
    tables = torch.full((config.n_entries, config.n_features_per_level), value)
    raw = encode_integer(config, tables, [shift] * 3, quantize_coordinates(point), integer_profile("int8"))
    assert set(raw[0].tolist()) == {round(value / 2**shift)}
    exact = encode_float(config, tables.double(), point.double())
    assert float((exact - value).abs().max()) < 1e-12 * 128
    half = encode_fp16(config, tables.half(), point).double()
    assert float((half - value).abs().max()) <= 2**config.n_pos_dims * 2.0**-11 * abs(value)


def test_gradient_of_the_tables_is_the_weights(seed):
    """Summed over the rows of a level and one feature, the gradient counts the points."""
    points = torch.from_numpy(np.random.default_rng(seed).random((64, 3)))
    tables = torch.zeros(SMALL.n_entries, 2, dtype=torch.float64, requires_grad=True)
    encode_float(SMALL, tables, points).sum().backward()
    for level in SMALL.levels:
        sums = tables.grad[level.offset : level.offset + level.entries].sum(dim=0)
        assert torch.allclose(sums, torch.full((2,), 64.0, dtype=torch.float64))


def test_no_points_give_no_features():
    """An empty batch."""
    tables = torch.zeros(SMALL.n_entries, 2)
    none = torch.zeros(0, 3)
    assert encode_float(SMALL, tables, none).shape == (0, 6)
    assert encode_fp16(SMALL, tables, none).shape == (0, 6)
    assert encode_integer(SMALL, tables, (0, 0, 0), none, integer_profile("int8")).shape == (0, 6)


def test_refusals():
    """Every refused argument, with its sentence."""
    tables, points = torch.zeros(SMALL.n_entries, 2), torch.zeros(4, 3)
    int8 = integer_profile("int8")
    n = SMALL.n_entries
    fine = replace(SMALL, per_level_scale=100.0)
    fine_tables = torch.zeros(fine.n_entries, 2)
    for call, sentence in (
        (lambda: encode_float(SMALL, tables, points[:, :2]), "shape of positions must be (points, 3), not (4, 2)"),
        (lambda: encode_fp16(SMALL, tables[1:], points), f"shape of tables must be ({n}, 2), not ({n - 1}, 2)"),
        (lambda: encode_fp16(SMALL, tables, points, scales=[1.0]), "number of scales must be 3, not 1"),
        (
            lambda: encode_integer(SMALL, tables, (0,), points, int8),
            "number of level_shifts must be 3, not 1",
        ),
        (
            lambda: encode_integer(SMALL, tables, (0, 0, 0), points - 1, int8),
            "raw coordinates must be integers from 0 to 2^23, not -1",
        ),
        (
            lambda: encode_integer(fine, fine_tables, (0, 0, 0), points, int8),
            "scale of level 2 must be below 2^14, not 39998.9921875",
        ),
        (lambda: quantize_coordinates(torch.tensor([float("nan")])), "positions must be numbers, not NaN"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
            call()
