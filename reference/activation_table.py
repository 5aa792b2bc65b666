"""Golden model of the integer profiles' activation tables (docs/numerics.md, "Activations")."""

from dataclasses import replace

import torch

from arch.activation_table import (
    PRE_ACTIVATION_BITS,
    ActivationCurve,
    activation_curve,
    activation_table,
    offset_fraction_bits,
    segment_bits,
    slope_fraction_bits,
)
from arch.number_format import IntegerProfile

__all__ = ["activate_integer", "narrowed_curve"]

_FINEST = 2.0**-20


def activate_integer(curve: ActivationCurve, pre: torch.Tensor, profile: IntegerProfile) -> torch.Tensor:
    """Evaluate the table of ``curve``.

    Parameters
    ----------
    curve : the activation and its scales
    pre : raw pre-activations of any shape, integers of 16 bits in any integer dtype
    profile : ``int8`` or ``int16``

    Returns
    -------
    raw values, int64
    """
    table = activation_table(curve, profile)
    low_bits = PRE_ACTIVATION_BITS - segment_bits(profile)
    fraction_bits = slope_fraction_bits(profile)
    pre = pre.to(torch.int64)
    segment = (pre >> low_bits) & ((1 << segment_bits(profile)) - 1)
    low = (pre & ((1 << low_bits) - 1)) - (1 << (low_bits - 1))
    offset, slope = (torch.from_numpy(part)[segment] for part in (table.offsets, table.slopes))
    total = (offset << (fraction_bits - offset_fraction_bits(profile))) + slope * low
    # 29 bits: exact in float64, where round() is half to even.
    rounded = (total.to(torch.float64) * 2.0**-fraction_bits).round()
    return rounded.clamp(profile.value.minimum, profile.value.maximum).to(torch.int64)


def narrowed_curve(activation: str, profile: IntegerProfile, largest_sum: float, peak: float) -> ActivationCurve:
    """The curve of outputs up to ``peak`` whose inputs reach no further than the sums there are.

    Parameters
    ----------
    activation : one of ``TABLE_ACTIVATIONS``
    profile : ``int8`` or ``int16``
    largest_sum : largest magnitude of the real sums before the activation
    peak : largest real output
    """
    curve = activation_curve(activation, profile, output_limit=max(peak, _FINEST))
    finest = max(largest_sum, _FINEST) / ((1 << (PRE_ACTIVATION_BITS - 1)) - 1)
    return replace(curve, input_scale=min(curve.input_scale, finest))
