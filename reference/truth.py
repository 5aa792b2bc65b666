"""What the trained fields of ``arch.trained`` are compared with: a photograph and an analytic solid."""

import numpy as np

from arch.errors import InputError
from arch.trained import PHOTOGRAPH_SIZE

__all__ = [
    "photograph", "pixel_positions", "solid_distance", "solid_gradient", "solid_parts", "solid_samples",
    "surface_points",
]  # fmt: skip

_SLAB_CENTER, _SLAB_HALF = (0.50, 0.20, 0.50), (0.30, 0.06, 0.30)
_PILLAR_CENTER, _PILLAR_HALF, _PILLAR_RADIUS = (0.50, 0.38, 0.50), (0.09, 0.14, 0.09), 0.03
_RING_CENTER, _RING_MAJOR, _RING_MINOR = (0.50, 0.58, 0.50), 0.20, 0.05
_BALL_CENTER, _BALL_RADIUS = (0.50, 0.58, 0.50), 0.10
_PROJECTION_STEPS = 3
_GRADIENT_STEP = 1e-6


def photograph() -> np.ndarray:
    """The photograph behind the gia field.

    Returns
    -------
    (512, 512, 3) float64 in [0, 1]: row, column, sRGB as stored (8 bits a channel divided by 255)
    """
    from skimage.data import astronaut

    return astronaut() / 255.0


def pixel_positions(width: int = PHOTOGRAPH_SIZE, height: int = PHOTOGRAPH_SIZE) -> np.ndarray:
    """Pixel centres in the unit square, row by row: (height * width, 2) float64, x first."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x.ravel() + 0.5) / width, (y.ravel() + 0.5) / height], axis=1)


def solid_distance(positions: np.ndarray) -> np.ndarray:
    """Signed distance to the solid behind the nsdf field, negative inside.

    The solid is the union of a sharp-edged slab, a pillar with rounded edges, a ring (torus about the z axis) and a
    ball, y being up. Each part's formula is its exact Euclidean distance, so their minimum is the exact distance to
    the union outside and on the surface; where parts overlap inside it is smaller in magnitude than the distance.

    Parameters
    ----------
    positions : (N, 3) in units of the cube's edge; the solid lies within [0.20, 0.80] x [0.14, 0.83] x [0.20, 0.80]

    Returns
    -------
    (N,) float64, in units of the cube's edge
    """
    return np.minimum.reduce(solid_parts(positions))


def solid_parts(positions: np.ndarray) -> list[np.ndarray]:
    """Distances, as of :func:`solid_distance`, to slab, pillar, ring and ball by themselves: (N,) each."""
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise InputError(f"shape of positions must be (points, 3), not {positions.shape}")
    slab = _box_distance(positions - _SLAB_CENTER, np.array(_SLAB_HALF))
    core = np.array(_PILLAR_HALF) - _PILLAR_RADIUS
    pillar = _box_distance(positions - _PILLAR_CENTER, core) - _PILLAR_RADIUS
    ring = positions - _RING_CENTER
    ring = np.hypot(np.hypot(ring[:, 0], ring[:, 1]) - _RING_MAJOR, ring[:, 2]) - _RING_MINOR
    ball = np.linalg.norm(positions - _BALL_CENTER, axis=1) - _BALL_RADIUS
    return [slab, pillar, ring, ball]


def surface_points(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) points on the solid's surface: uniform in the cube, then moved along the distance's gradient."""
    points = rng.random((count, 3))
    for _ in range(_PROJECTION_STEPS):
        points -= solid_distance(points)[:, None] * solid_gradient(points)
    return points


def solid_samples(
    rng: np.random.Generator, surface: np.ndarray, count: int, *, spread: float = 0.02, anywhere: float = 0.25
) -> np.ndarray:
    """Points for training and checking: some anywhere in the cube, the others about the surface.

    Parameters
    ----------
    rng : source of the points
    surface : (M, 3) points on the surface to start from
    count : how many
    spread : standard deviation about the surface per dimension, in units of the cube's edge
    anywhere : share of the points that are uniform in the cube; they come first

    Returns
    -------
    (count, 3) float64 in [0, 1]
    """
    free = rng.random((round(count * anywhere), 3))
    near = surface[rng.integers(len(surface), size=count - len(free))]
    near = near + spread * rng.standard_normal(near.shape)
    return np.clip(np.concatenate([free, near]), 0.0, 1.0)


def solid_gradient(positions: np.ndarray) -> np.ndarray:
    """(N, 3) gradient of :func:`solid_distance`, by central differences; a unit vector but at creases."""
    steps = _GRADIENT_STEP * np.eye(3)
    return np.stack([solid_distance(positions + step) - solid_distance(positions - step) for step in steps], axis=1) / (
        2 * _GRADIENT_STEP
    )


def _box_distance(offsets: np.ndarray, half: np.ndarray) -> np.ndarray:
    beyond = np.abs(offsets) - half
    outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
    return outside + np.minimum(beyond.max(axis=1), 0.0)
