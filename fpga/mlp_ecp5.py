"""What the MLP engine takes on an ECP5-85F, by open tools: ``python -m fpga.mlp_ecp5 [--seeds S] [--fission]``.

Routes an 8 x 8 engine out of context with the placer's seeds 1 to S and prints the median and the best clock; with 0
seeds it only synthesises. ``--fission`` takes an engine with splits instead, ``--side`` another array, with as many
weights. ``-no-rw-check``: no memory of the engine is read where it is written for what it held, so Yosys need not build
that. Prints a row of docs/engines/mlp/timing.md. Exit code 1 if a routed clock is below ``--at-least`` MHz.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

from arch.mlp_engine import MlpEngineConfig
from arch.whole_file import write_whole
from fpga.flow import ECP5_85F, LONG_WIRES, routed_clock, synthesised_cells
from rtl.mlp.mlp_engine import MlpEngine
from rtl.verilog import BUILD_ROOT, to_verilog

__all__ = ["ROUTED", "synthesise"]

ROUTED = MlpEngineConfig(rows=8, cols=8, max_width=64, nano_batch=256, weight_tiles=64)
"""8 x 8, the widths of the fields' networks, nano-batches of 256, 64 tiles."""

_TOP = "mlp_engine"
_FOLDER = BUILD_ROOT / "fpga" / "mlp"
_DEVICE = (*ECP5_85F, "--router", "router2")  # the other router takes many times as long here
_CELLS = ("LUT4", "CCU2C", "TRELLIS_DPR16X4", "TRELLIS_FF", "DP16KD", "MULT18X18D")


def synthesise(config: MlpEngineConfig, stem: Path) -> dict[str, int]:
    """Synthesise into ``stem.json``; returns how many of each kind of cell there are."""
    write_whole(stem.with_suffix(".v"), to_verilog(MlpEngine(config), _TOP))
    script = f"read_verilog {stem.name}.v; {LONG_WIRES.format(top=_TOP, stem=stem.name, options='-no-rw-check')}"
    cells = synthesised_cells(stem, script)
    return {cell: cells.get(cell, 0) for cell in _CELLS}


def main() -> int:
    """Measure, print, and say by the exit code whether every routed clock was fast enough."""
    parser = argparse.ArgumentParser(description="Cells and clock of the MLP engine on an ECP5.")
    parser.add_argument("--seeds", type=int, default=1, help="how many placements to try; 0 to synthesise only")
    parser.add_argument("--side", type=int, default=ROUTED.rows, help="rows and columns of the array")
    parser.add_argument("--fission", action="store_true", help="an array that splits")
    parser.add_argument("--at-least", type=float, default=0.0, help="MHz that every seed must reach")
    arguments = parser.parse_args()
    side, weights = arguments.side, ROUTED.weight_tiles * ROUTED.macs
    config = replace(ROUTED, rows=side, cols=side, weight_tiles=-(-weights // side**2), fission=arguments.fission)
    stem = _FOLDER / f"mlp_{side}_{'fission' if arguments.fission else 'whole'}"
    cells = synthesise(config, stem)
    seeds = range(1, arguments.seeds + 1)
    clocks = [routed_clock(stem, seed=seed, out_of_context=True, device=_DEVICE) for seed in seeds]
    clock = f"{statistics.median(clocks):.1f} MHz | {max(clocks):.1f} MHz" if clocks else "not routed |"
    title = f"{side} x {side}{', fission' if arguments.fission else ''}"
    print(f"| {title} | {' | '.join(f'{count:,}' for count in cells.values())} | {clock} |")
    return int(bool(clocks) and min(clocks) < arguments.at_least)


if __name__ == "__main__":
    sys.exit(main())
