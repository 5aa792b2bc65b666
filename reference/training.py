"""Training of the fields in ``arch.trained``: Adam on float32 masters, parameters rounded to fp16 at the end.

Initial values follow tiny-cuda-nn (tables uniform within 1e-4, weights Xavier uniform), so does the optimiser
(Adam, beta2 0.99, epsilon 1e-15); the learning rate warms up and then falls along half a cosine. Everything random
comes from one seed. Two runs of one torch version with the same number of threads give the same field.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from arch.checkpoint import FloatField
from arch.errors import check_integer, check_positive
from arch.field import FieldConfig
from arch.trained import TRAINED
from reference.grid_encoding import encode_float, float_terms
from reference.grid_terms import GridTerms
from reference.mlp import mlp_float
from reference.threads import torch_threads
from reference.truth import photograph, pixel_positions, solid_distance, solid_samples, surface_points

__all__ = ["GIA_TRAINING", "NSDF_TRAINING", "Batch", "TrainingConfig", "train", "train_gia", "train_nsdf"]

Progress = Callable[[int, int, float], None]
"""Called after each step with the steps done, the steps in all and the batch's loss."""

_WARM_UP_STEPS = 20
_FINAL_RATE = 0.01
_INITIAL_FEATURE = 1e-4
_SURFACE_POINTS = 1 << 19


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a field is trained.

    Parameters
    ----------
    steps : optimiser steps
    batch : points of a step
    learning_rate : largest rate, after the warm-up of 20 steps; it ends at a hundredth of this
    seed : of initial values and of the order or choice of points
    threads : torch's threads; part of the recipe because the order of sums depends on it
    """

    steps: int
    batch: int
    learning_rate: float = 1e-2
    seed: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1, 1 << 20)
        check_integer("batch", self.batch, 1, 1 << 24)
        check_positive("learning_rate", self.learning_rate)
        check_integer("seed", self.seed, 0, (1 << 31) - 1)
        check_integer("threads", self.threads, 1, 256)


GIA_TRAINING = TrainingConfig(steps=2000, batch=1 << 15)
NSDF_TRAINING = TrainingConfig(steps=1500, batch=1 << 13)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Points of one step.

    Parameters
    ----------
    encode : gives their features from the tables
    targets : (N, outputs) what the loss compares outputs with
    harmonics : (N, 16) direction codes, for nerf and for nothing else
    """

    encode: Callable[[torch.Tensor], torch.Tensor]
    targets: torch.Tensor
    harmonics: torch.Tensor | None = None


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def train(
    config: FieldConfig,
    training: TrainingConfig,
    batches: Iterator[Batch],
    loss: Loss,
    *,
    source: str,
    command: str,
    progress: Progress | None = None,
) -> FloatField:
    """Fit a field to the batches.

    Parameters
    ----------
    config : the field
    training : the recipe
    batches : one batch a step
    loss : of outputs and targets, (N, outputs) float32 each; a nerf field's outputs are its raw colours and density
    source, command : kept in the field
    progress : told of every step
    """
    with torch_threads(training.threads):
        tables, weights = _fit(config, training, batches, loss, progress)
    return FloatField(
        config=config,
        tables=_fp16(tables),
        weights=tuple(tuple(_fp16(matrix) for matrix in network) for network in weights),
        source=source,
        command=command,
    )


def train_gia(
    training: TrainingConfig = GIA_TRAINING, *, command: str = "", progress: Progress | None = None
) -> FloatField:
    """Fit the gia field of ``arch.trained`` to the photograph, by mean squared error over all its pixels."""
    trained = TRAINED["gia"]
    return train(
        trained.config, training, _pixel_batches(trained.config, training), torch.nn.functional.mse_loss,
        source=trained.source, command=command, progress=progress,
    )  # fmt: skip


def train_nsdf(
    training: TrainingConfig = NSDF_TRAINING, *, command: str = "", progress: Progress | None = None
) -> FloatField:
    """Fit the nsdf field of ``arch.trained`` to the solid, by error relative to the distance plus 0.01."""
    trained = TRAINED["nsdf"]

    def relative_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ((outputs - targets).abs() / (targets.abs() + 0.01)).mean()

    return train(
        trained.config, training, _solid_batches(trained.config, training), relative_error,
        source=trained.source, command=command, progress=progress,
    )  # fmt: skip


def _fit(
    config: FieldConfig, training: TrainingConfig, batches: Iterator[Batch], loss: Loss, progress: Progress | None
) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
    """Tables and each network's weights after the last step, float32."""
    generator = torch.Generator().manual_seed(training.seed)
    tables = torch.rand((config.grid.n_entries, config.grid.n_features_per_level), generator=generator)
    tables = ((tables * 2 - 1) * _INITIAL_FEATURE).requires_grad_()
    weights = [[_xavier(layer.n_out, layer.n_in, generator) for layer in network.layers] for network in config.networks]
    adam = torch.optim.Adam(
        [tables, *itertools.chain(*weights)], lr=training.learning_rate, betas=(0.9, 0.99), eps=1e-15
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: _rate(step, training.steps))
    for step in range(training.steps):
        batch = next(batches)
        error = loss(_outputs(config, weights, batch, tables), batch.targets)
        adam.zero_grad()
        error.backward()
        adam.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, training.steps, error.item())
    return tables, weights


def _outputs(
    config: FieldConfig, weights: list[list[torch.Tensor]], batch: Batch, tables: torch.Tensor
) -> torch.Tensor:
    outputs = mlp_float(config.network, weights[0], batch.encode(tables))
    if config.rgb_network is None:
        return outputs
    colours = mlp_float(config.rgb_network, weights[1], torch.cat((outputs, batch.harmonics), dim=1))
    return torch.cat((colours, outputs[:, :1]), dim=1)


def _pixel_batches(config: FieldConfig, training: TrainingConfig) -> Iterator[Batch]:
    """A fixed partition of the pixels, its parts in a new order every round."""
    rng = np.random.default_rng(training.seed)
    positions = torch.from_numpy(pixel_positions())
    colours = torch.from_numpy(photograph().reshape(-1, 3)).to(torch.float32)
    parts = []
    for chosen in torch.from_numpy(rng.permutation(len(positions))).split(training.batch):
        terms = GridTerms(*float_terms(config.grid, positions[chosen]), config.grid.n_entries)
        parts.append(Batch(encode=terms.encode, targets=colours[chosen]))
    while True:
        for part in rng.permutation(len(parts)):
            yield parts[part]


def _solid_batches(config: FieldConfig, training: TrainingConfig) -> Iterator[Batch]:
    """Fresh points every step: near the surface and anywhere in the cube."""
    rng = np.random.default_rng(training.seed)
    surface = surface_points(rng, _SURFACE_POINTS)
    while True:
        positions = solid_samples(rng, surface, training.batch)
        distances = torch.from_numpy(solid_distance(positions)).to(torch.float32)[:, None]
        points = torch.from_numpy(positions)
        yield Batch(
            encode=lambda tables, points=points: encode_float(config.grid, tables, points),
            targets=distances,
        )


def _rate(step: int, steps: int) -> float:
    warm_up = min(1.0, (step + 1) / _WARM_UP_STEPS)
    return warm_up * (_FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + np.cos(np.pi * step / steps)))


def _xavier(n_out: int, n_in: int, generator: torch.Generator) -> torch.Tensor:
    bound = (6.0 / (n_in + n_out)) ** 0.5
    return ((torch.rand((n_out, n_in), generator=generator) * 2 - 1) * bound).requires_grad_()


def _fp16(values: torch.Tensor) -> np.ndarray:
    return values.detach().to(torch.float16).numpy()
