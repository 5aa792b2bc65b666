"""``ngpc program``: files, load words and pictures, and wrong input in one sentence."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from arch.program_file import read_program
from arch.program_text import ProgramText, write_program
from arch.workload import load_program, load_program_text, preset_names
from cli.main import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> object:
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["program", *map(str, arguments)])
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out, shown.err

    return call


def test_list_names_every_preset(run) -> None:
    code, out, err = run("list", "--json")
    assert (code, err) == (0, "")
    assert [row["program"] for row in json.loads(out)["programs"]] == list(preset_names("program"))
    assert "llama2_70b_768" in run("list")[1]


def test_check_says_what_a_program_is(run) -> None:
    code, out, err = run("check", "llama2-70b-1024", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (said["program"], said["rows"], said["count"], said["pools"]) == ("llama2_70b_1024", 1024, 80, {"share": 10})
    assert said["scheduler"]["n_descriptors"] == 32
    assert {row["unit"]: row["nano_operations"] for row in said["units"]}["network"] == 6
    assert said["nano_operations"][1]["waits_for"] == ["NormAttention1"]
    assert said["nano_operations"][0]["waits_for"] == ["DownAllReduce1 -1"]
    assert "start of OutputAllGather1" in said["nano_operations"][18]["waits_for"]
    assert {source["part"]: source["mark"] for source in said["sources"]}["shares"] == "ASSUMED"
    table = run("check", "llama2-70b-1024")[1]
    assert "DecodeAttention4" in table and "ASSUMED" in table


def test_words_and_back(run, tmp_path: Path) -> None:
    source, words, back = tmp_path / "mine.toml", tmp_path / "out" / "words.hex", tmp_path / "back.json"
    source.write_text(write_program(load_program_text("llama3_8b_1024")))
    code, out, err = run("assemble", source, "-o", words, "--json")
    assert (code, err) == (0, "")
    # 17 descriptors, 9 operations, the control word
    assert json.loads(out)["words"] == 27
    assert words.read_text().count("\n") == 27 + 3
    assert run("disassemble", words, "-o", back)[0] == 0
    assert read_program(back).program == load_program("llama3_8b_1024")
    code, out, err = run("disassemble", words)
    assert out == write_program(ProgramText(program=load_program("llama3_8b_1024")))
    assert json.loads(run("disassemble", words, "--json")[1])["name"] == "llama3_8b_1024"
    again = tmp_path / "again.hex"
    assert run("assemble", back, "-o", again)[0] == 0
    assert again.read_text() == words.read_text()


def test_graph_draws(run, tmp_path: Path) -> None:
    code, out, err = run("graph", "nerf-frame-ngpc8", "-o", tmp_path / "graph.svg", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["file"] == str(tmp_path / "graph.svg")
    assert ElementTree.parse(tmp_path / "graph.svg").getroot().tag.endswith("svg")


CIRCLE = """
units = ["gemm"]
chunk_rows = 128
n_chunks = 1
nano_operations = [
    { name = "a", operation = "A", unit = "gemm", chunks = [0, 1], predecessors = [{ operation = "B" }] },
    { name = "b", operation = "B", unit = "gemm", chunks = [0, 1], predecessors = [{ operation = "A" }] },
]
"""
WRONG = {
    "unknown": (("check", "gpt"), "program preset must be one of llama2_70b_1024, "),
    "missing": (("check", "{}/none.toml"), "program file must be a readable file, not '{}/none.toml' (No such file"),
    "folder": (("check", "{}"), "ending of a program file must be one of .toml, .json, not '{}'"),
    "folder of that name": (("graph", "{}/folder.toml"), "program file must be a readable file, not '{}/folder.toml'"),
    "prose": (("assemble", "{}/prose.toml"), "program prose must be TOML text, not one with an error (Expected"),
    "bytes": (("check", "{}/bytes.json"), "program file must be UTF-8 text, not '{}/bytes.json' (invalid start byte)"),
    "circle": (("check", "{}/circle.toml"), "the waits of program circle must not form a circle, not "),
    "small unit": (
        ("assemble", "llama2-70b-2048", "--scheduler", "scheduler-8", "-o", "{}/w.hex"),
        "nano-operations of program llama2_70b_2048 must be at most 8 for this scheduler, not 27",
    ),
    "unknown unit": (
        ("assemble", "llama2-70b-768", "--scheduler", "big"),
        "scheduler preset must be one of scheduler-8",
    ),
    "no words": (("disassemble", "{}/none.hex"), "file of load words must be a readable file, not '{}/none.hex'"),
    "words of prose": (("disassemble", "{}/prose.toml"), "load words must have one line '// config', not 0"),
    "unwritable": (("graph", "llama2-70b-768", "-o", "{}/prose.toml/x.svg"), "the output directory must be writable"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence(run, case: str, tmp_path: Path) -> None:
    (tmp_path / "prose.toml").write_text("Once upon a time")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    (tmp_path / "circle.toml").write_text(CIRCLE)
    (tmp_path / "folder.toml").mkdir()
    arguments, start = WRONG[case]
    code, out, err = run(*[argument.replace("{}", str(tmp_path)) for argument in arguments])
    assert (code, out) == (2, "")
    assert err.startswith("ngpc: " + start.replace("{}", str(tmp_path))), err
    assert err.count("\n") == 1
