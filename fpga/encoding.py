"""What the grid encoding engine takes on FPGAs, by open tools: ``python -m fpga.encoding [--seeds N ...]``.

ECP5: ``synth_ecp5`` and nextpnr on an LFE5U-85F, speed grade 6, placed and routed once per seed of the placer.
UltraScale+: what ``synth_xilinx`` maps before LUTs, as its LUT mapper stops with an error in this build of Yosys, and
no open router exists. The build is one level engine of 2^11 rows of two int8 features.
Prints the rows of docs/engines/encoding/timing.md and leaves every file under ``build/fpga/encoding``. Exit code 1 if
a routed clock is below ``--at-least`` MHz.
"""

import argparse
import re
import statistics
import sys

from arch.encoding_engine import EncodingEngineConfig
from arch.whole_file import write_whole
from fpga.flow import SYNTH_ECP5, routed_clock, synthesised_cells
from rtl.encoding.grid_encoding import GridEncoding
from rtl.verilog import BUILD_ROOT, to_verilog

__all__ = ["CONFIG", "ecp5", "route", "ultrascale_plus"]

CONFIG = EncodingEngineConfig(n_levels=1, table_rows=1 << 11)
"""2^11 rows of two int8 features, three dimensions, one level."""

_TOP = "grid_encoding"
_STEM = BUILD_ROOT / "fpga" / "encoding" / _TOP
_ECP5_CELLS = {"LUT4": "LUT4", "FF": "TRELLIS_FF", "BRAM": "DP16KD", "DSP": "MULT18X18D"}
_XILINX_CELLS = {"BRAM36": "RAMB36E2", "BRAM18": "RAMB18E2", "DSP": "DSP48E2"}


def ecp5(config: EncodingEngineConfig) -> dict[str, int]:
    """Cells on an ECP5 after synthesis; :func:`route` takes it from there."""
    return _synthesise(config, SYNTH_ECP5.format(options="", top=_TOP, stem=_STEM.name), _ECP5_CELLS)


def route(seed: int) -> float:
    """The clock of what :func:`ecp5` synthesised, all ports on pins, in MHz."""
    return routed_clock(_STEM, seed=seed, out_of_context=False)


def ultrascale_plus(config: EncodingEngineConfig) -> dict[str, int]:
    """Cells of UltraScale+ but LUTs."""
    synthesis = f"synth_xilinx -family xcup -noiopad -run begin:map_luts -top {_TOP}"
    return _synthesise(config, synthesis, _XILINX_CELLS)


def _synthesise(config: EncodingEngineConfig, synthesis: str, kinds: dict[str, str]) -> dict[str, int]:
    write_whole(_STEM.with_suffix(".v"), to_verilog(GridEncoding(config), _TOP))
    cells = synthesised_cells(_STEM, f"read_verilog {_STEM.name}.v; {synthesis}")
    return {
        kind: sum(count for cell, count in cells.items() if re.fullmatch(pattern, cell))
        for kind, pattern in kinds.items()
    }


def _row(title: str, cells: dict[str, int]) -> str:
    return f"| {title} | " + " | ".join(f"{kind} {value:g}" for kind, value in cells.items()) + " |"


def main() -> int:
    """Measure, print, and say by the exit code whether every routed clock was fast enough."""
    parser = argparse.ArgumentParser(description="Cells and clock of the grid encoding engine on FPGAs.")
    parser.add_argument("--device", choices=("ecp5", "ultrascale+"), action="append", help="default: both")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of the ECP5 placer")
    parser.add_argument("--at-least", type=float, default=0.0, help="MHz that every seed must reach")
    arguments = parser.parse_args()
    devices = arguments.device or ["ultrascale+", "ecp5"]
    if "ultrascale+" in devices:
        print(_row("UltraScale+", ultrascale_plus(CONFIG)), flush=True)
    if "ecp5" not in devices:
        return 0
    print(_row("ECP5 85F, -6", ecp5(CONFIG)), flush=True)
    clocks = []
    for seed in arguments.seeds:
        clocks.append(route(seed))
        print(f"| seed {seed} | {clocks[-1]:.1f} MHz |", flush=True)
    print(f"| median | {statistics.median(clocks):.1f} MHz |")
    return int(min(clocks) < arguments.at_least)


if __name__ == "__main__":
    sys.exit(main())
