"""Where a point of a grid encoding reads: cells, corners and table rows, after tiny-cuda-nn's ``encodings/grid.h``.

The library works in uint32; torch has no such arithmetic, so every coordinate and row here is an int64 that holds
the uint32 value. Products and sums stay below 2**63 and are reduced modulo 2**32 where the library's wrap.
"""

import torch

from arch.errors import InputError
from arch.grid import GridConfig, GridLevel

__all__ = [
    "_UINT32",
    "check_positions",
    "check_tables",
    "corner_rows",
    "corner_weights",
    "smoothstep",
    "wrap_cells",
]

_UINT32 = 0xFFFFFFFF
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


def check_positions(config: GridConfig, positions: torch.Tensor) -> None:
    """Refuse positions that are not (N, n_pos_dims)."""
    if positions.ndim != 2 or positions.shape[1] != config.n_pos_dims:
        raise InputError(f"shape of positions must be (points, {config.n_pos_dims}), not {tuple(positions.shape)}")


def check_tables(config: GridConfig, tables: torch.Tensor) -> None:
    """Refuse tables that are not (n_entries, n_features_per_level)."""
    expected = (config.n_entries, config.n_features_per_level)
    if tuple(tables.shape) != expected:
        raise InputError(f"shape of tables must be {expected}, not {tuple(tables.shape)}")


def wrap_cells(floors: torch.Tensor) -> torch.Tensor:
    """uint32 cell of a floored position: float to int32 as the GPU converts (saturating, NaN to 0), then modulo 2**32.

    Parameters
    ----------
    floors : integral values of any floating dtype
    """
    wide = floors.to(torch.float64).nan_to_num(nan=0.0, posinf=_INT32_MAX, neginf=_INT32_MIN)
    return wide.clamp(_INT32_MIN, _INT32_MAX).to(torch.int64) & _UINT32


def corner_rows(level: GridLevel, cells: torch.Tensor) -> torch.Tensor:
    """Table rows, inside the level, of the 2**D corners of each cell.

    Dense ``sum(g * stride) mod entries``, hashed ``xor(g * prime) mod entries``; products and sums modulo 2**32.

    Parameters
    ----------
    level : the level's strides, entries and kind
    cells : (N, D) int64 holding uint32 cell coordinates

    Returns
    -------
    (N, 2**D) int64; bit d of the corner number adds 1 to dimension d
    """
    rows = None
    for dim, stride in enumerate(level.strides):
        # A prime above 2**31 is taken as its negative residue: the product then fits int64.
        signed = stride - (1 << 32) if stride >= 1 << 31 else stride
        near = (cells[:, dim] * signed) & _UINT32
        far = (near + stride) & _UINT32
        # Later dimensions are the slower bits of the corner number.
        pair = torch.stack((near, far), dim=1)
        if rows is None:
            rows = pair
            continue
        left, right = rows[:, None, :], pair[:, :, None]
        rows = (left ^ right) if level.hashed else (left + right)
        rows = rows.flatten(1)
    return (rows & _UINT32) % level.entries


def corner_weights(fractions: torch.Tensor) -> torch.Tensor:
    """Weights of the 2**D corners in the dtype of the fractions, ``((w_0 * w_1) * w_2)`` rounded after each product.

    Parameters
    ----------
    fractions : (N, D), of which a corner takes ``t`` where it is far and ``1 - t`` where it is near

    Returns
    -------
    (N, 2**D); bit d of the corner number says far in dimension d
    """
    near = 1.0 - fractions
    weights = None
    for dim in range(fractions.shape[1]):
        pair = torch.stack((near[:, dim], fractions[:, dim]), dim=1)
        if weights is not None:
            pair = (weights[:, None, :] * pair[:, :, None]).flatten(1)
        weights = pair
    return weights


def smoothstep(fractions: torch.Tensor) -> torch.Tensor:
    """``t**2 (3 - 2 t)`` in the tensor's own dtype, rounded after each operation."""
    return fractions * fractions * (3.0 - 2.0 * fractions)
