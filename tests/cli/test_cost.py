"""``ngpc cost`` from outside: operations and maps as JSON and tables, refusals."""

import json

import pytest

from cli.main import main


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(["cost", *arguments])
    return end.value.code


def as_json(arguments: list[str], capsys) -> dict:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_operations_are_the_published_table(capsys):
    result = as_json([], capsys)
    rows = {row["operation"]: row for row in result["rows"]}
    assert rows["KQV"]["gflop"] == pytest.approx(27487.8, rel=1e-5)
    assert rows["DecodeAttention"]["memory_ms"] == pytest.approx(28.89, rel=0.005)
    assert rows["Network"]["calibrated_ms"] == pytest.approx(47.92, rel=1e-6)
    assert result["total"]["compute_ms"] == pytest.approx(114.17, rel=0.005)
    assert result["optimal_tokens_per_s_per_gpu"] == pytest.approx(1857, rel=0.005)
    assert (result["batch"], result["source"], result["extrapolated"]) == (2048, "computed", False)


def test_maps_have_a_row_a_model(capsys):
    memory = as_json(["--show", "memory"], capsys)["rows"]
    assert {row["model"] for row in memory} >= {"llama3_8b", "mixtral_8x7b", "qwen2_72b", "deepseek_67b"}
    assert next(row for row in memory if row["model"] == "llama2_70b")["512-1024"] == pytest.approx(0.32, abs=0.005)
    network = as_json(["--show", "network"], capsys)["rows"]
    assert next(row for row in network if row["model"] == "llama2_70b")["h200"] == pytest.approx(0.576, rel=0.005)
    assert all(len(row) == 14 for row in network)


def test_tables_show_the_optimum_and_the_maps(capsys):
    assert run(["--device", "8xh200"]) == 0
    assert "scaled by the cost" in capsys.readouterr().out
    assert run(["--show", "memory"]) == 0
    assert "lmsys" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--show", "power"], "ngpc: show must be one of operations, memory, network, not 'power'"),
        (["--prompt", "0"], "ngpc: prompt must be an integer from 1 to "),
        (["--batch", "-1"], "ngpc: batch must be an integer from 1 to "),
        (["--model", "gpt"], "ngpc: model preset must be one of "),
        (["--device", "a100_80gb"], "ngpc: device must hold the 140 GB of weights of llama2_70b, not 80 GB"),
    ],
)
def test_bad_input_is_one_sentence(arguments, start, capsys):
    assert run(arguments) == 2
    assert capsys.readouterr().err.startswith(start)
