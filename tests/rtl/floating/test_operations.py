"""Fused multiply-add, product, rounding to fp16 and 1 - x, bit for bit, against float64 and the reference."""

import numpy as np
import pytest
import torch

from arch.number_format import FP16, FP32, FloatFormat
from reference.float_arithmetic import fma_fp16, fma_fp32
from rtl.floating.convert import Narrow
from rtl.floating.fraction import OneMinus
from rtl.floating.fused_multiply_add import FusedMultiplyAdd
from rtl.floating.multiply import Multiply

pytestmark = pytest.mark.cosim

SHORT, LONG = 1 << 17, 10_000_000
COUNTS = [SHORT, pytest.param(LONG, marks=pytest.mark.long)]
FORMATS = {"fp16": FP16, "fp32": FP32}
FLOATS = {"fp16": np.float16, "fp32": np.float32}
FMAS = {"fp16": fma_fp16, "fp32": fma_fp32}


def assert_equal_bits(found: np.ndarray, expected: np.ndarray, number_format: FloatFormat, *inputs: np.ndarray) -> None:
    """The same bits, where every NaN is the format's own."""
    bits = expected.view({16: np.uint16, 32: np.uint32}[number_format.width]).astype(np.uint32)
    bits[np.isnan(expected)] = number_format.nan
    wrong = np.flatnonzero(found != bits)
    shown = [[hex(int(value)) for value in (*(x[n] for x in inputs), found[n], bits[n])] for n in wrong[:4]]
    assert len(wrong) == 0, f"{len(wrong)} of {len(found)} differ, first (inputs, found, expected): {shown}"


def as_tensor(bits: np.ndarray, name: str) -> torch.Tensor:
    return torch.from_numpy(bits.view(FLOATS[name]))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", FORMATS)
def test_fused_multiply_add(name, count, run_block, request, rng):
    """Half of the addends cancel the product to a few units in the last place."""
    draw, number_format = request.getfixturevalue(name), FORMATS[name]
    a, b, c = draw((count,)), draw((count,)), draw((count,))
    half = count // 2
    with np.errstate(all="ignore"):
        product = a[:half].view(FLOATS[name]).astype(np.float64) * b[:half].view(FLOATS[name]).astype(np.float64)
        c[:half] = (-product).astype(FLOATS[name]).view(c.dtype) + rng.integers(-3, 4, half).astype(c.dtype)
    found = run_block(FusedMultiplyAdd(number_format), f"fma_{name}", a, b, c)
    expected = FMAS[name](*(as_tensor(bits, name) for bits in (a, b, c))).numpy()
    assert_equal_bits(found, expected, number_format, a, b, c)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", FORMATS)
def test_multiply(name, count, run_block, request):
    draw, number_format = request.getfixturevalue(name), FORMATS[name]
    a, b = draw((count,)), draw((count,))
    found = run_block(Multiply(number_format), f"multiply_{name}", a, b)
    with np.errstate(all="ignore"):
        expected = a.view(FLOATS[name]) * b.view(FLOATS[name])
    assert_equal_bits(found, expected, number_format, a, b)


@pytest.mark.long
@pytest.mark.parametrize("quarter", range(4))
def test_every_product_of_two_positive_fp16_numbers(quarter, run_block):
    """All 2**30 pairs of magnitudes, NaN and infinity among them; the sign is an exclusive or, tested above."""
    block = 1 << 25
    for start in range(quarter << 28, (quarter + 1) << 28, block):
        pair = np.arange(start, start + block, dtype=np.uint32)
        a, b = (pair >> 15).astype(np.uint16), (pair & 0x7FFF).astype(np.uint16)
        found = run_block(Multiply(FP16), "multiply_fp16", a, b)
        with np.errstate(all="ignore"):
            # the product of two 11-bit significands is exact in fp32
            product = a.view(np.float16).astype(np.float32) * b.view(np.float16).astype(np.float32)
            assert_equal_bits(found, product.astype(np.float16), FP16, a, b)


@pytest.mark.parametrize("count", COUNTS)
def test_narrow(count, run_block, fp32, rng):
    """Among them every fp16 number, both its neighbours in fp32, and every tie between two of them."""
    half_values = np.arange(0x10000, dtype=np.uint16).view(np.float16).astype(np.float32).view(np.uint32)
    ties = half_values + np.uint32(1 << 12)
    around = np.concatenate([at + step for at in (half_values, ties) for step in np.uint32([-1 & 0xFFFFFFFF, 0, 1])])
    i = np.concatenate([around, fp32((count,))])
    found = run_block(Narrow(FP32, FP16), "narrow", i)
    with np.errstate(all="ignore"):
        expected = i.view(np.float32).astype(np.float16)
    assert_equal_bits(found, expected, FP16, i)


@pytest.mark.parametrize("count", COUNTS)
def test_one_minus(count, run_block, rng):
    """Fractions of every size, 0 and 1 among them."""
    i = np.concatenate([rng.random(count) ** rng.choice([1, 4, 20, 100], count), [0.0, 1.0, 0.5]]).astype(np.float32)
    found = run_block(OneMinus(FP32), "one_minus", i.view(np.uint32))
    assert_equal_bits(found, np.float32(1) - i, FP32, i.view(np.uint32))


@pytest.mark.parametrize("name", FORMATS)
def test_a_stalled_pipeline_loses_nothing(name, run_block, request):
    draw, number_format = request.getfixturevalue(name), FORMATS[name]
    a, b, c = draw((4096,)), draw((4096,)), draw((4096,))
    found = run_block(FusedMultiplyAdd(number_format), f"fma_{name}", a, b, c, stalls=0.3)
    expected = FMAS[name](*(as_tensor(bits, name) for bits in (a, b, c))).numpy()
    assert_equal_bits(found, expected, number_format, a, b, c)
