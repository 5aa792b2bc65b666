"""Golden models of the multiresolution grid encoding, one function per arithmetic of docs/numerics.md.

All return feature f of level l as column ``l * n_features_per_level + f``.
"""

from collections.abc import Sequence

import torch

from arch.errors import InputError
from arch.grid import GridConfig, GridLevel
from arch.number_format import COORDINATE, LEVEL_SCALE, WEIGHT_FRACTION_BITS, IntegerProfile
from reference.float_arithmetic import fma_fp16, fma_fp32
from reference.grid_lookup import check_positions, check_tables, corner_rows, corner_weights, smoothstep, wrap_cells

__all__ = [
    "encode_float",
    "encode_fp16",
    "encode_fp32",
    "encode_integer",
    "float_terms",
    "integer_terms",
    "level_cells",
    "quantize_coordinates",
]

_BLOCK_POINTS = 8192  # bounds the working set; a block's corners of one level stay inside the caches


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
    check_tables(config, tables)
    rows, weights = float_terms(config, positions.to(tables.dtype))
    # One gather over all levels: its gradient then fills one table instead of one per level.
    values = tables.index_select(0, rows.reshape(-1)).reshape(*rows.shape, tables.shape[1])
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


def encode_fp16(
    config: GridConfig, tables: torch.Tensor, positions: torch.Tensor, *, scales: Sequence[float] | None = None
) -> torch.Tensor:
    """Encode exactly as tiny-cuda-nn does with fp16 parameters.

    fp32 ``fma(scale, x, 0.5)``, floor and fraction; fp32 corner weights; each weight rounded to fp16; then 2**D
    sequential fp16 FMAs in corner order. Points outside the unit cube wrap modulo 2**32. Verified bit for bit against
    the library on an H200.

    Parameters
    ----------
    config : the grid
    tables : (n_entries, n_features_per_level) fp16
    positions : (N, n_pos_dims) fp32
    scales : per level, the fp32 scale to use instead of the host's; the library's classic kernel evaluates it with
        an approximate exp2 that is up to 2 ulp off, its JIT path uses the host's

    Returns
    -------
    (N, n_output_dims) fp16
    """
    return _encode_as_library(config, torch.as_tensor(tables).to(torch.float16), positions, scales)


def encode_fp32(
    config: GridConfig, tables: torch.Tensor, positions: torch.Tensor, *, scales: Sequence[float] | None = None
) -> torch.Tensor:
    """As :func:`encode_fp16`, for the library instantiated with fp32: weights stay fp32, the FMAs are fp32."""
    return _encode_as_library(config, torch.as_tensor(tables).to(torch.float32), positions, scales)


def _encode_as_library(
    config: GridConfig, tables: torch.Tensor, positions: torch.Tensor, scales: Sequence[float] | None
) -> torch.Tensor:
    positions = torch.as_tensor(positions).to(torch.float32)
    check_positions(config, positions)
    check_tables(config, tables)
    if scales is None:
        scales = [float(level.scale) for level in config.levels]
    if len(scales) != config.n_levels:
        raise InputError(f"number of scales must be {config.n_levels}, not {len(scales)}")
    fma = fma_fp16 if tables.dtype == torch.float16 else fma_fp32
    features = torch.empty(positions.shape[0], config.n_output_dims, dtype=tables.dtype)
    width = config.n_features_per_level
    for level, scale in zip(config.levels, scales, strict=True):
        table = tables[level.offset : level.offset + level.entries]
        columns = features[:, level.index * width : (level.index + 1) * width]
        for block, result in zip(positions.split(_BLOCK_POINTS), columns.split(_BLOCK_POINTS), strict=True):
            cells, fractions = level_cells(block, scale=float(scale))
            rows = corner_rows(level, cells)
            if config.interpolation == "Nearest":
                rows, weights = rows[:, :1], torch.ones_like(fractions[:, :1])
            else:
                weights = corner_weights(smoothstep(fractions) if config.interpolation == "Smoothstep" else fractions)
            weights = weights.to(tables.dtype)
            total = torch.zeros_like(result)
            for corner in range(rows.shape[1]):
                total = fma(weights[:, corner : corner + 1], table[rows[:, corner]], total)
            result.copy_(total)
    return features


