"""``ngpc frame`` from outside: its JSON, its tables, its refusals."""

import json
import subprocess
import sys

import pytest

from cli.main import main

ROW_KEYS = {
    "app", "encoding", "resolution", "n_nfp", "gpu", "mode", "frame_ms", "fps", "speedup", "limiter", "source",
}  # fmt: skip


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_json_has_the_stable_keys(capsys):
    assert run(["frame", "--app", "gia,nvr", "--resolution", "fhd", "--n-nfp", "8,64", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["rows"]) == 2 * (2 + 2 * 2)
    for row in result["rows"]:
        assert set(row) >= ROW_KEYS
        assert row["source"] in ("rtl", "cycle_model", "calibrated", "published")
        assert row["frame_ms"] > 0 and row["speedup"] > 0
    assert result["assumptions"] and result["matches"] == []


def test_the_h200_has_a_table_of_clusters_that_match_it(capsys):
    arguments = ["frame", "--gpu", "h200", "--app", "nerf", "--resolution", "fhd", "--n-nfp", "8"]
    assert run([*arguments, "--json"]) == 0
    (match,) = json.loads(capsys.readouterr().out)["matches"]
    assert (match["app"], match["n_nfp"], match["gpu_nj_per_point"]) == ("nerf", 21, 176)
    assert run(arguments) == 0
    assert "Cluster that matches" in capsys.readouterr().out


def test_scene_mode_marches_rays(capsys):
    arguments = ["frame", "--mode", "scene", "--app", "nsdf,gia", "--resolution", "fhd", "--n-nfp", "8"]
    assert run([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["points_from"] == "scene" and result["averages"] == []
    assert len(result["rows"]) == 2 * 4
    for row in result["rows"]:
        assert set(row) >= ROW_KEYS | {"points", "points_needed", "rounds", "field_energy_mj"}
        assert row["points_source"] == ("scene" if row["app"] == "nsdf" else "definition")
        assert row["points"] >= row["points_needed"] > 0 and row["rounds"] >= 1
        assert (row["field_energy_mj"] is None) == row["mode"].startswith("gpu")  # nobody measured the RTX 3090's
    assert any("marched" in sentence for sentence in result["assumptions"])
    assert run(arguments) == 0
    assert "128^3" in capsys.readouterr().out


def test_a_name_given_twice_counts_once(capsys):
    arguments = ["frame", "--app", "nerf,nerf,nerf,nerf", "--resolution", "fhd,fhd", "--n-nfp", "8,8", "--json"]
    assert run(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["rows"]) == 4 and result["averages"] == []


def test_what_kernels_keep_of_the_memory_is_an_option(capsys):
    arguments = ["frame", "--app", "nerf", "--resolution", "4k", "--n-nfp", "64", "--json"]
    frames = []
    for share in ("0", "1"):
        assert run([*arguments, "--sm-memory-share", share]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["sm_memory_share"] == float(share)
        frames.append(result["rows"][-1]["frame_ms"])
    assert frames[1] > 1.5 * frames[0]
    assert run([*arguments, "--sm-memory-share", "2"]) == 2
    assert capsys.readouterr().err == "ngpc: sm_memory_share must be a number from 0 to 1, not 2.0\n"


def test_tables_show_the_origin_of_each_row_and_the_assumptions(capsys):
    assert run(["frame", "--resolution", "fhd", "--n-nfp", "64"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("cycle_model", "published", "39.04", "R-high", "9.94"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--app", "mesh"], "ngpc: app must be one of nerf, nsdf, gia, nvr, not 'mesh'\n"),
        (["--n-nfp", "8,many"], "ngpc: n_nfp must be whole numbers separated by commas, not '8,many'\n"),
        (["--mode", "film"], "ngpc: mode must be one of paper, scene, not 'film'\n"),
        (["--gpu", "none"], "ngpc: gpu preset must be one of h200, orin, rtx3090, not 'none'\n"),
        (["--tables", "none"], "ngpc: tables must be one of sized, reload, refuse, not 'none'\n"),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(arguments, sentence, capsys):
    assert run(["frame", *arguments]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "ngpc: No such command 'nonsense'; see 'ngpc --help'\n"),
        (["frame", "extra"], "ngpc: Got unexpected extra argument(s) (extra); see 'ngpc frame --help'\n"),
        (["frame", "--app"], "ngpc: Option '--app' requires an argument; see 'ngpc --help'\n"),
    ],
)
def test_a_usage_error_is_one_sentence_and_exit_code_2(arguments, sentence, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", sentence)


def test_no_command_shows_the_help(capsys):
    assert run([]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("Usage: ngpc")


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_reader_that_goes_away_ends_it_quietly(form):
    command = f"{sys.executable} -m cli.main frame --n-nfp 8 {form} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (141, "", "")
