"""Rows left empty: their look-up tables are taken, registers in them are not, and the router accepts the whole."""

import json
from pathlib import Path

import pytest

from arch.errors import InputError
from fpga.empty_rows import leave_rows_empty
from fpga.flow import routed_clock, synthesised_cells
from fpga.pins import with_pins
from rtl.skid_buffer import SkidBuffer
from rtl.verilog import to_verilog

TILES_A_ROW = 87
"""Logic tiles in a row of an LFE5U-45F; it has 63 rows of them, 43,848 look-up tables in all."""
DEVICE = ("--45k", "--package", "CABGA554", "--speed", "6", "--freq", "80")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    (tmp_path / "skid.v").write_text(to_verilog(SkidBuffer(12), "skid"))
    synthesised_cells(tmp_path / "skid", "read_verilog skid.v; synth_ecp5 -top skid -json skid.json")
    return with_pins(tmp_path / "skid")


def _module(stem: Path) -> dict:
    return json.loads(stem.with_suffix(".json").read_text())["modules"][stem.name]


def test_every_fourth_row_is_taken_and_nothing_else_changes(whole: Path) -> None:
    before = _module(whole)
    taken = leave_rows_empty(whole.with_suffix(".json"), whole.name, "LFE5U-45F", every=4)
    after = _module(whole)
    # rows 4 to 68, but for 10, 22, 34, 46 and 58, which hold memories and multipliers
    assert taken == 17 * TILES_A_ROW * 8
    added = {name: cell for name, cell in after["cells"].items() if name not in before["cells"]}
    assert len(added) == taken and all(cell["type"] == "LUT4" for cell in added.values())
    places = {cell["attributes"]["BEL"] for cell in added.values()}
    assert len(places) == taken and {int(place.split("/")[1][1:]) % 4 for place in places} == {0}
    assert {name: after["cells"][name] for name in before["cells"]} == before["cells"]
    used = {bit for cell in before["cells"].values() for bits in cell["connections"].values() for bit in bits}
    driven = [bit for cell in added.values() for bit in cell["connections"]["Z"]]
    assert len(set(driven)) == taken and not used & set(driven)


def test_every_row_taken_leaves_no_place(whole: Path) -> None:
    """What is taken the placer cannot use: with all rows taken it refuses the build."""
    assert leave_rows_empty(whole.with_suffix(".json"), whole.name, "LFE5U-45F", every=1) == 43848
    with pytest.raises(InputError, match="nextpnr"):
        routed_clock(whole, seed=1, out_of_context=False, device=DEVICE)


def test_the_rest_is_routed(whole: Path) -> None:
    leave_rows_empty(whole.with_suffix(".json"), whole.name, "LFE5U-45F", every=4)
    assert routed_clock(whole, seed=1, out_of_context=False, device=DEVICE) > 100
