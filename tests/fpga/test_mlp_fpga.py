"""The MLP engine on FPGAs: its clock on an ECP5, placed and routed, and a DSP block for each processing element."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from arch.mlp_engine import MlpEngineConfig
from fpga.flow import synthesised_cells
from rtl.mlp.systolic_array import SystolicArray
from rtl.verilog import to_verilog

ROOT = Path(__file__).resolve().parents[2]

SYNTHESIS = {
    "MULT18X18D": "synth_ecp5 -top array -run begin:map_ffs",
    "DSP48E2": "synth_xilinx -family xcup -noiopad -top array -run begin:map_ffs",
}


@pytest.mark.parametrize(
    ("block", "arithmetic"),
    [
        ("MULT18X18D", "int8"),
        ("MULT18X18D", "int16"),
        ("DSP48E2", "int16"),
        pytest.param("DSP48E2", "int8", marks=pytest.mark.long),
    ],
)
def test_every_element_is_a_dsp_block(block: str, arithmetic: str, tmp_path: Path) -> None:
    """4 x 8 elements: as many blocks, and no multiplier left to LUTs."""
    config = MlpEngineConfig(rows=4, cols=8, max_width=8, arithmetic=arithmetic)
    (tmp_path / "array.v").write_text(to_verilog(SystolicArray(config), "array"), encoding="utf-8")
    cells = synthesised_cells(tmp_path / "array", f"read_verilog array.v; {SYNTHESIS[block]}")
    assert cells[block] == config.macs
    assert not [cell for cell in cells if "mul" in cell.lower() and cell != block]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_routed_at_90_mhz() -> None:
    """An 8 x 8 engine for layers of 64, with the placer's seed 1."""
    command = [sys.executable, "-m", "fpga.mlp_ecp5", "--seeds", "1", "--at-least", "90"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=3500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(re.search(r"([\d.]+) MHz", done.stdout)[1]) >= 90.0
