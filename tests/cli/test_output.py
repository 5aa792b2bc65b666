"""How commands speak: JSON that is JSON, tables that keep every cell."""

import json

import pytest

from cli.output import note, print_json, print_table, progress


def test_json_refuses_what_json_cannot_hold(capsys):
    print_json({"a": 1.5, "b": [None, True]})
    assert json.loads(capsys.readouterr().out) == {"a": 1.5, "b": [None, True]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"a": float("nan")})


def test_a_table_off_the_terminal_is_not_cut(capsys):
    print_table("Title", ("name", "value", "fits"), [("x" * 150, 1234567.8, True), ("y", 0.000123456, None)], "Caption")
    shown = capsys.readouterr().out
    assert "x" * 150 in shown
    assert all(text in shown for text in ("Title", "1,234,568", "0.0001235", "yes", "Caption"))


def test_progress_and_notes_stay_off_stdout(capsys):
    with progress("working") as update:
        update(1, 2)
        update(2, 2)
    note("done")
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.endswith("done\n")
