"""The nerf and nvr fields: formulas, training of two networks, quantisation, and the grids sampled from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import reference.training_volumes
from arch.errors import InputError
from arch.scene import SCENE_APPS, SceneGrid, load_scene
from arch.trained import TRAINED, load_trained
from reference.field import field_integer, output_scales
from reference.quality_volumes import nerf_quality, nvr_quality
from reference.quantize_nerf import quantize_nerf
from reference.scene import density_column
from reference.threads import torch_threads
from reference.training_volumes import NERF_TRAINING, NVR_TRAINING, cloud_samples, train_nerf, train_nvr, unit_vectors
from reference.volumes import cloud, solid_colour, solid_log_density


def test_density_of_points_with_a_known_distance():
    inside, face, beyond = solid_log_density(np.array([(0.5, 0.2, 0.5), (0.5, 0.14, 0.5), (0.9, 0.9, 0.9)]))
    assert inside == pytest.approx(np.log(400), abs=1e-5)
    assert face == pytest.approx(np.log(200))
    assert beyond == -5.0


def test_colours_depend_on_the_direction_only_by_the_highlight(seed):
    rng = np.random.default_rng(seed)
    positions = rng.random((200, 3))
    one, other = (solid_colour(positions, unit_vectors(rng, 200)) for _ in range(2))
    assert one.min() >= 0 and one.max() <= 1
    assert 0 < np.abs(one - other).max() <= 0.4 + 1e-9


def test_the_cloud_is_in_the_middle_and_its_edges_are_empty(seed):
    values = cloud(np.random.default_rng(seed).random((4000, 3)))
    assert values.shape == (4000, 4)
    assert 0.01 < np.mean(values[:, 3] > 0) < 0.3
    edges = np.array([(0.02, 0.5, 0.5), (0.5, 0.98, 0.5), (0.0, 0.0, 0.0)])
    assert np.all(cloud(edges) == 0)
    with pytest.raises(InputError, match=r"^shape of positions must be \(points, 3\), not \(3,\)$"):
        cloud(np.zeros(3))


@pytest.mark.parametrize("train", [train_nerf, train_nvr])
def test_some_steps_lower_the_loss_and_give_one_field(train, monkeypatch):
    monkeypatch.setattr(reference.training_volumes, "_POOL", 1 << 12)
    recipe = replace(NERF_TRAINING if train is train_nerf else NVR_TRAINING, steps=30, batch=256)
    losses: list[float] = []
    one = train(recipe, progress=lambda done, total, loss: losses.append(loss))
    two = train(recipe)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert len(one.weights) == len(one.config.networks)
    for left, right in zip(one.weights, two.weights, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_the_trained_nerf_is_as_good_as_documented():
    with torch_threads(1):
        quality = nerf_quality(load_trained("nerf", "fp16"), load_trained("nerf", "int8"), count=1 << 12)
    assert quality["float_density"] < 0.2 and quality["integer_density"] < 0.21
    assert quality["float_colour"] > 23 and quality["integer_colour"] > 23


def test_the_trained_cloud_is_as_good_as_documented():
    with torch_threads(1):
        quality = nvr_quality(load_trained("nvr", "fp16"), load_trained("nvr", "int8"), count=1 << 12)
    assert quality["float_cloud"] > 43 and quality["integer_cloud"] > 42


@pytest.mark.parametrize("app", SCENE_APPS)
def test_scenes_are_sampled_from_the_committed_fields(app, seed):
    """300 cells anywhere and 300 that are not empty: the integer field's own output, but -128 where nerf is thin."""
    field, scene = load_trained(app, "int8"), load_scene(app)
    rng = np.random.default_rng(seed)
    full = np.flatnonzero(scene.values.ravel() > (-128 if app == "nerf" else 0))
    chosen = np.concatenate([rng.integers(0, scene.values.size, 300), rng.choice(full, 300)])
    positions = torch.from_numpy(SceneGrid.centres()[chosen])
    seen = torch.full_like(positions, 0.5) if app == "nerf" else None
    column = density_column(field)
    raw = field_integer(field, positions, seen)[:, column].numpy()
    if app == "nerf":
        raw = np.where(np.exp(raw * scene.step) < 0.01 / 0.0017, -128, raw)
    np.testing.assert_array_equal(scene.values.ravel()[chosen], raw)
    assert scene.step == float(output_scales(field)[column])


def test_a_nerf_without_relu_is_not_quantised():
    field = load_trained("nerf", "fp16")
    points = cloud_samples(np.random.default_rng(0), 64)
    other = load_trained("nvr", "fp16")
    with pytest.raises(InputError, match=r"^app of a nerf to quantise must be one of nerf, not 'nvr'$"):
        quantize_nerf(other, points, points, arithmetic="int8", output_limit=1.0)
    with torch_threads(1):
        rough = quantize_nerf(field, points, points, arithmetic="int16", output_limit=TRAINED["nerf"].output_limit)
    assert rough.arithmetic == "int16" and len(rough.networks) == 2
