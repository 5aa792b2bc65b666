"""Trained fields on disk: one compressed ``.npz`` a field, float or quantised.

A file holds the array ``config`` (JSON text) and the parameters. It is written under a temporary name and renamed,
so a file is whole or absent; reading one back checks every shape and range, so what loads is what was meant.
"""

import dataclasses
import io
import json
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.activation_table import TABLE_ACTIVATIONS, ActivationCurve
from arch.errors import InputError, check_integer, check_positive
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.number_format import integer_profile
from arch.whole_file import write_whole

__all__ = [
    "DAMAGE",
    "MAX_LEVEL_SHIFT",
    "MAX_REQUANTIZE_SHIFT",
    "FloatField",
    "FloatMlp",
    "QuantizedField",
    "QuantizedMlp",
    "load_field",
]

DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ArithmeticError, AttributeError, LookupError,
    MemoryError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What reading a cut or altered ``.npz`` file can raise: one flipped bit may ask for a password or another codec."""

FORMAT = "open-ngpc field 1"
MAX_LEVEL_SHIFT = 7
MAX_REQUANTIZE_SHIFT = 47


@dataclass(frozen=True, kw_only=True)
class QuantizedMlp:
    """A network in an integer profile (docs/numerics.md, "Networks").

    Parameters
    ----------
    config : its shape and activations
    weights : per layer, (n_out, n_in) raw weights
    multipliers : per layer, the requantisation multiplier, 1 .. 2**16 - 1
    shifts : per layer, the requantisation right shift, 1 .. 47
    output_scale : real value of one output step
    curves : per layer, the scales of its activation's table, or None if it needs none; may be left out if no layer
        needs one
    """

    config: MlpConfig
    weights: tuple[np.ndarray, ...]
    multipliers: tuple[int, ...]
    shifts: tuple[int, ...]
    output_scale: float
    curves: tuple[ActivationCurve | None, ...] = ()

    def __post_init__(self) -> None:
        _check_count("curves", self.layer_curves, len(self.config.layers))
        for number, (layer, curve) in enumerate(zip(self.config.layers, self.layer_curves, strict=True)):
            needed = layer.activation if layer.activation in TABLE_ACTIVATIONS else None
            if (curve.activation if curve else None) != needed:
                raise InputError(f"curve of layer {number} must be that of {layer.activation}, not {curve}")

    @property
    def layer_curves(self) -> tuple[ActivationCurve | None, ...]:
        """``curves``, one entry a layer."""
        return self.curves or (None,) * len(self.config.layers)


@dataclass(frozen=True, kw_only=True)
class QuantizedField:
    """A field in an integer profile.

    Parameters
    ----------
    config : the field
    arithmetic : ``int8`` or ``int16``
    tables : (entries, n_features_per_level) raw features of all levels, one after the other
    level_shifts : per level, right shift from its features to the encoding's common scale, 0 .. 7
    networks : in the order of ``config.networks``
    direction_scale : real value of one step of the direction code; for nerf only
    source : what it was trained on
    command : the exact command that made it
    """

    config: FieldConfig
    arithmetic: str
    tables: np.ndarray
    level_shifts: tuple[int, ...]
    networks: tuple[QuantizedMlp, ...]
    direction_scale: float | None = None
    source: str = ""
    command: str = ""

    def __post_init__(self) -> None:
        profile = integer_profile(self.arithmetic)
        grid = self.config.grid
        _check_array("tables", self.tables, (grid.n_entries, grid.n_features_per_level), profile.value_bits)
        _check_count("level_shifts", self.level_shifts, grid.n_levels)
        for level, shift in enumerate(self.level_shifts):
            check_integer(f"level_shift of level {level}", shift, 0, MAX_LEVEL_SHIFT)
        _check_count("networks", self.networks, len(self.config.networks))
        for config, network in zip(self.config.networks, self.networks, strict=True):
            if network.config != config:
                raise InputError(f"networks of the field must be those of its config, not {network.config}")
            for name in ("weights", "multipliers", "shifts"):
                _check_count(name, getattr(network, name), len(config.layers))
            for number, layer in enumerate(config.layers):
                weights = network.weights[number]
                _check_array(f"weights of layer {number}", weights, (layer.n_out, layer.n_in), profile.weight_bits)
                top = (1 << profile.multiplier_bits) - 1
                check_integer(f"multiplier of layer {number}", network.multipliers[number], 1, top)
                check_integer(f"shift of layer {number}", network.shifts[number], 1, MAX_REQUANTIZE_SHIFT)
            check_positive("output_scale", network.output_scale)
        if self.config.app == "nerf":
            check_positive("direction_scale", self.direction_scale)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        arrays = {"tables": self.tables, **_weight_arrays([network.weights for network in self.networks])}
        header = {
            "arithmetic": self.arithmetic,
            "level_shifts": list(self.level_shifts),
            "networks": [
                {
                    "multipliers": list(network.multipliers),
                    "shifts": list(network.shifts),
                    "output_scale": network.output_scale,
                    "curves": [curve and dataclasses.asdict(curve) for curve in network.layer_curves],
                }
                for network in self.networks
            ],
            "direction_scale": self.direction_scale,
        }
        _save(path, self, header, arrays)


@dataclass(frozen=True, kw_only=True)
class FloatMlp:
    """A network in ``fp16``.

    Parameters
    ----------
    config : its shape and activations
    weights : per layer, (n_out, n_in) float16
    """

    config: MlpConfig
    weights: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        _check_count("weights", self.weights, len(self.config.layers))
        for number, layer in enumerate(self.config.layers):
            found = self.weights[number]
            if found.shape != (layer.n_out, layer.n_in) or found.dtype != np.float16:
                raise InputError(
                    f"weights of layer {number} must be float16 of shape {(layer.n_out, layer.n_in)}, "
                    f"not {found.dtype} of {found.shape}"
                )


@dataclass(frozen=True, kw_only=True)
class FloatField:
    """A field as trained, parameters rounded to fp16 as tiny-cuda-nn infers with.

    Parameters
    ----------
    config : the field
    tables : (entries, n_features_per_level) float16
    weights : per network, per layer, (n_out, n_in) float16
    source : what it was trained on
    command : the exact command that made it
    """

    config: FieldConfig
    tables: np.ndarray
    weights: tuple[tuple[np.ndarray, ...], ...]
    source: str = ""
    command: str = ""

    def __post_init__(self) -> None:
        grid = self.config.grid
        _check_array("tables", self.tables, (grid.n_entries, grid.n_features_per_level), None)
        _check_count("networks", self.weights, len(self.config.networks))
        for config, weights in zip(self.config.networks, self.weights, strict=True):
            _check_count("weights", weights, len(config.layers))
            for number, layer in enumerate(config.layers):
                _check_array(f"weights of layer {number}", weights[number], (layer.n_out, layer.n_in), None)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        arrays = {"tables": self.tables, **_weight_arrays(self.weights)}
        _save(path, self, {"arithmetic": "fp16"}, arrays)


def load_field(path: Path) -> FloatField | QuantizedField:
    """Read a field; raises InputError if the file is missing, cut short or not what it says it is."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the checkpoint must be an existing file, not {str(path)!r}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("config")))
        if header["format"] != FORMAT:
            raise InputError(f"the format of {path.name} must be {FORMAT!r}, not {header['format']!r}")
        config = _field_from_json(header["field"])
        weights = tuple(
            tuple(arrays[f"network{n}_weights{k}"] for k in range(len(network.layers)))
            for n, network in enumerate(config.networks)
        )
        provenance = {"source": header["source"], "command": header["command"]}
        if header["arithmetic"] == "fp16":
            return FloatField(config=config, tables=arrays["tables"], weights=weights, **provenance)
        networks = tuple(
            QuantizedMlp(
                config=config.networks[n],
                weights=weights[n],
                multipliers=tuple(entry["multipliers"]),
                shifts=tuple(entry["shifts"]),
                output_scale=entry["output_scale"],
                # files older than the tables have none
                curves=tuple(curve and ActivationCurve(**curve) for curve in entry.get("curves", ())),
            )
            for n, entry in enumerate(header["networks"])
        )
        return QuantizedField(
            config=config,
            arithmetic=header["arithmetic"],
            tables=arrays["tables"],
            level_shifts=tuple(header["level_shifts"]),
            networks=networks,
            direction_scale=header["direction_scale"],
            **provenance,
        )
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"the checkpoint {path.name} must be a whole open-ngpc field file, not one cut short or damaged "
            f"({type(error).__name__}); fetch or train it again"
        ) from error


