"""``ngpc reproduce nanoflow`` and ``h200``: every row complete, what must agree agrees, predictions within bounds."""

import json

import pytest

from arch.workload import load_calibration
from cli.main import main
from sim.reproduction.nanoflow import reproduce_nanoflow

KEYS = {"what", "ours", "reference", "ratio", "source", "reason"}


@pytest.fixture(scope="module")
def nanoflow() -> list[dict]:
    return [row.as_json() for row in reproduce_nanoflow(search_effort=0.6)]


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(["reproduce", *arguments])
    return end.value.code


def distances(rows: list[dict], start: str) -> list[float]:
    found = [abs(row["ratio"] - 1) for row in rows if row["what"].startswith(start)]
    assert found, start
    return found


def test_rows_are_complete(nanoflow):
    for row in nanoflow:
        assert set(row) == KEYS
        assert row["ratio"] == pytest.approx(row["ours"] / row["reference"])
        assert row["source"] in ("rtl", "cycle_model", "calibrated", "computed") and len(row["reason"]) > 10
    assert len({row["what"] for row in nanoflow}) == len(nanoflow) > 150


def test_computed_figures_are_the_printed_ones(nanoflow):
    for row in nanoflow:
        if row["what"].startswith(("Table 2", "Figure 2", "Figure 3")) and row["reference"] >= 1:
            assert abs(row["ratio"] - 1) < 0.005 or abs(row["ours"] - row["reference"]) <= 0.051, row
    assert max(distances(nanoflow, "optimal throughput")) < 0.005
    assert max(distances(nanoflow, "Figure 2")) < 0.005


@pytest.mark.parametrize(
    ("start", "bound"),
    [
        ("ablation 512-1024, sequential", 0.03),
        ("ablation 512-1024, nano_only", 0.05),
        ("ablation 512-1024, overlapped", 0.05),
        ("offline throughput", 0.03),
        ("highest rate within 0.2 s, lmsys", 0.06),
        ("normalised latency, lmsys, 20", 0.2),
    ],
)
def test_predictions_stay_within_their_bounds(nanoflow, start, bound):
    assert max(distances(nanoflow, start)) < bound


def test_a_searched_schedule_beats_the_published_one(nanoflow):
    rows = [row for row in nanoflow if row["what"].startswith("steady layer")]
    assert len(rows) == 1 and rows[0]["ratio"] < 1
    assert rows[0]["reference"] == load_calibration("a100_search")["reference.period_us"] / 1e3


def test_h200(capsys):
    assert run(["h200", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(set(row) == KEYS for row in rows) and len(rows) > 40
    assert max(distances(rows, "layer, split in two, burst")) < 0.01
    assert max(distances(rows, "layer, overlapped")) < 0.16
    assert max(distances(rows, "layer, sequential, extrapolated")) < 0.1


def test_the_table_gives_every_reason_once(capsys):
    assert run(["h200"]) == 0
    shown = capsys.readouterr().out
    assert "deviation" in shown and shown.count("nothing measured on an H200") == 1


def test_bad_input_is_one_sentence(capsys):
    assert run(["nanoflow", "--search-effort", "-1"]) == 2
    assert capsys.readouterr().err == "ngpc: search_effort must be 0 to 1000, not -1\n"
