"""Post-training quantisation: from a float field to the integer profiles of docs/numerics.md.

Scales move freely between the tables, the encoding, the first matrix and, behind activations that are straight on both
sides of zero and so positively homogeneous, along every hidden channel. The quantiser uses that: tables fill their
range level by level, hidden channels are equalised, and every remaining scale is searched for the least squared error
on calibration points. Behind an activation that takes a table, the table's scales are those of its curve; all hidden
layers share one. What then remains of the error is spread by :mod:`reference.reconstruction`, which adjusts the rounded
values themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from arch.activation_table import (
    INTEGER_ACTIVATIONS,
    PRE_ACTIVATION_BITS,
    STRAIGHT_ACTIVATIONS,
    TABLE_ACTIVATIONS,
    ActivationCurve,
)
from arch.checkpoint import MAX_LEVEL_SHIFT, MAX_REQUANTIZE_SHIFT, FloatField, QuantizedField, QuantizedMlp
from arch.errors import InputError, check_one_of, check_positive
from arch.number_format import IntegerProfile, integer_profile
from reference.activation import activate
from reference.activation_table import narrowed_curve
from reference.grid_encoding import encode_float, integer_terms, quantize_coordinates
from reference.grid_terms import GridTerms
from reference.mlp import mlp_float
from reference.threads import torch_threads

__all__ = ["Draft", "draft", "draft_outputs", "finish", "requantization"]

_TABLE_CLIPS = tuple(np.linspace(0.5, 1.0, 11).tolist())
_WEIGHT_CLIPS = tuple(np.linspace(0.4, 1.0, 13).tolist())
_VALUE_CLIPS = tuple(np.linspace(0.2, 1.0, 17).tolist())
_EQUALISATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
_CALIBRATION_POINTS = 1 << 13
_CALIBRATION_SEED = 1


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A quantised field before its values are rounded: float32 raw values on their integer scales.

    Parameters
    ----------
    profile : ``int8`` or ``int16`` profile
    tables : (entries, n_features_per_level), in raw steps
    level_shifts : per level
    weights : per layer, (n_out, n_in), in raw steps
    multipliers, shifts : per layer, the requantisation
    output_scale : real value of one output step
    activations : per layer, one of ``INTEGER_ACTIVATIONS``
    curves : per layer, the curve of an activation that takes a table, else None
    """

    profile: IntegerProfile
    tables: torch.Tensor
    level_shifts: tuple[int, ...]
    weights: tuple[torch.Tensor, ...]
    multipliers: tuple[int, ...]
    shifts: tuple[int, ...]
    output_scale: float
    activations: tuple[str, ...]
    curves: tuple[ActivationCurve | None, ...]


def requantization(ratio: float) -> tuple[int, int]:
    """Multiplier of 16 significant bits and shift with ``multiplier / 2**shift`` nearest to ``ratio``.

    Raises
    ------
    InputError
        If the shift is not in 1 .. 47, that is for ratios below about 2**-32 or from 2**15 on.
    """
    check_positive("requantisation ratio", ratio)
    shift = 15 - int(np.floor(np.log2(ratio)))
    multiplier = int(np.rint(ratio * 2.0**shift))
    if multiplier == 1 << 16:
        multiplier, shift = 1 << 15, shift - 1
    if not 1 <= shift <= MAX_REQUANTIZE_SHIFT:
        raise InputError(f"requantisation ratio must be within 2^-32 and 2^15, not {ratio!r}")
    return multiplier, shift


def draft(field: FloatField, positions: np.ndarray, *, arithmetic: str, output_limit: float) -> Draft:
    """Choose every scale of the integer field.

    Parameters
    ----------
    field : a field of one network, its activations of ``INTEGER_ACTIVATIONS``
    positions : (N, n_pos_dims) calibration points; 8,192 of them, or all if fewer, are used
    arithmetic : ``int8`` or ``int16``
    output_limit : real output that becomes the largest output value

    Raises
    ------
    InputError
        If the field has two networks or another activation.
    """
    profile = integer_profile(arithmetic)
    check_positive("output_limit", output_limit)
    check_one_of("app of a field to quantise", field.config.app, ("nsdf", "gia", "nvr"))
    network = field.config.network
    check_one_of("hidden activation of a field to quantise", network.activation, INTEGER_ACTIVATIONS)
    check_one_of("output activation of a field to quantise", network.output_activation, INTEGER_ACTIVATIONS)
    # One thread: thousands of small operations, and the same sums whatever the machine.
    with torch_threads(1):
        return _draft(field, positions, profile, output_limit)


