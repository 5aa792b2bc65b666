"""``ngpc verilog`` writes what a simulator can read, the same bytes each time, or nothing."""

import json
from pathlib import Path

import pytest

from arch.errors import InputError
from arch.presets import SCHEDULERS
from cli.main import main
from cli.release import _check_ours


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["verilog", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


def test_the_same_configuration_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--processor", "nfp-16x16", "--scheduler", "scheduler-8", "--json")
    code, out, err = _run(capsys, *arguments, "--out", str(tmp_path / "a"))
    assert code == 0, err
    files = json.loads(out)["files"]
    assert [file["top"] for file in files] == ["nfp", "scheduler"]
    assert (tmp_path / "a" / "filelist.f").read_text() == "nfp.v\nscheduler.v\n"
    for file in files:
        text = Path(file["file"]).read_text()
        assert f"module {file['top']}(" in text and len(text) == file["bytes"]
    ports = Path(files[0]["file"]).read_text()
    for stream in ("load", "points", "results"):
        for part in ("payload", "valid", "ready"):
            assert f" {stream}__{part};" in ports

    code, _, err = _run(capsys, *arguments, "--out", str(tmp_path / "b"))
    assert code == 0, err
    for name in ("nfp.v", "scheduler.v"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_cluster_comes_with_standard_ports_and_register_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "--scheduler", "scheduler-8", "--nfps", "2", "--json", "--out", str(tmp_path))
    assert code == 0, err
    assert [file["top"] for file in json.loads(out)["files"]] == ["nfp", "scheduler", "nfp_top"]
    assert (tmp_path / "filelist.f").read_text() == "nfp.v\nscheduler.v\nnfp_top.v\n"
    ports = (tmp_path / "nfp_top.v").read_text()
    for stream in ("s_axis_load", "s_axis_points", "m_axis_results", "m_axis_issue0", "s_axis_complete3"):
        for part in ("tdata", "tkeep", "tlast", "tvalid", "tready"):
            assert f" {stream}_{part};" in ports
    for part in ("awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid", "bready",
                 "araddr", "arvalid", "arready", "rdata", "rresp", "rvalid", "rready"):  # fmt: skip
        assert f" s_axil_{part};" in ports
    assert "NGPC__CLUSTER__N_NFPS_reset 0x2" in (tmp_path / "registers" / "ngpc.h").read_text()
    assert (tmp_path / "registers" / "ngpc.xml").is_file()
    assert (tmp_path / "registers" / "html" / "index.html").is_file()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--nfps", "n_nfps must be an integer from 1 to 64, not 65"),
        ("--processor", "processor preset must be one of nfp-16x16, nfp-32x32, ngpc, not 'x'"),
        (
            "--scheduler",
            "scheduler preset must be one of " + ", ".join(SCHEDULERS) + ", not 'x'",
        ),
    ],
)
def test_an_unknown_preset_leaves_nothing(
    option: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none"
    wrong = "65" if option == "--nfps" else "x"
    assert _run(capsys, option, wrong, "--out", str(out)) == (2, "", f"ngpc: {sentence}\n")
    assert not out.exists()


def test_a_release_does_not_write_among_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as those of a checkout, whose README.md and config.json a release has too."""
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "config.json").write_text('{"mine": 1}')
    code, _, err = _run(capsys, "--preset", "ecp5-tiny", "--out", str(tmp_path))
    assert code == 2
    assert err == (
        "ngpc: the output directory must be empty or hold an earlier release, not 'README.md' as "
        f"{str(tmp_path)!r} does; name another\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """Nor is an earlier release; what is no release is."""
    (tmp_path / ".ngpc-abc").mkdir()
    _check_ours(tmp_path)
    (tmp_path / "config.json").write_text('{"config_hash": "0x1"}')
    _check_ours(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match=r"not 'config\.json' as "):
        _check_ours(tmp_path)


def test_a_release_has_its_own_cluster_even_for_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "--preset", "ecp5-tiny", "--nfps", "0", "--out", str(tmp_path / "out"))
    assert code == 2 and "without --processor, --scheduler and --nfps; leave them out" in err
    assert not (tmp_path / "out").exists()
