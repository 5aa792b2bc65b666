"""``ngpc search`` from outside: its JSON, its files, its refusals, and its program on the RTL."""

import json

import pytest

from arch.program_file import find_program
from cli.main import main

QUICK = ["--model", "llama3_8b", "--device", "a100_80gb", "--prompt", "512", "--decode", "512", "--effort", "0.02",
         "--parts", "1"]  # fmt: skip
KEYS = {"model", "device", "batch", "decode_rows", "period_ms", "bound_ms", "gap", "seconds", "seed", "program"}


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(["search", *arguments])
    return end.value.code


def test_json_and_program_file(capsys, tmp_path):
    path = tmp_path / "found.json"
    assert run([*QUICK, "--out", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) >= KEYS
    assert (result["model"], result["device"], result["batch"], result["decode_rows"]) == (
        "llama3_8b", "a100_80gb", 1024, 512,
    )  # fmt: skip
    assert 0 < result["bound_ms"] <= result["period_ms"] and 0 <= result["gap"] < 1
    program = find_program(str(path)).program
    assert [nano.name for nano in program.nano_operations] == [
        nano["name"] for nano in result["program"]["nano_operations"]
    ]
    again = tmp_path / "result.json"
    again.write_text(json.dumps(result))
    assert run([*QUICK, "--warm-start", str(again), "--interference", "none"]) == 0
    assert "period" in capsys.readouterr().out


@pytest.mark.cosim
@pytest.mark.long
def test_the_program_takes_the_same_clocks_on_the_rtl(capsys):
    assert run([*QUICK, "--rtl", "--json"]) == 0
    rtl = json.loads(capsys.readouterr().out)["rtl"]
    assert rtl["mismatches"] == 0 and rtl["cycles_rtl"] == rtl["cycles_model"] > 10_000


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--model", "gpt"], "ngpc: model preset must be one of "),
        (["--out", "x.txt"], "ngpc: out must end in .toml or .json, not 'x.txt'"),
        (["--warm-start", "/no/file"], "ngpc: warm start must be a readable file, not '/no/file' (No such file"),
        (["--batch", "100"], "ngpc: batch must be a multiple of 128 from 128 to 8192, not 100"),
        (["--decode-rows", "7"], "ngpc: decode_rows must be a multiple of 128 from 0 to 2048, not 7"),
        (["--nano-batches", "0"], "ngpc: n_batches must be an integer from 1 to 4, not 0"),
        (["--effort", "-1"], "ngpc: effort must be a number above 0, not -1.0"),
        (["--prompt", "0"], "ngpc: prompt must be an integer from 1 to "),
    ],
)
def test_bad_input_is_one_sentence(arguments, start, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(start) and not shown.out


@pytest.mark.parametrize("text", ["{", "[]", '{"plan": 1}'])
def test_a_warm_start_that_is_no_plan(text, capsys, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert run(["--warm-start", str(path)]) == 2
    assert capsys.readouterr().err.startswith("ngpc: warm start must be ")
