"""The committed table of released builds on their devices: ``scripts/fpga_table [PRESET ...]``.

Measures the presets named, or all, and writes their rows into ``docs/fpga_table.json``; other rows stay. Prints the
table of docs/release.md. Exit code 1 if a build does not fit its device or is slower than its clock.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from arch.register_map import config_hash
from arch.release import RELEASES
from arch.whole_file import write_whole
from fpga.release import FIRST_SEED, TARGET_MHZ, place_and_route, synthesise

__all__ = ["TABLE", "table_text"]

TABLE = Path(__file__).resolve().parent.parent / "docs" / "fpga_table.json"
"""Rows by preset: configuration hash, cells, the device's own cells by name, clock by seed in MHz."""


def table_text(rows: dict[str, dict]) -> str:
    """The rows as Markdown."""
    lines = ["| preset | device | LUTs | registers | block RAMs | DSP blocks | MHz, fastest of the seeds tried |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        device = RELEASES[name].device
        cells = " | ".join(
            f"{count:,} ({100 * count / getattr(device, what):.0f} %)" for what, count in row["cells"].items()
        )
        clocks = row["clock_mhz"].values()
        clock = f"{max(clocks):.1f} ({len(clocks)} tried; needed {TARGET_MHZ[name]:.0f})" if clocks else "not routed"
        lines.append(f"| `{name}` | {device.name} | {cells} | {clock} |")
    own = {
        name: ", ".join(f"{count:,} {cell}" for cell, count in row["primitives"].items()) for name, row in rows.items()
    }
    lines += ["", "| preset | cells of the device |", "|---|---|"]
    lines += [f"| `{name}` | {cells} |" for name, cells in own.items()]
    return "\n".join(lines)


def main() -> int:
    """Measure, record and print."""
    fpgas = [name for name, release in RELEASES.items() if release.device is not None]
    parser = argparse.ArgumentParser(description="Measure the released builds on their devices.")
    parser.add_argument("presets", nargs="*", choices=[*fpgas, []], metavar="PRESET", help="default: all")
    parser.add_argument(
        "--seeds", type=int, nargs="*", help="seeds of the ECP5 placer, default: the preset's first; none: no placement"
    )
    arguments = parser.parse_args()
    rows = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    good = True
    for name in arguments.presets or fpgas:
        release = RELEASES[name]
        cells, clocks = asdict(synthesise(release)), {}
        primitives = cells.pop("primitives")
        seeds = [FIRST_SEED[name]] if name in FIRST_SEED and arguments.seeds is None else arguments.seeds
        if name in TARGET_MHZ and seeds:
            clocks = {str(seed): round(place_and_route(release, seed=seed)[0], 1) for seed in seeds}
            good &= max(clocks.values()) >= TARGET_MHZ[name]
        good &= all(count <= getattr(release.device, what) for what, count in cells.items())
        rows[name] = {
            "config_hash": f"{config_hash(release.cluster):#010x}",
            "cells": cells,
            "primitives": primitives,
            "clock_mhz": clocks,
        }
        rows = {preset: rows[preset] for preset in fpgas if preset in rows}
        write_whole(TABLE, json.dumps(rows, indent=2) + "\n")
    print(table_text(rows))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
