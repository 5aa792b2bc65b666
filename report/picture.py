"""Pictures: PNG files, their distance in decibels and colours for distances."""

import io
from pathlib import Path

import numpy as np

from arch.whole_file import write_whole

__all__ = ["distance_colours", "png_bytes", "psnr_db", "write_png"]

_CONTOURS = 16
_INSIDE, _OUTSIDE = np.array([0.35, 0.55, 0.85]), np.array([0.95, 0.62, 0.25])


def psnr_db(values: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal-to-noise ratio of values in [0, 1], in dB: ``-10 log10(mean squared difference)``.

    Equal arrays give the ratio of a squared difference of 2**-53, so that the result stays finite.
    """
    error = float(np.mean((np.asarray(values, dtype=np.float64) - expected) ** 2))
    return float(-10.0 * np.log10(max(error, 2.0**-53)))


def png_bytes(picture: np.ndarray) -> bytes:
    """PNG of a (height, width, 3) picture with values in [0, 1], 8 bits a channel."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Write a (height, width, 3) picture with values in [0, 1] as PNG, whole or not at all."""
    return write_whole(path, png_bytes(picture))


def distance_colours(values: np.ndarray) -> np.ndarray:
    """Colour a distance picture, (height, width) with the surface at 1/2: blue inside, orange out, contour lines."""
    signed = 2.0 * np.asarray(values) - 1.0
    base = np.where((signed < 0)[..., None], _INSIDE, _OUTSIDE)
    shade = 0.65 + 0.35 * np.cos(np.pi * _CONTOURS * signed) ** 2
    surface = np.clip(np.abs(signed) * 24.0, 0.0, 1.0)
    return base * (shade * surface)[..., None]
