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
        (["--interference", "guess"], "ngpc: interference table must be one of paper, artifact, not 'guess'"),
        (["--program", "none"], "ngpc: program preset must be one of llama2_70b_1024, "),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(arguments, start, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(start) and shown.err.count("\n") == 1
