"""Pins around a netlist: nothing of it is lost, its ports end at registers, the whole is placed, routed and packed."""

import json
from collections import Counter
from pathlib import Path

import pytest

from fpga.flow import pack, routed_clock, synthesised_cells
from fpga.pins import with_pins
from rtl.skid_buffer import SkidBuffer
from rtl.verilog import to_verilog


def _whole(folder: Path) -> tuple[dict[str, int], Path]:
    (folder / "skid.v").write_text(to_verilog(SkidBuffer(12), "skid"))
    cells = synthesised_cells(folder / "skid", "read_verilog skid.v; synth_ecp5 -top skid -json skid.json")
    return cells, with_pins(folder / "skid")


def test_ports_become_registers(tmp_path: Path) -> None:
    cells, stem = _whole(tmp_path)
    (module,) = [
        module
        for module in json.loads(stem.with_suffix(".json").read_text())["modules"].values()
        if int(module["attributes"].get("top", "0"), 2)
    ]
    assert set(module["ports"]) == {"clk", "rst", "scan_in", "scan_out"}
    found = Counter(cell["type"] for cell in module["cells"].values())
    # 12 bits, valid and ready each way; a register each, and a sum ahead of all but the first of the outputs'
    assert found["TRELLIS_FF"] == cells["TRELLIS_FF"] + 2 * (12 + 1 + 1)
    assert 0 < found["LUT4"] - cells["LUT4"] <= 12 + 1 + 1
    scanned = {bit for name in ("scan_in", "scan_out") for bit in module["ports"][name]["bits"]}
    beside = [
        name
        for name, cell in module["cells"].items()
        if scanned & {bit for bits in cell["connections"].values() for bit in bits}
    ]
    assert len(beside) == 2 and not any(name.startswith("dut.") for name in beside)


@pytest.mark.long
def test_the_whole_is_routed_and_packed(tmp_path: Path) -> None:
    device = ("--45k", "--package", "CABGA554", "--speed", "6", "--freq", "80")
    _, stem = _whole(tmp_path)
    assert routed_clock(stem, seed=1, out_of_context=False, device=device) > 100
    assert pack(stem, seed=1).stat().st_size > 10_000
