"""Matrix products as the fp16 tensor core of an H200 computes them, with fp16 accumulators.

For each chunk of the inner dimension, in increasing order, the products and the fp16 accumulator are truncated towards
zero to a multiple of 2**(E - 25), E being the largest exponent among them; added exactly; and rounded once, to nearest
even, to the fp16 accumulator. A product's exponent is the sum of its factors' exponents, not normalised; a subnormal
factor or accumulator has exponent -14, a zero term none. A sum that rounds to zero is +0.

The rule was measured on an H200 with mma.m16n8k16 and m16n8k8: 2.4 million outputs each, among them subnormals, zeros,
cancellation, infinities and NaN, all equal. It reproduces tiny-cuda-nn's FullyFusedMLP with chunks of 16 and its
CutlassMLP with chunks of 8. Other generations of GPU may truncate differently.
"""

import torch

from reference.float_arithmetic import round_to_fp16

__all__ = ["tensor_core_product"]

_ALIGNED_BITS = 25
_SMALLEST_NORMAL = 2.0**-14
_BLOCK_POINTS = 2048  # keeps the working set of one block inside a second-level cache


def tensor_core_product(inputs: torch.Tensor, matrix: torch.Tensor, *, chunk: int) -> torch.Tensor:
    """``inputs @ matrix.T`` in the tensor core's arithmetic.

    Parameters
    ----------
    inputs : (N, n_in) fp16
    matrix : (n_out, n_in) fp16
    chunk : products added in one step: 16 or 8; a last chunk that is shorter is filled with zeros

    Returns
    -------
    (N, n_out) fp16
    """
    weights = matrix.to(torch.float64)
    blocks = [_block_product(block.to(torch.float64), weights, chunk) for block in inputs.split(_BLOCK_POINTS)]
    return torch.cat(blocks) if blocks else inputs.new_empty((0, matrix.shape[0]))


def _block_product(inputs: torch.Tensor, weights: torch.Tensor, chunk: int) -> torch.Tensor:
    accumulator = torch.zeros(inputs.shape[0], weights.shape[0], dtype=torch.float64)
    input_sizes, weight_sizes = _aligned_size(inputs), _aligned_size(weights)
    for start in range(0, inputs.shape[1], chunk):
        part = slice(start, start + chunk)
        total = torch.addmm(accumulator, inputs[:, part], weights[:, part].T)
        # Truncation moves the sum by less than 2**-25 of 2**E per term, and 2**E is at most the sum of sizes. Where
        # both ends of that interval round alike, so does the truncated sum; the rest is computed term by term.
        # 2**-20 covers 17 terms and the float64 rounding of the plain sum, 2**-22 the passage through fp32 below.
        slack = torch.addmm(accumulator.abs(), input_sizes[:, part], weight_sizes[:, part].T)
        slack = slack.clamp_(min=_SMALLEST_NORMAL).mul_(2.0**-20).add_(total.abs(), alpha=2.0**-22)
        low = (total - slack).to(torch.float32).to(torch.float16)
        high = (total + slack).to(torch.float32).to(torch.float16)
        rounded = low.to(torch.float64).add_(0.0)  # -0 becomes +0
        point, row = torch.nonzero(low != high, as_tuple=True)
        if len(point):
            rounded[point, row] = _truncated_sum(
                inputs[point, part], weights[row, part], accumulator[point, row], total[point, row]
            )
        accumulator = rounded
    return accumulator.to(torch.float16)


def _aligned_size(values: torch.Tensor) -> torch.Tensor:
    """Magnitudes as their exponents count in the alignment: subnormals as the smallest normal, zeros not at all."""
    return torch.where(values == 0, 0.0, values.abs().clamp(min=_SMALLEST_NORMAL))


def _truncated_sum(x: torch.Tensor, w: torch.Tensor, c: torch.Tensor, plain: torch.Tensor) -> torch.Tensor:
    """Chunk sums by the rule itself: (M, chunk) factors, (M,) accumulators and plain sums, all float64."""
    terms = torch.cat((x * w, c[:, None]), dim=1)
    exponents = torch.cat((_exponent(x) + _exponent(w), _exponent(c)[:, None]), dim=1)
    exponents = exponents.masked_fill(terms == 0, -(1 << 10))
    ulp = torch.exp2((exponents.amax(dim=1, keepdim=True) - _ALIGNED_BITS).to(torch.float64))
    total = ((terms / ulp).trunc().sum(dim=1) * ulp[:, 0]).nan_to_num_()
    rounded = round_to_fp16(total).to(torch.float64) + 0.0
    # Infinite and NaN terms have no exponent: there the IEEE sum stands.
    return torch.where(plain.isfinite(), rounded, plain)


def _exponent(values: torch.Tensor) -> torch.Tensor:
    """Exponent of finite values as the tensor core takes it: 0 for 1.0, -14 for subnormals (and for zeros)."""
    return torch.frexp(_aligned_size(values)).exponent - 1
