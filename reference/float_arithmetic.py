"""Exact floating-point building blocks: fused multiply-add and rounding to fp16, each with a single rounding.

torch has neither, so both go through *round to odd*: a sum that does not fit its mantissa is truncated and its last bit
is set. A later rounding to a format at least two bits narrower then sees on which side of every tie the exact value
lies, and is the only rounding that counts (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
Subnormals are kept, NaN and infinity follow IEEE 754, ties go to even.
"""

import torch

__all__ = ["FP16_MAX", "fma_fp16", "fma_fp32", "round_to_fp16"]

FP16_MAX = 65504.0

_INTEGER_VIEW = {torch.float32: torch.int32, torch.float64: torch.int64}
_BELOW_FP32 = (1 << 29) - 1  # mantissa bits float64 has beyond float32


def fma_fp16(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """``a * b + c`` rounded once to fp16.

    Parameters
    ----------
    a, b, c : broadcastable, each fp16 or float32 that holds fp16 values

    Returns
    -------
    fp16
    """
    # The product of two 11-bit mantissas fits fp32, subnormals included (its last bit is never below 2**-48).
    product = a.to(torch.float32) * b.to(torch.float32)
    return _sum_to_odd(product, c.to(torch.float32)).to(torch.float16)


def fma_fp32(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """``a * b + c`` rounded once to fp32; the arguments are broadcastable fp32."""
    product = a.to(torch.float64) * b.to(torch.float64)
    return _sum_to_odd(product, c.to(torch.float64)).to(torch.float32)


def round_to_fp16(values: torch.Tensor) -> torch.Tensor:
    """float64 to fp16 in one rounding (torch converts through fp32 and rounds twice)."""
    bits = values.view(torch.int64)
    # Adding the mask carries into bit 29 exactly if a lower bit is set: truncation to odd at fp32's precision.
    odd = (bits | ((bits & _BELOW_FP32) + _BELOW_FP32)) & ~_BELOW_FP32
    return odd.view(torch.float64).to(torch.float32).to(torch.float16)


def _sum_to_odd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``x + y`` rounded to odd in the dtype of the terms (Knuth's two-sum gives the sign of the error)."""
    total = x + y
    from_y = total - x
    error = (x - (total - from_y)) + (y - from_y)
    integer = _INTEGER_VIEW[total.dtype]
    sign_bit = torch.iinfo(integer).bits - 1
    bits = total.view(integer)
    # -1 where rounding had moved the sum away from zero, else 0: undoes it, so that what is left is truncation.
    towards_zero = (bits ^ error.view(integer)) >> sign_bit
    odd = ((bits + towards_zero) | 1).view(total.dtype)
    return torch.where(error.abs() > 0, odd, total)
