"""``ngpc frame``: the frame table, a GPU alone beside the same GPU with an NGPC."""

from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Annotated

import typer

from arch.errors import InputError, check_one_of
from cli.output import JsonOption, print_json, print_table, progress

if TYPE_CHECKING:
    from sim.machine.frame import AverageSpeedup
    from sim.machine.frame_columns import FrameRow

__all__ = ["frame", "print_frames"]


def frame(
    *,
    app: Annotated[str, typer.Option(help="nerf, nsdf, gia, nvr; several with commas.")] = "nerf,nsdf,gia,nvr",
    encoding: Annotated[str, typer.Option(help="hashgrid, densegrid, lowres; several with commas.")] = "hashgrid",
    resolution: Annotated[str, typer.Option(help="fhd, 2k, 4k, 5k, 8k; several with commas.")] = "fhd,4k",
    n_nfp: Annotated[str, typer.Option(help="Neural fields processors, 1 to 64; several with commas.")] = "8,16,32,64",
    gpu: Annotated[str, typer.Option(help="GPU beside the cluster: rtx3090, h200, orin.")] = "rtx3090",
    tables: Annotated[
        str, typer.Option(help="Tables beyond 1 MiB a level engine: sized (enlarge it), reload (in parts) or refuse.")
    ] = "sized",
    mode: Annotated[
        str, typer.Option(help="Points of a frame: paper (from published frame times) or scene (rays marched).")
    ] = "paper",
    sm_memory_share: Annotated[
        float,
        typer.Option(
            help="Part of the time of the kernels around the field, 0 to 1, in which they keep the memory busy."
        ),
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """Time a frame on the GPU alone and with its encoding and networks moved to an NGPC."""
    from sim.machine.frame import assumptions, average_speedups, frame_table
    from sim.machine.kernel_match import MEASURED_POINTS, kernel_matches
    from sim.machine.scene_frame import scene_assumptions, scene_table

    check_one_of("mode", mode, ("paper", "scene"))
    apps, encodings, resolutions = _names(app), _names(encoding), _names(resolution)
    with progress("timing frames") as update:
        rows = (frame_table if mode == "paper" else scene_table)(
            apps=apps,
            encodings=encodings,
            resolutions=resolutions,
            n_nfps=_integers("n_nfp", n_nfp),
            gpu=gpu,
            tables=tables,
            sm_memory_share=sm_memory_share,
            update=update,
        )
    averages = average_speedups(rows, gpu) if mode == "paper" else []
    grounds = assumptions(gpu) + (scene_assumptions() if mode == "scene" else [])
    matches = kernel_matches(gpu, apps=apps, encodings=encodings)
    if json:
        print_json(
            {
                "points_from": mode,
                "sm_memory_share": sm_memory_share,
                "rows": [asdict(row) for row in rows],
                "averages": [asdict(average) for average in averages],
                "matches": [asdict(match) for match in matches],
                "assumptions": grounds,
            }
        )
        return
    print_frames(rows, averages, grounds)
    if matches:
        columns = (
            "app", "encoding", "GPU", "its Gpoint/s", "mark", "NFPs", "their Gpoint/s", "memory Gpoint/s", "GPU nJ",
            "nJ",
        )  # fmt: skip
        caption = (
            f"Both take {MEASURED_POINTS} points at once; the study's largest cluster has 64 NFPs. "
            "nJ a point: the GPU's board as measured; the cluster's table reads and multiply-adds, modelled."
        )
        print_table(
            "Cluster that matches the GPU's fused kernel", columns, [astuple(match) for match in matches], caption
        )


def print_frames(rows: Sequence["FrameRow"], averages: Sequence["AverageSpeedup"], grounds: Sequence[str]) -> None:
    """Print the frame table, what it rests on, and the means beside the published ones."""
    columns = (
        "app",
        "encoding",
        "resolution",
        "NFPs",
        "mode",
        "ms",
        "frames/s",
        "speed-up",
        "limiter",
        "points",
        "GB/s",
        "field mJ",
        "tables",
        "source",
        "GPU ms is",
    )
    lines = [
        (
            row.app, row.encoding, row.resolution, row.n_nfp, row.mode, row.frame_ms, row.fps, row.speedup, row.limiter,
            row.points, row.traffic_gbytes_per_s, row.field_energy_mj, row.tables, row.source, row.baseline_mark,
        )
        for row in rows
    ]  # fmt: skip
    print_table("Frames", columns, lines, "\n".join(f"- {sentence}" for sentence in grounds))
    if averages:
        columns = ("encoding", "resolution", "NFPs", "GPU", "mode", "speed-up", "published", "mark")
        print_table("Mean of the four applications beside the published mean", columns, [astuple(a) for a in averages])


def _names(text: str) -> list[str]:
    """The names of a list, each once."""
    return list(dict.fromkeys(text.split(",")))


def _integers(what: str, text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise InputError(f"{what} must be whole numbers separated by commas, not {text!r}") from error
