"""Training of the nerf and nvr fields of ``arch.trained``: at points of the cube, without rendering."""

from collections.abc import Iterator

import numpy as np
import torch

from arch.checkpoint import FloatField
from arch.field import FieldConfig
from arch.trained import TRAINED
from reference.grid_encoding import encode_float
from reference.spherical_harmonics import harmonics_float
from reference.training import Batch, Progress, TrainingConfig, train
from reference.truth import solid_samples, surface_points
from reference.volumes import cloud, reflected, solid_log_density, solid_surface

__all__ = ["NERF_TRAINING", "NVR_TRAINING", "cloud_samples", "train_nerf", "train_nvr", "unit_vectors"]

NERF_TRAINING = TrainingConfig(steps=900, batch=1 << 13)
NVR_TRAINING = TrainingConfig(steps=500, batch=1 << 13)

_POOL = 1 << 18
_COLOUR_WEIGHT = 20.0
"""Of a squared error of colour, beside a squared error of the logarithm of the density."""
_VISIBLE = 2.0
"""Logarithm of the density from which a point's colour counts fully."""
_CLOUD_SHARE = 0.7


def train_nerf(
    training: TrainingConfig = NERF_TRAINING, *, command: str = "", progress: Progress | None = None
) -> FloatField:
    """Fit the nerf field of ``arch.trained``: squared errors of the density's logarithm and, where there is something
    to see, of the colour behind a logistic function."""
    trained = TRAINED["nerf"]

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        colour = (torch.sigmoid(outputs[:, :3]) - targets[:, :3]).square().sum(dim=1)
        visible = torch.sigmoid(targets[:, 3] - _VISIBLE)
        return (_COLOUR_WEIGHT * visible * colour + (outputs[:, 3] - targets[:, 3]).square()).mean()

    return train(
        trained.config, training, _solid_batches(trained.config, training), loss,
        source=trained.source, command=command, progress=progress,
    )  # fmt: skip


def train_nvr(
    training: TrainingConfig = NVR_TRAINING, *, command: str = "", progress: Progress | None = None
) -> FloatField:
    """Fit the nvr field of ``arch.trained`` by mean squared error."""
    trained = TRAINED["nvr"]
    return train(
        trained.config, training, _cloud_batches(trained.config, training), torch.nn.functional.mse_loss,
        source=trained.source, command=command, progress=progress,
    )  # fmt: skip


def unit_vectors(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) directions, uniform over the sphere."""
    vectors = rng.standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cloud_samples(rng: np.random.Generator, count: int, share: float = _CLOUD_SHARE) -> np.ndarray:
    """(count, 3) points of the cube, of which about ``share`` are thrown about the cloud in its middle."""
    inside = rng.random(count) < share
    about = np.clip(0.5 + rng.standard_normal((count, 3)) * (0.2, 0.12, 0.17), 0.0, 1.0)
    return np.where(inside[:, None], about, rng.random((count, 3)))


def _solid_batches(config: FieldConfig, training: TrainingConfig) -> Iterator[Batch]:
    """Points of a fixed pool, seen from a fresh direction every time."""
    rng = np.random.default_rng(training.seed)
    pool = solid_samples(rng, surface_points(rng, _POOL), _POOL)
    normals, matt = solid_surface(pool)
    log_densities = solid_log_density(pool)
    while True:
        chosen = rng.integers(_POOL, size=training.batch)
        directions = unit_vectors(rng, training.batch)
        colours = reflected(normals[chosen], matt[chosen], directions)
        yield Batch(
            encode=_encoder(config, pool[chosen]),
            targets=torch.from_numpy(np.column_stack([colours, log_densities[chosen]])).to(torch.float32),
            harmonics=harmonics_float(torch.from_numpy((directions + 1) / 2)).to(torch.float32),
        )


def _cloud_batches(config: FieldConfig, training: TrainingConfig) -> Iterator[Batch]:
    rng = np.random.default_rng(training.seed)
    while True:
        positions = cloud_samples(rng, training.batch)
        yield Batch(encode=_encoder(config, positions), targets=torch.from_numpy(cloud(positions)).to(torch.float32))


def _encoder(config: FieldConfig, positions: np.ndarray):
    points = torch.from_numpy(positions)
    return lambda tables: encode_float(config.grid, tables, points)
