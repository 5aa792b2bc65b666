"""Builds of the encoding engine for the command line: few table sizes, so that grids share a compiled model."""

from dataclasses import replace

from arch.encoding_engine import EncodingEngineConfig, fitting_engine, level_layouts
from arch.grid import GridConfig

__all__ = ["level_engine", "whole_engine"]

_TABLE_ROWS = (1 << 18, 1 << 23, 1 << 24)


def whole_engine(grid: GridConfig, level_parallel: int, *, arithmetic: str = "int8") -> EncodingEngineConfig:
    """A 3-dimensional (or 4-dimensional) 16-level build that holds ``grid`` on so many level engines."""
    # The grid may have fewer levels than the build has engines.
    in_use = min(level_parallel, 1 << grid.n_levels.bit_length() - 1)
    smallest = fitting_engine(grid, level_parallel=in_use, arithmetic=arithmetic)
    rows = next(rows for rows in _TABLE_ROWS if rows >= smallest.table_rows)
    shape = {
        "n_pos_dims": max(3, grid.n_pos_dims),
        "n_levels": 16,
        "level_parallel": level_parallel,
        "table_rows": rows,
    }
    return replace(smallest, **shape, counters=True)


def level_engine(grid: GridConfig, *, arithmetic: str = "int8") -> EncodingEngineConfig:
    """A 3-dimensional (or 4-dimensional) build of one level, whose table holds the largest level of every preset."""
    engine = EncodingEngineConfig(
        n_pos_dims=max(3, grid.n_pos_dims),
        n_features_per_level=grid.n_features_per_level,
        n_levels=1,
        table_rows=_TABLE_ROWS[-1],
        arithmetic=arithmetic,
        counters=True,
    )
    rows = max(level_layouts(grid, engine, only=level)[0].rows for level in range(grid.n_levels)) * engine.n_banks
    return replace(engine, table_rows=next(shared for shared in _TABLE_ROWS[1:] if shared >= rows))
