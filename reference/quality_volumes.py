"""How good the trained nerf and nvr fields are: against their formulas, as trained and in int8."""

import numpy as np
import torch

from arch.checkpoint import FloatField, QuantizedField
from reference.field import field_float, field_integer, output_scales
from reference.quality import NEAR_SURFACE, psnr
from reference.training_volumes import cloud_samples, unit_vectors
from reference.truth import solid_samples, surface_points
from reference.volumes import cloud, solid_colour, solid_log_density

__all__ = ["nerf_quality", "nvr_quality"]

_CHECK_SEED = 20
_DENSE = 2.0
"""Logarithm of the density above which a point is seen."""


def nerf_quality(floating: FloatField, quantized: QuantizedField, *, count: int = 1 << 14) -> dict[str, float]:
    """Errors at fresh points about the surface that are dense (logarithm of density above 2).

    Returns
    -------
    ``float_density``, ``integer_density`` root mean square errors of the density's natural logarithm; ``float_colour``,
    ``integer_colour`` PSNR in dB of the colours
    """
    rng = np.random.default_rng(_CHECK_SEED)
    positions = solid_samples(rng, surface_points(rng, count), count, spread=NEAR_SURFACE, anywhere=0.0)
    truth = solid_log_density(positions)
    positions, truth = positions[truth > _DENSE], truth[truth > _DENSE]
    directions = unit_vectors(rng, len(positions))
    colours = solid_colour(positions, directions)
    points, seen = torch.from_numpy(positions), torch.from_numpy((directions + 1) / 2)
    raw = field_integer(quantized, points, seen).to(torch.float64) * output_scales(quantized)
    quality = {}
    for name, outputs in (("float", field_float(floating, points, seen)), ("integer", raw)):
        values = outputs.numpy()
        quality[f"{name}_density"] = float(np.sqrt(np.mean((values[:, 3] - truth) ** 2)))
        quality[f"{name}_colour"] = psnr(1 / (1 + np.exp(-values[:, :3])), colours)
    return quality


def nvr_quality(floating: FloatField, quantized: QuantizedField, *, count: int = 1 << 14) -> dict[str, float]:
    """PSNR in dB of colour and density at fresh points: ``float_cloud``, ``integer_cloud``."""
    positions = cloud_samples(np.random.default_rng(_CHECK_SEED), count)
    truth = cloud(positions)
    points = torch.from_numpy(positions)
    raw = field_integer(quantized, points).to(torch.float64) * output_scales(quantized)
    return {
        "float_cloud": psnr(field_float(floating, points).numpy(), truth),
        "integer_cloud": psnr(raw.numpy(), truth),
    }
