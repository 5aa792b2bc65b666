"""Registers behind multipliers go into DSP blocks where that changes nothing, which Yosys proves."""

import json
from pathlib import Path

import pytest

from fpga.flow import LONG_WIRES, run_yosys, synthesised_cells
from fpga.multiplier_registers import absorb_registers

DESIGN = """
module top(input clk, input rst, input en, input signed [6:0] a, input signed [5:0] b, output reg signed [12:0] plain,
           output reg signed [12:0] enabled, output reg signed [12:0] set, output reg signed [12:0] read_twice,
           output signed [12:0] also, output reg [12:0] two);
  wire signed [12:0] shared = b * {a[0], a[6:1]};
  assign also = shared;
  always @(posedge clk) begin
    plain <= a * b;
    if (rst) enabled <= 0; else if (en) enabled <= {a[5:0], a[6]} * b;
    if (rst) set <= 13'h1fff; else set <= {a[4:0], a[6:5]} * b;
    read_twice <= shared;
    two[12:6] <= product[12:6];
    if (en) two[5:0] <= product[5:0];
  end
  wire [12:0] product = {1'b0, a} * {1'b0, b};
endmodule
"""
MODEL = """
module TRELLIS_FF(input CLK, LSR, CE, DI, M, output reg Q);
  parameter GSR = "DISABLED", CEMUX = "1 ", CLKMUX = "CLK", LSRMUX = "LSR", SRMODE = "LSR_OVER_CE", REGSET = "RESET";
  always @(posedge CLK) if (LSR) Q <= REGSET == "SET"; else if (CE | CEMUX != "CE") Q <= DI;
endmodule
module MULT18X18D(
  input A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
  input B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
  input C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
  output P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17, P18, P19, P20, P21, P22,
  P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35);
  parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0", RESETMODE = "SYNC";
  parameter CLK0_DIV = "ENABLED", GSR = "DISABLED";
  wire signed [18:0] a = {SIGNEDA & A17,
    A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire signed [18:0] b = {SIGNEDB & B17,
    B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  wire [35:0] product = a * b;
  reg [35:0] held;
  always @(posedge CLK0) if (RST0) held <= 0; else if (CE0) held <= product;
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14,
          P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = REG_OUTPUT_CLK == "CLK0" ? held : product;
endmodule
"""
_READ = (
    "read_json {file}.json; rename top {name}; select {name}; techmap -autoproc -map model.v; opt_clean; "
    "select -clear; design -stash {name}; "
)
PROVE = (
    _READ.format(file="before", name="gold")
    + _READ.format(file="after", name="gate")
    + "design -copy-from gold gold; design -copy-from gate gate; miter -equiv -make_outputs -flatten gold gate miter; "
    "async2sync; sat -verify -set-init-zero -tempinduct -maxsteps 4 -prove trigger 0 miter"
)


def _mapped(folder: Path, name: str) -> Path:
    stem = folder / name
    stem.with_suffix(".v").write_text(DESIGN)
    script = LONG_WIRES.format(top="top", stem=name, options="")
    assert synthesised_cells(stem, f"read_verilog {name}.v; {script}")["MULT18X18D"] == 5
    return stem


def test_registers_that_alone_read_a_product_go_in_and_nothing_else_changes(tmp_path) -> None:
    before = _mapped(tmp_path, "before")
    after = tmp_path / "after.json"
    after.write_text(before.with_suffix(".json").read_text())
    assert absorb_registers(after, "top") == 26  # of ``plain`` and ``enabled``
    cells = json.loads(after.read_text())["modules"]["top"]["cells"].values()
    blocks = [cell["parameters"].get("REG_OUTPUT_CLK") for cell in cells if cell["type"] == "MULT18X18D"]
    assert sorted(map(str, blocks)) == ["CLK0", "CLK0", "None", "None", "None"]
    (tmp_path / "model.v").write_text(MODEL)
    run_yosys(tmp_path, PROVE)


def test_the_proof_sees_a_wrong_enable(tmp_path, monkeypatch) -> None:
    before = _mapped(tmp_path, "before")
    after = tmp_path / "after.json"
    after.write_text(before.with_suffix(".json").read_text())
    absorb_registers(after, "top")
    design = json.loads(after.read_text())
    for cell in design["modules"]["top"]["cells"].values():
        if cell["parameters"].get("REG_OUTPUT_CLK"):
            cell["connections"]["CE0"] = ["1"]
    after.write_text(json.dumps(design))
    (tmp_path / "model.v").write_text(MODEL)
    with pytest.raises(Exception, match="proof did fail"):
        run_yosys(tmp_path, PROVE)
