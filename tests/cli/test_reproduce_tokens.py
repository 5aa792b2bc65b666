"""``ngpc reproduce nanoflow`` and ``h200``: every row complete, what must agree agrees, predictions within bounds."""

import json

import pytest

from arch.workload import load_calibration
from cli.main import main
from sim.reproduction.comparison_row import ComparisonRow
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


def test_what_is_off_says_why(nanoflow):
    """A row off by more than a tenth has a reason of its own, not one that promises agreement."""
    off = [row for row in nanoflow if abs(row["ratio"] - 1) > 0.1]
    assert 0 < len(off) < 0.2 * len(nanoflow)
    for row in off:
        assert not row["reason"].startswith(("printed", "by construction")), row


def test_what_the_facts_have_is_there(nanoflow):
    starts = (
        "Table 2", "Figure 2", "Figure 3", "optimal", "decode attention", "AllGather", "AllReduce",
        "bandwidth of decode", "GEMM of 640", "later branch", "efficiency", "rows of the largest",
        "requests of the largest", "page pool", "published search, period", "published search, three",
        "published search, start", "published search, stage II", "layer of LLaMA-3-8B", "layer of LLaMA-3-70B",
        "ablation", "compute utilisation", "keys and values written", "throughput kept", "synthetic",
        "offline throughput", "normalised latency", "p99", "rows wasted", "highest rate",
        "steady layer of a searched", "part of the searched period",
    )  # fmt: skip
    for start in starts:
        assert any(row["what"].startswith(start) for row in nanoflow), start


@pytest.mark.parametrize(
    ("start", "bound"),
    [
        ("decode attention", 0.035),
        ("published search, start", 0.01),
        ("published search, period", 0.002),
        ("layer of LLaMA-3-8B", 0.03),
        ("rows of the largest", 0.001),
        ("compute utilisation over a layer", 0.05),
    ],
)
def test_more_predictions_within_their_bounds(nanoflow, start, bound):
    assert max(distances(nanoflow, start)) < bound


def test_h200(capsys):
    assert run(["h200", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(set(row) == KEYS for row in rows) and len(rows) > 2000
    assert max(distances(rows, "D_layers")) < 0.16
    assert max(distances(rows, "layer from A100 kernels")) < 0.1


def test_the_table_sums_up_every_file_and_gives_every_reason_once(capsys):
    assert run(["h200"]) == 0
    shown = capsys.readouterr().out
    assert "deviation" in shown and shown.count("nothing measured on an H200") == 1
    assert "N_collectives_alone" in shown and "N_collectives_alone, all_reduce" not in shown


def test_figures_in_a_folder(capsys, tmp_path, monkeypatch, nanoflow):
    made = [ComparisonRow(**{key: row[key] for key in KEYS - {"ratio"}}) for row in nanoflow]
    monkeypatch.setattr("sim.reproduction.nanoflow.reproduce_nanoflow", lambda **_: made)
    assert run(["nanoflow", "--plots", str(tmp_path / "figures"), "--json"]) == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "ablation.svg", "latency.svg", "memory_map.svg", "network_map.svg", "throughput.svg", "utilisation.svg",
    }  # fmt: skip
    assert len(json.loads(capsys.readouterr().out)["rows"]) == len(made)


def test_measurements_that_are_none(capsys, tmp_path):
    assert run(["h200", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("ngpc: data must have a file such as ")
    assert run(["h200", "--device", "h300"]) == 2
    assert capsys.readouterr().err.startswith("ngpc: device must be one of ")


def test_bad_input_is_one_sentence(capsys):
    assert run(["nanoflow", "--search-effort", "-1"]) == 2
    assert capsys.readouterr().err == "ngpc: search_effort must be 0 to 1000, not -1\n"
