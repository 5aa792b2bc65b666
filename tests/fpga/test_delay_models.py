"""The cells the LUT mapper reckons with: Yosys' own in all but their delays."""

import json
import tempfile
from pathlib import Path

import pytest

from arch.errors import InputError
from fpga.flow import few_levels, run_yosys
from rtl.verilog import BUILD_ROOT

FUNCTIONS = (
    # an adder's, and two of all four inputs
    ("16'h96AA", "16'h96AA", '"NO"', '"NO"'),
    ("16'h6A35", "16'hC1E9", '"NO"', '"YES"'),
    ("16'h7E81", "16'h8001", '"YES"', '"NO"'),
)


def prove_equal(function: tuple[str, ...], wrong: tuple[str, str] = ("", "")) -> None:
    """Prove with Yosys that both cells do the same; raises InputError if they do not."""
    names = ("INIT0", "INIT1", "INJECT1_0", "INJECT1_1")
    values = " ".join(f"-set {name} {value}" for name, value in zip(names, function, strict=True))
    BUILD_ROOT.mkdir(parents=True, exist_ok=True)
    # not in /tmp: Yosys runs as WebAssembly and sees another one there
    with tempfile.TemporaryDirectory(dir=BUILD_ROOT) as name:
        folder = Path(name)
        few_levels(folder / "cell", "CCU2C")
        own = folder / "cell_cells.v"
        own.write_text(own.read_text().replace(*wrong))
        run_yosys(
            folder,
            f"read_verilog +/lattice/common_sim.vh +/lattice/ccu2c_sim.vh; chparam {values} CCU2C; "
            f"rename CCU2C theirs; read_verilog {own.name}; chparam {values} CCU2C; rename CCU2C ours; "
            "miter -equiv -make_assert theirs ours both; hierarchy -top both; proc; flatten; opt_clean; "
            "sat -verify -prove-asserts both",
        )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_carry_cell_does_what_yosys_says(function: tuple[str, ...]) -> None:
    prove_equal(function)


def test_another_carry_cell_is_noticed() -> None:
    with pytest.raises(InputError):
        prove_equal(FUNCTIONS[0], ("pass1 ? carry", "pass0 ? carry"))


def test_the_block_ram_has_the_ports_of_yosys() -> None:
    """And an address of it must come earlier by the wire it has."""
    BUILD_ROOT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD_ROOT) as name:
        folder = Path(name)
        few_levels(folder / "cell", "DP16KD")
        ports = []
        for number, read in enumerate(("+/ecp5/cells_sim.v", "-specify cell_cells.v")):
            run_yosys(
                folder,
                f"read_verilog -lib {read}; setattr -mod -unset blackbox =DP16KD; write_json -selected {number}.json",
            )
            module = json.loads((folder / f"{number}.json").read_text())["modules"]["DP16KD"]
            ports.append({port: shape["direction"] for port, shape in module["ports"].items()})
        assert len(ports[0]) > 100 and ports[0] == ports[1]
        checks = [cell for cell in module["cells"].values() if cell["type"] == "$specrule"]
        assert len(checks) == 28
