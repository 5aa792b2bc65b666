"""Multiresolution grid encoding: the parameters of tiny-cuda-nn and what follows from them.

Sizes, scales and the choice between dense and hashed levels follow
tiny-cuda-nn's ``encodings/grid.h`` (semantics as of commit 6ee3546).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from arch.errors import InputError, check_integer, check_multiple, check_one_of, check_positive

__all__ = ["GRID_TYPES", "HASH_PRIMES", "INTERPOLATIONS", "GridConfig", "GridLevel"]

GRID_TYPES = ("Hash", "Dense", "Tiled")
INTERPOLATIONS = ("Nearest", "Linear", "Smoothstep")
HASH_PRIMES = (1, 2654435761, 805459861, 3674653429)
"""Factors of the coherent prime hash, one per dimension (tiny-cuda-nn's CoherentPrime)."""

_OTYPES = {"HashGrid": "Hash", "DenseGrid": "Dense", "TiledGrid": "Tiled", "Grid": "Hash"}
_MAX_DENSE_RESOLUTION = {2: 65535, 3: 1625, 4: 255}
"""Largest resolution R with R**n_pos_dims below 2**32; finer levels have no dense index."""
_MAX_LEVEL_ENTRIES = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class GridLevel:
    """What one level of a grid works out to.

    Parameters
    ----------
    index : level number
    scale : fp32 factor from unit coordinates to cells, one less than vertices per axis
    resolution : vertices per axis
    entries : table rows of this level; each holds ``n_features_per_level`` values
    offset : rows of all levels before this one
    hashed : true if rows are found by the hash, false if by the dense stride
    strides : uint32 factor of each dimension: hash primes if ``hashed``, powers of the resolution
        otherwise, zeros if the level is too fine for a dense index (every point then reads row 0)
    """

    index: int
    scale: np.float32
    resolution: int
    entries: int
    offset: int
    hashed: bool
    strides: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """A grid encoding, in tiny-cuda-nn's own keys.

    Parameters
    ----------
    n_pos_dims : input dimensions: 2, 3 or 4
    grid_type : ``Hash``, ``Dense`` or ``Tiled`` (the library's key ``type``)
    n_levels : resolutions, 1 to 32
    n_features_per_level : values per table row: 1, 2, 4 or 8
    log2_hashmap_size : log2 of the largest table of a Hash level, 3 to 28
    base_resolution : vertices per axis of level 0, 2 to 65535
    per_level_scale : ratio of one level's resolution to the one before
    interpolation : ``Nearest``, ``Linear`` or ``Smoothstep``

    Raises
    ------
    InputError
        One sentence per refused value, from ``__post_init__``.
    """

    n_pos_dims: int
    grid_type: str = "Hash"
    n_levels: int = 16
    n_features_per_level: int = 2
    log2_hashmap_size: int = 19
    base_resolution: int = 16
    per_level_scale: float = 2.0
    interpolation: str = "Linear"

    def __post_init__(self) -> None:
        check_one_of("n_pos_dims", self.n_pos_dims, (2, 3, 4))
        check_one_of("grid type", self.grid_type, GRID_TYPES)
        check_integer("n_levels", self.n_levels, 1, 32)
        check_one_of("n_features_per_level", self.n_features_per_level, (1, 2, 4, 8))
        check_integer("log2_hashmap_size", self.log2_hashmap_size, 3, 28)
        check_integer("base_resolution", self.base_resolution, 2, 65535)
        check_positive("per_level_scale", self.per_level_scale)
        check_one_of("interpolation", self.interpolation, INTERPOLATIONS)
        log2_finest = math.log2(self.base_resolution) + (self.n_levels - 1) * math.log2(self.per_level_scale)
        finest = 2.0 ** min(log2_finest, 1000.0)
        if log2_finest > 31:
            raise InputError(
                f"the finest level must have fewer than 2^31 vertices per axis, not {finest:.4g}; "
                "lower per_level_scale or n_levels"
            )

    @classmethod
    def from_tcnn(cls, encoding: dict, *, n_pos_dims: int) -> "GridConfig":
        """Read the ``encoding`` block of a tiny-cuda-nn configuration; unknown keys are refused."""
        known = {
            "otype", "type", "n_levels", "n_features", "n_features_per_level", "log2_hashmap_size",
            "base_resolution", "per_level_scale", "interpolation", "hash",
        }  # fmt: skip
        unknown = sorted(set(encoding) - known)
        if unknown:
            raise InputError(f"grid encoding keys must be tiny-cuda-nn's, not {unknown[0]!r}; remove it")
        otype = encoding.get("otype", "Grid")
        check_one_of("encoding otype", otype, tuple(_OTYPES))
        check_one_of("hash", encoding.get("hash", "CoherentPrime"), ("CoherentPrime",))
        grid_type = encoding.get("type", _OTYPES[otype])
        check_one_of("grid type", grid_type, GRID_TYPES)
        n_features_per_level = encoding.get("n_features_per_level", 2)
        check_one_of("n_features_per_level", n_features_per_level, (1, 2, 4, 8))
        n_levels = encoding.get("n_levels")
        if "n_features" in encoding:
            if n_levels is not None:
                raise InputError("a grid encoding must give n_levels or n_features, not both; remove one")
            check_multiple("n_features", encoding["n_features"], n_features_per_level, n_features_per_level, 256)
            n_levels = encoding["n_features"] // n_features_per_level
        n_levels = 16 if n_levels is None else n_levels
        check_integer("n_levels", n_levels, 1, 32)
        base_resolution = encoding.get("base_resolution", 16)
        check_integer("base_resolution", base_resolution, 2, 65535)
        default_scale = 2.0
        if grid_type == "Dense" and n_levels > 1:
            default_scale = float(np.exp(np.log(256.0 / base_resolution) / (n_levels - 1)))
        return cls(
            n_pos_dims=n_pos_dims,
            grid_type=grid_type,
            n_levels=n_levels,
            n_features_per_level=n_features_per_level,
            log2_hashmap_size=encoding.get("log2_hashmap_size", 19),
            base_resolution=base_resolution,
            per_level_scale=encoding.get("per_level_scale", default_scale),
            interpolation=encoding.get("interpolation", "Linear"),
        )

    @property
    def n_output_dims(self) -> int:
        """Encoded features of a point."""
        return self.n_levels * self.n_features_per_level

    @cached_property
    def levels(self) -> tuple[GridLevel, ...]:
        """Every level, coarsest first, with scales as the library's host code evaluates them."""
        levels = []
        offset = 0
        log2_scale = np.float32(np.log2(np.float64(np.float32(self.per_level_scale))))
        for index in range(self.n_levels):
            growth = np.float32(np.exp2(np.float64(np.float32(index) * log2_scale)))
            scale = np.float32(growth * np.float32(self.base_resolution)) - np.float32(1.0)
            resolution = int(np.ceil(scale)) + 1
            level = self._level(index, np.float32(scale), resolution, offset)
            levels.append(level)
            offset += level.entries
        return tuple(levels)

    def _level(self, index: int, scale: np.float32, resolution: int, offset: int) -> GridLevel:
        dims = self.n_pos_dims
        vertices = min(resolution**dims, _MAX_LEVEL_ENTRIES)
        entries = -(-vertices // 8) * 8
        if self.grid_type == "Hash":
            entries = min(entries, 1 << self.log2_hashmap_size)
        elif self.grid_type == "Tiled":
            entries = min(entries, self.base_resolution**dims)
        has_dense_index = resolution <= _MAX_DENSE_RESOLUTION[dims]
        dense_span = resolution**dims if has_dense_index else 2**32 - 1
        hashed = self.grid_type == "Hash" and entries < dense_span
        if hashed:
            strides = HASH_PRIMES[:dims]
        elif has_dense_index:
            strides = tuple(resolution**dim for dim in range(dims))
        else:
            strides = (0,) * dims
        return GridLevel(
            index=index, scale=scale, resolution=resolution, entries=entries, offset=offset,
            hashed=hashed, strides=strides,
        )  # fmt: skip

    @property
    def n_entries(self) -> int:
        """Table rows of all levels together."""
        return self.levels[-1].offset + self.levels[-1].entries

    @property
    def level_offsets(self) -> np.ndarray:
        """uint32 running sums of entries, ``n_levels + 1`` of them."""
        return np.array([level.offset for level in self.levels] + [self.n_entries], dtype=np.uint32)
