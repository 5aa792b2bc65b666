"""What the commands share that hold an engine's RTL against its models: options, points, the verdict."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from arch.errors import check_integer, check_one_of
from arch.number_format import COORDINATE
from cli.output import print_json, print_table

__all__ = ["PATTERNS", "Pattern", "Seed", "Waves", "differing", "finish", "numpy_call", "point_stream", "steps_apart"]

PATTERNS = ("random", "ray", "axis")
_RAY_SAMPLES = 64
_MAX_POINTS = 1 << 22


def _check_seed(seed: int) -> int:
    check_integer("seed", seed, 0, (1 << 63) - 1)
    return seed


Seed = Annotated[int, typer.Option(help="Seed of random data and points.", callback=_check_seed)]
Pattern = Annotated[str, typer.Option(help=f"Order of points: {', '.join(PATTERNS)}.")]
Waves = Annotated[Path | None, typer.Option(help="VCD file to write waves into; keep the run short with it.")]


def point_stream(pattern: str, points: int, n_pos_dims: int, seed: int) -> np.ndarray:
    """Raw coordinates, (points, n_pos_dims).

    ``random``: uniform in the cube. ``ray``: along rays through the cube, 64 samples each. ``axis``: along rays
    parallel to each axis in turn, from face to face, 64 samples each.

    Raises
    ------
    InputError
        If the pattern is unknown or there are too few or too many points.
    """
    check_one_of("pattern", pattern, PATTERNS)
    check_integer("points", points, 1, _MAX_POINTS)
    rng = np.random.default_rng(seed)
    one = 1 << COORDINATE.fraction_bits
    if pattern == "random":
        return rng.integers(0, one + 1, (points, n_pos_dims))
    rays = -(-points // _RAY_SAMPLES)
    ends = rng.random((2, rays, 1, n_pos_dims))
    if pattern == "axis":
        along_axis = np.arange(n_pos_dims) == np.arange(rays)[:, None, None] % n_pos_dims
        ends = np.where(along_axis, np.array([0.0, 1.0])[:, None, None, None], ends[0])
    along = np.linspace(0.0, 1.0, _RAY_SAMPLES)[None, :, None]
    return COORDINATE.quantize(ends[0] + (ends[1] - ends[0]) * along).reshape(-1, n_pos_dims)[:points]


def numpy_call(function: object, *arguments: object) -> np.ndarray:
    """Call a golden model with its arrays as tensors."""
    import torch

    tensors = [torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in arguments]
    return function(*tensors).numpy()


def finish(result: dict, json: bool) -> None:
    """Print the result; exit code 1 if a value or a clock differs, in the whole run, a level or a case."""
    if json:
        print_json(result)
    else:
        plain = [(name, value) for name, value in result.items() if not isinstance(value, list)]
        print_table("Simulation", ("what", "value"), plain)
        for name, rows in result.items():
            if isinstance(rows, list) and rows:
                print_table(name, tuple(rows[0]), [tuple(row.values()) for row in rows])
    parts = [*result.get("levels", []), *result.get("cases", [])]
    clocks = [entry for entry in [result, *parts] if "cycles_rtl" in entry]
    if (
        result["mismatches"]
        or result.get("counter_mismatches")
        or result.get("clock_mismatches")
        or any(entry["cycles_rtl"] != entry["cycles_model"] for entry in clocks)
    ):
        raise typer.Exit(1)


def steps_apart(features: np.ndarray, wanted: np.ndarray) -> int:
    """Largest distance of two arrays of fp16, in numbers of the format; NaN is none from NaN, far from all else."""

    def place(numbers: np.ndarray) -> np.ndarray:
        bits = np.ascontiguousarray(numbers).view(np.int16).astype(np.int64)
        return np.where(np.isnan(numbers), 1 << 16, np.where(bits < 0, -(bits & 0x7FFF), bits))

    return int(np.abs(place(features) - place(wanted)).max(initial=0))


def differing(features: np.ndarray, wanted: np.ndarray) -> int:
    """How many fp16 numbers differ in any bit; NaN equals NaN."""
    unequal = np.ascontiguousarray(features).view(np.uint16) != np.ascontiguousarray(wanted).view(np.uint16)
    return int(np.count_nonzero(unequal & ~(np.isnan(features) & np.isnan(wanted))))