def _check_array(what: str, array: np.ndarray, shape: tuple[int, ...], bits: int | None) -> None:
    if array.shape != shape:
        raise InputError(f"shape of {what} must be {shape}, not {array.shape}")
    if bits is None:
        if array.dtype != np.float16:
            raise InputError(f"dtype of {what} must be float16, not {array.dtype}")
        if not np.isfinite(array).all():
            raise InputError(f"{what} must be finite, not NaN or infinite")
    elif not np.issubdtype(array.dtype, np.signedinteger) or array.dtype.itemsize * 8 != bits:
        raise InputError(f"dtype of {what} must be int{bits}, not {array.dtype}")


def _check_count(what: str, values: tuple, count: int) -> None:
    if len(values) != count:
        raise InputError(f"number of {what} must be {count}, not {len(values)}")


def _weight_arrays(networks: object) -> dict[str, np.ndarray]:
    return {f"network{n}_weights{k}": matrix for n, weights in enumerate(networks) for k, matrix in enumerate(weights)}


def _field_from_json(text: dict) -> FieldConfig:
    rgb = text["rgb_network"]
    return FieldConfig(
        app=text["app"],
        grid=GridConfig(**text["grid"]),
        network=MlpConfig(**text["network"]),
        rgb_network=None if rgb is None else MlpConfig(**rgb),
    )


def _save(path: Path, field: FloatField | QuantizedField, header: dict, arrays: dict[str, np.ndarray]) -> None:
    header = {
        "format": FORMAT,
        "field": dataclasses.asdict(field.config),
        "source": field.source,
        "command": field.command,
        **header,
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, config=np.array(json.dumps(header)), **arrays)
    write_whole(path, stream.getvalue())
