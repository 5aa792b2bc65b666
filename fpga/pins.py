"""A handful of pins around a build whose ports are more than a package has: placed, timed and packed as a whole.

Every input bit comes from a shift register behind one pin, every output bit goes into one ahead of another, so each
port is a path from or to a register, as it is on a bus inside a device.
"""

import json
from pathlib import Path

from arch.whole_file import write_whole
from fpga.flow import run_yosys

__all__ = ["with_pins"]

_CLOCKED = ("clk", "rst")
_MERGE = (
    "read_json {top}.json; design -save body; design -reset; "
    "read_verilog {top}_pins.v; synth_ecp5 -top {top}_pins; delete {top}; design -copy-from body {top}; "
    "hierarchy -top {top}_pins; flatten -noscopeinfo; write_json {top}_pins.json"
)
"""The netlist of the build, as it was synthesised, inside that of its pins."""


def with_pins(stem: Path) -> Path:
    """Put pins around the netlist ``stem.json`` of an ECP5; returns the stem of the whole."""
    modules = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))["modules"]
    ports = {name: (port["direction"], len(port["bits"])) for name, port in modules[stem.name]["ports"].items()}
    whole = stem.with_name(f"{stem.name}_pins")
    write_whole(whole.with_suffix(".v"), _verilog(stem.name, ports))
    run_yosys(stem.parent, _MERGE.format(top=stem.name))
    return whole


def _verilog(top: str, ports: dict[str, tuple[str, int]]) -> str:
    """The module around ``top``, and an empty one in its place; ports are (direction, bits) by name."""
    declared, connected, sums = [], [], {"input": 0, "output": 0}
    for name, (direction, bits) in ports.items():
        declared.append(f"{direction} [{bits - 1}:0] {name}")
        if name in _CLOCKED:
            connected.append(f".{name}({name})")
            continue
        first = sums[direction]
        sums[direction] += bits
        connected.append(f".{name}({'in' if direction == 'input' else 'out'}_bits[{first + bits - 1}:{first}])")
    ins, outs = sums["input"], sums["output"]
    return f"""(* blackbox *) module {top}({", ".join(declared)}); endmodule

module {top}_pins(input clk, input rst, input scan_in, output scan_out);
  reg [{ins - 1}:0] in_bits;
  reg [{outs - 1}:0] chain;
  wire [{outs - 1}:0] out_bits;
  always @(posedge clk) in_bits <= {{in_bits[{ins - 2}:0], scan_in}};
  always @(posedge clk) chain <= {{chain[{outs - 2}:0], 1'b0}} ^ out_bits;
  assign scan_out = chain[{outs - 1}];
  {top} dut({", ".join(connected)});
endmodule
"""
