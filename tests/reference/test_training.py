"""Training: the sparse encoding, the solid's distance, falling losses and equal runs."""

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import pytest
import torch

from arch.errors import InputError
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from reference.field import field_float
from reference.grid_encoding import encode_float, float_terms
from reference.grid_terms import GridTerms
from reference.quality import psnr
from reference.threads import torch_threads
from reference.training import Batch, TrainingConfig, train
from reference.truth import photograph, pixel_positions, solid_distance, solid_samples, surface_points

SEED = 7
GRID = GridConfig(n_pos_dims=2, n_levels=4, log2_hashmap_size=8, base_resolution=4, per_level_scale=1.8)
CONFIG = FieldConfig(app="gia", grid=GRID, network=MlpConfig(n_input_dims=8, n_neurons=16, n_output_dims=3))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: more threads would only wait for one another."""
    with torch_threads(1):
        yield


def small_problem() -> tuple[torch.Tensor, torch.Tensor]:
    positions = torch.from_numpy(pixel_positions(24, 24))
    x, y = positions.T
    colours = torch.stack([x, y * y, 0.5 + 0.5 * torch.sin(9 * x * y)], dim=1)
    return positions, colours.to(torch.float32)


def run_small(seed: int, steps: int = 150, losses: list[float] | None = None):
    positions, colours = small_problem()
    terms = GridTerms(*float_terms(GRID, positions), GRID.n_entries)
    return train(
        CONFIG,
        TrainingConfig(steps=steps, batch=len(positions), seed=seed),
        repeat(Batch(encode=terms.encode, targets=colours)),
        torch.nn.functional.mse_loss,
        source="formula",
        command="none",
        progress=None if losses is None else lambda done, total, loss: losses.append(loss),
    )


@pytest.mark.parametrize("interpolation", ["Nearest", "Linear", "Smoothstep"])
@pytest.mark.parametrize("dims", [2, 3])
def test_grid_terms_equal_encode_float_and_its_gradient(dims, interpolation):
    grid = GridConfig(
        n_pos_dims=dims, n_levels=5, log2_hashmap_size=7, base_resolution=3, per_level_scale=1.9,
        interpolation=interpolation,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(SEED)
    positions = torch.rand((500, dims), generator=generator, dtype=torch.float64)
    tables = torch.randn((grid.n_entries, 2), generator=generator, dtype=torch.float64)
    pull = torch.randn((500, grid.n_output_dims), generator=generator, dtype=torch.float64)
    exact = tables.clone().requires_grad_()
    features = encode_float(grid, exact, positions)
    features.backward(pull)
    single = tables.to(torch.float32).requires_grad_()
    sparse = GridTerms(*float_terms(grid, positions), grid.n_entries).encode(single)
    sparse.backward(pull.to(torch.float32))
    torch.testing.assert_close(sparse.to(torch.float64), features, rtol=0, atol=1e-5)
    torch.testing.assert_close(single.grad.to(torch.float64), exact.grad, rtol=0, atol=1e-4)


def test_training_lowers_the_loss_and_the_field_keeps_it():
    losses: list[float] = []
    field = run_small(SEED, losses=losses)
    positions, colours = small_problem()
    reached = psnr(field_float(field, positions).numpy(), colours.numpy())
    print(f"loss {losses[0]:.4f} to {losses[-1]:.6f}, PSNR {reached:.1f} dB")
    assert len(losses) == 150
    assert losses[-1] < 0.01 * losses[0]
    assert reached > 25.0
    assert field.tables.dtype == np.float16
    assert (field.source, field.command) == ("formula", "none")


def test_one_seed_gives_one_field():
    one, two, other = (run_small(seed, steps=20) for seed in (SEED, SEED, SEED + 1))
    np.testing.assert_array_equal(one.tables, two.tables)
    for left, right in zip(one.weights[0], two.weights[0], strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(one.tables, other.tables)


def test_a_recipe_without_steps_is_refused():
    with pytest.raises(InputError, match=r"^steps must be an integer from 1 to 1048576, not 0$"):
        TrainingConfig(steps=0, batch=1)


def test_photograph_is_a_colour_picture_in_unit_range():
    picture = photograph()
    assert picture.shape == (512, 512, 3)
    assert picture.dtype == np.float64
    assert picture.min() == 0.0
    assert picture.max() == 1.0
    assert len(np.unique((picture * 255).round())) > 200


def test_pixel_positions_are_centres_row_by_row():
    np.testing.assert_allclose(pixel_positions(2, 1), [[0.25, 0.5], [0.75, 0.5]])
    assert pixel_positions().shape == (512 * 512, 2)


@pytest.mark.parametrize(
    ("point", "distance"),
    [
        ((0.50, 0.14, 0.50), 0.0),  # bottom of the slab
        ((0.90, 0.30, 0.50), np.hypot(0.1, 0.04)),  # beyond an edge of the slab
        ((0.50, 0.20, 0.50), -0.06),  # middle of the slab
        ((0.50, 0.90, 0.50), 0.07),  # above the ring
        ((0.50, 0.58, 0.60), 0.0),  # front of the ball
        ((0.50, 0.78, 0.50), -0.05),  # core of the ring
        ((0.60, 0.29, 0.50), 0.01),  # beside the pillar
    ],
)
def test_solid_distance_of_hand_computed_points(point, distance):
    assert solid_distance(np.array([point]))[0] == pytest.approx(distance, abs=1e-12)


def test_solid_distance_is_a_distance():
    rng = np.random.default_rng(SEED)
    points = rng.random((4096, 3))
    distances = solid_distance(points)
    # No two points differ by more than they are apart.
    others = points + 0.05 * rng.standard_normal(points.shape)
    apart = np.linalg.norm(points - others, axis=1)
    assert (np.abs(distances - solid_distance(others)) <= apart + 1e-12).all()
    # Outside, the surface is as near as it says: no nearer point of the surface is found, and some come close.
    surface = surface_points(rng, 1 << 14)
    outside = points[distances > 0.05][:200]
    nearest = np.linalg.norm(outside[:, None] - surface[None], axis=2).min(axis=1)
    assert (nearest >= solid_distance(outside) - 1e-6).all()
    assert np.median(nearest - solid_distance(outside)) < 0.002


def test_surface_points_lie_on_the_surface_and_samples_in_the_cube():
    rng = np.random.default_rng(SEED)
    surface = surface_points(rng, 4096)
    assert np.quantile(np.abs(solid_distance(surface)), 0.99) < 1e-4
    samples = solid_samples(rng, surface, 1000)
    assert samples.shape == (1000, 3)
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert np.median(np.abs(solid_distance(samples[250:]))) < 0.03


def test_positions_of_the_solid_must_be_points():
    with pytest.raises(InputError, match=r"^shape of positions must be \(points, 3\), not \(4, 2\)$"):
        solid_distance(np.zeros((4, 2)))
