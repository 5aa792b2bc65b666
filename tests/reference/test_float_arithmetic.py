"""Fused multiply-add and rounding against exact fractions."""

import numpy as np
import pytest
import torch

from reference.float_arithmetic import fma_fp16, fma_fp32, round_to_fp16

FORMS = {"fp16": (11, -14, 65504.0), "fp32": (24, -126, float(np.finfo(np.float32).max))}


def random_floats(rng, count, dtype, integer):
    """Finite numbers with every exponent, subnormals included."""
    values = rng.integers(0, np.iinfo(integer).max, count, dtype=integer, endpoint=True).view(dtype)
    return np.where(np.isfinite(values), values, dtype(0))


@pytest.mark.parametrize("near", [False, True], ids=["any exponent", "cancelling"])
@pytest.mark.parametrize("name", ["fp16", "fp32"])
def test_fma_has_one_rounding(slow, seed, name, near):
    """Random operands of any exponent, and accumulators that nearly cancel the product."""
    rng = np.random.default_rng(seed)
    dtype, integer, fma = {"fp16": (np.float16, np.uint16, fma_fp16), "fp32": (np.float32, np.uint32, fma_fp32)}[name]
    a, b, c = (random_floats(rng, 3000, dtype, integer) for _ in range(3))
    if near:
        with np.errstate(over="ignore"):
            c = (-a.astype(np.float64) * b.astype(np.float64)).astype(dtype)
        c = np.where(np.isfinite(c), c, dtype(1))
    found = fma(*map(torch.from_numpy, (a, b, c))).numpy().astype(np.float64)
    expected = [slow.fma(*map(float, triple), FORMS[name]) for triple in zip(a, b, c, strict=True)]
    assert np.array_equal(found, expected)


def test_fma_of_ties_and_a_far_smaller_term():
    """A product on a tie is decided by an accumulator too small for float64 beside it."""
    product, tiny = torch.tensor([65504.0]).half(), torch.tensor([2.0**-24]).half()
    big = torch.tensor([2.0**11 + 1]).half()  # 2049 rounds to 2048 in fp16 before the call
    assert big.item() == 2048
    half_ulp = fma_fp16(torch.tensor([1025.0]).half(), torch.tensor([1025.0 / 1024]).half(), tiny)
    assert half_ulp.item() == 1026.0
    assert fma_fp16(product, product, -tiny).item() == float("inf")
    odd = fma_fp32(torch.tensor([1 + 2.0**-23]), torch.tensor([1 + 2.0**-1]), torch.tensor([2.0**-100]))
    assert odd.item() == 1.5 + 2.0**-22


def test_infinity_and_nan_follow_ieee():
    """Infinite and NaN operands."""
    infinite, one = torch.tensor([float("inf")]), torch.tensor([1.0])
    for fma, dtype in ((fma_fp16, torch.float16), (fma_fp32, torch.float32)):
        i, o = infinite.to(dtype), one.to(dtype)
        assert fma(i, o, o).item() == float("inf")
        assert fma(i, -o, o).item() == float("-inf")
        assert fma(i, o, -i).isnan().item()
        assert fma(i, 0 * o, o).isnan().item()


def test_round_to_fp16_rounds_once(slow, seed):
    """float64 values beside every kind of tie, where two roundings would go wrong."""
    rng = np.random.default_rng(seed)
    base = random_floats(rng, 3000, np.float16, np.uint16).astype(np.float64)
    exponent = np.maximum(np.floor(np.log2(np.maximum(np.abs(base), 2.0**-30))), -14)
    offsets = rng.choice([0, 0.5, -0.5, 0.25], base.shape) + rng.choice([0, 2.0**-30, -(2.0**-30)], base.shape)
    values = base + offsets * 2.0 ** (exponent - 10)
    found = round_to_fp16(torch.from_numpy(values)).numpy().astype(np.float64)
    from fractions import Fraction

    assert np.array_equal(found, [slow.round(Fraction(value), FORMS["fp16"]) for value in values])
