"""``ngpc fpga``: negative slack and a build that is too large are exit code 1 and leave no bitstream."""

import json
from pathlib import Path

import pytest

import fpga.release
from cli.main import main
from fpga.flow import whole_design
from fpga.release import BuildCells


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Stand in for synthesis, placer and packer: so many LUTs, and a clock a seed."""

    def stand_in(luts: int, clocks: dict[int, float]) -> None:
        def route(release: object, *, seed: int) -> tuple[float, Path]:
            bitstream = tmp_path / f"{seed}.bit"
            bitstream.write_bytes(b"seed %d" % seed)
            return clocks[seed], bitstream

        cells = BuildCells(luts=luts, flip_flops=10, block_rams=3, multipliers=4)
        monkeypatch.setattr(fpga.release, "synthesise", lambda release: cells)
        monkeypatch.setattr(fpga.release, "place_and_route", route)

    return stand_in


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["fpga", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


@pytest.mark.parametrize(
    "case",
    [
        (40000, {2: 79.0, 3: 81.0, 4: 80.5}, 0, ""),
        (40000, {2: 80.0}, 0, ""),
        (40000, {2: 79.9, 3: 70.0}, 1, "too slow for its clock"),
        (43849, {2: 90.0}, 1, "too large for its device"),
    ],
)
def test_the_exit_code_and_the_bitstream(
    tools, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: tuple[int, dict[int, float], int, str]
) -> None:
    luts, clocks, code, words = case
    tools(luts, clocks)
    out = tmp_path / "out"
    arguments = ("--preset", "ecp5-tiny", "--seeds", str(len(clocks)), "--out", str(out))
    found, shown, said = _run(capsys, *arguments, "--json")
    assert found == code and words in said
    result = json.loads(shown)
    assert result["clock_mhz"] == {str(seed): clock for seed, clock in clocks.items()}
    assert result["slack_ns"] == round(1e3 / 80 - 1e3 / max(clocks.values()), 3)
    written = out / "ngpc_ecp5_tiny.bit"
    if code:
        assert result["bitstream"] is None and not out.exists()
    else:
        best = max(clocks, key=clocks.get)
        assert written.read_bytes() == b"seed %d" % best
    found, shown, _ = _run(capsys, *arguments)
    assert found == code and "LFE5U-45F" in shown and "placed and routed" in shown


def test_other_devices_are_synthesised_only(tools, capsys: pytest.CaptureFixture[str]) -> None:
    tools(1000, {})
    code, shown, _ = _run(capsys, "--preset", "u250", "--json")
    assert code == 0 and json.loads(shown)["clock_mhz"] == {} and json.loads(shown)["slack_ns"] is None


def test_cells_of_all_instances_count() -> None:
    def module(**cells: int) -> dict:
        return {"num_cells_by_type": cells}

    modules = {"\\top": module(row=4, FDRE=1), "\\row": module(pe=8, FDRE=2), "\\pe": module(DSP48E2=1, FDRE=3)}
    assert whole_design(modules) == {"DSP48E2": 32, "FDRE": 1 + 4 * (2 + 8 * 3)}
    assert whole_design({"\\flat": module(LUT4=7)}) == {"LUT4": 7}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--preset", "x"), "FPGA preset must be one of ecp5-tiny, ecp5-85f, kv260, zcu104, u250, not 'x'"),
        (
            ("--preset", "asic-ngpc"),
            "FPGA preset must be one of ecp5-tiny, ecp5-85f, kv260, zcu104, u250, not 'asic-ngpc'",
        ),
        (("--preset", "ecp5-tiny", "--seeds", "0"), "seeds must be an integer from 1 to 100, not 0"),
        (("--preset", "kv260", "--out", "x"), "out must be left out for kv260: no open router exists for XCK26"),
    ],
)
def test_wrong_input_is_refused(arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, *arguments) == (2, "", f"ngpc: {sentence}\n")
