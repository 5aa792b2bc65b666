"""instant-ngp's snapshots: one MessagePack map (``.msgpack``), or the same in a zlib or gzip stream (``.ingp``).

Format version 1: the network configuration, and under ``snapshot`` the parameters and what a viewer needs. Only what
makes a field is read: configuration, parameters, and NeRF's occupancy grid.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgpack
import numpy as np

from arch.checkpoint import FloatField
from arch.errors import InputError, check_integer, check_one_of, check_positive
from arch.flat_parameters import field_config, field_from_vectors, parameter_counts

__all__ = ["Snapshot", "load_snapshot", "occupied_cells"]

_MODES = {"nerf": "nerf", "sdf": "nsdf", "image": "gia", "volume": "nvr"}
_FINEST = {"nerf": 2048, "nsdf": 2048}
"""Vertices an axis that the finest level gets where ``per_level_scale`` is left to the scene."""
_CELLS = 128
"""Cells an axis of an occupancy grid."""
_MIN_OPTICAL_THICKNESS = 0.01
_MAX_BYTES = 1 << 32
_PARAMETER_TYPES = {"__half": np.dtype("<f2"), "float": np.dtype("<f4")}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a snapshot holds.

    Parameters
    ----------
    field : the field, parameters in fp16
    occupancy : for nerf, (cascades, 128, 128, 128) bool by x, y, z: may hold something; None if never trained
    aabb_scale : side of the scene's box in units of the first cascade's
    """

    field: FloatField
    occupancy: np.ndarray | None
    aabb_scale: float


def load_snapshot(path: Path, *, longest_side: int | None = None, command: str = "") -> Snapshot:
    """Read a snapshot.

    Parameters
    ----------
    path : ``.msgpack`` or ``.ingp``
    longest_side : pixels or voxels of the longest side of an image or volume, for a configuration without
        ``per_level_scale``
    command : kept in the field

    Raises
    ------
    InputError
        If the file is no snapshot, older than version 1, damaged, or of a field this project does not compute.
    """
    path = Path(path)
    document = _read(path)
    snapshot = document.get("snapshot")
    if not isinstance(snapshot, dict):
        raise InputError(f"{path.name} must have a map 'snapshot', not {type(snapshot).__name__}")
    if "version" not in snapshot:
        raise InputError(
            f"the version of {path.name} must be 1, not missing as in older snapshots; load it into a current "
            "instant-ngp and save it again"
        )
    check_integer(f"version of {path.name}", snapshot["version"], 1, 1)
    mode = snapshot.get("mode", "nerf" if "nerf" in snapshot else None)
    check_one_of(f"mode of {path.name}", mode, tuple(_MODES))
    app = _MODES[mode]
    nerf = snapshot.get("nerf")
    aabb_scale = nerf.get("aabb_scale", 1) if isinstance(nerf, dict) else snapshot.get("aabb_scale", 1)
    check_positive("aabb_scale", aabb_scale)
    config = field_config(app, _with_scale(document, app, aabb_scale, longest_side))
    expected = sum(parameter_counts(config))
    kind = snapshot.get("params_type", "__half")
    check_one_of("params_type", kind, tuple(_PARAMETER_TYPES))
    vector = _array(snapshot, "params_binary", _PARAMETER_TYPES[kind])
    if snapshot.get("n_params", expected) != expected:
        raise InputError(f"n_params of {path.name} must be {expected}, not {snapshot['n_params']!r}")
    field = field_from_vectors(
        config, {"params_binary": vector}, source=f"instant-ngp snapshot {path.name}", command=command
    )
    occupancy = None
    if app == "nerf" and snapshot.get("density_grid_binary"):
        check_one_of("density_grid_size", snapshot.get("density_grid_size", _CELLS), (_CELLS,))
        occupancy = occupied_cells(_array(snapshot, "density_grid_binary", np.dtype("<f2")))
    return Snapshot(field=field, occupancy=occupancy, aabb_scale=float(aabb_scale))


