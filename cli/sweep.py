"""``ngpc sweep``: the design space of a cluster, points a second against area, with the Pareto front as a plot."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from arch.errors import InputError
from arch.whole_file import write_whole
from cli.output import JsonOption, note, print_json, print_table, progress

__all__ = ["sweep"]

_COLUMNS = (
    "level_parallel", "array", "fission", "bank_ports", "clock_ghz", "n_nfp", "clk_per_point", "limiter",
    "gpoints_per_s", "mm2", "watts", "pareto",
)  # fmt: skip


def sweep(
    *,
    app: Annotated[str, typer.Option(help="nerf, nsdf, gia or nvr.")] = "nerf",
    encoding: Annotated[str, typer.Option(help="hashgrid, densegrid or lowres.")] = "hashgrid",
    level_parallel: Annotated[
        str, typer.Option(help="Level engines of a processor: 1, 2, 4, 8, 16; at most one a level.")
    ] = "4,8,16",
    array: Annotated[str, typer.Option(help="Rows and columns of the MLP engine, multiples of 4.")] = "16,32,64",
    fission: Annotated[str, typer.Option(help="Whether the array splits: no, yes.")] = "no,yes",
    bank_ports: Annotated[str, typer.Option(help="Ports of a bank: 1 (16 banks) or 2 (8 banks).")] = "1,2",
    clock_ghz: Annotated[str, typer.Option(help="Clocks, 0.01 to 10; several with commas.")] = "0.5,1",
    n_nfp: Annotated[str, typer.Option(help="Neural fields processors, 1 to 64.")] = "1,2,4,8,16,32,64",
    gpu: Annotated[str, typer.Option(help="Whose memory feeds them: rtx3090, h200, orin, a100_80gb.")] = "rtx3090",
    out: Annotated[Path | None, typer.Option(help="Write the plot here (.svg).")] = None,
    json: JsonOption = False,
) -> None:
    """Sweep level engines, array, fission, banks, clock and cluster size; lists take commas."""
    from report.sweep_plot import sweep_plot
    from sim.machine.sweep import sweep as compute

    if out is not None and out.suffix != ".svg":
        raise InputError(f"suffix of out must be .svg, not {out.suffix!r}")
    with progress("design points") as update:
        space = compute(
            app=app,
            encoding=encoding,
            level_parallel=_numbers("level_parallel", level_parallel, int),
            arrays=_numbers("array", array, int),
            fission=[_yes(word) for word in fission.split(",")],
            bank_ports=_numbers("bank_ports", bank_ports, int),
            clocks_ghz=_numbers("clock_ghz", clock_ghz, float),
            n_nfps=_numbers("n_nfp", n_nfp, int),
            gpu=gpu,
            update=update,
        )
    points = space.points
    if out is not None:
        write_whole(out, sweep_plot(points))
        note(f"wrote {out}")
    if json:
        print_json({"points": [asdict(point) for point in points], "left_out": space.left_out, "notes": space.notes})
        return
    front = [point for point in points if point.pareto]
    lines = [tuple(getattr(point, column) for column in _COLUMNS) for point in front]
    caption = (
        f"{len(front)} of {len(points)} clusters: no other of the same clock computes as much on less area.\n"
        "Clocks a point from the cycle models; area and power modelled from Yosys's gates and memory bits in 7 nm."
    )
    if space.left_out:
        caption += f"\n{space.left_out} of {len(points) + space.left_out} clusters asked for left out."
    caption = "\n".join((caption, *space.notes))
    print_table(f"Pareto front, {app} {encoding}", _COLUMNS, lines, caption)


def _numbers(what: str, text: str, kind: type) -> list:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{what} must be numbers separated by commas, not {text!r}") from error


def _yes(word: str) -> bool:
    if word not in ("no", "yes"):
        raise InputError(f"fission must be no, yes or both with a comma, not {word!r}")
    return word == "yes"
