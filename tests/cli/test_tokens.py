"""``ngpc tokens`` from outside: its JSON, its table, its refusals."""

import json

import pytest

from cli.main import main

ROW_KEYS = {
    "model", "device", "prompt", "decode", "execution", "iteration_ms", "layer_ms", "tokens_per_s_per_gpu",
    "fraction_of_optimal", "source",
}  # fmt: skip


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(["tokens", *arguments])
    return end.value.code


def test_json_has_the_stable_keys(capsys):
    assert run(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["execution"], row["source"]) for row in rows] == [
        ("sequential", "calibrated"),
        ("sequential", "published"),
        ("nano_only", "cycle_model"),
        ("nano_only", "published"),
        ("overlapped", "cycle_model"),
        ("overlapped", "published"),
        ("overlapped_offload", "cycle_model"),
        ("overlapped_offload", "published"),
    ]
    assert all(set(row) >= ROW_KEYS for row in rows)


def test_the_table_shows_ours_beside_the_published(capsys):
    assert run(["--execution", "overlapped"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("cycle_model", "published", "1277", "tokens/s/GPU"))


def test_an_extrapolated_row_says_so(capsys):
    assert run(["--device", "8xh200", "--execution", "sequential"]) == 0
    assert "scaled from another model or device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--model", "gpt"], "ngpc: model preset must be one of deepseek_67b, llama2_70b, "),
        (["--device", "9xgpu"], "ngpc: device must be one of a100_40gb, "),
        (["--execution", "fast"], "ngpc: execution must be one of sequential, "),
        (
            ["--interference", "guess"],
            "ngpc: interference table must be one of paper, artifact, h200_green, h200_dynamic, not 'guess'",
        ),
        (["--program", "none"], "ngpc: program preset must be one of llama2_70b_1024, "),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(arguments, start, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(start) and shown.err.count("\n") == 1


def test_losses_name_the_path_and_the_idle_units(capsys):
    assert run(["--execution", "overlapped", "--losses", "--json"]) == 0
    losses = json.loads(capsys.readouterr().out)["losses"]["overlapped"]
    assert {step["next_waits_for"] for step in losses["critical_path"]} <= {"dependency", "unit", "share", "end"}
    assert losses["critical_path"][-1]["next_waits_for"] == "end" and len(losses["critical_path"]) > 5
    assert all(set(each) == {"start_us", "end_us", "idle", "running"} for each in losses["idle"])
    assert run(["--execution", "overlapped", "--losses"]) == 0
    assert "critical path of a period" in capsys.readouterr().out


def test_trace_and_picture_of_a_run(capsys, tmp_path):
    trace, svg = tmp_path / "t.json", tmp_path / "t.svg"
    assert run(["--execution", "overlapped", "--trace", str(trace), "--svg", str(svg), "--json"]) == 0
    assert len(json.loads(trace.read_text())["traceEvents"]) > 1000
    assert svg.read_text().lstrip().startswith("<?xml") and "DecodeAttention" in svg.read_text()
    json.loads(capsys.readouterr().out)


def test_a_sequential_run_has_a_timeline_too(capsys):
    assert run(["--execution", "sequential", "--losses", "--json"]) == 0
    path = json.loads(capsys.readouterr().out)["losses"]["sequential"]["critical_path"]
    assert [step["nano_operation"] for step in path[:3]] == ["DownAllReduce", "NormAttention", "KQV"]


@pytest.mark.parametrize("level", ["roofline", "calibrated", "interference"])
def test_every_level_of_the_cost_model(level, capsys):
    assert (
        run(["--execution", "overlapped", "--level", level, "--batch", "1024", "--decode-rows", "700", "--json"]) == 0
    )
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["level"], row["dense_batch"], row["decode_rows"], row["context"]) == (level, 1024, 700, 1024)
    assert row["source"] == ("computed" if level == "roofline" else "cycle_model")


@pytest.mark.cosim
def test_the_program_takes_the_same_clocks_on_the_rtl(capsys):
    assert run(["--execution", "overlapped", "--rtl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rtl"]["overlapped"]
    assert found["mismatches"] == 0 and found["cycles_rtl"] == found["cycles_model"]
    # a clock of 10 MHz rounds every duration to a tenth of a microsecond, and a wake-up takes a few of them
    assert found["period_us"] == pytest.approx(found["period_us_model"], rel=0.01)
