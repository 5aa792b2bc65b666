"""Reconstruction of a quantised field: adjust the rounded values until its outputs are those of the float field.

Not training: the only target is the float field itself on calibration points, scales and shifts stay as they are.
Straight-through estimation moves tables and weights by fractions of a raw step before they are rounded, which includes
choosing between rounding up and down (AdaRound, Nagel et al. 2020) and passes errors on from one layer to the next.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from arch.checkpoint import FloatField, QuantizedField
from arch.errors import check_integer, check_positive
from reference.grid_encoding import encode_float, integer_terms, quantize_coordinates
from reference.grid_terms import GridTerms
from reference.mlp import mlp_float
from reference.quantize import Draft, draft, draft_outputs, finish
from reference.threads import torch_threads

__all__ = ["ReconstructionConfig", "quantize", "reconstruct"]


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """How rounded values are adjusted.

    Parameters
    ----------
    rounds : passes over the calibration points
    batch : points of a step
    table_rate, weight_rate : largest rates of Adam, in raw steps; both fall to zero along half a cosine
    seed : of the order of the points
    threads : torch's threads; part of the recipe because the order of sums depends on it
    """

    rounds: int = 20
    batch: int = 1 << 15
    table_rate: float = 0.1
    weight_rate: float = 0.05
    seed: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        check_integer("rounds", self.rounds, 1, 1 << 20)
        check_integer("batch", self.batch, 1, 1 << 24)
        check_positive("table_rate", self.table_rate)
        check_positive("weight_rate", self.weight_rate)
        check_integer("seed", self.seed, 0, (1 << 31) - 1)
        check_integer("threads", self.threads, 1, 256)


def quantize(
    field: FloatField,
    positions: np.ndarray,
    *,
    arithmetic: str,
    output_limit: float,
    reconstruction: ReconstructionConfig | None = None,
    command: str = "",
    progress: Callable[[int, int, float], None] | None = None,
) -> QuantizedField:
    """Quantise a trained field after training.

    Parameters
    ----------
    field : a field of one network (nsdf, gia, nvr), its activations of ``INTEGER_ACTIVATIONS``
    positions : (N, n_pos_dims) calibration points in the unit cube
    arithmetic : ``int8`` or ``int16``
    output_limit : real output that becomes the largest output value; beyond it outputs saturate
    reconstruction : how to adjust the rounded values; without it they are the nearest ones
    command : kept in the field
    progress : told of every step of the reconstruction: steps done, steps in all, mean squared error

    Raises
    ------
    InputError
        If the field cannot be quantised.
    """
    rough = draft(field, positions, arithmetic=arithmetic, output_limit=output_limit)
    if reconstruction is not None:
        rough = reconstruct(rough, field, positions, reconstruction, progress=progress)
    return finish(rough, field, command=command)


def reconstruct(
    rough: Draft,
    field: FloatField,
    positions: np.ndarray,
    config: ReconstructionConfig,
    *,
    progress: Callable[[int, int, float], None] | None = None,
) -> Draft:
    """Adjust tables and weights of a draft; parameters as of :func:`quantize`."""
    with torch_threads(config.threads):
        tables, weights = _adjust(rough, field, positions, config, progress)
    return replace(rough, tables=tables.detach(), weights=tuple(matrix.detach() for matrix in weights))


def _adjust(
    rough: Draft,
    field: FloatField,
    positions: np.ndarray,
    config: ReconstructionConfig,
    progress: Callable[[int, int, float], None] | None,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Tables and weights after the last step, in raw steps, not rounded."""
    generator = torch.Generator().manual_seed(config.seed)
    points = torch.from_numpy(np.asarray(positions, dtype=np.float64))
    parts = [
        _part(rough, field, points[chosen])
        for chosen in torch.randperm(len(points), generator=generator).split(config.batch)
    ]
    tables = rough.tables.clone().requires_grad_()
    weights = [matrix.clone().requires_grad_() for matrix in rough.weights]
    adam = torch.optim.Adam(
        [{"params": [tables], "lr": config.table_rate}, {"params": weights, "lr": config.weight_rate}],
        betas=(0.9, 0.99),
        eps=1e-15,
    )
    steps = config.rounds * len(parts)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    done = 0
    for _ in range(config.rounds):
        for part in torch.randperm(len(parts), generator=generator).tolist():
            terms, targets = parts[part]
            error = (draft_outputs(rough, terms, tables=tables, weights=weights) - targets).square().mean()
            adam.zero_grad()
            error.backward()
            adam.step()
            schedule.step()
            done += 1
            if progress is not None:
                progress(done, steps, error.item())
    return tables, weights


def _part(rough: Draft, field: FloatField, points: torch.Tensor) -> tuple[GridTerms, torch.Tensor]:
    """The integer encoding of some points, and the float field's outputs there, saturated as the integer's are."""
    grid = field.config.grid
    tables = torch.from_numpy(field.tables.astype(np.float32))
    weights = [torch.from_numpy(matrix.astype(np.float32)) for matrix in field.weights[0]]
    outputs = mlp_float(field.config.network, weights, encode_float(grid, tables, points))
    value = rough.profile.value
    targets = outputs.clamp(value.minimum * rough.output_scale, value.maximum * rough.output_scale)
    return GridTerms(*integer_terms(grid, quantize_coordinates(points)), grid.n_entries), targets
