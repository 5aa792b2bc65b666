"""``ngpc import``: a field trained elsewhere as a checkpoint of this project, in fp16 or quantised."""

import io
import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from arch.checkpoint import FloatField
from arch.errors import InputError, check_one_of, check_positive
from arch.flat_parameters import field_config, field_from_vectors
from arch.snapshot import Snapshot, load_snapshot
from arch.whole_file import check_directory, write_whole
from cli.output import JsonOption, note, print_json, print_table

if TYPE_CHECKING:
    from arch.checkpoint import QuantizedField

__all__ = ["import_field"]

_SNAPSHOTS = (".msgpack", ".ingp")
_VECTORS = (".npy", ".pt", ".pth", ".ckpt")
_ARITHMETICS = ("fp16", "int8", "int16")
_CALIBRATION_POINTS = 1 << 14
_CALIBRATION_SEED = 1


def import_field(
    file: Annotated[
        Path,
        typer.Argument(
            help="An instant-ngp snapshot (.msgpack, .ingp), or flat tiny-cuda-nn parameters: .npy, or a PyTorch state "
            "dictionary (.pt, .pth, .ckpt)."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint to write.")] = Path("build/field.npz"),
    arithmetic: Annotated[str, typer.Option(help="fp16 as trained, or int8, int16 for the hardware.")] = "fp16",
    config: Annotated[
        Path | None, typer.Option(help="JSON with the blocks encoding and network; for flat parameters.")
    ] = None,
    app: Annotated[str | None, typer.Option(help="nerf, nsdf, gia, nvr; for flat parameters.")] = None,
    longest_side: Annotated[
        int | None, typer.Option(help="Pixels or voxels, if an image's or volume's snapshot has no per_level_scale.")
    ] = None,
    output_limit: Annotated[
        float | None, typer.Option(help="Real output of the largest integer; default: the largest of random points.")
    ] = None,
    occupancy: Annotated[
        Path | None, typer.Option(help="Where to write a nerf snapshot's occupied cells, (cascades, x, y, z), .npy.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Turn a field trained with tiny-cuda-nn or instant-ngp into a checkpoint."""
    check_one_of("arithmetic", arithmetic, _ARITHMETICS)
    if output_limit is not None:
        check_positive("output limit", output_limit)
    check_directory(out.parent)
    command = f"ngpc {' '.join(sys.argv[1:])}"
    check_one_of("suffix of the file", file.suffix, (*_SNAPSHOTS, *_VECTORS))
    snapshot = None
    if file.suffix in _SNAPSHOTS:
        snapshot = load_snapshot(file, longest_side=longest_side, command=command)
        trained = snapshot.field
    else:
        trained = _from_vectors(file, config, app, command)
    field = trained if arithmetic == "fp16" else _quantize(trained, arithmetic, output_limit, command)
    if occupancy is not None:
        _write_occupancy(occupancy, snapshot)
    field.save(out)
    _show(field, snapshot, out, json)


def _from_vectors(file: Path, config: Path | None, app: str | None, command: str) -> FloatField:
    if config is None or app is None:
        raise InputError("flat parameters must come with --config and --app, not without; give both")
    if not file.is_file():
        raise InputError(f"the parameters must be an existing file, not {str(file)!r}")
    try:
        blocks = json_text.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the configuration must be a JSON file, not {str(config)!r} ({error})") from error
    if not isinstance(blocks, dict):
        raise InputError(f"the configuration must be a JSON object, not {blocks!r}")
    described = field_config(app, blocks)
    return field_from_vectors(described, _vectors(file), source=f"parameters of {file.name}", command=command)


def _vectors(file: Path) -> dict[str, np.ndarray]:
    """The one-dimensional arrays of a file, by name."""
    try:
        if file.suffix == ".npy":
            found = {file.stem: np.load(file, allow_pickle=False)}
        else:
            import torch

            loaded = torch.load(file, map_location="cpu", weights_only=True)
            # a training checkpoint keeps the state of its model one level down
            loaded = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {file.stem: loaded}
            found = {name: value.numpy() for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # whatever a damaged pickle or archive raises, the file is what is wrong
        raise InputError(
            f"the parameters must be a whole .npy file or PyTorch state dictionary, not {file.name!r} "
            f"({type(error).__name__})"
        ) from error
    return {name: array for name, array in found.items() if array.ndim == 1}


def _quantize(field: FloatField, arithmetic: str, output_limit: float | None, command: str) -> "QuantizedField":
    import torch

    from reference.field import field_float
    from reference.reconstruction import quantize

    rng = np.random.default_rng(_CALIBRATION_SEED)
    positions = rng.random((_CALIBRATION_POINTS, field.config.grid.n_pos_dims))
    if output_limit is None:
        output_limit = float(field_float(field, torch.from_numpy(positions)).abs().max())
        note(f"largest output of {_CALIBRATION_POINTS} random points: {output_limit:.4g}")
    return quantize(field, positions, arithmetic=arithmetic, output_limit=output_limit, command=command)


def _write_occupancy(path: Path, snapshot: Snapshot | None) -> None:
    if snapshot is None or snapshot.occupancy is None:
        raise InputError(
            "occupied cells must come from a nerf snapshot with a trained density grid, not from this file"
        )
    stream = io.BytesIO()
    np.save(stream, snapshot.occupancy)
    write_whole(path, stream.getvalue())


def _show(field: "FloatField | QuantizedField", snapshot: Snapshot | None, out: Path, json: bool) -> None:
    config = field.config
    result = {
        "checkpoint": str(out),
        "app": config.app,
        "arithmetic": getattr(field, "arithmetic", "fp16"),
        "grid_type": config.grid.grid_type,
        "n_levels": config.grid.n_levels,
        "n_features_per_level": config.grid.n_features_per_level,
        "table_entries": config.grid.n_entries,
        "networks": [
            [network.layers[0].n_in, *(layer.n_out for layer in network.layers)] for network in config.networks
        ],
        "occupied": None if snapshot is None or snapshot.occupancy is None else float(snapshot.occupancy.mean()),
    }
    if json:
        print_json(result)
    else:
        print_table("Imported field", ("what", "value"), list(result.items()))
