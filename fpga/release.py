"""What a released build takes on its device, by open tools: synthesis, and for an ECP5 place, route and pack.

The AXI ports of a cluster are more than a package has pins, and belong to a bus inside the device. So ECP5 builds are
placed, routed and packed with shift registers around them (``fpga.pins``), which are not counted. UltraScale+ builds
are synthesised only; no open router exists. Each module is synthesised once, however many instances it has, and the
counts are sums over the instances: nothing is shared between modules or merged across their ports.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from arch.errors import InputError
from arch.release import ReleaseConfig
from arch.whole_file import write_whole
from fpga.empty_rows import leave_rows_empty
from fpga.flow import WIRE_PS, pack, routed_clock, run_yosys, synthesised_cells
from fpga.multiplier_registers import absorb_registers
from fpga.pins import with_pins
from rtl.modular import modular_verilog
from rtl.nfp_top import NfpTop
from rtl.verilog import BUILD_ROOT

__all__ = ["FIRST_SEED", "TARGET_MHZ", "BuildCells", "memory_blocks", "place_and_route", "synthesise"]

TARGET_MHZ = {"ecp5-tiny": 80.0, "ecp5-85f": 60.0}
"""Clock a routed build must reach; less is negative slack."""

FIRST_SEED = {"ecp5-tiny": 2, "ecp5-85f": 1}
"""Seed of the placer to try first, that of docs/release.md: not every placement can be routed."""

_ROUTER = {"ecp5-tiny": ("--router", "router1"), "ecp5-85f": ("--router", "router2", "--tmg-ripup")}
"""router1 leaves faster wires, but ends only where few wires are in conflict."""

_ECP5 = (
    "read_verilog {top}.v; synth_ecp5 -nowidelut -top {top} -run begin:map_luts; "
    "techmap -map +/lattice/latches_map.v; opt_clean -purge; abc9 -W {wire} -maxlut 4; clean; "
    "synth_ecp5 -nowidelut -top {top} -run map_cells: -json {top}.json"
)
"""With no names of unused wires ahead of the LUT mapper, which stops on some without a word."""
_ULTRASCALE_PLUS = (
    "read_verilog {top}.v; synth_xilinx -family xcup -noiopad -noclkbuf -top {top} -run begin:map_luts; "
    "opt_clean -purge; write_rtlil {top}.il"
)
_ULTRASCALE_PLUS_LUTS = "read_rtlil {top}.il; abc -luts 2:2,3,6:5; clean"
"""In a process of its own: behind the rest in one, the mapper stopped without a word on ``zcu104``."""
_MEMORIES = {
    "ecp5": "read_verilog {top}.v; synth_ecp5 -noflatten -top {top} -run begin:map_gates",
    "ultrascale+": "read_verilog {top}.v; synth_xilinx -family xcup -noiopad -top {top} -run begin:map_ffram",
}
"""As far as memories are mapped, module by module."""

_DEVICES = {"ecp5-tiny": ("--45k", "--package", "CABGA554"), "ecp5-85f": ("--85k", "--package", "CABGA756")}
_EMPTY_ROWS = 4
"""Every so-manyth row of logic is left empty. With none, the router does not end for ``ecp5-tiny``."""
_KINDS = {
    "ecp5": {
        "luts": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
        "flip_flops": {"TRELLIS_FF": 1},
        "block_rams": {"DP16KD": 1},
        "multipliers": {"MULT18X18D": 1},
    },
    "ultrascale+": {
        "luts": {f"LUT{n}": 1 for n in range(1, 7)}
        | {"$lut": 1, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8},
        "flip_flops": {"FDRE": 1, "FDSE": 1, "FDCE": 1, "FDPE": 1},
        "block_rams": {"RAMB36E2": 2, "RAMB18E2": 1},
        "multipliers": {"DSP48E2": 1},
    },
}
"""Cells that count, and how often: a carry cell and a distributed RAM take look-up tables too; of block RAMs, on
UltraScale+, 18-kbit halves are counted."""


_PRIMITIVES = {
    "ecp5": ("LUT4", "CCU2C", "TRELLIS_DPR16X4", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
    "ultrascale+": ("RAMB36E2", "RAMB18E2", "URAM288", "DSP48E2"),
}


@dataclass(frozen=True, kw_only=True)
class BuildCells:
    """Cells after synthesis, in the units of ``arch.release.DeviceCapacity``.

    ``primitives`` are the device's own cells by name, a pair of halves and a whole RAM block apart.
    """

    luts: int
    flip_flops: int
    block_rams: int
    multipliers: int
    primitives: dict[str, int] = field(default_factory=dict)


def _written(release: ReleaseConfig, folder: str = "") -> Path:
    """Write the Verilog; returns its path without suffix."""
    stem = _stem(release, folder)
    write_whole(stem.with_suffix(".v"), modular_verilog(NfpTop(release.cluster), release.top).read_text())
    return stem


def _stem(release: ReleaseConfig, folder: str = "") -> Path:
    return BUILD_ROOT / "fpga" / "release" / release.name / folder / release.top


def _count(cells: dict[str, int], release: ReleaseConfig, what: str) -> int:
    return sum(cells.get(cell, 0) * times for cell, times in _KINDS[release.family][what].items())


def synthesise(release: ReleaseConfig) -> BuildCells:
    """Synthesise a build; raises InputError for an ASIC's."""
    if release.device is None:
        raise InputError(f"preset of an FPGA must be one with a device, not {release.name!r}")
    stem = _written(release)
    script = _ECP5
    if release.family == "ultrascale+":
        run_yosys(stem.parent, _ULTRASCALE_PLUS.format(top=release.top))
        script = _ULTRASCALE_PLUS_LUTS
    cells = synthesised_cells(stem, script.format(top=release.top, wire=WIRE_PS))
    if release.family == "ecp5":
        cells["TRELLIS_FF"] -= absorb_registers(stem.with_suffix(".json"), release.top)
    sums = {what: _count(cells, release, what) for what in _KINDS[release.family]}
    if release.family == "ultrascale+":
        sums["block_rams"] = -(-sums["block_rams"] // 2)
    return BuildCells(**sums, primitives={name: cells.get(name, 0) for name in _PRIMITIVES[release.family]})


def memory_blocks(release: ReleaseConfig) -> dict[str, int]:
    """Block RAMs by module, a module of many instances counted once; on UltraScale+ in halves of 18 kbit.

    Memories do not depend on the mapping of logic, so this takes seconds.
    """
    stem = _written(release, "memories")
    synthesised_cells(stem, _MEMORIES[release.family].format(top=release.top))
    report = stem.with_name(f"{stem.name}.cells").read_text(encoding="utf-8")
    blocks = {}
    for name, module in json.loads(report[report.index("{") :])["modules"].items():
        count = _count(module["num_cells_by_type"], release, "block_rams")
        if count:
            blocks[name.removeprefix("\\").removeprefix(f"{release.top}_")] = count
    return blocks


def place_and_route(release: ReleaseConfig, *, seed: int) -> tuple[float, Path]:
    """Place, route and pack what :func:`synthesise` left; returns the clock in MHz and the bitstream.

    The placer and the router aim at the clock the build must reach: a higher one makes more paths urgent than are.
    """
    whole = with_pins(_stem(release))
    leave_rows_empty(whole.with_suffix(".json"), whole.name, release.device.name, every=_EMPTY_ROWS)
    aim = ("--speed", "6", "--freq", str(TARGET_MHZ[release.name]), *_ROUTER[release.name])
    clock = routed_clock(whole, seed=seed, out_of_context=False, device=(*_DEVICES[release.name], *aim))
    return clock, pack(whole, seed=seed)
