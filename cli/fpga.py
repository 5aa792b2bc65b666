"""``ngpc fpga``: what a released build takes on its device, by open tools."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from arch.errors import InputError, check_integer
from arch.presets import preset
from arch.release import RELEASES
from arch.whole_file import check_directory, write_whole
from cli.output import JsonOption, note, print_json, print_table, progress

__all__ = ["fpga"]

_FPGAS = {name: release for name, release in RELEASES.items() if release.device is not None}


def fpga(
    *,
    release: Annotated[str, typer.Option("--preset", help=f"Released build: {', '.join(_FPGAS)}.")],
    seeds: Annotated[
        int, typer.Option(help="Placements to try on an ECP5: N seeds of the placer, from the preset's first one on.")
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="Directory for the bitstream of the fastest placement.")] = None,
    json: JsonOption = False,
) -> None:
    """Synthesise a released build; on an ECP5 also place, route and pack it.

    The exit code is 1 if the build is larger than its device, or its fastest placement is slower than the preset's
    clock: a bitstream with negative slack is not written. Other devices are synthesised only.
    """
    config = preset("FPGA", _FPGAS, release)
    check_integer("seeds", seeds, 1, 100)
    if out is not None:
        if config.family != "ecp5":
            raise InputError(f"out must be left out for {release}: no open router exists for {config.device.name}")
        check_directory(out)

    from fpga.release import FIRST_SEED, TARGET_MHZ, place_and_route, synthesise

    target, clocks = TARGET_MHZ.get(release), {}
    with progress(f"synthesising {release}") as update:
        cells = asdict(synthesise(config))
        primitives = cells.pop("primitives")
        tried = range(FIRST_SEED[release], FIRST_SEED[release] + seeds) if target else ()
        for number, seed in enumerate(tried, 1):
            update(number, seeds + 1, f"placing and routing, seed {seed}")
            clocks[seed], bitstream = place_and_route(config, seed=seed)
            if clocks[seed] == max(clocks.values()):
                fastest = bitstream
    held = asdict(config.device)
    fits = all(count <= held[what] for what, count in cells.items())
    slack = None if target is None else 1e3 / target - 1e3 / max(clocks.values())
    good = fits and (slack is None or slack >= 0)
    written = None
    if out is not None and good:
        written = write_whole(out / f"{config.top}.bit", fastest.read_bytes())
    if json:
        print_json(
            {
                "preset": release,
                "device": config.device.name,
                "cells": cells,
                "primitives": primitives,
                "device_cells": {what: held[what] for what in cells},
                "clock_mhz": {str(seed): round(clock, 2) for seed, clock in clocks.items()},
                "target_mhz": target,
                "slack_ns": None if slack is None else round(slack, 3),
                "fits": fits,
                "bitstream": None if written is None else str(written),
            }
        )
    else:
        rows = [(what.replace("_", " "), count, held[what], 100 * count / held[what]) for what, count in cells.items()]
        print_table(f"{release} on {config.device.name}", ("cells", "used", "device", "%"), rows)
        if target is not None:
            shown = [(seed, clock, target, 1e3 / target - 1e3 / clock) for seed, clock in clocks.items()]
            print_table("placed and routed", ("seed", "MHz", "needed MHz", "slack ns"), shown)
    if not good:
        note(f"ngpc: {release} is too {'slow' if fits else 'large'} for its {'clock' if fits else 'device'}")
        raise typer.Exit(1)
