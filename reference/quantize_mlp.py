"""Post-training quantisation of a network by itself, whatever its activations.

:mod:`reference.quantize` moves scales through a whole field and needs ReLU for it; this takes a network as it is.
Hidden layers share one curve, so that two tables serve any of tiny-cuda-nn's networks: one for ``activation`` and one
for ``output_activation``.
"""

from collections.abc import Sequence

import torch

from arch.activation_table import (
    INTEGER_ACTIVATIONS,
    TABLE_ACTIVATIONS,
    ActivationCurve,
)
from arch.checkpoint import QuantizedMlp
from arch.errors import check_one_of
from arch.mlp import MlpConfig
from arch.number_format import IntegerProfile, integer_profile
from reference.activation import activate
from reference.activation_table import narrowed_curve
from reference.mlp import check_weights
from reference.quantize import requantization

__all__ = ["quantize_mlp"]

_BOUNDED = ("Sigmoid", "Tanh")


def quantize_mlp(
    config: MlpConfig, weights: Sequence[torch.Tensor], inputs: torch.Tensor, *, input_scale: float, arithmetic: str
) -> QuantizedMlp:
    """Choose scales so that nothing seen on calibration inputs saturates.

    Parameters
    ----------
    config : the network, activations of ``arch.activation_table.INTEGER_ACTIVATIONS``
    weights : per layer, (n_out, n_in)
    inputs : (N, n_input_dims) real calibration inputs
    input_scale : real value of one input step
    arithmetic : ``int8`` or ``int16``
    """
    profile = integer_profile(arithmetic)
    x = torch.as_tensor(inputs).to(torch.float64)
    weights = [torch.as_tensor(matrix).to(torch.float64) for matrix in weights]
    check_weights(config, weights, x)
    sums, peaks = [], []
    for layer, matrix in zip(config.layers, weights, strict=True):
        check_one_of("activation in an integer profile", layer.activation, INTEGER_ACTIVATIONS)
        total = x @ matrix.T
        x = activate(layer.activation, total)
        sums.append(float(total.abs().max()))
        peaks.append(1.0 if layer.activation in _BOUNDED else max(float(x.abs().max()), 2.0**-20))
    last = len(weights) - 1
    hidden = _curve(config.activation, profile, sums[:last], peaks[:last])
    curves = [*[hidden] * last, _curve(config.output_activation, profile, sums[last:], peaks[last:])]
    raw, multipliers, shifts = [], [], []
    x_scale = input_scale
    for matrix, curve, peak in zip(weights, curves, peaks, strict=True):
        step = max(float(matrix.abs().max()), 2.0**-20) / profile.weight.maximum
        raw.append((matrix / step).round().to(torch.int8).numpy())
        output_scale = curve.output_scale if curve else peak / profile.value.maximum
        multiplier, shift = requantization(x_scale * step / (curve.input_scale if curve else output_scale))
        multipliers.append(multiplier)
        shifts.append(shift)
        x_scale = output_scale
    return QuantizedMlp(
        config=config,
        weights=tuple(raw),
        multipliers=tuple(multipliers),
        shifts=tuple(shifts),
        output_scale=x_scale,
        curves=tuple(curves),
    )


def _curve(
    activation: str, profile: IntegerProfile, sums: Sequence[float], peaks: Sequence[float]
) -> ActivationCurve | None:
    """The curve for all these layers, if they need one."""
    if not sums or activation not in TABLE_ACTIVATIONS:
        return None
    return narrowed_curve(activation, profile, max(sums), max(peaks))
