"""``ngpc render``: a whole picture through the RTL, every value compared with the golden model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from arch.checkpoint import FloatField, QuantizedField, load_field
from arch.errors import InputError, check_one_of
from arch.nfp import NfpConfig
from arch.presets import NFPS, in_fp16, preset
from arch.trained import PHOTOGRAPH_SIZE, TRAINED, load_trained
from arch.whole_file import check_directory
from cli.output import JsonOption, note, print_json, print_table, progress
from report.picture import distance_colours, psnr_db, write_png

__all__ = ["Rendering", "render", "render_app"]

RENDERED_APPS = ("gia", "nsdf")


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A picture that went through the RTL.

    Parameters
    ----------
    app : field
    rtl, float_field, truth : (height, width, 3) in [0, 1]: by the RTL, by the float64 field, as it should be
    mismatches : raw output values in which RTL and golden model differ
    psnr_vs_float_db, psnr_vs_truth_db : of the RTL's values, peak 1; None without a float checkpoint
    cycles : clocks from first point in to last result out, in RTL
    cycles_model : the same by the cycle model
    simulated_clocks_per_s : speed of the simulation
    """

    app: str
    rtl: np.ndarray
    float_field: np.ndarray | None
    truth: np.ndarray
    mismatches: int
    psnr_vs_float_db: float | None
    psnr_vs_truth_db: float
    cycles: int
    cycles_model: int
    simulated_clocks_per_s: float

    @property
    def row(self) -> dict[str, object]:
        """The JSON of ``ngpc render``."""
        height, width = self.rtl.shape[:2]
        return {
            "app": self.app,
            "width": width,
            "height": height,
            "mismatches": self.mismatches,
            "psnr_vs_float_db": self.psnr_vs_float_db,
            "psnr_vs_truth_db": self.psnr_vs_truth_db,
            "cycles": self.cycles,
            "clk_per_point": self.cycles / (width * height),
            "cycles_model": self.cycles_model,
            "simulated_clocks_per_s": self.simulated_clocks_per_s,
            "source": "rtl",
        }


def render(
    *,
    app: Annotated[str, typer.Option(help="Field to render: gia (a photograph) or nsdf (a slice of a solid).")] = "gia",
    processor: Annotated[str, typer.Option(help=f"Processor to build: {', '.join(NFPS)}.")] = "nfp-16x16",
    arithmetic: Annotated[str, typer.Option(help="int8, or fp16: a GPU's own bits.")] = "int8",
    size: Annotated[int, typer.Option(help=f"Pixels per side; a divisor of {PHOTOGRAPH_SIZE}.")] = PHOTOGRAPH_SIZE,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Field of this arithmetic to run instead of the committed one.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the pictures.")] = Path("build/render"),
    waves: Annotated[Path | None, typer.Option(help="VCD file for waves; take a small --size with it.")] = None,
    json: JsonOption = False,
) -> None:
    """Render a trained field through the processor's RTL and compare every value with the golden model.

    Exit code 1 if a value differs or the cycle model misses the RTL's clocks.
    """
    check_directory(out)
    check_one_of("arithmetic", arithmetic, ("int8", "fp16"))
    config = preset("processor", NFPS, processor)
    if arithmetic == "fp16":
        config = in_fp16(config)
    with progress(f"rendering {app}") as update:
        rendering = render_app(app, config, size=size, checkpoint=checkpoint, waves=waves, update=update)
    picture = write_png(out / f"{app}_rtl.png", rendering.rtl)
    write_png(out / f"{app}_truth.png", rendering.truth)
    if json:
        print_json({**rendering.row, "picture": str(picture)})
    else:
        rows = [(name, value) for name, value in rendering.row.items()]
        print_table(f"{app} on {processor}", ("what", "value"), rows)
        note(f"picture: {picture}")
    if rendering.mismatches or rendering.cycles != rendering.cycles_model:
        raise typer.Exit(1)


