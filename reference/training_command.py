"""``scripts/train``: make the committed checkpoints of ``workloads/fields``, or say how good they are."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from arch.errors import InputError
from arch.scene import SCENE_APPS, scene_path
from arch.trained import TRAINED, TRAINED_ARITHMETICS, load_trained, trained_path
from reference.quality import gia_quality, nsdf_quality
from reference.quality_volumes import nerf_quality, nvr_quality
from reference.quantize_nerf import quantize_nerf
from reference.reconstruction import ReconstructionConfig, quantize
from reference.scene import sample_scene
from reference.training import GIA_TRAINING, NSDF_TRAINING, train_gia, train_nsdf
from reference.training_volumes import (
    NERF_TRAINING,
    NVR_TRAINING,
    cloud_samples,
    train_nerf,
    train_nvr,
    unit_vectors,
)
from reference.truth import pixel_positions, solid_samples, surface_points

__all__ = ["main"]

_CALIBRATION_SEED = 10
_CALIBRATION_POINTS = 1 << 17

_FIGURES = {
    "float_photograph": "float field against the photograph: PSNR {:.2f} dB",
    "integer_photograph": "int8 field against the photograph: PSNR {:.2f} dB",
    "integer_float": "int8 field against the float field: PSNR {:.2f} dB",
    "float_truth": "float field against the true distance: mean error {:.6f} of the cube's edge",
    "integer_truth": "int8 field against the true distance: mean error {:.6f} of the cube's edge",
    "integer_float_lsb": "int8 field against the float field: mean error {:.2f} output steps",
    "float_density": "float field's logarithm of density where it counts: root mean square error {:.3f}",
    "integer_density": "int8 field's logarithm of density where it counts: root mean square error {:.3f}",
    "float_colour": "float field's colour where there is density: PSNR {:.2f} dB",
    "integer_colour": "int8 field's colour where there is density: PSNR {:.2f} dB",
    "float_cloud": "float field against the cloud: PSNR {:.2f} dB",
    "integer_cloud": "int8 field against the cloud: PSNR {:.2f} dB",
    "integer_float_lsb_max": "int8 field against the float field: greatest error {:.1f} output steps",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, or 2 if an input was refused."""
    parser = argparse.ArgumentParser(prog="scripts/train", description=__doc__)
    parser.add_argument("field", choices=[*TRAINED, "all"], help="which field")
    parser.add_argument("--seed", type=int, default=1, help="of the training (default 1)")
    parser.add_argument("--check", action="store_true", help="only measure the checkpoints that are there")
    parser.add_argument("--scene", action="store_true", help="only sample the int8 checkpoints that are there")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        for app in TRAINED if options.field == "all" else [options.field]:
            if not options.check and not options.scene:
                _make(app, options.seed, console)
            if app in SCENE_APPS and not options.check:
                _sample(app, console)
            _report(app)
    except InputError as error:
        print(f"scripts/train: {error}", file=sys.stderr)
        return 2
    return 0


def _make(app: str, seed: int, console: Console) -> None:
    command = f"scripts/train {app} --seed {seed}"
    started = time.monotonic()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("loss {task.fields[loss]:.2e}"), console=console,
    ) as bars:  # fmt: skip
        floating = _TRAIN[app](seed, command, _bar(bars, f"{app}: training"))
        trained = time.monotonic()
        options = {
            "arithmetic": "int8",
            "output_limit": TRAINED[app].output_limit,
            "reconstruction": ReconstructionConfig(seed=seed),
            "command": command,
            "progress": _bar(bars, f"{app}: quantising"),
        }
        points = _calibration_points(app)
        if app == "nerf":
            seen = (unit_vectors(np.random.default_rng(_CALIBRATION_SEED), len(points)) + 1) / 2
            quantized = quantize_nerf(floating, points, seen, **options)
        else:
            quantized = quantize(floating, points, **options)
    floating.save(trained_path(app, "fp16"))
    quantized.save(trained_path(app, "int8"))
    print(f"{app}: trained in {trained - started:.0f} s, quantised in {time.monotonic() - trained:.0f} s")


def _sample(app: str, console: Console) -> None:
    """The grid that rays are marched through."""
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console) as bars:
        task = bars.add_task(f"{app}: sampling", total=None)
        scene = sample_scene(
            load_trained(app, "int8"), lambda done, total: bars.update(task, completed=done, total=total)
        )
    scene.save(scene_path(app))


def _report(app: str) -> None:
    floating, quantized = (load_trained(app, arithmetic) for arithmetic in TRAINED_ARITHMETICS)
    quality = _QUALITY[app](floating, quantized)
    for arithmetic in TRAINED_ARITHMETICS:
        path = trained_path(app, arithmetic)
        print(f"{app}: {path.name}, {path.stat().st_size / 1e6:.2f} MB")
    for name, figure in quality.items():
        print(f"{app}: {_FIGURES[name].format(figure)}")


def _train_gia(seed: int, command: str, progress: Callable[[int, int, float], None]) -> Any:
    return train_gia(replace(GIA_TRAINING, seed=seed), command=command, progress=progress)


def _train_nsdf(seed: int, command: str, progress: Callable[[int, int, float], None]) -> Any:
    return train_nsdf(replace(NSDF_TRAINING, seed=seed), command=command, progress=progress)


def _train_nerf(seed: int, command: str, progress: Callable[[int, int, float], None]) -> Any:
    return train_nerf(replace(NERF_TRAINING, seed=seed), command=command, progress=progress)


def _train_nvr(seed: int, command: str, progress: Callable[[int, int, float], None]) -> Any:
    return train_nvr(replace(NVR_TRAINING, seed=seed), command=command, progress=progress)


_TRAIN = {"gia": _train_gia, "nsdf": _train_nsdf, "nerf": _train_nerf, "nvr": _train_nvr}
_QUALITY = {"gia": gia_quality, "nsdf": nsdf_quality, "nerf": nerf_quality, "nvr": nvr_quality}


def _calibration_points(app: str) -> np.ndarray:
    if app == "gia":
        return pixel_positions()
    rng = np.random.default_rng(_CALIBRATION_SEED)
    if app == "nvr":
        return cloud_samples(rng, _CALIBRATION_POINTS)
    return solid_samples(rng, surface_points(rng, _CALIBRATION_POINTS), _CALIBRATION_POINTS)


def _bar(bars: Progress, description: str) -> Callable[[int, int, float], None]:
    task = bars.add_task(description, loss=float("nan"), total=None)

    def advance(done: int, total: int, loss: float) -> None:
        bars.update(task, completed=done, total=total, loss=loss)

    return advance


if __name__ == "__main__":
    sys.exit(main())