def _draft(field: FloatField, positions: np.ndarray, profile: IntegerProfile, output_limit: float) -> Draft:
    points = torch.from_numpy(np.asarray(positions, dtype=np.float64))
    shuffle = torch.Generator().manual_seed(_CALIBRATION_SEED)
    points = points[torch.randperm(len(points), generator=shuffle)[:_CALIBRATION_POINTS]]
    tables = torch.from_numpy(field.tables.astype(np.float32))
    matrices = [torch.from_numpy(matrix.astype(np.float32)) for matrix in field.weights[0]]
    features = encode_float(field.config.grid, tables, points)
    table_steps = _table_steps(field, profile)
    first = matrices[0] * table_steps
    level_shifts = _level_shifts(field, features / table_steps, first, profile)
    common_steps = table_steps * 2.0 ** _per_feature(field, level_shifts)
    targets = mlp_float(field.config.network, matrices, features).clamp(
        output_limit * profile.value.minimum / profile.value.maximum, output_limit
    )
    terms = GridTerms(*integer_terms(field.config.grid, quantize_coordinates(points)), field.config.grid.n_entries)
    network = field.config.network
    hidden = len(matrices) - 1
    homogeneous = network.activation in STRAIGHT_ACTIVATIONS
    best, least = None, np.inf
    for exponents in product(_EQUALISATIONS if homogeneous else (0.0,), repeat=min(hidden, 2)):
        chosen = [*exponents, *[0.5 if homogeneous else 0.0] * (hidden - len(exponents))]
        layers = [matrices[0] * common_steps, *matrices[1:]]
        layers = _equalise(layers, features / common_steps, chosen, network.activation)
        candidate = Draft(
            profile=profile,
            tables=tables / _per_row(field, table_steps),
            level_shifts=level_shifts,
            output_scale=output_limit / profile.value.maximum,
            activations=tuple(layer.activation for layer in network.layers),
            **_layer_scales(layers, features / common_steps, profile, network, output_limit),
        )
        with torch.no_grad():
            error = (draft_outputs(candidate, terms) - targets).square().mean().item()
        if error < least:
            best, least = candidate, error
    return best


def draft_outputs(
    draft: Draft, terms: GridTerms, *, tables: torch.Tensor | None = None, weights: Sequence[torch.Tensor] | None = None
) -> torch.Tensor:
    """Real outputs of the rounded draft on fixed points, float32, before the last rounding.

    The integer arithmetic in floating point: every rounding and saturation is there, with the identity as derivative of
    a rounding, so that tables and weights can be adjusted. Sums beyond 2**24 are inexact; the exact result is that of
    the finished field.

    Parameters
    ----------
    draft : the field
    terms : of ``integer_terms`` of the points
    tables, weights : to use in place of the draft's

    Returns
    -------
    (N, n_output_dims) real outputs, not rounded but saturated
    """
    profile = draft.profile
    value = profile.value
    tables = draft.tables if tables is None else tables
    weights = draft.weights if weights is None else weights
    x = terms.encode(_round_raw(tables, profile.value))
    per_level = x.shape[1] // len(draft.level_shifts)
    units = torch.tensor([2.0**-shift for shift in draft.level_shifts for _ in range(per_level)])
    x = _Round.apply(x * units).clamp(value.minimum, value.maximum)
    for number, (matrix, activation) in enumerate(zip(weights, draft.activations, strict=True)):
        x = x @ _round_raw(matrix, profile.weight).T
        x = x * (draft.multipliers[number] * 2.0 ** -draft.shifts[number])
        last = number == len(weights) - 1
        if draft.curves[number] is not None:
            x = _look_up(x, draft.curves[number])
        elif last or activation != "ReLU":  # a hidden ReLU is the lower end of the saturation behind the rounding
            x = activate(activation, x)
        if not last:
            x = _Round.apply(x).clamp(0 if activation == "ReLU" else value.minimum, value.maximum)
    return x.clamp(value.minimum, value.maximum) * draft.output_scale


def finish(draft: Draft, field: FloatField, *, command: str = "") -> QuantizedField:
    """Round the draft of ``field`` to the integers that are stored; the source is the float field's."""
    profile = draft.profile
    network = QuantizedMlp(
        config=field.config.network,
        weights=tuple(_integers(matrix, profile.weight, profile.weight_bits) for matrix in draft.weights),
        multipliers=draft.multipliers,
        shifts=draft.shifts,
        output_scale=draft.output_scale,
        curves=draft.curves,
    )
    return QuantizedField(
        config=field.config,
        arithmetic=profile.name,
        tables=_integers(draft.tables, profile.value, profile.value_bits),
        level_shifts=draft.level_shifts,
        networks=(network,),
        source=field.source,
        command=command,
    )


class _Round(torch.autograd.Function):
    """Round half to even, with the identity as derivative."""

    @staticmethod
    def forward(context, values):
        return values.round()

    @staticmethod
    def backward(context, gradient):
        return gradient


def _round_raw(values, number_format):
    return _Round.apply(values).clamp(number_format.minimum, number_format.maximum)


def _look_up(values, curve):
    """Output steps of pre-activations in raw steps; the table's own error is left out."""
    half = 1 << (PRE_ACTIVATION_BITS - 1)
    pre = _Round.apply(values).clamp(-half, half - 1).to(torch.float64)
    return (activate(curve.activation, pre * curve.input_scale) / curve.output_scale).to(values.dtype)


def _integers(values, number_format, bits):
    raw = values.detach().round().clamp(number_format.minimum, number_format.maximum)
    return raw.numpy().astype(f"int{bits}")


def _per_feature(field, per_level):
    return torch.tensor(per_level, dtype=torch.float32).repeat_interleave(field.config.grid.n_features_per_level)


