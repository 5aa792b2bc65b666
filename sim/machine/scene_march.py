"""Rays through a trained field's grid: how many points each pixel asks of the field.

nerf and nvr are marched as instant-ngp does: steps of a 1024th of the cube's diagonal, cells that hold nothing are
skipped, a ray ends when less than a hundredth of its light is left. nsdf is traced by spheres: a step as long as the
distance, until that is a raw step of the integer field. Densities and distances are the trained field's, sampled in the
middle of every cell (:class:`arch.scene.SceneGrid`); the field itself is not evaluated.
"""
# ruff: noqa: PLR0917 - numba takes no keywords

from dataclasses import dataclass
from math import log, sqrt

import numba
import numpy as np

from arch.errors import check_integer
from arch.scene import Camera, SceneGrid

__all__ = ["MOST_STEPS_A_ROUND", "RayPoints", "march"]

STEP = sqrt(3) / 1024
"""Of a march, in edges of the cube."""

MOST_STEPS_A_ROUND = 8
"""Most points that a ray is given before it is looked at again (instant-ngp's ``n_steps_between_compaction``)."""

_OPAQUE = -log(0.01)
"""Optical thickness at which a ray ends (instant-ngp's ``render_min_transmittance``)."""

_EXTINCTION = {"nerf": 1.0, "nvr": 40.0}
"""Extinction an edge of the cube for a density of 1; nvr's is that of the cloud it was trained on."""

_BLOCK = 8
"""Cells an axis of the blocks that are skipped at once if nothing is in them."""

_MOST_TRACED = 256
"""Steps after which a sphere-traced ray is given up."""


@dataclass(frozen=True, kw_only=True)
class RayPoints:
    """Points of every pixel's ray.

    Parameters
    ----------
    width, height : of the picture
    needed : (height, width) int32, points until the ray ends
    available : (height, width) int32, points there would have been had it not ended, at most 7 more: what a round
        that hands out 8 at a time evaluates in vain
    """

    width: int
    height: int
    needed: np.ndarray
    available: np.ndarray

    @property
    def mean(self) -> float:
        """Points a pixel."""
        return float(self.needed.mean())

    @property
    def hit_share(self) -> float:
        """Part of the pixels that ask for any point."""
        return float((self.needed > 0).mean())


def march(scene: SceneGrid, width: int, height: int, camera: Camera | None = None) -> RayPoints:
    """Follow the ray of every pixel.

    Parameters
    ----------
    scene : the field's grid
    width, height : pixels
    camera : where from; the default sees the whole cube

    Raises
    ------
    InputError
        If the picture has no pixels or more than 2**16 a side.
    """
    check_integer("width", width, 1, 1 << 16)
    check_integer("height", height, 1, 1 << 16)
    origin, axes = (camera or Camera()).rays(width)
    needed = np.zeros((height, width), dtype=np.int32)
    available = np.zeros((height, width), dtype=np.int32)
    if scene.app == "nsdf":
        _trace(scene.values, scene.step, origin, axes, needed)
        available[:] = needed
    else:
        thickness = _thickness(scene)
        full = thickness[scene.values.astype(np.int16) + 128] > 0
        n = len(full) // _BLOCK
        blocks = full.reshape(n, _BLOCK, n, _BLOCK, n, _BLOCK).any(axis=(1, 3, 5))
        if full.any():
            _march(scene.values, thickness, blocks, _box(full), origin, axes, needed, available)
    return RayPoints(width=width, height=height, needed=needed, available=available)


def _thickness(scene: SceneGrid) -> np.ndarray:
    """(256,) optical thickness of a step in a cell of each raw value from -128 on; 0 where there is nothing."""
    raw = np.arange(-128, 128)
    if scene.app == "nerf":
        density = np.where(raw > -128, np.exp(raw * scene.step), 0.0)
    else:
        density = np.maximum(raw, 0) * scene.step
    return density * _EXTINCTION[scene.app] * STEP


def _box(full: np.ndarray) -> np.ndarray:
    """(2, 3) lower and upper corner, in edges of the cube, of the cells that hold something."""
    cells = np.nonzero(full)
    return np.array([[axis.min() for axis in cells], [axis.max() + 1 for axis in cells]]) / len(full)


@numba.njit(cache=True, error_model="numpy")
def _enter(origin, direction, box):
    """Where a ray enters and leaves a box; leaves first if it misses."""
    enter, leave = 0.0, 1e30
    for k in range(3):
        if direction[k] == 0.0:
            if not box[0, k] <= origin[k] <= box[1, k]:
                return 1.0, 0.0
            continue
        a, b = (box[0, k] - origin[k]) / direction[k], (box[1, k] - origin[k]) / direction[k]
        enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    return enter, leave


