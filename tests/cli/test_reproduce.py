"""``ngpc reproduce`` from outside: its JSON, its table, its refusal."""

import json

import pytest

from cli.main import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["reproduce", *arguments])
    return end.value.code


def test_json_and_table_show_ours_beside_the_published(capsys):
    assert run("ngpc", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["study"] == "ngpc" and len(result["rows"]) > 100
    assert all(
        row.keys() >= {"section", "case", "unit", "ours", "source", "published", "mark", "ratio", "reason"}
        for row in result["rows"]
    )
    assert run("ngpc") == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("58.36", "R-high", "kernel speed-up", "modelled", "differ by more than"))


def test_an_unknown_study_is_refused(capsys):
    assert run("nothing") == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "nothing" in shown.err