def _per_row(field, per_feature):
    grid = field.config.grid
    counts = torch.tensor([level.entries for level in grid.levels])
    return per_feature.reshape(grid.n_levels, -1).repeat_interleave(counts, dim=0)


def _table_steps(field, profile):
    """Per encoded feature, the real value of one raw step of its table: the clip of least squared error."""
    steps = []
    for level in field.config.grid.levels:
        rows = torch.from_numpy(field.tables[level.offset : level.offset + level.entries].astype(np.float32))
        for feature in range(rows.shape[1]):
            steps.append(_best_step(rows[:, feature], profile.value, _TABLE_CLIPS))
    return torch.tensor(steps, dtype=torch.float32)


def _best_step(values, number_format, clips):
    """The step, among clips of the largest magnitude, whose rounding has the least squared error."""
    peak = values.abs().max().item()
    if peak == 0:
        return 1.0
    best, least = None, np.inf
    for clip in clips:
        step = clip * peak / number_format.maximum
        raw = (values / step).round().clamp(number_format.minimum, number_format.maximum)
        error = (raw * step - values).square().mean().item()
        if error < least:
            best, least = step, error
    return best


def _level_shifts(field, raw_features, first, profile):
    """Per level, the shift that balances two roundings.

    Coarsening an encoded feature by 2^s costs ``4^s |w|^2 / 12`` (rounding of the feature, through its column w of the
    first matrix in steps of the weights) and saves on the rounding of that column, whose cost is
    ``n_out E[x^2] / (12 * 4^s)``; the least sum is near ``16^s = n_out E[x^2] / |w|^2``.
    """
    width = field.config.grid.n_features_per_level
    step = first.abs().max().item() / profile.weight.maximum
    columns = (first / step).square().sum(dim=0).reshape(-1, width).sum(dim=1)
    energy = raw_features.square().mean(dim=0).reshape(-1, width).sum(dim=1) * first.shape[0]
    balance = torch.log2(energy / columns.clamp(min=1e-9)).clamp(min=0) / 4
    return tuple(int(shift) for shift in balance.round().clamp(max=MAX_LEVEL_SHIFT))


def _equalise(matrices, inputs, exponents, activation):
    """Divide each hidden channel by its largest value to the power given for its layer, and multiply it back behind."""
    layers = [matrix.clone() for matrix in matrices]
    x = inputs
    for number, exponent in enumerate(exponents):
        peaks = activate(activation, x @ layers[number].T).abs().amax(dim=0)
        factors = torch.where(peaks > 0, peaks, 1.0) ** exponent
        layers[number] /= factors[:, None]
        layers[number + 1] *= factors
        x = activate(activation, x @ layers[number].T)
    return layers


def _layer_scales(layers, inputs, profile, network, output_limit):
    """Raw weights, requantisation and curve of each layer, every free scale searched for the least squared error."""
    curves = _curves(layers, inputs, profile, network, output_limit)
    x, x_step = inputs, 1.0
    weights, multipliers, shifts = [], [], []
    for number, (matrix, layer, curve) in enumerate(zip(layers, network.layers, curves, strict=True)):
        gram = x.T @ x / len(x)
        weight_step = _best_weight_step(matrix, gram, profile.weight)
        x = activate(layer.activation, x @ matrix.T)
        if number == len(layers) - 1:
            y_step = output_limit / profile.value.maximum
        else:
            y_step = curve.output_scale if curve else _best_step(x, profile.value, _VALUE_CLIPS)
        multiplier, shift = requantization(x_step * weight_step / (curve.input_scale if curve else y_step))
        weights.append(matrix / weight_step)
        multipliers.append(multiplier)
        shifts.append(shift)
        x_step = y_step
    return {"weights": tuple(weights), "multipliers": tuple(multipliers), "shifts": tuple(shifts), "curves": curves}


def _curves(layers, inputs, profile, network, output_limit):
    """The curve of each layer: one for all hidden layers, and one whose largest output is ``output_limit``."""
    x, sums, peaks = inputs, [], []
    for matrix, layer in zip(layers, network.layers, strict=True):
        total = x @ matrix.T
        x = activate(layer.activation, total)
        sums.append(total.abs().max().item())
        peaks.append(x.abs().max().item())
    hidden = len(layers) - 1
    shared = last = None
    if hidden and network.activation in TABLE_ACTIVATIONS:
        shared = narrowed_curve(network.activation, profile, max(sums[:hidden]), max(peaks[:hidden]))
    if network.output_activation in TABLE_ACTIVATIONS:
        last = narrowed_curve(network.output_activation, profile, sums[hidden], output_limit)
    return (*[shared] * hidden, last)


def _best_weight_step(matrix, gram, number_format):
    peak = matrix.abs().max().item()
    if peak == 0:
        return 1.0
    best, least = None, np.inf
    for clip in _WEIGHT_CLIPS:
        step = clip * peak / number_format.maximum
        raw = (matrix / step).round().clamp(number_format.minimum, number_format.maximum)
        wrong = raw * step - matrix
        error = ((wrong @ gram) * wrong).sum().item()
        if error < least:
            best, least = step, error
    return best
