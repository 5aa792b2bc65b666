"""Marching against step-by-step marching, formulas, and the trained fields themselves."""

from math import ceil, floor, log, sqrt

import numpy as np
import pytest
import torch

from arch.scene import SCENE_CELLS, Camera, SceneGrid, load_scene
from arch.trained import load_trained
from reference.field import field_integer, output_scales
from sim.machine.scene_march import MOST_STEPS_A_ROUND, march

STEP = sqrt(3) / 1024
OPAQUE = log(100)


def rays_of(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Origin and (height, width, 3) unit directions."""
    origin, (right, down, ahead) = Camera().rays(width)
    x, y = np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2
    directions = ahead + x[None, :, None] * right + y[:, None, None] * down
    return origin, directions / np.linalg.norm(directions, axis=2, keepdims=True)


def cube_of(origin: np.ndarray, direction: np.ndarray) -> tuple[float, float]:
    with np.errstate(divide="ignore"):
        ends = np.sort(np.stack([-origin / direction, (1 - origin) / direction]), axis=0)
    return float(ends[0].max()), float(ends[1].min())


def samples_of(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(N, 3) positions of every step in the cube."""
    enter, leave = cube_of(origin, direction)
    if leave <= enter:
        return np.zeros((0, 3))
    along = enter + STEP * np.arange(floor((leave - enter) / STEP) + 1)
    return origin + along[:, None] * direction


def ended(thickness: np.ndarray) -> tuple[int, int]:
    """Points needed and available of a ray whose points, in order, have these optical thicknesses."""
    past = np.nonzero(np.cumsum(thickness) > OPAQUE)[0]
    needed = int(past[0]) + 1 if len(past) else len(thickness)
    return needed, min(len(thickness), needed + MOST_STEPS_A_ROUND - 1) if len(past) else needed


@pytest.mark.parametrize("app", ["nerf", "nvr"])
def test_skipping_empty_space_changes_nothing(app):
    """Every step of every ray looked at by itself; a step on the border of two cells may fall on either side."""
    scene = load_scene(app)
    rays = march(scene, 40, 24)
    origin, directions = rays_of(40, 24)
    raw = np.arange(-128, 128) * scene.step
    density = np.where(np.arange(-128, 128) > -128, np.exp(raw), 0) if app == "nerf" else 40 * np.maximum(raw, 0)
    wrong = 0
    for y, x in np.ndindex(24, 40):
        cells = np.clip((samples_of(origin, directions[y, x]) * SCENE_CELLS).astype(int), 0, SCENE_CELLS - 1)
        thickness = density[scene.values[tuple(cells.T)].astype(int) + 128] * STEP
        needed, available = ended(thickness[thickness > 0])
        wrong += abs(needed - rays.needed[y, x]) + abs(available - rays.available[y, x])
    assert rays.needed.sum() > 2000
    assert wrong <= 0.003 * rays.needed.sum()
    assert rays.hit_share == pytest.approx(np.mean(rays.needed > 0))


@pytest.mark.parametrize("level", [20, 127])
def test_a_uniform_block_takes_as_many_points_as_its_density_says(level):
    values = np.full((SCENE_CELLS,) * 3, -128, dtype=np.int8)
    values[32:96, 32:96, 32:96] = level
    scene = SceneGrid(app="nerf", values=values, step=0.05)
    camera = Camera(position=(3.0, 0.5, 0.5), target=(0.5, 0.5, 0.5), field_of_view_deg=0.5)
    rays = march(scene, 4, 4, camera)
    across = 0.5 / STEP  # steps through the block, straight on
    until_dark = ceil(OPAQUE / (np.exp(level * 0.05) * STEP) + 1e-9)
    expected = min(until_dark, across)
    assert np.all(np.abs(rays.needed - expected) <= 1.01)
    behind = MOST_STEPS_A_ROUND - 1 if until_dark < across else 0
    assert np.all(rays.available - rays.needed == behind)


def test_an_empty_scene_and_rays_beside_the_cube_take_no_points():
    empty = SceneGrid(app="nvr", values=np.zeros((SCENE_CELLS,) * 3, dtype=np.int8), step=1.0)
    assert march(empty, 16, 9).needed.sum() == 0
    away = Camera(position=(3.0, 0.5, 0.5), target=(5.0, 0.5, 0.5))
    for app in ("nerf", "nsdf", "nvr"):
        assert march(load_scene(app), 16, 9, away).needed.sum() == 0


def test_spheres_are_traced_step_by_step_as_long_as_the_distance():
    """A plane at x = 1/2, distances up to 1/8: straight on, in steps of 1/8 and then all that is left at once."""
    step = 0.125 / 127
    x = (np.arange(SCENE_CELLS) + 0.5) / SCENE_CELLS - 0.5
    plane = np.broadcast_to(np.clip(np.rint(x / step), -128, 127).astype(np.int8)[:, None, None], (SCENE_CELLS,) * 3)
    scene = SceneGrid(app="nsdf", values=np.ascontiguousarray(plane), step=step)
    camera = Camera(position=(3.0, 0.5, 0.5), target=(0.5, 0.5, 0.5), field_of_view_deg=0.01)
    assert np.all(np.isin(march(scene, 2, 2, camera).needed, (5, 6)))  # 1, 7/8, 6/8, 5/8, 1/2


@pytest.mark.parametrize("app", ["nerf", "nvr"])
def test_the_grid_stands_for_the_trained_field(app, seed):
    """The same march with the trained field itself asked at every point: points of a frame within a few percent."""
    field, scene = load_trained(app), load_scene(app)
    width, height = 30, 18
    rays = march(scene, width, height)
    origin, directions = rays_of(width, height)
    occupied = scene.values > (-128 if app == "nerf" else 0)
    chosen = [(y, x) for y, x in np.ndindex(height, width) if rays.needed[y, x]]
    chosen = [chosen[k] for k in np.random.default_rng(seed).permutation(len(chosen))[:60]]
    points = []
    for y, x in chosen:
        positions = samples_of(origin, directions[y, x])
        cells = np.clip((positions * SCENE_CELLS).astype(int), 0, SCENE_CELLS - 1)
        points.append(np.clip(positions[occupied[tuple(cells.T)]], 0, 1))
    positions = torch.from_numpy(np.concatenate(points))
    seen = torch.full_like(positions, 0.5) if app == "nerf" else None
    values = (field_integer(field, positions, seen)[:, 3] * output_scales(field)[3]).numpy()
    density = np.exp(values) if app == "nerf" else 40 * np.maximum(values, 0)
    exact = [ended(part * STEP)[0] for part in np.split(density, np.cumsum([len(part) for part in points])[:-1])]
    ours = [int(rays.needed[y, x]) for y, x in chosen]
    print(f"{app}: {sum(ours)} points by the grid, {sum(exact)} by the field")
    assert sum(ours) == pytest.approx(sum(exact), rel=0.05)


def test_the_traced_grid_stands_for_the_trained_distance():
    field, scene = load_trained("nsdf"), load_scene("nsdf")
    rays = march(scene, 30, 18)
    origin, directions = rays_of(30, 18)
    ends = np.array([[cube_of(origin, direction) for direction in row] for row in directions])
    along, leave = ends[..., 0], ends[..., 1]
    steps = np.zeros((18, 30), dtype=int)
    alive = along < leave
    while alive.any():
        positions = np.clip(origin + along[alive][:, None] * directions[alive], 0, 1)
        raw = field_integer(field, torch.from_numpy(positions))[:, 0].numpy()
        steps[alive] += 1
        along[alive] += raw * scene.step
        going = alive.copy()
        going[alive] = (raw > 1) & (along[alive] <= leave[alive]) & (steps[alive] < 256)
        alive = going
    print(f"nsdf: {rays.needed.sum()} points by the grid, {steps.sum()} by the field")
    assert rays.needed.sum() == pytest.approx(steps.sum(), rel=0.05)