def level_cells(positions: torch.Tensor, *, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells and fractions of one level in the library's fp32 arithmetic: ``fma(scale, x, 0.5)`` and its floor.

    Parameters
    ----------
    positions : (N, D) fp32
    scale : the level's fp32 scale

    Returns
    -------
    (N, D) int64 holding uint32 cells, (N, D) fp32 fractions in 0 .. 1
    """
    scaled = fma_fp32(positions, torch.tensor(scale, dtype=torch.float32), torch.tensor(0.5))
    floors = scaled.floor()
    return wrap_cells(floors), scaled - floors


def quantize_coordinates(positions: torch.Tensor) -> torch.Tensor:
    """Raw coordinates, int64 in 0 .. 2**23: rounded half to even, points outside the unit cube moved to its surface.

    Parameters
    ----------
    positions : any shape; NaN is refused
    """
    positions = torch.as_tensor(positions).to(torch.float64)
    if positions.isnan().any():
        raise InputError("positions must be numbers, not NaN")
    one = 1 << COORDINATE.fraction_bits
    return (positions * one).round().clamp(0, one).to(torch.int64)


def encode_integer(
    config: GridConfig,
    tables: torch.Tensor,
    level_shifts: Sequence[int],
    coordinates: torch.Tensor,
    profile: IntegerProfile,
) -> torch.Tensor:
    """Encode in an integer profile, exactly as docs/numerics.md, "Grid encoding", says.

    Parameters
    ----------
    config : the grid; a level whose scale does not fit its register is refused
    tables : (n_entries, n_features_per_level) raw features, any integer dtype
    level_shifts : per level, right shift from its features to the encoding's common scale
    coordinates : (N, n_pos_dims) raw, from :func:`quantize_coordinates`
    profile : ``int8`` or ``int16``

    Returns
    -------
    (N, n_output_dims) raw values, torch.int8 or torch.int16
    """
    coordinates = torch.as_tensor(coordinates).to(torch.int64)
    tables = torch.as_tensor(tables)
    check_positions(config, coordinates)
    check_tables(config, tables)
    if len(level_shifts) != config.n_levels:
        raise InputError(f"number of level_shifts must be {config.n_levels}, not {len(level_shifts)}")
    outside = (coordinates < 0) | (coordinates > 1 << COORDINATE.fraction_bits)
    if outside.any():
        raise InputError(f"raw coordinates must be integers from 0 to 2^23, not {int(coordinates[outside][0])}")
    value = profile.value
    features = torch.empty(
        coordinates.shape[0], config.n_output_dims, dtype={8: torch.int8, 16: torch.int16}[profile.value_bits]
    )
    width = config.n_features_per_level
    for level, shift in zip(config.levels, level_shifts, strict=True):
        # float64 is exact here (at most 16 + 4 * 8 bits) and, unlike int64, vectorised.
        table = tables[level.offset : level.offset + level.entries].to(torch.float64)
        unit = 2.0 ** -(WEIGHT_FRACTION_BITS * config.n_pos_dims + shift)
        columns = features[:, level.index * width : (level.index + 1) * width]
        for block, result in zip(coordinates.split(_BLOCK_POINTS), columns.split(_BLOCK_POINTS), strict=True):
            rows, weights = _integer_lookup(config, level, block)
            total = _interpolate(table[rows], weights)
            result.copy_((total * unit).round().clamp(value.minimum, value.maximum))
    return features


def integer_terms(config: GridConfig, coordinates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What :func:`encode_integer` sums before it rounds, as :func:`float_terms` gives it for the float encoding.

    Parameters
    ----------
    config : the grid; a level whose scale does not fit its register is refused
    coordinates : (N, n_pos_dims) raw, from :func:`quantize_coordinates`

    Returns
    -------
    rows : (N, n_levels, 2**n_pos_dims) int64 rows of the whole table, level offsets included
    weights : (N, n_levels, 2**n_pos_dims) float64, exact: ``sum(weights * tables[rows])`` over ``2**level_shift`` is
        the feature before it is rounded
    """
    check_positions(config, coordinates)
    rows, weights = [], []
    for level in config.levels:
        level_rows, fractions = _integer_lookup(config, level, coordinates)
        rows.append(level_rows + level.offset)
        weights.append(corner_weights(fractions * 2.0**-WEIGHT_FRACTION_BITS))
    return torch.stack(rows, dim=1), torch.stack(weights, dim=1)


def _integer_lookup(
    config: GridConfig, level: GridLevel, coordinates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 2**D) rows and (N, D) weights of 8 fraction bits, as float64."""
    if float(level.scale) * 2.0**LEVEL_SCALE.fraction_bits > LEVEL_SCALE.maximum + 0.5:
        raise InputError(f"scale of level {level.index} must be below 2^14, not {float(level.scale)}")
    product_bits = COORDINATE.fraction_bits + LEVEL_SCALE.fraction_bits
    product = coordinates * int(LEVEL_SCALE.quantize(level.scale)) + (1 << (product_bits - 1))
    cells = product >> product_bits
    fractions = (product >> (product_bits - WEIGHT_FRACTION_BITS)) & ((1 << WEIGHT_FRACTION_BITS) - 1)
    weights = fractions.to(torch.float64)
    if config.interpolation == "Nearest":
        weights = torch.zeros_like(weights)
    elif config.interpolation == "Smoothstep":
        weights = (weights * weights * (768.0 - 2.0 * weights) * 2.0**-16).round().clamp(max=255.0)
    return corner_rows(level, cells), weights


def _interpolate(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Exact multilinear sum, dimension 0 first: (N, 2**D, F) corners and (N, D) weights give (N, F)."""
    for dim in range(weights.shape[1]):
        near, far = values[:, 0::2], values[:, 1::2]
        values = near * 2.0**WEIGHT_FRACTION_BITS + (far - near) * weights[:, dim, None, None]
    return values[:, 0]
