"""Scenes on disk and the camera in front of them."""

from dataclasses import replace

import numpy as np
import pytest

import arch.scene
from arch.errors import InputError
from arch.scene import SCENE_APPS, SCENE_CELLS, Camera, SceneGrid, load_scene, scene_path


@pytest.mark.parametrize("app", SCENE_APPS)
def test_every_scene_loads_and_is_small(app):
    scene = load_scene(app)
    assert scene.app == app
    assert scene.values.shape == (SCENE_CELLS,) * 3
    assert scene_path(app).stat().st_size < 1_000_000
    # something is there, and most of the cube is empty or far from it
    assert 0.01 < np.mean(scene.values > (0 if app == "nvr" else -128)) <= (1.0 if app == "nsdf" else 0.2)


def test_a_saved_scene_is_read_back(tmp_path, monkeypatch):
    scene = load_scene("nvr")
    path = tmp_path / "scene.npz"
    replace(scene, step=0.25).save(path)
    monkeypatch.setattr(arch.scene, "scene_path", lambda app: path)
    again = load_scene("nvr")
    assert again.step == 0.25
    np.testing.assert_array_equal(again.values, scene.values)


def test_a_missing_or_damaged_scene_is_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "scene.npz"
    monkeypatch.setattr(arch.scene, "scene_path", lambda app: path)
    with pytest.raises(InputError, match=r"^the scene must be an existing file, not '.*scene.npz'; make it with scrip"):
        load_scene("nerf")
    load = load_scene.__globals__["SceneGrid"]
    whole = tmp_path / "whole.npz"
    load(app="nvr", values=np.zeros((SCENE_CELLS,) * 3, np.int8), step=1.0).save(whole)
    path.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"^the scene scene.npz must be a whole open-ngpc scene file, not one cut sho"):
        load_scene("nvr")


def test_wrong_scenes_are_refused():
    values = np.zeros((SCENE_CELLS,) * 3, np.int8)
    with pytest.raises(InputError, match=r"^app of a scene must be one of nerf, nsdf, nvr, not 'gia'$"):
        SceneGrid(app="gia", values=values, step=1.0)
    with pytest.raises(InputError, match=r"^values of a scene must be int8 of shape \(128, 128, 128\), not int16 of "):
        SceneGrid(app="nvr", values=values.astype(np.int16), step=1.0)
    with pytest.raises(InputError, match=r"^step of a scene must be a number above 0, not 0$"):
        SceneGrid(app="nvr", values=values, step=0)
    with pytest.raises(
        InputError, match=r"^target must not be the position or above or below it, not \(0.5, 0.1, 0.5\)"
    ):
        Camera(position=(0.5, 2.0, 0.5), target=(0.5, 0.1, 0.5))
    with pytest.raises(InputError, match=r"^field_of_view_deg must be below 180, not 180$"):
        Camera(field_of_view_deg=180)


def test_a_cameras_axes_are_square_and_its_picture_as_wide_as_it_says():
    camera = Camera(position=(2.0, 0.5, 0.5), target=(0.5, 0.5, 0.5), field_of_view_deg=60.0)
    origin, (right, down, ahead) = camera.rays(100)
    np.testing.assert_allclose(origin, (2.0, 0.5, 0.5))
    np.testing.assert_allclose(ahead, (-1.0, 0.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(down, (0.0, -np.linalg.norm(right), 0.0), atol=1e-12)  # y is up
    np.testing.assert_allclose(100 * np.linalg.norm(right), 2 * np.tan(np.radians(30)))
    assert abs(right @ ahead) < 1e-12


def test_centres_run_with_z_fastest():
    centres = SceneGrid.centres()
    assert centres.shape == (SCENE_CELLS**3, 3)
    np.testing.assert_allclose(centres[1], (0.5 / 128, 0.5 / 128, 1.5 / 128))
    np.testing.assert_allclose(centres[-1], 127.5 / 128)