def occupied_cells(densities: np.ndarray) -> np.ndarray:
    """Which cells of the cascades may hold something.

    A cell does if its optical thickness exceeds the smaller of 0.01 and the mean over the first cascade, or if one of
    the eight cells of the finer cascade inside it does.

    Parameters
    ----------
    densities : (cascades * 128**3,) floating point, cells in Morton order (bit 0 of x, y, z lowest)

    Returns
    -------
    (cascades, 128, 128, 128) bool by x, y, z
    """
    if densities.size == 0 or densities.size % _CELLS**3:
        raise InputError(f"the density grid must hold a multiple of {_CELLS}^3 cells, not {densities.size}")
    cascades = densities.reshape(-1, _CELLS**3).astype(np.float32)
    threshold = min(_MIN_OPTICAL_THICKNESS, float(np.maximum(cascades[0], 0).mean(dtype=np.float64)))
    spread = np.zeros(_CELLS, dtype=np.int64)
    for bit in range(_CELLS.bit_length() - 1):
        spread |= (np.arange(_CELLS) >> bit & 1) << (3 * bit)
    morton = spread[:, None, None] | spread[None, :, None] << 1 | spread[None, None, :] << 2
    occupied = cascades[:, morton] > threshold
    quarter = _CELLS // 4
    for finer, coarser in pairwise(occupied):
        halves = finer.reshape(_CELLS // 2, 2, _CELLS // 2, 2, _CELLS // 2, 2).any(axis=(1, 3, 5))
        inside = slice(quarter, _CELLS - quarter)
        coarser[inside, inside, inside] |= halves
    return occupied


def _read(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"the snapshot must be an existing file, not {str(path)!r}")
    data = path.read_bytes()
    try:
        # a MessagePack map never begins with the first byte of a zlib or gzip stream
        if data[:1] in (b"\x78", b"\x1f"):
            stream = zlib.decompressobj(wbits=47)
            data = stream.decompress(data, _MAX_BYTES)
            if not stream.eof:
                raise ValueError("stream goes on")
        document = msgpack.unpackb(data)
    except (ValueError, zlib.error, MemoryError, RecursionError) as error:
        raise InputError(
            f"{path.name} must be a whole MessagePack file, plain or in a zlib stream, not another or a damaged one "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(document, dict):
        raise InputError(f"{path.name} must hold one MessagePack map, not {type(document).__name__}")
    return document


def _with_scale(
    document: Mapping[str, object], app: str, aabb_scale: float, longest_side: int | None
) -> Mapping[str, object]:
    """The configuration with the ``per_level_scale`` instant-ngp takes from the scene where none is given."""
    encoding = document.get("encoding")
    if not isinstance(encoding, dict) or "per_level_scale" in encoding:
        return document
    levels, base = encoding.get("n_levels", 16), encoding.get("base_resolution")
    check_integer("n_levels", levels, 1, 32)
    check_integer("base_resolution", base, 2, 65535)
    finest = _FINEST.get(app)
    if finest is None:
        if longest_side is None:
            raise InputError(
                "per_level_scale must be in the encoding of an image or volume, or follow from its longest side; give "
                "--longest-side"
            )
        check_integer("longest side", longest_side, 2, 1 << 24)
        finest = longest_side / 2 if app == "gia" else longest_side
    growth = math.exp(math.log(finest * aabb_scale / base) / (levels - 1)) if levels > 1 else 1.0
    return {**document, "encoding": {**encoding, "per_level_scale": growth}}


def _array(snapshot: Mapping[str, object], name: str, kind: np.dtype) -> np.ndarray:
    data = snapshot.get(name)
    if not isinstance(data, bytes) or len(data) % kind.itemsize:
        found = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise InputError(f"{name} must be binary, a multiple of {kind.itemsize} bytes, not {found}")
    return np.frombuffer(data, dtype=kind)