def render_app(
    app: str,
    config: NfpConfig,
    *,
    size: int = PHOTOGRAPH_SIZE,
    checkpoint: Path | None = None,
    waves: Path | None = None,
    update: Callable[[int, int], None] | None = None,
) -> Rendering:
    """Render ``app`` through the RTL of ``config``; ``update(done, total)`` follows the simulation.

    Raises
    ------
    InputError
        If the app or size is not one of those offered, or the field does not fit the processor.
    """
    from time import perf_counter

    import torch

    from reference.field import field_float
    from sim.cosim.engine import nfp_simulator
    from sim.engine.nfp import nfp_cycles

    check_one_of("app", app, RENDERED_APPS)
    if size < 1 or PHOTOGRAPH_SIZE % size:
        raise InputError(f"size must be a divisor of {PHOTOGRAPH_SIZE}, not {size}")
    exact = config.mlp.floating
    field = load_trained(app, config.mlp.arithmetic) if checkpoint is None else _load(checkpoint, exact)
    if field.config.app != app:
        raise InputError(f"app of the checkpoint must be {app!r}, not {field.config.app!r}")
    positions, truth = _scene(app, size)
    coordinates, golden = (_golden_fp16 if exact else _golden)(field, positions)

    with nfp_simulator(field, config, waves=waves) as simulator:
        started = perf_counter()
        run = simulator.run(coordinates, progress=update)
        seconds = perf_counter() - started
    model = nfp_cycles(field.config, config, coordinates, primed=config.prime_cycles)

    values = run.outputs.astype(np.int16).view(np.float16) if exact else run.outputs * field.networks[-1].output_scale
    rtl = _picture(app, values.astype(np.float64), size)
    float_field = None
    if checkpoint is None:
        trained = load_trained(app, "fp16")
        assert isinstance(trained, FloatField)
        float_field = _picture(app, field_float(trained, torch.from_numpy(positions)).numpy(), size)
    return Rendering(
        app=app,
        rtl=_shown(app, rtl),
        float_field=None if float_field is None else _shown(app, float_field),
        truth=_shown(app, _picture(app, truth, size)),
        mismatches=int(np.count_nonzero(run.outputs != golden)),
        psnr_vs_float_db=None if float_field is None else psnr_db(rtl, float_field),
        psnr_vs_truth_db=psnr_db(rtl, _picture(app, truth, size)),
        cycles=run.cycles,
        cycles_model=model.cycles,
        simulated_clocks_per_s=run.cycles / seconds,
    )


def _load(path: Path, exact: bool) -> QuantizedField | FloatField:
    field = load_field(path)
    if not exact and not isinstance(field, QuantizedField):
        raise InputError(f"the checkpoint {path.name} must be quantised, not fp16; quantise it with scripts/train")
    if exact and not isinstance(field, FloatField):
        raise InputError(f"the checkpoint {path.name} must be fp16, not quantised; take --arithmetic int8")
    return field


def _golden(field: QuantizedField, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raw coordinates and results."""
    from reference.field import field_integer
    from reference.grid_encoding import quantize_coordinates

    return quantize_coordinates(positions).numpy(), field_integer(field, positions).numpy()


def _golden_fp16(field: FloatField, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in ``fp16``: raw values are the numbers' bits."""
    import torch

    from reference.field import field_fp16

    narrow = positions.astype(np.float32)
    return narrow.view(np.uint32), field_fp16(field, torch.from_numpy(narrow)).numpy().view(np.int16)


def _scene(app: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions, (pixels, dims), row by row, and the true output there, (pixels, outputs)."""
    from reference.truth import photograph, pixel_positions, solid_distance

    pixels = pixel_positions(size, size)
    if app == "gia":
        block = PHOTOGRAPH_SIZE // size
        truth = photograph().reshape(size, block, size, block, 3).mean(axis=(1, 3))
        return pixels, truth.reshape(-1, 3)
    # The slice z = 1/2 with y pointing up.
    positions = np.column_stack([pixels[:, 0], 1.0 - pixels[:, 1], np.full(len(pixels), 0.5)])
    return positions, solid_distance(positions)[:, None]


def _picture(app: str, outputs: np.ndarray, size: int) -> np.ndarray:
    """Outputs as values in [0, 1], (size, size, channels); a distance of 0 is 1/2."""
    outputs = outputs.reshape(size, size, -1)
    if app == "nsdf":
        outputs = 0.5 + 0.5 * outputs / TRAINED[app].output_limit
    return np.clip(outputs, 0.0, 1.0)


def _shown(app: str, values: np.ndarray) -> np.ndarray:
    return distance_colours(values[:, :, 0]) if app == "nsdf" else values
