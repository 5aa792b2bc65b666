"""Scenes to march through: the trained fields of ``arch.trained``, sampled on a grid, and a camera in front of them.

The grid is what a renderer keeps beside a field to know where there is nothing: instant-ngp's occupancy grid has as
many cells and is made the same way. Here it also says how dense or how far, so that a ray can be followed without the
field.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.checkpoint import DAMAGE
from arch.errors import InputError, check_instance, check_one_of, check_positive
from arch.trained import trained_path
from arch.whole_file import write_whole

__all__ = ["SCENE_APPS", "SCENE_CELLS", "Camera", "SceneGrid", "load_scene", "scene_path"]

SCENE_APPS = ("nerf", "nsdf", "nvr")
"""Apps whose rays are marched; a pixel of gia is one point."""

SCENE_CELLS = 128
"""Cells an axis."""

_FORMAT = "open-ngpc scene 1"
_UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera, y up.

    Parameters
    ----------
    position, target : where it stands and looks at, in the field's unit cube
    field_of_view_deg : across the picture's width
    """

    position: tuple[float, float, float] = (1.9, 1.25, 2.2)
    target: tuple[float, float, float] = (0.5, 0.45, 0.5)
    field_of_view_deg: float = 40.0

    def __post_init__(self) -> None:
        check_positive("field_of_view_deg", self.field_of_view_deg)
        if self.field_of_view_deg >= 180:
            raise InputError(f"field_of_view_deg must be below 180, not {self.field_of_view_deg}")
        ahead = np.subtract(self.target, self.position)
        if np.linalg.norm(np.cross(ahead, _UP)) < 1e-9:
            raise InputError(f"target must not be the position or above or below it, not {self.target}")

    def rays(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Origin (3,), and (3, 3): right and down, a pixel long, and ahead, at a distance of 1, all float64.

        The ray of pixel (x, y) of a picture of ``width`` pixels runs along
        ``ahead + (x + 0.5 - width / 2) right + (y + 0.5 - height / 2) down``.
        """
        position, target = np.array(self.position, dtype=float), np.array(self.target, dtype=float)
        ahead = (target - position) / np.linalg.norm(target - position)
        right = np.cross(ahead, _UP)
        right /= np.linalg.norm(right)
        pixel = 2 * np.tan(np.radians(self.field_of_view_deg) / 2) / width
        return position, np.stack([right * pixel, -np.cross(right, ahead) * pixel, ahead])


@dataclass(frozen=True, kw_only=True)
class SceneGrid:
    """A trained field's density or distance at the middle of every cell of the unit cube.

    Parameters
    ----------
    app : ``nerf`` (natural logarithm of the density), ``nvr`` (density) or ``nsdf`` (distance)
    values : (128, 128, 128) int8 by x, y, z: the integer field's raw outputs; of nerf those too thin to matter are -128
    step : real value of one raw step
    """

    app: str
    values: np.ndarray
    step: float

    def __post_init__(self) -> None:
        check_one_of("app of a scene", self.app, SCENE_APPS)
        check_instance("values of a scene", self.values, np.ndarray)
        if self.values.shape != (SCENE_CELLS,) * 3 or self.values.dtype != np.int8:
            raise InputError(
                f"values of a scene must be int8 of shape {(SCENE_CELLS,) * 3}, not {self.values.dtype} of "
                f"{self.values.shape}"
            )
        check_positive("step of a scene", self.step)

    @staticmethod
    def centres() -> np.ndarray:
        """(128**3, 3) float64 middles of the cells, z fastest: ``values`` is made at these, in this order."""
        axis = (np.arange(SCENE_CELLS) + 0.5) / SCENE_CELLS
        return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream, format=np.array(_FORMAT), app=np.array(self.app), values=self.values, step=np.array(self.step)
        )
        write_whole(path, stream.getvalue())


def scene_path(app: str) -> Path:
    """Where the scene of ``app`` lies, beside its trained field."""
    check_one_of("app of a scene", app, SCENE_APPS)
    checkpoint = trained_path(app, "int8")
    return checkpoint.with_name(checkpoint.name.replace(".int8.npz", ".scene.npz"))


def load_scene(app: str) -> SceneGrid:
    """The scene of ``app``; raises InputError if there is none, or its file is missing or damaged."""
    path = scene_path(app)
    if not path.is_file():
        raise InputError(f"the scene must be an existing file, not {str(path)!r}; make it with scripts/train {app}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["format"]) != _FORMAT:
                raise InputError(f"the format of {path.name} must be {_FORMAT!r}, not {str(archive['format'])!r}")
            return SceneGrid(app=str(archive["app"]), values=archive["values"], step=float(archive["step"]))
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"the scene {path.name} must be a whole open-ngpc scene file, not one cut short or damaged "
            f"({type(error).__name__}); make it with scripts/train {app} --scene"
        ) from error
