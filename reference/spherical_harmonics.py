"""Golden models of the direction code of NeRF: 16 real spherical harmonics, tiny-cuda-nn's SphericalHarmonics degree 4.

All take directions as the library does, mapped to [0, 1]: ``(d + 1) / 2``; nothing is normalised. Outputs are in (l, m)
order with Condon-Shortley signs.
"""

import math

import torch

from arch.errors import InputError
from arch.number_format import IntegerProfile
from reference.float_arithmetic import fma_fp32

__all__ = ["harmonics_float", "harmonics_fp16", "harmonics_fp32", "harmonics_integer"]

# Normalisations of Sloan, "Stupid Spherical Harmonics (SH) Tricks", appendix A2.
_L0 = math.sqrt(1 / math.pi) / 2
_L1 = math.sqrt(3 / math.pi) / 2
_L2 = math.sqrt(15 / math.pi) / 2
_L2_ZONAL = math.sqrt(5 / math.pi) / 4
_L3_OUTER = math.sqrt(70 / math.pi) / 8
_L3_XYZ = math.sqrt(105 / math.pi) / 2
_L3_INNER = math.sqrt(42 / math.pi) / 8
_L3_ZONAL = math.sqrt(7 / math.pi) / 4


def harmonics_float(directions: torch.Tensor) -> torch.Tensor:
    """The 16 harmonics in float64.

    Parameters
    ----------
    directions : (N, 3) in [0, 1]

    Returns
    -------
    (N, 16) float64
    """
    x, y, z = _components(directions, torch.float64)
    x2, y2, z2 = x * x, y * y, z * z
    columns = (
        torch.full_like(x, _L0),
        -_L1 * y,
        _L1 * z,
        -_L1 * x,
        _L2 * x * y,
        -_L2 * y * z,
        _L2_ZONAL * (3 * z2 - 1),
        -_L2 * x * z,
        _L2 / 2 * (x2 - y2),
        _L3_OUTER * y * (y2 - 3 * x2),
        _L3_XYZ * x * y * z,
        _L3_INNER * y * (1 - 5 * z2),
        _L3_ZONAL * z * (5 * z2 - 3),
        _L3_INNER * x * (1 - 5 * z2),
        _L3_XYZ / 2 * z * (x2 - y2),
        _L3_OUTER * x * (3 * y2 - x2),
    )
    return torch.stack(columns, dim=1)


def harmonics_fp32(directions: torch.Tensor) -> torch.Tensor:
    """The 16 harmonics as the library's kernel evaluates them in fp32, bit for bit.

    The order of operations, and which pairs the compiler fuses, were found against the library's outputs on an H200
    (all of ``sh4`` equal); another compiler may fuse differently.

    Parameters
    ----------
    directions : (N, 3) in [0, 1]

    Returns
    -------
    (N, 16) fp32
    """
    x, y, z = _components(directions, torch.float32)
    x2, y2, z2 = x * x, y * y, z * z
    columns = (
        torch.full_like(x, _L0),
        -_L1 * y,
        _L1 * z,
        -_L1 * x,
        _L2 * (x * y),
        -_L2 * (y * z),
        _fma(3 * _L2_ZONAL, z2, -_L2_ZONAL),
        -_L2 * (x * z),
        _fma(_L2 / 2, x2, -(_L2 / 2 * y2)),
        _L3_OUTER * y * _fma(-3.0, x2, y2),
        _L3_XYZ * (x * y) * z,
        _L3_INNER * y * _fma(-5.0, z2, 1.0),
        _L3_ZONAL * z * _fma(5.0, z2, -3.0),
        _L3_INNER * x * _fma(-5.0, z2, 1.0),
        _L3_XYZ / 2 * z * (x2 - y2),
        _L3_OUTER * x * _fma(3.0, y2, -x2),
    )
    return torch.stack(columns, dim=1)


def harmonics_fp16(directions: torch.Tensor) -> torch.Tensor:
    """:func:`harmonics_fp32` rounded to fp16: what the library feeds an fp16 network."""
    return harmonics_fp32(directions).to(torch.float16)


def harmonics_integer(directions: torch.Tensor, direction_scale: float, profile: IntegerProfile) -> torch.Tensor:
    """Raw direction codes, computed on the host: ``saturate(round(sh / direction_scale))`` from float64.

    Parameters
    ----------
    directions : (N, 3) in [0, 1]
    direction_scale : real value of one step
    profile : ``int8`` or ``int16``

    Returns
    -------
    (N, 16) raw values, torch.int8 or torch.int16
    """
    steps = (harmonics_float(directions) / direction_scale).round()
    raw = steps.clamp(profile.value.minimum, profile.value.maximum)
    return raw.to({8: torch.int8, 16: torch.int16}[profile.value_bits])


def _components(directions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    directions = torch.as_tensor(directions)
    if directions.ndim != 2 or directions.shape[1] != 3:
        raise InputError(f"shape of directions must be (points, 3), not {tuple(directions.shape)}")
    return tuple((directions.to(dtype) * 2.0 - 1.0).unbind(dim=1))


def _fma(a: float, b: torch.Tensor, c: torch.Tensor | float) -> torch.Tensor:
    return fma_fp32(torch.tensor(a, dtype=torch.float32), b, torch.as_tensor(c, dtype=torch.float32))
