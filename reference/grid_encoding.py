"""Golden models of the multiresolution grid encoding, one function per arithmetic of docs/numerics.md.

All return feature f of level l as column ``l * n_features_per_level + f``.
"""

import torch

from arch.grid import GridConfig
from reference.grid_lookup import check_positions, corner_rows, corner_weights, smoothstep, wrap_cells

__all__ = ["encode_float", "float_terms"]


def encode_float(config: GridConfig, tables: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Encode in the floating-point arithmetic of the tables, differentiable in them.

    float64 is the yardstick of every other arithmetic; float32 is meant for training. Every operation is rounded
    by itself. Points outside the unit cube wrap as in tiny-cuda-nn (int32 cells modulo 2**32).

    Parameters
    ----------
    config : the grid; its host-evaluated fp32 scales are used
    tables : (n_entries, n_features_per_level) floating point
    positions : (N, n_pos_dims), converted to the tables' dtype

    Returns
    -------
    (N, n_output_dims) in the tables' dtype
    """
    rows, weights = float_terms(config, positions.to(tables.dtype))
    # One gather over all levels: its gradient then fills one table instead of one per level.
    values = tables.index_select(0, rows.reshape(-1)).reshape(*rows.shape, -1)
    features = (values * weights[..., None]).sum(dim=2)
    return features.reshape(positions.shape[0], config.n_output_dims)


def float_terms(config: GridConfig, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What :func:`encode_float` sums: a feature is ``sum(weights * tables[rows])``, linear in the tables.

    Parameters
    ----------
    config : the grid
    positions : (N, n_pos_dims) floating point; its dtype is that of the weights

    Returns
    -------
    rows : (N, n_levels, corners) int64 rows of the whole table, level offsets included
    weights : (N, n_levels, corners); Nearest has one corner, the others 2**n_pos_dims
    """
    check_positions(config, positions)
    rows, weights = [], []
    for level in config.levels:
        scaled = positions * float(level.scale) + 0.5
        floors = scaled.floor()
        cells = wrap_cells(floors)
        if config.interpolation == "Nearest":
            rows.append(corner_rows(level, cells)[:, :1] + level.offset)
            weights.append(torch.ones_like(positions[:, :1]))
            continue
        fractions = scaled - floors
        if config.interpolation == "Smoothstep":
            fractions = smoothstep(fractions)
        rows.append(corner_rows(level, cells) + level.offset)
        weights.append(corner_weights(fractions))
    return torch.stack(rows, dim=1), torch.stack(weights, dim=1)
