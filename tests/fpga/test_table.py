"""The committed table: seeds by preset, the exit code, and rows that stay."""

import json
from pathlib import Path

import pytest

import fpga.table
from fpga.release import FIRST_SEED, BuildCells


@pytest.mark.parametrize(
    ("arguments", "seeds", "code"),
    [
        (["ecp5-tiny"], [FIRST_SEED["ecp5-tiny"]], 0),
        (["ecp5-tiny", "--seeds", "5", "7"], [5, 7], 0),
        (["ecp5-tiny", "--seeds"], [], 0),
        (["ecp5-tiny", "--seeds", "1"], [1], 1),
        (["kv260"], [], 0),
    ],
)
def test_seeds_and_exit_code(
    arguments: list[str], seeds: list[int], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default the seed with which the preset was measured; a build below its clock is exit code 1."""
    table = tmp_path / "table.json"
    committed = json.loads(fpga.table.TABLE.read_text())
    table.write_text(json.dumps(committed))
    cells = BuildCells(luts=100, flip_flops=10, block_rams=3, multipliers=4)
    monkeypatch.setattr(fpga.table, "TABLE", table)
    monkeypatch.setattr(fpga.table, "synthesise", lambda release: cells)
    monkeypatch.setattr(fpga.table, "place_and_route", lambda release, *, seed: (78.0 + seed, tmp_path))
    monkeypatch.setattr("sys.argv", ["fpga_table", *arguments])
    assert fpga.table.main() == code
    rows = json.loads(table.read_text())
    name = arguments[0]
    assert rows[name]["clock_mhz"] == {str(seed): 78.0 + seed for seed in seeds}
    assert {other: row for other, row in rows.items() if other != name} == {
        other: row for other, row in committed.items() if other != name
    }
