"""Golden models of whole neural fields: grid encoding, networks and, for nerf, the direction code between them.

Outputs are raw network outputs, one column each. A nerf field has the colour network's outputs and behind them its
density, which is output 0 of the density network; exp and logistic are the renderer's business.
"""

from collections.abc import Callable, Sequence

import torch

from arch.checkpoint import FloatField, QuantizedField
from arch.errors import InputError
from arch.field import FieldConfig
from arch.mlp import FULLY_FUSED_CHUNK
from arch.number_format import integer_profile
from reference.grid_encoding import encode_float, encode_fp16, encode_integer, quantize_coordinates
from reference.mlp import mlp_float, mlp_fp16, mlp_integer
from reference.spherical_harmonics import harmonics_float, harmonics_fp16, harmonics_integer

__all__ = ["field_float", "field_fp16", "field_integer", "output_scales"]


def field_float(field: FloatField, positions: torch.Tensor, directions: torch.Tensor | None = None) -> torch.Tensor:
    """Evaluate a field in float64, the yardstick.

    Parameters
    ----------
    field : fp16 parameters, taken as the numbers they are
    positions : (N, n_pos_dims), the unit cube
    directions : (N, 3) mapped to [0, 1], ``(d + 1) / 2``; for nerf and for nothing else

    Returns
    -------
    (N, outputs) float64
    """
    features = encode_float(field.config.grid, torch.as_tensor(field.tables).to(torch.float64), positions)

    def network(number: int, inputs: torch.Tensor) -> torch.Tensor:
        weights = [torch.as_tensor(matrix) for matrix in field.weights[number]]
        return mlp_float(field.config.networks[number], weights, inputs)

    return _run(field.config, features, network, harmonics_float, directions)


def field_fp16(
    field: FloatField,
    positions: torch.Tensor,
    directions: torch.Tensor | None = None,
    *,
    scales: Sequence[float] | None = None,
    chunk: int = FULLY_FUSED_CHUNK,
) -> torch.Tensor:
    """Evaluate a field exactly as tiny-cuda-nn does on an H200, networks being FullyFusedMLPs if not told else.

    The library pads an encoding to a multiple of 16 features with zeros, which adds zeros to the last chunk of the
    first layer and changes no sum. Parameters as for :func:`field_float`, and the scale of each level where it is not
    the host's, and products a step; returns fp16.
    """
    features = encode_fp16(field.config.grid, field.tables, positions, scales=scales)

    def network(number: int, inputs: torch.Tensor) -> torch.Tensor:
        return mlp_fp16(field.config.networks[number], field.weights[number], inputs, chunk=chunk)

    return _run(field.config, features, network, harmonics_fp16, directions)


def field_integer(
    field: QuantizedField, positions: torch.Tensor, directions: torch.Tensor | None = None
) -> torch.Tensor:
    """Evaluate a field in its integer profile, exactly as docs/numerics.md says and the RTL computes.

    Parameters as for :func:`field_float`. Returns raw values, torch.int8 or torch.int16; times
    :func:`output_scales` they are real values.
    """
    profile = integer_profile(field.arithmetic)
    coordinates = quantize_coordinates(positions)
    features = encode_integer(field.config.grid, field.tables, field.level_shifts, coordinates, profile)

    def network(number: int, inputs: torch.Tensor) -> torch.Tensor:
        return mlp_integer(field.networks[number], inputs, profile)

    def harmonics(codes: torch.Tensor) -> torch.Tensor:
        return harmonics_integer(codes, field.direction_scale, profile)

    return _run(field.config, features, network, harmonics, directions)


def output_scales(field: QuantizedField) -> torch.Tensor:
    """Real value of one step of each column that :func:`field_integer` returns, float64."""
    last = field.networks[-1]
    scales = [last.output_scale] * last.config.n_output_dims
    if field.config.app == "nerf":
        scales.append(field.networks[0].output_scale)
    return torch.tensor(scales, dtype=torch.float64)


def _run(
    config: FieldConfig,
    features: torch.Tensor,
    network: Callable[[int, torch.Tensor], torch.Tensor],
    harmonics: Callable[[torch.Tensor], torch.Tensor],
    directions: torch.Tensor | None,
) -> torch.Tensor:
    if (directions is not None) != (config.app == "nerf"):
        found = "none" if directions is None else "some"
        raise InputError(f"directions must be given for nerf and for no other app, not {found} for {config.app}")
    outputs = network(0, features)
    if directions is None:
        return outputs
    if len(directions) != len(features):
        raise InputError(f"number of directions must be that of positions, {len(features)}, not {len(directions)}")
    colours = network(1, torch.cat((outputs, harmonics(directions)), dim=1))
    return torch.cat((colours, outputs[:, :1]), dim=1)
