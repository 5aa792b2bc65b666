"""Presets by name. Presets are values: to vary one, use ``dataclasses.replace``.

Field presets follow instant-ngp's configurations of November 2022, the ones the NGPC study (ISCA'23) was
made with; the dense variants of nsdf, gia and nvr are this project's, since instant-ngp ships none.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import FUSED_OUTPUTS, MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NfpConfig
from arch.scheduler import SchedulerConfig

__all__ = ["ENCODINGS", "FIELDS", "NFPS", "SCHEDULERS", "in_fp16", "preset"]

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

_NERF_SIDE = {"side_first": 32, "side_inputs": 16}
"""The direction code, behind 32 features."""

NFPS: Mapping[str, NfpConfig] = {
    "nfp-16x16": NfpConfig(
        encoding=EncodingEngineConfig(table_rows=1 << 18),
        mlp=MlpEngineConfig(rows=16, cols=16, nano_batch=64, weight_tiles=64, **_NERF_SIDE),
    ),
    "nfp-32x32": NfpConfig(
        encoding=EncodingEngineConfig(level_parallel=2, table_rows=1 << 17),
        mlp=MlpEngineConfig(rows=32, cols=32, nano_batch=128, weight_tiles=16, **_NERF_SIDE),
    ),
    "ngpc": NfpConfig(
        encoding=EncodingEngineConfig(level_parallel=16, table_rows=1 << 19),
        mlp=MlpEngineConfig(rows=64, cols=64, nano_batch=256, weight_tiles=16, **_NERF_SIDE),
    ),
}
"""Processors to simulate and to write as Verilog. ``ngpc`` has NGPC's sizes: 16 engines of 1 MiB, 64 x 64."""

_NERF_SIDE_FP16 = 48


def in_fp16(config: NfpConfig) -> NfpConfig:
    """The processor of the same sizes that gives a GPU's bits.

    nerf's density outputs stand in front of the code; a result holds what the library stores, the padded outputs of the
    last network, and behind them a density.
    """
    mlp = replace(config.mlp, arithmetic="fp16", side_first=_NERF_SIDE_FP16 if config.mlp.side_inputs else 0)
    return NfpConfig(encoding=replace(config.encoding, arithmetic="fp16"), mlp=mlp, max_outputs=FUSED_OUTPUTS + 1)


SCHEDULERS: Mapping[str, SchedulerConfig] = {
    "scheduler-8": SchedulerConfig(n_descriptors=8, n_operations=8, n_chunks=8),
    "scheduler-32": SchedulerConfig(),
    "scheduler-32-debug": SchedulerConfig(check_load=True, trace=True),
    "scheduler-32-supervised": SchedulerConfig(check_load=True, supervised=True, watchdog_bits=32, buffered=True),
}
"""Scheduler units to simulate and to write as Verilog; ``-debug`` checks what it loads and traces what it does,
``-supervised`` survives units that fail and loads the next program while one runs."""
