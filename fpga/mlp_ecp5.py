"""What the MLP engine takes on an ECP5-85F, by open tools: ``python -m fpga.mlp_ecp5 [--seeds S] [--fission]``.

Routes an 8 x 8 engine out of context with the placer's seeds 1 to S and prints the median and the best clock; with 0
seeds it only synthesises. ``--fission`` counts the cells of 8 x 8 and 16 x 16 engines with and without splits instead.
Prints the rows of docs/engines/mlp/timing.md.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

from arch.mlp_engine import MlpEngineConfig
from arch.whole_file import write_whole
from fpga.flow import routed_clock, synthesised_cells
from rtl.mlp.mlp_engine import MlpEngine
from rtl.verilog import BUILD_ROOT, to_verilog

__all__ = ["ROUTED", "synthesise"]

ROUTED = MlpEngineConfig(rows=8, cols=8, max_width=64, nano_batch=256, weight_tiles=64)
"""8 x 8, the widths of the fields' networks, nano-batches of 256, 64 tiles."""

_TOP = "mlp_engine"
_FOLDER = BUILD_ROOT / "fpga" / "mlp"
_CELLS = ("LUT4", "CCU2C", "TRELLIS_DPR16X4", "TRELLIS_FF", "DP16KD", "MULT18X18D")


def synthesise(config: MlpEngineConfig, stem: Path) -> dict[str, int]:
    """Synthesise into ``stem.json``; returns how many of each kind of cell there are."""
    write_whole(stem.with_suffix(".v"), to_verilog(MlpEngine(config), _TOP))
    script = f"read_verilog {stem.name}.v; synth_ecp5 -top {_TOP} -json {stem.name}.json"
    cells = synthesised_cells(stem, script)
    return {cell: cells.get(cell, 0) for cell in _CELLS}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Cells and clock of the MLP engine on an ECP5.")
    parser.add_argument("--seeds", type=int, default=1, help="how many placements to try; 0 to synthesise only")
    parser.add_argument("--fission", action="store_true", help="count cells with and without splits; routes nothing")
    arguments = parser.parse_args()
    if arguments.fission:
        for size in (8, 16):
            for fission in (False, True):
                config = replace(ROUTED, rows=size, cols=size, weight_tiles=4096 // size**2, fission=fission)
                cells = synthesise(config, _FOLDER / f"mlp_{size}_{'fission' if fission else 'whole'}")
                _print(f"{size} x {size}{', fission' if fission else ''}", cells)
        return
    stem = _FOLDER / "mlp_routed"
    cells = synthesise(ROUTED, stem)
    clocks = [routed_clock(stem, seed=seed, out_of_context=True) for seed in range(1, arguments.seeds + 1)]
    clock = f"{statistics.median(clocks):.1f} MHz | {max(clocks):.1f} MHz |" if clocks else "not routed | |"
    _print("8 x 8", cells, clock)


def _print(title: str, cells: dict[str, int], clock: str = "") -> None:
    print(f"| {title} | {' | '.join(f'{count:,}' for count in cells.values())} | {clock}", flush=True)


if __name__ == "__main__":
    main()
