"""Cells and fractions in fp32, bit for bit, against the reference that equals tiny-cuda-nn."""

import numpy as np
import pytest
import torch

from arch.number_format import FP32
from reference.grid_encoding import level_cells
from rtl.encoding.float_pos_fract import FloatPosFract

pytestmark = pytest.mark.cosim

SCALES = np.array([0.0, 7.0, 15.0, 22.109, 127.0, 511.3, 2047.0, 8191.0], dtype=np.float32)


@pytest.mark.parametrize("count", [1 << 17, pytest.param(10_000_000, marks=pytest.mark.long)])
def test_cell_and_fraction(count, run_block, rng, fp32):
    """Points in the cube, on vertices and cell borders, outside it, any bit pattern, and NaN."""
    scale = rng.choice(SCALES, count)
    kind = rng.integers(0, 5, count)
    with np.errstate(all="ignore"):
        vertex = (rng.integers(-4, 2050, count) - rng.choice([0.0, 0.5], count)) / np.maximum(scale, 1)
    tiny = (rng.choice([-1, 1], count) * 2.0 ** -rng.integers(1, 149, count)).astype(np.float64)
    near_border = -0.5 / np.maximum(scale, 1) + tiny * 1e-3
    drawn = [rng.random(count), rng.uniform(-2, 3, count), vertex, near_border, tiny]
    position = np.choose(kind, drawn).astype(np.float32)
    bits = position.view(np.uint32)
    wild = rng.random(count) < 0.05
    bits[wild] = fp32((count,))[wild]

    found = run_block(FloatPosFract(), "float_pos_fract", scale.view(np.uint32), bits)
    for value in SCALES:
        part = scale == value
        cells, fractions = level_cells(torch.from_numpy(position[part])[:, None], scale=float(value))
        expected = fractions[:, 0].numpy().view(np.uint32).copy()
        expected[np.isnan(fractions[:, 0].numpy())] = FP32.nan
        assert np.array_equal(found[part, 0], cells[:, 0].numpy().astype(np.uint32))
        assert np.array_equal(found[part, 1], expected)
