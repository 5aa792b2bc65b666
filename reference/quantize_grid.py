"""Quantising a grid's tables by themselves, and how far the integer features may then lie from tiny-cuda-nn's fp16."""

from dataclasses import dataclass

import numpy as np

from arch.checkpoint import MAX_LEVEL_SHIFT
from arch.errors import InputError
from arch.grid import GridConfig, GridLevel
from arch.number_format import COORDINATE, LEVEL_SCALE, WEIGHT_FRACTION_BITS, IntegerProfile

__all__ = ["QuantizedGrid", "quantize_grid"]


@dataclass(frozen=True, kw_only=True)
class QuantizedGrid:
    """Tables in an integer profile; a feature's real value is its raw value times ``step``.

    Parameters
    ----------
    config : the grid
    tables : (n_entries, n_features_per_level) raw features, int64
    level_shifts : per level, 0 .. 7
    step : real value of one raw step of the encoded features
    peaks : (n_levels,) largest magnitude of a level's features
    spans : (n_levels,) largest less smallest of a level's features
    """

    config: GridConfig
    tables: np.ndarray
    level_shifts: tuple[int, ...]
    step: float
    peaks: np.ndarray
    spans: np.ndarray

    def bounds(self) -> np.ndarray:
        """Largest real distance, per level, of a feature from the library's fp16 one; points inside the unit cube.

        The sum of: half a step of the table and half a step of the feature, as both are rounded; the distance of the
        weights times ``spans``, per dimension; and the library's own fp16, one rounding of the weight and one a
        corner, each 2^-11 of ``peaks``. With *Nearest* it holds where :meth:`doubtful` is false.
        """
        dims = self.config.n_pos_dims
        moved = np.array([_position_error(level) + 2.0**-WEIGHT_FRACTION_BITS for level in self.config.levels])
        weight = {
            "Nearest": 0.0 * moved,
            "Linear": moved,
            # The slope is at most 1.5; the weight is rounded, and at most 255/256.
            "Smoothstep": 1.5 * moved + 2.0**-WEIGHT_FRACTION_BITS,
        }[self.config.interpolation]
        rounded = self.step / 2 * (1 + 2.0 ** -np.array(self.level_shifts))
        return rounded + dims * weight * self.spans + ((1 << dims) + 1) * 2.0**-11 * self.peaks

    def doubtful(self, positions: np.ndarray) -> np.ndarray:
        """(N, n_levels): *Nearest* and so near a cell's border that rounding may choose the other cell."""
        if self.config.interpolation != "Nearest":
            return np.zeros((len(positions), self.config.n_levels), dtype=bool)
        columns = []
        for level in self.config.levels:
            scaled = positions.astype(np.float64) * float(level.scale) + 0.5
            columns.append((np.abs(scaled - np.rint(scaled)) <= _position_error(level)).any(axis=1))
        return np.stack(columns, axis=1)


def quantize_grid(config: GridConfig, tables: np.ndarray, profile: IntegerProfile) -> QuantizedGrid:
    """Round tables to an integer profile: the largest level fills the range, the others as far as shifts go.

    Parameters
    ----------
    config : the grid
    tables : (n_entries, n_features_per_level) real features
    profile : ``int8`` or ``int16``

    Raises
    ------
    InputError
        If the tables are of another shape or hold NaN or infinity.
    """
    tables = np.asarray(tables, dtype=np.float64)
    shape = (config.n_entries, config.n_features_per_level)
    if tables.shape != shape:
        raise InputError(f"shape of the grid's parameters must be {shape}, not {tables.shape}")
    if not np.isfinite(tables).all():
        raise InputError("the grid's parameters must be finite numbers, not NaN or infinity")
    parts = [tables[level.offset : level.offset + level.entries] for level in config.levels]
    peaks = np.array([np.abs(part).max() for part in parts])
    step = float(peaks.max()) / profile.value.maximum or 1.0
    shifts = tuple(_shift(step, peak / profile.value.maximum) for peak in peaks)
    raw = [np.rint(part / (step * 2.0**-shift)) for part, shift in zip(parts, shifts, strict=True)]
    return QuantizedGrid(
        config=config,
        tables=np.concatenate(raw).astype(np.int64),
        level_shifts=shifts,
        step=step,
        peaks=peaks,
        spans=np.array([part.max() - part.min() for part in parts]),
    )


def _shift(step: float, wanted: float) -> int:
    """Largest shift whose step still holds the level's peak."""
    return next(shift for shift in range(MAX_LEVEL_SHIFT, -1, -1) if step * 2.0**-shift >= wanted)


def _position_error(level: GridLevel) -> float:
    """Cells between the integer position and the library's: roundings of coordinate, scale and fp32, exp2 in 2 ulp."""
    scale = float(level.scale)
    coordinate, register = 2.0 ** -(COORDINATE.fraction_bits + 1), 2.0 ** -(LEVEL_SCALE.fraction_bits + 1)
    return coordinate * scale + register + 3 * 2.0**-23 * scale
