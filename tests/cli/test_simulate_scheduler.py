"""``ngpc simulate scheduler``: one timeline from the RTL and from the cycle model."""

import json
from pathlib import Path

import pytest

from arch.workload import load_program, preset_names
from cli.main import main

KEYS = {
    "program", "layers", "clock_mhz", "period_us", "makespan_us", "wakeup_clk_max", "issues_per_clk_max",
    "timeline_equal", "traced", "mismatches", "cycles_rtl", "cycles_model", "units", "pools", "nano_operations",
}  # fmt: skip
NANO_KEYS = {
    "name", "chunks", "layer", "start", "end", "ready", "issued", "started", "completed", "unit",
    "waited_dependency", "waited_share", "waited_unit",
}  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["simulate", "scheduler", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


@pytest.mark.cosim
def test_rtl_and_model_print_one_timeline(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--program", "llama2-70b-2048", "--layers", "6", "--clock-mhz", "1", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result.keys() == KEYS
    assert result["timeline_equal"] is True and result["traced"] is True and result["mismatches"] == 0
    assert result["cycles_rtl"] == result["cycles_model"] > 0
    assert result["makespan_us"] == result["cycles_rtl"]
    assert result["wakeup_clk_max"] == 3
    assert result["issues_per_clk_max"] >= 2
    body = load_program("llama2_70b_2048").nano_operations
    nanos = result["nano_operations"]
    assert len(nanos) == 6 * len(body)
    assert all(nano.keys() == NANO_KEYS for nano in nanos)
    assert {nano["layer"] for nano in nanos} == set(range(6))
    chunks = {nano.name: nano.chunks for nano in body}
    durations = {nano.name: max(1, round(nano.duration_us)) for nano in body}
    for nano in nanos:
        assert nano["chunks"] == chunks[nano["name"]]
        assert nano["end"] - nano["start"] == durations[nano["name"]]
        assert nano["ready"] < nano["issued"] == nano["started"] == nano["start"]
        assert nano["completed"] == nano["end"]
        assert nano["issued"] == nano["ready"] + 1 + nano["waited_unit"] + nano["waited_share"]
    for unit in result["units"]:
        mine = [nano for nano in nanos if nano["unit"] == unit["unit"]]
        for cause in ("waited_dependency", "waited_share", "waited_unit"):
            assert unit[cause] == sum(nano[cause] for nano in mine)
        assert unit["busy"] == sum(nano["end"] - nano["start"] for nano in mine)
    shares = {nano.name: nano.shares.get("share", 0) for nano in body}
    held = sum(shares[nano["name"]] * (nano["end"] - nano["start"]) for nano in nanos)
    assert [(pool["pool"], pool["credit_clk"]) for pool in result["pools"]] == [("share", held)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--layers", "0"), "layers must be an integer from 1 to 65535, not 0"),
        (("--layers", "65536"), "layers must be an integer from 1 to 65535, not 65536"),
        (("--clock-mhz", "0"), "clock_mhz must be a number above 0, not 0.0"),
        (("--clock-mhz", "-1"), "clock_mhz must be a number above 0, not -1.0"),
        (("--clock-mhz", "nan"), "clock_mhz must be a number above 0, not nan"),
        (("--clock-mhz", "inf"), "clock_mhz must be a number above 0, not inf"),
        (
            ("--program", "none.toml"),
            "program file must be a readable file, not 'none.toml' (No such file or directory)",
        ),
    ],
)
def test_a_wrong_option_is_named(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str) -> None:
    assert run(capsys, *arguments) == (2, "", f"ngpc: {sentence}\n")


def test_a_run_without_end_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--layers", "60000", "--clock-mhz", "100")
    assert (code, out) == (2, "")
    assert err.startswith("ngpc: clocks to simulate must be at most 500000000, not 1")
    assert err.endswith(" or more; take fewer layers or a lower clock_mhz\n")


def test_an_unknown_program_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--program", "gpt-2")
    assert (code, out) == (2, "")
    assert err == f"ngpc: program preset must be one of {', '.join(preset_names('program'))}, not 'gpt_2'\n"


def _nano(name: str, unit: str, **wait: str) -> dict:
    waits = {"predecessors": [wait]} if wait else {}
    return {"name": name, "operation": name, "unit": unit, "chunks": [0, 1], "duration_us": 0.1, **waits}


def _file(folder: Path, nanos: list[dict]) -> str:
    units = list(dict.fromkeys(nano["unit"] for nano in nanos))
    path = folder / "program.json"
    path.write_text(json.dumps({"units": units, "chunk_rows": 1, "n_chunks": 1, "nano_operations": nanos}))
    return str(path)


@pytest.mark.cosim
def test_eight_units_start_in_one_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each works for one clock at a time: the trace cannot say as much, and is left out."""
    nanos = [_nano(f"n{unit}_{number}", f"u{unit}") for unit in range(8) for number in range(2)]
    code, out, err = run(capsys, "--program", _file(tmp_path, nanos), "--layers", "3", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["timeline_equal"] is True and result["traced"] is False
    assert result["issues_per_clk_max"] == 8 and len(result["nano_operations"]) == 3 * 16
    for nano in result["nano_operations"]:
        assert nano["issued"] == nano["started"] == nano["start"] and nano["completed"] == nano["end"]


@pytest.mark.cosim
def test_an_end_soon_after_an_awaited_start_is_heard_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one case in which a wake-up takes more clocks: an execution of one or two whose start is awaited as well."""
    waits = [_nano("s", "v", operation="a", event="start"), _nano("d", "w", operation="a")]
    for nanos, wake_up in (([_nano("a", "u"), *waits], 5), ([_nano("a", "u"), waits[1]], 3)):
        code, out, err = run(capsys, "--program", _file(tmp_path, nanos), "--layers", "1", "--json")
        assert code == 0, err
        result = json.loads(out)
        assert result["timeline_equal"] is True and result["wakeup_clk_max"] == wake_up
