"""Presets by name. Presets are values: to vary one, use ``dataclasses.replace``.

Field presets follow instant-ngp's configurations of November 2022, the ones the NGPC study (ISCA'23) was
made with; the dense variants of nsdf, gia and nvr are this project's, since instant-ngp ships none.
"""

from collections.abc import Mapping
from typing import TypeVar

from arch.errors import InputError
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig

__all__ = ["ENCODINGS", "FIELDS", "preset"]

ENCODINGS = ("hash", "dense", "lowres")

T = TypeVar("T")


def preset(kind: str, presets: Mapping[str, T], name: str) -> T:
    """The preset called ``name``; raises InputError naming the choices if there is none."""
    if name not in presets:
        raise InputError(f"{kind} preset must be one of {', '.join(presets)}, not {name!r}")
    return presets[name]


_HASH_SCALE = {"nerf": 1.51572, "nsdf": 1.38191, "gia": 1.25992, "nvr": 1.275}
_OUTPUTS = {"nsdf": 1, "gia": 3, "nvr": 4}


def _grid(app: str, encoding: str) -> GridConfig:
    dims = 2 if app == "gia" else 3
    if encoding == "dense":
        return GridConfig(n_pos_dims=dims, grid_type="Dense", n_levels=8, per_level_scale=1.405)
    if encoding == "lowres":
        return GridConfig(
            n_pos_dims=dims, grid_type="Tiled", n_levels=2, n_features_per_level=8,
            base_resolution=128, per_level_scale=1.0,
        )  # fmt: skip
    table = 24 if app == "gia" else 19
    return GridConfig(n_pos_dims=dims, log2_hashmap_size=table, per_level_scale=_HASH_SCALE[app])


def _field(app: str, encoding: str) -> FieldConfig:
    grid = _grid(app, encoding)
    if app == "nerf":
        return FieldConfig(
            app=app,
            grid=grid,
            network=MlpConfig(n_input_dims=grid.n_output_dims, n_hidden_layers=1, n_output_dims=16),
            rgb_network=MlpConfig(n_input_dims=32, n_hidden_layers=2, n_output_dims=3),
        )
    return FieldConfig(
        app=app,
        grid=grid,
        network=MlpConfig(
            n_input_dims=grid.n_output_dims,
            n_output_dims=_OUTPUTS[app],
            output_activation="ReLU" if app == "nvr" else "None",
        ),
    )


FIELDS: Mapping[str, FieldConfig] = {
    f"{app}_{encoding}": _field(app, encoding) for app in ("nerf", "nsdf", "gia", "nvr") for encoding in ENCODINGS
}
"""``{nerf,nsdf,gia,nvr}_{hash,dense,lowres}``."""
