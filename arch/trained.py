"""The trained fields that come with the project: where they lie and what the truth behind each of them is.

``scripts/train`` makes the files, ``docs/fields.md`` says how well they do. The truth itself (the photograph, the
distance to the solid) is computed by ``reference/truth.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from arch.checkpoint import FloatField, QuantizedField, load_field
from arch.errors import InputError, check_one_of
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.presets import preset

__all__ = ["PHOTOGRAPH_SIZE", "TRAINED", "TRAINED_ARITHMETICS", "TrainedField", "load_trained", "trained_path"]

TRAINED_ARITHMETICS = ("fp16", "int8")
"""Arithmetics a checkpoint is committed for: as trained, and quantised for the hardware."""

PHOTOGRAPH_SIZE = 512
"""Pixels per side of the photograph; pixel (x, y) is the query ((x + 0.5) / size, (y + 0.5) / size)."""


@dataclass(frozen=True, kw_only=True)
class TrainedField:
    """One trained field.

    Parameters
    ----------
    name : stem of its files
    config : the field
    source : what it was trained on
    output_limit : real output that the integer profiles map to their largest value; beyond it they saturate
    """

    name: str
    config: FieldConfig
    source: str
    output_limit: float


_GIA_GRID = GridConfig(
    n_pos_dims=2,
    log2_hashmap_size=19,
    base_resolution=16,
    # instant-ngp's rule for images: the finest level has half as many vertices as the longer side has pixels.
    per_level_scale=(PHOTOGRAPH_SIZE / 2 / 16) ** (1 / 15),
)
_NSDF_GRID = GridConfig(n_pos_dims=3, log2_hashmap_size=13, base_resolution=16, per_level_scale=1.38191)

_NERF_GRID = GridConfig(n_pos_dims=3, log2_hashmap_size=13, base_resolution=16, per_level_scale=1.38191)
_NVR_GRID = GridConfig(n_pos_dims=3, log2_hashmap_size=13, base_resolution=16, per_level_scale=1.275)

TRAINED: Mapping[str, TrainedField] = {
    "gia": TrainedField(
        name="gia_astronaut",
        config=FieldConfig(
            app="gia",
            grid=_GIA_GRID,
            network=MlpConfig(n_input_dims=_GIA_GRID.n_output_dims, n_output_dims=3),
        ),
        source="photograph of Eileen Collins, NASA, public domain: scikit-image data.astronaut(), 512 x 512 RGB",
        output_limit=1.0,
    ),
    "nsdf": TrainedField(
        name="nsdf_solid",
        config=FieldConfig(
            app="nsdf",
            grid=_NSDF_GRID,
            network=MlpConfig(n_input_dims=_NSDF_GRID.n_output_dims, n_output_dims=1),
        ),
        source="signed distance to a slab, a rounded pillar, a ring and a ball, in units of the cube's edge",
        # Sphere tracing only loses step length where a distance saturates, and the steps near the surface get finer.
        output_limit=0.125,
    ),
    "nerf": TrainedField(
        name="nerf_solid",
        config=FieldConfig(
            app="nerf",
            grid=_NERF_GRID,
            network=MlpConfig(n_input_dims=_NERF_GRID.n_output_dims, n_hidden_layers=1, n_output_dims=16),
            rgb_network=MlpConfig(n_input_dims=32, n_hidden_layers=2, n_output_dims=3),
        ),
        source="density and reflected light of a slab, a rounded pillar, a ring and a ball",
        # Of the density network: logarithms of densities up to 400 an edge of the cube, whose largest is 5.99.
        output_limit=8.0,
    ),
    "nvr": TrainedField(
        name="nvr_cloud",
        config=FieldConfig(
            app="nvr",
            grid=_NVR_GRID,
            network=MlpConfig(n_input_dims=_NVR_GRID.n_output_dims, n_output_dims=4, output_activation="ReLU"),
        ),
        source="colour and density of a cloud of soft balls",
        output_limit=1.0,
    ),
}
"""Trained fields by app."""


def trained_path(app: str, arithmetic: str) -> Path:
    """Path of a trained field's checkpoint; raises InputError if the app or arithmetic is not among those trained."""
    trained = preset("trained field", TRAINED, app)
    check_one_of("arithmetic of a trained field", arithmetic, TRAINED_ARITHMETICS)
    return Path(str(files("workloads"))) / "fields" / f"{trained.name}.{arithmetic}.npz"


def load_trained(app: str, arithmetic: str = "int8") -> FloatField | QuantizedField:
    """Load the trained field of an app.

    Parameters
    ----------
    app : ``gia``, ``nsdf``, ``nerf`` or ``nvr``
    arithmetic : ``fp16`` gives the :class:`FloatField`, ``int8`` the :class:`QuantizedField` for the hardware

    Raises
    ------
    InputError
        If there is no such field, or its file is missing or damaged.
    """
    path = trained_path(app, arithmetic)
    loaded = load_field(path)
    if loaded.config != TRAINED[app].config:
        raise InputError(
            f"the field in {path.name} must be the one of arch.trained, not {loaded.config}; train it again"
        )
    return loaded