@numba.njit(cache=True, error_model="numpy")
def _direction(axes, x, y, width, height, direction):
    across, down = x + 0.5 - 0.5 * width, y + 0.5 - 0.5 * height
    length = 0.0
    for k in range(3):
        direction[k] = axes[2, k] + across * axes[0, k] + down * axes[1, k]
        length += direction[k] * direction[k]
    length = np.sqrt(length)
    for k in range(3):
        direction[k] /= length


@numba.njit(cache=True, error_model="numpy")
def _march(values, thickness, blocks, box, origin, axes, needed, available):
    height, width = needed.shape
    cells = len(values)
    last = cells - 1
    cube = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    direction = np.empty(3)
    for y in range(height):
        for x in range(width):
            _direction(axes, x, y, width, height, direction)
            enter, leave = _enter(origin, direction, cube)
            first, beyond = _enter(origin, direction, box)
            steps = np.int64((min(leave, beyond) - enter) / STEP) + 1 if beyond > first else 0
            ox, dx = (origin[0] + enter * direction[0]) * cells, direction[0] * STEP * cells
            oy, dy = (origin[1] + enter * direction[1]) * cells, direction[1] * STEP * cells
            oz, dz = (origin[2] + enter * direction[2]) * cells, direction[2] * STEP * cells
            ix = 1.0 / dx if dx != 0.0 else 1e30
            iy = 1.0 / dy if dy != 0.0 else 1e30
            iz = 1.0 / dz if dz != 0.0 else 1e30
            gone = 0.0
            points = ended = 0
            i = max(np.int64(np.ceil((first - enter) / STEP - 1e-6)), 0)
            while i < steps:
                px, py, pz = ox + i * dx, oy + i * dy, oz + i * dz
                cx = min(max(np.int64(px), 0), last)
                cy = min(max(np.int64(py), 0), last)
                cz = min(max(np.int64(pz), 0), last)
                # all steps within this cell at once, or within an empty block of cells
                full = blocks[cx // _BLOCK, cy // _BLOCK, cz // _BLOCK]
                size = 1 if full else _BLOCK
                far = min(
                    (cx // size * size + size * (dx > 0.0) - px) * ix if dx != 0.0 else 1e30,
                    (cy // size * size + size * (dy > 0.0) - py) * iy if dy != 0.0 else 1e30,
                    (cz // size * size + size * (dz > 0.0) - pz) * iz if dz != 0.0 else 1e30,
                )
                here = min(max(np.int64(np.ceil(far)), 1), steps - i)
                i += here
                if not full:
                    continue
                thick = thickness[np.int64(values[cx, cy, cz]) + 128]
                if thick > 0.0:
                    if ended == 0:
                        if gone + here * thick > _OPAQUE:
                            ended = points + min(np.int64((_OPAQUE - gone) / thick) + 1, here)
                        gone += here * thick
                    points += here
                    if ended > 0 and points - ended >= MOST_STEPS_A_ROUND - 1:
                        points = ended + MOST_STEPS_A_ROUND - 1
                        break
            available[y, x] = points
            needed[y, x] = ended if ended > 0 else points


@numba.njit(cache=True, error_model="numpy")
def _trace(values, step, origin, axes, needed):
    height, width = needed.shape
    cube = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    direction = np.empty(3)
    for y in range(height):
        for x in range(width):
            _direction(axes, x, y, width, height, direction)
            along, leave = _enter(origin, direction, cube)
            points = 0
            while along <= leave and points < _MOST_TRACED:
                distance = _between(
                    values,
                    origin[0] + along * direction[0],
                    origin[1] + along * direction[1],
                    origin[2] + along * direction[2],
                )
                points += 1
                if distance <= 1.0:
                    break
                along += distance * step
            needed[y, x] = points


@numba.njit(cache=True, error_model="numpy")
def _between(values, x, y, z):
    """Raw value at a position, linear between the middles of the eight cells about it."""
    cells = len(values)
    i, u = _split(x, cells)
    j, v = _split(y, cells)
    k, w = _split(z, cells)
    near = (1.0 - v) * _along(values, i, u, j, k) + v * _along(values, i, u, j + 1, k)
    far = (1.0 - v) * _along(values, i, u, j, k + 1) + v * _along(values, i, u, j + 1, k + 1)
    return (1.0 - w) * near + w * far


@numba.njit(cache=True, error_model="numpy", inline="always")
def _split(x, cells):
    at = min(max(x * cells - 0.5, 0.0), cells - 1.000001)
    first = np.int64(at)
    return first, at - first


@numba.njit(cache=True, error_model="numpy", inline="always")
def _along(values, i, u, j, k):
    return (1.0 - u) * values[i, j, k] + u * values[i + 1, j, k]
