"""Post-training quantisation of a nerf field: its density network as any field of one network, the colours behind it.

The density network's outputs feed the colour network, so its quantised outputs are what the colour network's scales
are chosen on. Both halves of the colour network's input have their own step, which goes into the columns of its first
matrix.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from arch.checkpoint import FloatField, QuantizedField, QuantizedMlp
from arch.errors import check_one_of
from arch.field import FieldConfig
from arch.mlp import MlpConfig
from arch.number_format import integer_profile
from reference.field import field_integer
from reference.quantize import requantization
from reference.reconstruction import ReconstructionConfig, quantize
from reference.spherical_harmonics import harmonics_float, harmonics_integer
from reference.threads import torch_threads

__all__ = ["quantize_nerf"]

_COLOUR_LIMIT = 6.0
"""A logistic function is within 0.0025 of its end there: half a step of an 8-bit colour."""
_CLIPS = tuple(np.linspace(0.2, 1.0, 17).tolist())


def quantize_nerf(
    field: FloatField,
    positions: np.ndarray,
    directions: np.ndarray,
    *,
    arithmetic: str,
    output_limit: float,
    reconstruction: ReconstructionConfig | None = None,
    command: str = "",
    progress: Callable[[int, int, float], None] | None = None,
) -> QuantizedField:
    """Quantise a trained nerf field.

    Parameters
    ----------
    field : a nerf field whose hidden activations are ReLU and whose outputs have none
    positions, directions : (N, 3) calibration points in the unit cube, and directions mapped to [0, 1]
    arithmetic : ``int8`` or ``int16``
    output_limit : real output of the density network that becomes the largest value; beyond it outputs saturate
    reconstruction : how to adjust the rounded values of tables and density network; without it they are the nearest
    command : kept in the field
    progress : told of every step of the reconstruction

    Raises
    ------
    InputError
        If the field is no nerf or has other activations.
    """
    check_one_of("app of a nerf to quantise", field.config.app, ("nerf",))
    for network in field.config.networks:
        check_one_of("hidden activation of a nerf to quantise", network.activation, ("ReLU",))
        check_one_of("output activation of a nerf to quantise", network.output_activation, ("None",))
    # The density network by itself is a field of one network, whatever its app is called.
    alone = FloatField(
        config=FieldConfig(app="nsdf", grid=field.config.grid, network=field.config.network),
        tables=field.tables,
        weights=field.weights[:1],
        source=field.source,
    )
    density = quantize(
        alone, positions, arithmetic=arithmetic, output_limit=output_limit, reconstruction=reconstruction,
        progress=progress,
    )  # fmt: skip
    profile = integer_profile(arithmetic)
    points, seen = torch.from_numpy(positions), torch.from_numpy(directions)
    direction_scale = float(harmonics_float(seen).abs().max()) / profile.value.maximum
    with torch_threads(1):
        codes = harmonics_integer(seen, direction_scale, profile)
        inputs = torch.cat((field_integer(density, points), codes), dim=1).to(torch.float64)
        steps = torch.tensor([density.networks[0].output_scale] * field.config.network.n_output_dims)
        steps = torch.cat((steps, torch.full((codes.shape[1],), direction_scale))).to(torch.float64)
        colours = _colours(field.config.rgb_network, field.weights[1], inputs, steps, arithmetic)
    return QuantizedField(
        config=field.config,
        arithmetic=arithmetic,
        tables=density.tables,
        level_shifts=density.level_shifts,
        networks=(density.networks[0], colours),
        direction_scale=direction_scale,
        source=field.source,
        command=command,
    )


def _colours(
    config: MlpConfig, weights: Sequence[np.ndarray], inputs: torch.Tensor, steps: torch.Tensor, arithmetic: str
) -> QuantizedMlp:
    """Scales of the colour network: each layer's steps are the clips of least squared error on what reaches it."""
    profile = integer_profile(arithmetic)
    x, x_step = inputs, 1.0
    raw, multipliers, shifts = [], [], []
    last = len(weights) - 1
    for number, matrix in enumerate(weights):
        wanted = torch.from_numpy(matrix.astype(np.float64))
        folded = wanted * steps if number == 0 else wanted
        weight_step = _step(folded, profile.weight)
        rounded = (folded / weight_step).round().clamp(profile.weight.minimum, profile.weight.maximum)
        sums = x @ rounded.T * (x_step * weight_step)
        if number < last:
            sums = sums.relu()
        y_step = _COLOUR_LIMIT / profile.value.maximum if number == last else _step(sums, profile.value)
        multiplier, shift = requantization(x_step * weight_step / y_step)
        raw.append(rounded.numpy().astype(f"int{profile.weight_bits}"))
        multipliers.append(multiplier)
        shifts.append(shift)
        x = (sums / y_step).round().clamp(profile.value.minimum, profile.value.maximum)
        x_step = y_step
    return QuantizedMlp(
        config=config, weights=tuple(raw), multipliers=tuple(multipliers), shifts=tuple(shifts), output_scale=x_step
    )


def _step(values: torch.Tensor, number_format) -> float:
    peak = max(values.abs().max().item(), 2.0**-20)

    def error(step: float) -> float:
        raw = (values / step).round().clamp(number_format.minimum, number_format.maximum)
        return (raw * step - values).square().mean().item()

    return min((clip * peak / number_format.maximum for clip in _CLIPS), key=error)
