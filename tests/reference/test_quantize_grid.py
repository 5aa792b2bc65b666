"""A quantised grid stays within its stated bound of tiny-cuda-nn's fp16 features."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.errors import InputError
from arch.grid import GridConfig
from arch.number_format import integer_profile
from reference.grid_encoding import encode_fp16, encode_integer, quantize_coordinates
from reference.quantize_grid import QuantizedGrid, quantize_grid
from reference.vector_file import read_vector_file

VECTORS = Path(__file__).with_name("vectors")
GRID = GridConfig(n_pos_dims=3, n_levels=4, log2_hashmap_size=9, base_resolution=5, per_level_scale=1.9)


def distance(quantized: QuantizedGrid, positions: np.ndarray, library: np.ndarray, arithmetic: str) -> np.ndarray:
    """(points, levels) real distance from the library, 0 where the bound says nothing."""
    config, tables = quantized.config, torch.from_numpy(quantized.tables)
    points = quantize_coordinates(torch.from_numpy(positions))
    profile = integer_profile(arithmetic)
    raw = encode_integer(config, tables, quantized.level_shifts, points, profile).numpy()
    shape = (len(positions), config.n_levels, config.n_features_per_level)
    apart = np.abs(raw * quantized.step - library.astype(np.float64)).reshape(shape).max(axis=2)
    inside = ((positions >= 0) & (positions <= 1)).all(axis=1)
    return np.where(inside[:, None] & ~quantized.doubtful(positions), apart, 0.0)


@pytest.mark.golden
@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
@pytest.mark.parametrize("name", ["hash3d_F2_L4_T12_smooth", "tiled3d_F2_L4_wrap"])
def test_real_library(name, arithmetic):
    case = read_vector_file(VECTORS / f"{name}.npz")
    quantized = quantize_grid(case.grid(), case.array("params"), integer_profile(arithmetic))
    apart = distance(quantized, case.array("positions"), case.array("out_fp16"), arithmetic)
    assert (apart <= quantized.bounds()).all()
    if arithmetic == "int8":
        assert apart.max() <= 1.5 * quantized.step


@pytest.mark.parametrize("interpolation", ["Nearest", "Linear", "Smoothstep"])
@pytest.mark.parametrize("dims", [2, 3])
def test_levels_of_different_size(dims, interpolation, seed):
    """Levels down to a thousandth of the largest take shifts; cell borders are among the points."""
    rng = np.random.default_rng(seed)
    config = replace(GRID, n_pos_dims=dims, interpolation=interpolation)
    params = rng.uniform(-1, 1, (config.n_entries, config.n_features_per_level))
    for level, size in zip(config.levels, (1.0, 0.3, 0.02, 0.001), strict=True):
        params[level.offset : level.offset + level.entries] *= size
    params = params.astype(np.float16)
    positions = rng.random((3000, dims)).astype(np.float32)
    positions[:600] = rng.integers(0, 33, (600, dims)) / 32
    positions[600:700] = (rng.integers(0, 5, (100, dims)) + 0.5) / float(config.levels[0].scale)
    library = encode_fp16(config, torch.from_numpy(params), torch.from_numpy(positions)).numpy()
    quantized = quantize_grid(config, params, integer_profile("int8"))
    assert quantized.level_shifts == (0, 1, 5, 7)
    doubtful = quantized.doubtful(positions)
    assert doubtful.any() == (interpolation == "Nearest") and doubtful.mean() < 0.2
    assert (distance(quantized, positions, library, "int8") <= quantized.bounds()).all()


def test_a_grid_of_zeros():
    quantized = quantize_grid(GRID, np.zeros((GRID.n_entries, 2)), integer_profile("int8"))
    assert not quantized.tables.any() and quantized.step == 1.0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (np.zeros((3, 2)), f"shape of the grid's parameters must be ({GRID.n_entries}, 2), not (3, 2)"),
        (
            np.full((GRID.n_entries, 2), np.nan),
            "the grid's parameters must be finite numbers, not NaN or infinity",
        ),
    ],
)
def test_refusals(params, message):
    with pytest.raises(InputError) as refused:
        quantize_grid(GRID, params, integer_profile("int8"))
    assert str(refused.value) == message
