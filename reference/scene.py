"""Sampling of a trained field on the grid its rays are marched through."""

from collections.abc import Callable

import numpy as np
import torch

from arch.checkpoint import QuantizedField
from arch.field import FieldConfig
from arch.scene import SCENE_CELLS, SceneGrid
from reference.field import field_integer, output_scales
from reference.threads import torch_threads

__all__ = ["density_column", "sample_scene"]

_BLOCK = 1 << 15
_THIN = 0.01 / 0.0017
"""Density of instant-ngp's threshold: an optical thickness of 0.01 in one step of a 1024th of the cube's diagonal."""


def density_column(field: QuantizedField) -> int:
    """Output that is the density (nerf, nvr: the last) or the distance (nsdf: the only one)."""
    return 3 if field.config.app in ("nerf", "nvr") else 0


def sample_scene(field: QuantizedField, update: Callable[[int, int], None] = lambda done, total: None) -> SceneGrid:
    """The integer field's density or distance in the middle of each cell.

    Values of nerf below instant-ngp's threshold become -128: empty.
    """
    column = density_column(field)
    step = float(output_scales(field)[column])
    alone = _density_alone(field)
    centres = torch.from_numpy(SceneGrid.centres())
    values = np.empty(len(centres), dtype=np.int8)
    with torch_threads(1):
        for first in range(0, len(centres), _BLOCK):
            block = centres[first : first + _BLOCK]
            outputs = field_integer(alone, block)
            values[first : first + len(block)] = outputs[:, density_column(alone)].numpy()
            update(first + len(block), len(centres))
    if field.config.app == "nerf":
        values[np.exp(values * step) < _THIN] = -128
    return SceneGrid(app=field.config.app, values=values.reshape((SCENE_CELLS,) * 3), step=step)


def _density_alone(field: QuantizedField) -> QuantizedField:
    """The field without nerf's colours: its density network by itself, whose first output is the density."""
    if field.config.rgb_network is None:
        return field
    config = FieldConfig(app="nsdf", grid=field.config.grid, network=field.config.network)
    return QuantizedField(
        config=config,
        arithmetic=field.arithmetic,
        tables=field.tables,
        level_shifts=field.level_shifts,
        networks=field.networks[:1],
    )
