"""The tensor core's dot product, bit for bit, against the reference measured on an H200."""

import numpy as np
import pytest
import torch

from arch.number_format import FP16
from reference.tensor_core import CUTLASS_CHUNK, FULLY_FUSED_CHUNK, tensor_core_product
from rtl.floating.tensor_core_dot import TensorCoreDot

pytestmark = pytest.mark.cosim

SHORT, LONG = 1 << 15, 10_000_000
ONE = 0x3C00


def reference(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Dot products by :func:`reference.tensor_core.tensor_core_product`, whose accumulator starts at zero.

    A first chunk that holds ``c * 1`` alone brings the accumulator to ``c`` exactly; its zero loses its sign, which no
    outcome shows.
    """
    n = a.shape[1]
    results = []
    for start in range(0, len(a), 256):
        part = slice(start, start + 256)
        first = np.zeros_like(a[part])
        first[:, 0] = c[part]
        inputs = torch.from_numpy(np.concatenate([first, a[part]], axis=1).view(np.float16))
        ones = np.zeros_like(b[part])
        ones[:, 0] = ONE
        matrix = torch.from_numpy(np.concatenate([ones, b[part]], axis=1).view(np.float16))
        # only the products of a row with its own column are wanted
        results.append(tensor_core_product(inputs, matrix, chunk=n).diagonal().numpy())
    return np.concatenate(results)


@pytest.mark.parametrize("count", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
@pytest.mark.parametrize("n", [FULLY_FUSED_CHUNK, CUTLASS_CHUNK])
def test_dot(n, count, run_block, fp16, rng):
    """Rows of wild numbers and rows near 1; a third of the accumulators cancel the products; few infinities and NaN."""
    for start in range(0, count, 1 << 20):
        size = min(1 << 20, count - start)
        a, b, c = _draw(fp16, rng, size, n)
        found = run_block(TensorCoreDot(n), f"tensor_core_dot_{n}", a, b, c)
        expected = reference(a, b, c)
        bits = expected.view(np.uint16).astype(np.uint32)
        bits[np.isnan(expected)] = FP16.nan
        wrong = np.flatnonzero(found != bits)
        assert len(wrong) == 0, [(a[k], b[k], c[k], found[k], bits[k]) for k in wrong[:2]]


def _draw(fp16, rng: np.random.Generator, size: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, c = fp16((size, n)), fp16((size, n)), fp16((size,))
    finite = rng.random(size) < 0.95
    for values in (a, b, c):
        special = (values & 0x7C00) == 0x7C00
        values[special & (finite if values.ndim == 1 else finite[:, None])] &= 0xBFFF
    third = size // 3
    with np.errstate(all="ignore"):
        products = a[:third].view(np.float16).astype(np.float64) * b[:third].view(np.float16).astype(np.float64)
        cancelling = (-products.sum(axis=1)).astype(np.float16)
    c[:third] = np.where(np.isfinite(cancelling), cancelling.view(np.uint16), c[:third])
    return a, b, c
