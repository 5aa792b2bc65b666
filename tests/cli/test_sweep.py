"""``ngpc sweep``."""

import json

import pytest

from cli.main import main

SMALL = ("--level-parallel", "16", "--array", "64", "--clock-ghz", "1", "--n-nfp", "1,8", "--bank-ports", "2")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *arguments])
    return ended.value.code


def test_json_has_every_point(capsys):
    assert run(*SMALL, "--json") == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert len(points) == 4
    assert {"gpoints_per_s", "mm2", "watts", "pareto", "limiter", "clk_per_point", "source"} <= set(points[0])
    assert any(point["pareto"] for point in points)


@pytest.mark.parametrize("arguments", [(), ("--level-parallel", "16"), ("--app", "gia")])
def test_every_encoding_can_be_swept_with_any_level_engines(arguments, capsys):
    few = ("--encoding", "lowres", "--array", "64", "--n-nfp", "1", "--clock-ghz", "1", *arguments)
    assert run(*few, "--json") == 0
    space = json.loads(capsys.readouterr().out)
    assert {point["level_parallel"] for point in space["points"]} == {2} and len(space["points"]) == 4
    assert space["left_out"] == (0 if "16" in arguments else 8) and len(space["notes"]) == 1
    assert run(*few) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert space["notes"][0] in shown
    assert ("8 of 12 clusters asked for left out." in shown) == (space["left_out"] > 0)


def test_the_plot_and_the_table(capsys, tmp_path):
    out = tmp_path / "front.svg"
    assert run(*SMALL, "--out", str(out)) == 0
    assert "Pareto front, nerf hashgrid" in capsys.readouterr().out
    text = out.read_text()
    assert text.startswith("<?xml") and "billions of points a second" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--array", "a"], "array must be numbers separated by commas, not 'a'"),
        (["--array", "10"], "rows must be a multiple of 4 from 4 to 128, not 10"),
        (["--fission", "maybe"], "fission must be no, yes or both with a comma, not 'maybe'"),
        (["--clock-ghz", "-1"], "clock_ghz must be a number from 0.01 to 10, not -1.0"),
        (["--clock-ghz", "1e308"], "clock_ghz must be a number from 0.01 to 10, not 1e+308"),
        (["--clock-ghz", "1,1e-300"], "clock_ghz must be a number from 0.01 to 10, not 1e-300"),
        (["--gpu", "b200"], "memory preset must be one of a100_80gb, h200, orin, rtx3090, not 'b200'"),
        (["--out", "x.pdf"], "suffix of out must be .svg, not '.pdf'"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, capsys):
    assert run(*arguments) == 2
    assert capsys.readouterr().err == f"ngpc: {sentence}\n"
