"""What the nerf and nvr fields of ``arch.trained`` are trained on: formulas for density and colour in the unit cube."""

import numpy as np

from arch.errors import InputError
from reference.truth import solid_distance, solid_gradient, solid_parts

__all__ = [
    "CLOUD_DENSITY", "LOWEST_LOG_DENSITY", "cloud", "reflected", "solid_colour", "solid_log_density", "solid_surface",
]  # fmt: skip

LOWEST_LOG_DENSITY = -5.0
"""Thinner than this, a ray across the whole cube loses less than 1.2 %; there is nothing."""

CLOUD_DENSITY = 40.0
"""Extinction an edge of the cube where the cloud's density is 1."""

_PEAK_LOG_DENSITY = float(np.log(400.0))
_SOFTNESS = 0.004
_ALBEDO = np.array([(0.55, 0.60, 0.70), (0.80, 0.65, 0.40), (0.80, 0.20, 0.15), (0.20, 0.60, 0.30)])
_LIGHT = np.array([0.48, 0.80, 0.36]) / np.linalg.norm([0.48, 0.80, 0.36])
_AMBIENT, _GLOSS, _SHARPNESS = 0.35, 0.4, 8

_BALLS = 24
_CLOUD_SEED = 5


def solid_log_density(positions: np.ndarray) -> np.ndarray:
    """Natural logarithm of the solid's density an edge of the cube: 5.99 inside, falling over some 0.04 at the surface.

    Parameters
    ----------
    positions : (N, 3)

    Returns
    -------
    (N,) float64, at least ``LOWEST_LOG_DENSITY``
    """
    log_density = _PEAK_LOG_DENSITY - np.logaddexp(0.0, solid_distance(positions) / _SOFTNESS)
    return np.maximum(log_density, LOWEST_LOG_DENSITY)


def solid_colour(positions: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Light the solid reflects against ``directions``: a matt colour for each part and a highlight.

    Parameters
    ----------
    positions : (N, 3)
    directions : (N, 3) unit vectors from the eye

    Returns
    -------
    (N, 3) float64 in [0, 1]
    """
    normals, matt = solid_surface(positions)
    return reflected(normals, matt, directions)


def solid_surface(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals and matt colours, both (N, 3): what :func:`solid_colour` is made of before it knows the direction."""
    normals = solid_gradient(positions)
    facing = np.maximum(normals @ _LIGHT, 0.0)
    return normals, _ALBEDO[np.argmin(solid_parts(positions), axis=0)] * (_AMBIENT + (1 - _AMBIENT) * facing)[:, None]


def reflected(normals: np.ndarray, matt: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Matt colours with the highlight seen along ``directions``: (N, 3) in [0, 1]."""
    mirrored = directions - 2 * np.sum(directions * normals, axis=1, keepdims=True) * normals
    highlight = _GLOSS * np.maximum(mirrored @ _LIGHT, 0.0) ** _SHARPNESS
    return np.clip(matt + highlight[:, None], 0.0, 1.0)


def cloud(positions: np.ndarray) -> np.ndarray:
    """Colour and density of a cloud of soft balls about the middle of the cube.

    Parameters
    ----------
    positions : (N, 3)

    Returns
    -------
    (N, 4) float64 in [0, 1]: R, G, B and density, ``CLOUD_DENSITY`` times which is the extinction an edge of the cube
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise InputError(f"shape of positions must be (points, 3), not {positions.shape}")
    rng = np.random.default_rng(_CLOUD_SEED)
    centres = 0.5 + rng.normal(size=(_BALLS, 3)) * (0.15, 0.07, 0.12)
    radii = rng.uniform(0.04, 0.11, _BALLS)
    density = np.zeros(len(positions))
    for centre, radius in zip(centres, radii, strict=True):
        apart = np.sum((positions - centre) ** 2, axis=1) / radius**2
        density += np.maximum(1 - apart, 0.0) ** 2
    density = np.minimum(density, 1.0)
    height = np.clip((positions[:, 1] - 0.3) / 0.4, 0.0, 1.0)[:, None]
    colour = (1 - height) * (0.55, 0.60, 0.75) + height * (1.0, 0.95, 0.85)
    return np.column_stack([colour * np.minimum(4 * density, 1.0)[:, None], density])
