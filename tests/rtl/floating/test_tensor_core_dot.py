"""The tensor core's dot product, bit for bit, against the reference measured on an H200."""

import numpy as np
import pytest
import torch

from arch.mlp import CUTLASS_CHUNK, FULLY_FUSED_CHUNK
from arch.number_format import FP16
from reference.tensor_core import tensor_core_product
from rtl.floating.tensor_core_dot import TensorCoreDot

pytestmark = pytest.mark.cosim

SHORT, LONG = 1 << 15, 10_000_000
ONE = 0x3C00


SIDE = 64


def reference(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Every ``a`` (SIDE, n) with every ``b`` (SIDE, n), and the ``c`` (SIDE,) of its row, by ``reference.tensor_core``.

    The reference's accumulator starts at zero. A first chunk that holds ``c * 1`` alone brings it to ``c`` exactly; a
    zero loses its sign, which no outcome shows.
    """
    first, ones = np.zeros_like(a), np.zeros_like(b)
    first[:, 0], ones[:, 0] = c, ONE
    inputs, matrix = (
        torch.from_numpy(np.concatenate(parts, axis=1).view(np.float16)) for parts in ((first, a), (ones, b))
    )
    return tensor_core_product(inputs, matrix, chunk=a.shape[1]).numpy().ravel()


@pytest.mark.parametrize("count", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
@pytest.mark.parametrize("n", [FULLY_FUSED_CHUNK, CUTLASS_CHUNK])
def test_dot(n, count, run_block, fp16, rng):
    """Rows of wild numbers and rows near 1; accumulators that cancel the products; few infinities and NaN."""
    for start in range(0, count, 1 << 20):
        squares = [_draw(fp16, rng, n) for _ in range(min(1 << 20, count - start) // SIDE**2)]
        a = np.concatenate([np.repeat(a, SIDE, axis=0) for a, _, _ in squares])
        b = np.concatenate([np.tile(b, (SIDE, 1)) for _, b, _ in squares])
        c = np.concatenate([np.repeat(c, SIDE) for _, _, c in squares])
        found = run_block(TensorCoreDot(n), f"tensor_core_dot_{n}", a, b, c)
        expected = np.concatenate([reference(*square) for square in squares])
        bits = expected.view(np.uint16).astype(np.uint32)
        bits[np.isnan(expected)] = FP16.nan
        wrong = np.flatnonzero(found != bits)
        assert len(wrong) == 0, [(a[k], b[k], c[k], found[k], bits[k]) for k in wrong[:2]]


def _draw(fp16, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows a, b and accumulators, SIDE each; the accumulator of every third row cancels its products with one b, and
    every eighth row is subnormal."""
    a, b, c = fp16((SIDE, n)), fp16((SIDE, n)), fp16((SIDE,))
    for values in (a, b, c):
        # one wild number makes a row infinite or NaN, so most rows have numbers near 1 alone
        calm = rng.random(SIDE) < 0.8
        values[calm] = (values[calm] & 0x83FF) | (rng.integers(8, 20, values[calm].shape) << 10).astype(np.uint16)
        finite = rng.random(SIDE) < 0.97
        special = (values & 0x7C00) == 0x7C00
        values[special & finite.reshape(-1, *[1] * (values.ndim - 1))] &= 0xBFFF
    with np.errstate(all="ignore"):
        products = a.view(np.float16).astype(np.float64) * b.view(np.float16).astype(np.float64)
        cancelling = (-products.sum(axis=1)).astype(np.float16)
    chosen = np.isfinite(cancelling) & (np.arange(SIDE) % 3 == 0)
    c[chosen] = cancelling[chosen].view(np.uint16)
    # sums below the smallest number, of both signs: they round to +0
    tiny = np.arange(SIDE) % 8 == 1
    a[tiny] &= 0x8007
    b[np.arange(SIDE) % 4 == 1] &= 0xBBFF
    c[tiny] &= 0x8000
    # a product of zero whose other factor is large, beside small ones: it must not push them down
    zero = np.arange(SIDE) % 4 == 3
    a[zero, 0] &= 0x8000
    b[zero, 0] = b[zero, 0] & 0x83FF | 0x7800
    b[zero, 1:] &= 0x87FF
    c[zero] &= 0x87FF
    return a, b, c
