"""tiny-cuda-nn's flat parameter vectors: where each matrix and table lies, and a field made of them.

A module's parameters are one vector. A network's come before its encoding's; a network's matrices follow one another
from the input on, row-major, rows = outputs; the first has its columns and the last its rows filled up to a multiple of
16. A grid is its table, level after level. NeRF's vector has the density network, the colour network, the grid.
Filling is dropped: the columns meet zeros and nobody reads the rows.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from arch.checkpoint import FloatField
from arch.errors import InputError, check_instance, check_one_of
from arch.field import APPS, DIRECTION_DIMS, FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig

__all__ = ["field_config", "field_from_vectors", "parameter_counts"]

_ALIGNMENT = 16
_OUTPUTS = {"nerf": 16, "nsdf": 1, "gia": 3, "nvr": 4}
"""Outputs of the first network where the configuration leaves them to the application, as instant-ngp's do."""
_COLOURS = 3
_TRAINING_ONLY = {"stochastic_interpolation"}


def field_config(app: str, config: Mapping[str, object]) -> FieldConfig:
    """The field that a tiny-cuda-nn or instant-ngp configuration describes.

    Parameters
    ----------
    app : ``nerf``, ``nsdf``, ``gia`` or ``nvr``
    config : blocks ``encoding`` and ``network``, for nerf also ``rgb_network`` and ``dir_encoding``

    Raises
    ------
    InputError
        If a block is missing, or asks for what this project does not compute.
    """
    check_one_of("app", app, APPS)
    encoding = {key: value for key, value in _block(config, "encoding").items() if key not in _TRAINING_ONLY}
    grid = GridConfig.from_tcnn(encoding, n_pos_dims=2 if app == "gia" else 3)
    network = MlpConfig.from_tcnn(
        _block(config, "network"), n_input_dims=grid.n_output_dims, n_output_dims=_OUTPUTS[app]
    )
    if app != "nerf":
        return FieldConfig(app=app, grid=grid, network=network)
    _check_directions(_block(config, "dir_encoding"))
    rgb_network = MlpConfig.from_tcnn(
        _block(config, "rgb_network"), n_input_dims=network.n_output_dims + DIRECTION_DIMS, n_output_dims=_COLOURS
    )
    return FieldConfig(app=app, grid=grid, network=network, rgb_network=rgb_network)


def parameter_counts(config: FieldConfig) -> tuple[int, ...]:
    """Parameters of each part in the library's order: every network, then the grid."""
    networks = [sum(rows * columns for rows, columns in _matrix_shapes(network)) for network in config.networks]
    return (*networks, config.grid.n_entries * config.grid.n_features_per_level)


def field_from_vectors(
    config: FieldConfig, vectors: Mapping[str, np.ndarray], *, source: str = "", command: str = ""
) -> FloatField:
    """Cut flat parameter vectors into a field's matrices and table.

    The parts may lie in one vector or in several, as modules were put together; what a vector holds follows from its
    length.

    Parameters
    ----------
    config : the field
    vectors : by name, fp16 or fp32, one dimension; those that fit nothing are left alone
    source, command : kept in the field

    Returns
    -------
    FloatField, parameters rounded to fp16 as the library infers with

    Raises
    ------
    InputError
        If the vectors do not hold every part exactly once.
    """
    counts = parameter_counts(config)
    parts: list[np.ndarray] = []
    while len(parts) < len(counts):
        parts += _take(config, vectors, counts[len(parts) :])
    *networks, table = (_rounded(part) for part in parts)
    return FloatField(
        config=config,
        tables=table.reshape(config.grid.n_entries, config.grid.n_features_per_level),
        weights=tuple(_matrices(network, flat) for network, flat in zip(config.networks, networks, strict=True)),
        source=source,
        command=command,
    )


def _take(config: FieldConfig, vectors: Mapping[str, np.ndarray], counts: Sequence[int]) -> list[np.ndarray]:
    """The first of the parts still missing, and those behind it in the same vector."""
    for n_parts in range(len(counts), 0, -1):
        fitting = {name: vector for name, vector in vectors.items() if vector.shape == (sum(counts[:n_parts]),)}
        if len(fitting) > 1:
            raise InputError(
                f"parameters must be told apart by their number, not be {len(fitting)} vectors of "
                f"{sum(counts[:n_parts])} ({', '.join(sorted(fitting))}); leave one"
            )
        for vector in fitting.values():
            return np.split(vector, np.cumsum(counts[: n_parts - 1]))
    found = ", ".join(str(vector.size) for vector in vectors.values()) or "none"
    expected = " + ".join(str(count) for count in parameter_counts(config))
    raise InputError(f"parameters must number {expected} (networks, then grid), not {found}")


def _rounded(part: np.ndarray) -> np.ndarray:
    if part.dtype not in (np.float16, np.float32):
        raise InputError(f"dtype of parameters must be float16 or float32, not {part.dtype}")
    with np.errstate(over="ignore"):  # infinities are refused with the field
        return part.astype(np.float16)


def _matrix_shapes(network: MlpConfig) -> list[tuple[int, int]]:
    """Rows and columns of each matrix as stored."""
    shapes = [(layer.n_out, layer.n_in) for layer in network.layers]
    shapes[0] = (shapes[0][0], -(-shapes[0][1] // _ALIGNMENT) * _ALIGNMENT)
    shapes[-1] = (network.padded_output_dims, shapes[-1][1])
    return shapes


def _matrices(network: MlpConfig, flat: np.ndarray) -> tuple[np.ndarray, ...]:
    shapes = _matrix_shapes(network)
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    pieces = zip(np.split(flat, ends[:-1]), shapes, network.layers, strict=True)
    return tuple(piece.reshape(shape)[: layer.n_out, : layer.n_in].copy() for piece, shape, layer in pieces)


def _block(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    block = config.get(name)
    if not isinstance(block, Mapping):
        raise InputError(f"a configuration must have a block {name!r}, not {block!r}")
    return block


def _check_directions(block: Mapping[str, object]) -> None:
    """Only spherical harmonics of degree 4 come before the colour network."""
    nested = block.get("nested", [block]) if block.get("otype") == "Composite" else [block]
    check_instance("nested encodings of dir_encoding", nested, list)
    # an Identity behind them is for learned dimensions, of which there are none
    wanted = [entry for entry in nested if not (isinstance(entry, Mapping) and entry.get("otype") == "Identity")]
    for entry in wanted:
        check_instance("an encoding of dir_encoding", entry, Mapping)
        check_one_of("otype of dir_encoding", entry.get("otype"), ("SphericalHarmonics",))
        check_one_of("degree of dir_encoding", entry.get("degree", 4), (4,))
    if len(wanted) != 1:
        raise InputError(f"dir_encoding must have one SphericalHarmonics encoding, not {len(wanted)}")
