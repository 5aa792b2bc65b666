"""How good the trained fields are: against the truth, and the integer profiles against the float field."""

import numpy as np
import torch

from arch.checkpoint import FloatField, QuantizedField
from arch.trained import TRAINED
from reference.field import field_float, field_integer, output_scales
from reference.truth import photograph, pixel_positions, solid_distance, solid_samples, surface_points

__all__ = ["NEAR_SURFACE", "gia_quality", "nsdf_quality", "psnr"]

NEAR_SURFACE = 0.02
"""Points whose true distance is below this, in units of the cube's edge, count as near the surface."""

_CHECK_SEED = 20
_BLOCK = 1 << 15


def psnr(values: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, both sides clipped to [0, 1]."""
    error = np.clip(values, 0.0, 1.0) - np.clip(truth, 0.0, 1.0)
    return float(-10.0 * np.log10(np.mean(error**2)))


def gia_quality(floating: FloatField, quantized: QuantizedField, *, stride: int = 1) -> dict[str, float]:
    """PSNR in dB of the photograph's fields: ``float_photograph``, ``integer_photograph``, ``integer_float``.

    Parameters
    ----------
    floating, quantized : the field as trained, and the same field in an integer profile
    stride : only every stride-th pixel is evaluated, counted row by row
    """
    positions = pixel_positions()[::stride]
    truth = photograph().reshape(-1, 3)[::stride]
    outputs = _float_outputs(floating, positions)
    integers = _integer_outputs(quantized, positions)
    return {
        "float_photograph": psnr(outputs, truth),
        "integer_photograph": psnr(integers, truth),
        "integer_float": psnr(integers, outputs),
    }


def nsdf_quality(floating: FloatField, quantized: QuantizedField, *, count: int = 1 << 16) -> dict[str, float]:
    """Mean absolute errors of the solid's fields, at fresh points near the surface (``NEAR_SURFACE``).

    Parameters
    ----------
    floating, quantized : the field as trained, and the same field in an integer profile
    count : points drawn; those about the surface with a spread of half of ``NEAR_SURFACE`` are kept if near

    Returns
    -------
    ``float_truth``, ``integer_truth`` in units of the cube's edge; ``integer_float_lsb`` and the greatest such
    difference ``integer_float_lsb_max`` in steps of the integer output, the float side saturated as the integer is
    """
    rng = np.random.default_rng(_CHECK_SEED)
    positions = solid_samples(rng, surface_points(rng, count), count, spread=NEAR_SURFACE / 2, anywhere=0.0)
    truth = solid_distance(positions)
    near = np.abs(truth) < NEAR_SURFACE
    positions, truth = positions[near], truth[near]
    outputs = _float_outputs(floating, positions)[:, 0]
    integers = _integer_outputs(quantized, positions)[:, 0]
    limit = TRAINED["nsdf"].output_limit
    steps = np.abs(integers - np.clip(outputs, -limit, limit)) / quantized.networks[0].output_scale
    return {
        "float_truth": float(np.mean(np.abs(outputs - truth))),
        "integer_truth": float(np.mean(np.abs(integers - truth))),
        "integer_float_lsb": float(np.mean(steps)),
        "integer_float_lsb_max": float(np.max(steps)),
    }


def _float_outputs(field: FloatField, positions: np.ndarray) -> np.ndarray:
    blocks = torch.from_numpy(positions).split(_BLOCK)
    return torch.cat([field_float(field, block) for block in blocks]).numpy()


def _integer_outputs(field: QuantizedField, positions: np.ndarray) -> np.ndarray:
    blocks = torch.from_numpy(positions).split(_BLOCK)
    raw = torch.cat([field_integer(field, block) for block in blocks])
    return (raw.to(torch.float64) * output_scales(field)).numpy()
