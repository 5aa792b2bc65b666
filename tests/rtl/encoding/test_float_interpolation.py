"""Corner weights and interpolation in floating point, bit for bit, against the reference that equals tiny-cuda-nn."""

import numpy as np
import pytest
import torch

from arch.encoding_image import INTERPOLATION_CODES
from reference.float_arithmetic import fma_fp16
from reference.grid_lookup import corner_weights, smoothstep
from rtl.encoding.float_corner_weight import FloatCornerWeight
from rtl.encoding.float_interpolate import FloatInterpolate

pytestmark = pytest.mark.cosim

COUNTS = [1 << 15, pytest.param(2_000_000, marks=pytest.mark.long)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("n_pos_dims", [pytest.param(2, marks=pytest.mark.long), 3])
def test_corner_weights(n_pos_dims, count, run_block, rng):
    """Fractions of every size down to 2**-48, 0 and 1 among them; the interpolation changes from point to point."""
    fractions = rng.random((count, n_pos_dims)) ** rng.choice([1, 2, 8, 30], (count, n_pos_dims))
    ends = rng.random(fractions.shape) < 0.05
    fractions = np.where(ends, rng.choice([0.0, 1.0, 0.5, 2.0**-24], fractions.shape), fractions).astype(np.float32)
    # a fraction of a position has no bits below these
    fractions = np.where(fractions < 2.0**-48, 0, fractions).astype(np.float32)
    modes = rng.integers(0, 3, count)

    words = np.concatenate([modes[:, None].astype(np.uint32), fractions.view(np.uint32)], axis=1)
    found = run_block(FloatCornerWeight(n_pos_dims), f"float_corner_weight_{n_pos_dims}", packed(words, n_pos_dims))
    for name, code in INTERPOLATION_CODES.items():
        chosen = torch.from_numpy(fractions[modes == code])
        if name == "Nearest":
            expected = torch.zeros(len(chosen), 1 << n_pos_dims)
            expected[:, 0] = 1
        else:
            expected = corner_weights(smoothstep(chosen) if name == "Smoothstep" else chosen)
        bits = expected.to(torch.float16).numpy().view(np.uint32)
        assert np.array_equal(found[modes == code], bits), name


def packed(words: np.ndarray, n_pos_dims: int) -> np.ndarray:
    """The two bits of the interpolation, and right above them the fractions."""
    wide = np.zeros((len(words), n_pos_dims + 1), dtype=np.uint64)
    wide[:, 0] = words[:, 0]
    for dim in range(n_pos_dims):
        shifted = words[:, 1 + dim].astype(np.uint64) << np.uint64(2)
        wide[:, dim] |= shifted & np.uint64(0xFFFFFFFF)
        wide[:, dim + 1] |= shifted >> np.uint64(32)
    return wide.astype(np.uint32)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("shape", [pytest.param((4, 4), marks=pytest.mark.long), (8, 2)])
def test_interpolation(shape, count, run_block, rng, fp16):
    """Weights from 0 to 1, features of any size, subnormals, infinities and NaN among them."""
    n_corners, n_features = shape
    weights = (rng.random((count, n_corners)) ** 3).astype(np.float16)
    corners = fp16((count, n_corners, n_features))
    finite = rng.random(count) < 0.9
    corners[finite] &= 0xBFFF
    inputs = (weights.view(np.uint16), corners.reshape(count, -1))
    block = FloatInterpolate(n_corners.bit_length() - 1, n_features)
    found = run_block(block, f"float_interpolate_{n_corners}_{n_features}", *inputs)
    total = torch.zeros(count, n_features, dtype=torch.float16)
    values = torch.from_numpy(corners.view(np.float16))
    for corner in range(n_corners):
        total = fma_fp16(torch.from_numpy(weights[:, corner : corner + 1]), values[:, corner], total)
    bits = total.numpy().view(np.uint16).copy()
    bits[np.isnan(total.numpy())] = 0x7FFF
    assert np.array_equal(found.reshape(count, -1), bits.view(np.uint32))
