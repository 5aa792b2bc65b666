"""``ngpc report`` leaves a page, a trace, results, pictures and Verilog; the parts have tests of their own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from arch.whole_file import write_whole
from cli import report as command
from cli.main import main
from cli.render import Rendering

PICTURE = np.linspace(0, 1, 8 * 8 * 3).reshape(8, 8, 3)
RENDERING = Rendering(
    app="gia", rtl=PICTURE, float_field=PICTURE, truth=PICTURE, mismatches=0, psnr_vs_float_db=40.0,
    psnr_vs_truth_db=30.0, cycles=640, cycles_model=640, simulated_clocks_per_s=1e6,
)  # fmt: skip


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command with the simulator and the Verilog generator replaced; returns its exit code."""

    def run(rendering: Rendering, *arguments: str) -> int:
        monkeypatch.setattr(command, "render_app", lambda app, config, update: rendering)
        monkeypatch.setattr(
            command, "write_verilog", lambda nfp, scheduler, out, update: [write_whole(out / "nfp.v", "module nfp;")]
        )
        with pytest.raises(SystemExit) as end:
            main(["report", "--out", str(tmp_path / "demo"), *arguments])
        return end.value.code

    return run


def test_everything_is_there_and_says_the_same(run, tmp_path, capsys):
    assert run(RENDERING, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    out = tmp_path / "demo"
    assert json.loads((out / "results.json").read_text()) == printed
    assert printed["render"]["mismatches"] == 0 and printed["verilog"] == ["verilog/nfp.v"]
    assert {row["execution"] for row in printed["tokens"]["rows"]} >= {"sequential", "nano_only", "overlapped"}
    assert len(printed["frame"]["rows"]) == 4 * 3 * 5 * 10
    events = json.loads((out / "trace.json").read_text())["traceEvents"]
    assert {e["args"]["name"] for e in events if e["name"] == "process_name"} >= {
        "nano_only", "overlapped", "gia hashgrid fhd, NGPC-16, ngpc", "gia hashgrid fhd, NGPC-16, ngpc_fused_rest",
    }  # fmt: skip
    page = (out / "report.html").read_text()
    assert all(word in page for word in ("int8", "llama2_70b", "hashgrid", "39.04", "data:image/svg+xml"))
    assert page.count("data:image/png") == 3
    assert {path.name for path in (out / "pictures").iterdir()} == {"gia_rtl.png", "gia_photograph.png"}


def test_a_difference_is_exit_code_1_after_the_tables(run, capsys):
    assert run(replace(RENDERING, mismatches=1, cycles_model=641)) == 1
    shown = capsys.readouterr()
    assert "Frames" in shown.out and "Tokens, prompt 512, decode 1024" in shown.out
    assert "1 mismatches, 10.00 clk/point, 40.0 dB against the float field" in shown.err
    assert shown.err.endswith("ngpc: the RTL and its models differ\n")


def test_an_unwritable_directory_is_refused_before_anything_runs(run, tmp_path, capsys):
    write_whole(tmp_path / "demo", "a file in the way")
    assert run(RENDERING) == 2
    sentence = f"ngpc: the output directory must be writable, not {str(tmp_path / 'demo')!r} (File exists)\n"
    assert capsys.readouterr().err == sentence
