"""Corner weights and interpolation in floating point, bit for bit, against the reference that equals tiny-cuda-nn."""

from itertools import product

import numpy as np
import pytest
import torch

from arch.encoding_image import INTERPOLATION_CODES
from reference.float_arithmetic import fma_fp16
from reference.grid_lookup import corner_weights, smoothstep
from rtl.encoding.float_corner_weight import NOTHING, FloatCornerWeight
from rtl.encoding.float_interpolate import FloatInterpolate

pytestmark = pytest.mark.cosim

COUNTS = [1 << 15, pytest.param(2_000_000, marks=pytest.mark.long)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    "n_pos_dims", [pytest.param(2, marks=pytest.mark.long), 3, pytest.param(4, marks=pytest.mark.long)]
)
def test_corner_weights(n_pos_dims, count, run_block, rng):
    """Fractions of every size down to 2**-48, 0 and 1 among them; interpolation and dimensions change all the time."""
    fractions = rng.random((count, n_pos_dims)) ** rng.choice([1, 2, 8, 30], (count, n_pos_dims))
    ends = rng.random(fractions.shape) < 0.05
    fractions = np.where(ends, rng.choice([0.0, 1.0, 0.5, 2.0**-24], fractions.shape), fractions).astype(np.float32)
    # a fraction of a position has no bits below these
    fractions = np.where(fractions < 2.0**-48, 0, fractions).astype(np.float32)
    modes = rng.integers(0, 3, count)
    flat = n_pos_dims == 3  # the first half of the points are those of 2-dimensional grids
    deep = np.arange(count) >= count // 2 if flat else np.ones(count, dtype=bool)

    block = FloatCornerWeight(n_pos_dims)
    found = run_block(block, f"float_corner_weight_{n_pos_dims}", packed(deep, modes, fractions))
    # ``three_dims`` is no part of the pipeline: points that were inside when it changed are left out
    clear = np.abs(np.arange(count) - count // 2) > block.LATENCY if flat else deep
    for (name, code), dims in product(INTERPOLATION_CODES.items(), {2, n_pos_dims} if flat else {n_pos_dims}):
        chosen = (modes == code) & clear & (deep == (dims == n_pos_dims))
        values = torch.from_numpy(fractions[chosen][:, :dims])
        expected = np.full((len(values), 1 << n_pos_dims), NOTHING, dtype=np.uint16)
        if name == "Nearest":
            expected[:, 0] = np.float16(1).view(np.uint16)
        else:
            weights = corner_weights(smoothstep(values) if name == "Smoothstep" else values)
            expected[:, : 1 << dims] = weights.to(torch.float16).numpy().view(np.uint16)
        assert len(values) > 1000 and np.array_equal(found[chosen], expected.view(np.uint32)), (name, dims)


def packed(deep: np.ndarray, modes: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """The bit of three dimensions, the two of the interpolation, and right above them the fractions."""
    wide = np.zeros((len(modes), fractions.shape[1] + 1), dtype=np.uint64)
    wide[:, 0] = deep | modes << 1
    for dim, column in enumerate(fractions.view(np.uint32).T):
        shifted = column.astype(np.uint64) << np.uint64(3)
        wide[:, dim] |= shifted & np.uint64(0xFFFFFFFF)
        wide[:, dim + 1] |= shifted >> np.uint64(32)
    return wide.astype(np.uint32)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("shape", [pytest.param((4, 4), marks=pytest.mark.long), (8, 2)])
def test_interpolation(shape, count, run_block, rng, fp16):
    """Weights from 0 to 1, features of any size, infinities and NaN among them; corners that do not count."""
    n_corners, n_features = shape
    weights = (rng.random((count, n_corners)) ** 3).astype(np.float16)
    corners = fp16((count, n_corners, n_features))
    finite = rng.random(count) < 0.9
    corners[finite] &= 0xBFFF
    counts = rng.random((count, n_corners)) > 0.1
    bits = np.where(counts, weights.view(np.uint16), NOTHING).astype(np.uint16)
    inputs = (bits, corners.reshape(count, -1))
    block = FloatInterpolate(n_corners.bit_length() - 1, n_features)
    found = run_block(block, f"float_interpolate_{n_corners}_{n_features}", *inputs)
    total = torch.zeros(count, n_features, dtype=torch.float16)
    values = torch.from_numpy(corners.view(np.float16))
    for corner in range(n_corners):
        added = fma_fp16(torch.from_numpy(weights[:, corner : corner + 1]), values[:, corner], total)
        total = torch.where(torch.from_numpy(counts[:, corner : corner + 1]), added, total)
    bits = total.numpy().view(np.uint16).copy()
    bits[np.isnan(total.numpy())] = 0x7FFF
    assert np.array_equal(found.reshape(count, -1), bits.view(np.uint32))
