"""Released builds: same bytes, plain names, clean, and a smoke test that passes, notices breaks, and ends by itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from arch.nfp import ClusterConfig
from arch.register_map import config_hash
from arch.release import RELEASES, ReleaseConfig
from cli.main import main
from cli.release import release_digest, write_build, write_release
from cli.release_hashes import recorded_hashes
from sim.cosim.toolchain import verilator_environment

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = "ecp5-tiny"
TOP = RELEASES[TINY].top


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest release."""
    out = tmp_path_factory.mktemp("release") / TINY
    write_release(TINY, out)
    return out


def _files(out: Path) -> list[Path]:
    made = sorted(path for path in out.rglob("*") if path.is_file())
    return [path for path in made if "obj_dir" not in path.parts and path.suffix != ".vvp"]


def _run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**verilator_environment(), **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def _lint(out: Path, top: str) -> str:
    return _run(out, "verilator", "--lint-only", "-Wall", "lint.vlt", f"{top}.v")


def _verilate(smoke: Path, top: str, verilog: str | None = None) -> str:
    """The bench in Verilator, built for a short compile; ``verilog`` in place of the release's."""
    _run(
        smoke, "verilator", "--binary", "-Wno-fatal", "-Wno-lint", "-Wno-PROCASSINIT", "--output-split", "0",
        "--top-module", f"{top}_smoke", "-CFLAGS", "-std=c++20 -fcoroutines",
        "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0", f"{top}_smoke.v",
        verilog or f"../{top}.v",
    )  # fmt: skip
    return _run(smoke, f"obj_dir/V{top}_smoke")


def _fails(folder: Path, *command: str) -> str:
    """What a smoke test shows whose verdict is FAIL, in its text and as its exit status."""
    done = subprocess.run(command, cwd=folder, env=verilator_environment(), capture_output=True, text=True, check=False)
    assert done.returncode != 0 and re.search("^FAIL ", done.stdout, re.MULTILINE), done.stdout[-2000:]
    assert not re.search("^PASS ", done.stdout, re.MULTILINE)
    return done.stdout


def _interpret(smoke: Path, top: str, verilog: str, *, passes: bool = True) -> str:
    _run(smoke, "iverilog", "-g2005", "-o", "smoke.vvp", f"{top}_smoke.v", verilog)
    shown = (_run if passes else _fails)(smoke, "vvp", "smoke.vvp")
    (smoke / "smoke.vvp").unlink()
    return shown


def test_the_committed_hash_is_that_of_the_files(tiny: Path) -> None:
    assert release_digest(tiny, _files(tiny)) == recorded_hashes()[TINY], "run scripts/release_hashes"
    assert set(recorded_hashes()) == set(RELEASES)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in RELEASES if name != TINY])
def test_every_larger_release(name: str, tmp_path: Path) -> None:
    """Hash, Verilator's lint and the smoke test."""
    write_release(name, tmp_path)
    assert release_digest(tmp_path, _files(tmp_path)) == recorded_hashes()[name], "run scripts/release_hashes"
    top = RELEASES[name].top
    assert "%Warning" not in _lint(tmp_path, top)
    assert f"PASS {top}_smoke" in _verilate(tmp_path / "smoke", top)


@pytest.mark.long
def test_another_hash_seed_gives_the_same_netlist() -> None:
    """Without what is cached by content: the netlist itself. The short suite's own seed differs from run to run."""
    code = (
        "import hashlib; from arch.release import RELEASES; from rtl.modular import modular_netlist; "
        f"from rtl.nfp_top import NfpTop; r = RELEASES['{TINY}']; "
        "print(hashlib.sha256(modular_netlist(NfpTop(r.cluster), r.top).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "20231")
    }
    assert len(found) == 1


def test_names_are_plain_and_ports_are_the_standard_ones(tiny: Path) -> None:
    verilog = (tiny / f"{TOP}.v").read_text()
    modules = re.findall(r"^module (\S+?)\(", verilog, re.MULTILINE)
    assert len(modules) == len(set(modules)) > 50
    assert all(re.fullmatch(rf"{TOP}(_\w+)?", name) for name in modules)
    instances = re.findall(rf"^  {TOP}_\w+ \\?(\S+) +\($", verilog, re.MULTILINE)
    assert len(instances) >= len(modules) - 1 and all(re.fullmatch(r"\w+", name) for name in instances)
    # what users bind to: changing one of these is a new major version
    for path in ("nfp", "level_engine", "array_row", "cluster", "cluster_scheduler", "registers"):
        assert f"{TOP}_{path}" in modules
    for instance in ("cluster", "lane_0", "nfp", "encoding", "engine_0", "mlp", "array", "row_3", "scheduler"):
        assert instance in instances
    head = verilog[verilog.index(f"module {TOP}(") : verilog.index("endmodule")]
    ports = dict.fromkeys(re.findall(r"^  (?:input|output) (?:reg )?(?:\[\d+:0\] )?(\w+)", head, re.MULTILINE))
    axis = ("tdata", "tkeep", "tlast", "tvalid", "tready")
    lite = ("awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid", "bready",
            "araddr", "arvalid", "arready", "rdata", "rresp", "rvalid", "rready")  # fmt: skip
    streams = ("s_axis_load", "s_axis_points", "m_axis_results", "m_axis_issue0", "s_axis_complete0")
    expected = {f"{stream}_{part}" for stream in streams for part in axis} | {f"s_axil_{part}" for part in lite}
    assert set(ports) == expected | {"clk", "rst", "irq", "m_axis_results_tuser"}
    # each bus is one of the blocks of formal/bus_properties.py and nothing else: the registers, or a stream adapter
    blocks = {
        name: body for name, body in re.findall(rf"^  {TOP}_\w+ (\w+) \((.*?)^  \);", head, re.DOTALL | re.MULTILINE)
    }
    for bus, signals in {**dict.fromkeys(streams, ("tvalid", "tready")), "s_axil": lite}.items():
        owner = "registers" if bus == "s_axil" else bus.removeprefix("s_axis_").removeprefix("m_axis_")
        for signal in signals:
            assert [name for name, body in blocks.items() if f"({bus}_{signal})" in body] == [owner], signal


def test_what_lies_beside_the_verilog(tiny: Path) -> None:
    assert (tiny / "filelist.f").read_text() == f"{TOP}.v\n"
    core = (tiny / f"{TOP}.core").read_text()
    assert core.startswith("CAPI=2:\n")
    named = re.findall(r"(?:\[| - )([\w./]+\.(?:vlt|v|hex))", core)
    assert len(named) == 6 and all((tiny / name).is_file() for name in named)
    assert f'config_hash": "{config_hash(RELEASES[TINY].cluster):#010x}' in (tiny / "config.json").read_text()
    netlist = json.loads((tiny / "resources.json").read_text())["netlist"]
    # 16 of the array, four columns' requantisation of two each, and those of a level engine
    assert netlist["multipliers"] > 24 and netlist["flip_flops"] > 5000 and netlist["memory_bits"] > 32768 * 16
    assert (tiny / "registers" / "ngpc.h").is_file() and (tiny / "registers" / "html" / "index.html").is_file()


def test_lint_is_clean_and_every_waiver_is_needed(tiny: Path) -> None:
    assert "%Warning" not in _lint(tiny, TOP)
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", f"{TOP}.v"],
        cwd=tiny, env=verilator_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    waived = re.findall(r"lint_off -rule (\w+)", (tiny / "lint.vlt").read_text())
    assert set(re.findall(r"%Warning-(\w+)", done.stderr)) == set(waived)
    assert (tiny / "lint.vlt").read_text().count("\n// ") == len(waived)


@pytest.mark.cosim
def test_the_smoke_test_in_verilator(tiny: Path) -> None:
    """It passes; other results, other weights and a stream that ends too early are seen, and it always ends."""
    smoke = tiny / "smoke"
    assert f"PASS {TOP}_smoke" in _verilate(smoke, TOP)
    for name, line, old, new in (
        ("results.hex", 40, r"^(.)(.*)(.)$", lambda match: f"{match[1]}{match[2]}{int(match[3], 16) ^ 1:x}"),
        ("load.hex", -1, r".{16}$", lambda match: "5a" * 8),
        ("points.hex", -1, r"^1", "0"),
    ):
        whole = (smoke / name).read_text()
        lines = whole.splitlines()
        lines[line] = re.sub(old, new, lines[line])
        assert "\n".join(lines) + "\n" != whole
        (smoke / name).write_text("\n".join(lines) + "\n")
        _fails(smoke, f"obj_dir/V{TOP}_smoke")
        (smoke / name).write_text(whole)
    shutil.rmtree(smoke / "obj_dir")


@pytest.mark.cosim
def test_the_smoke_test_sees_small_bugs(
    tiny: Path, tmp_path: Path, with_bugs: Callable[[str, str], tuple[str, list[str]]]
) -> None:
    """One model with all bugs of ``conftest.py``, run once for each."""
    shutil.copytree(tiny / "smoke", tmp_path / "smoke")
    verilog, bugs = with_bugs((tiny / f"{TOP}.v").read_text(), TOP)
    (tmp_path / "bugs.v").write_text(verilog)
    shown = _verilate(tmp_path / "smoke", TOP, "../bugs.v")
    assert int(re.search(rf"^PASS {TOP}_smoke: .* (\d+) in all$", shown, re.MULTILINE)[1]) < 20000
    for number, bug in enumerate(bugs, start=1):
        shown = _fails(tmp_path / "smoke", f"obj_dir/V{TOP}_smoke", f"+bug={number}")
        assert f"FAIL {TOP}_smoke" in shown, bug


def _broken(verilog: str, change: str) -> str:
    """A hardware bug of one line: a sum of the array that is one too large, a stream that never takes a result."""
    if change == "none":
        return verilog
    if change == "sum":
        start = verilog.index(f"module {TOP}_array_row(")
        line = re.search(r"^(  assign _\d+_ = \$signed\(partial_i__0\) \+ .*);$", verilog[start:], re.MULTILINE)[1]
        return verilog[:start] + verilog[start:].replace(line, f"{line} + 18'sd1", 1)
    start = verilog.index(f"module {TOP}_results_buffer(")
    return verilog[:start] + verilog[start:].replace("o__valid <= _07_", "o__valid <= 1'h0", 1)


@pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus is not installed; the same smoke test runs in Verilator"
)
@pytest.mark.parametrize("change", ["none", "sum", "valid"])
def test_the_smoke_test_in_icarus(tiny: Path, tmp_path: Path, change: str) -> None:
    broken = _broken((tiny / f"{TOP}.v").read_text(), change)
    (tmp_path / "broken.v").write_text(broken)
    shown = _interpret(tiny / "smoke", TOP, str(tmp_path / "broken.v"), passes=change == "none")
    assert f"{'PASS' if change == 'none' else 'FAIL'} {TOP}_smoke" in shown


@pytest.mark.long
@pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus is not installed; the bus bench runs a wide build in Verilator"
)
def test_the_smoke_test_of_a_build_with_wide_streams(tmp_path: Path) -> None:
    """Four points a transfer, two processors: words present and missing, clocks, counters; a wrong TKEEP is seen."""
    nfp = RELEASES[TINY].cluster.nfp
    nfp = replace(
        nfp,
        encoding=replace(nfp.encoding, table_rows=1 << 10),
        mlp=replace(nfp.mlp, nano_batch=16, weight_tiles=64),
    )
    cluster = ClusterConfig(nfp=nfp, n_nfps=2, points_per_clock=4)
    write_build(ReleaseConfig(name="wide", cluster=cluster, device=None), tmp_path)
    top, smoke = "ngpc_wide", tmp_path / "smoke"
    streams = json.loads((tmp_path / "config.json").read_text())["streams"]
    assert (streams["s_axis_points"]["bytes"], streams["s_axis_points"]["words"]) == (128, 4)
    assert (streams["m_axis_results"]["bytes"], streams["m_axis_results"]["word_bytes"]) == (16, 4)
    assert "%Warning" not in _lint(tmp_path, top)
    assert f"PASS {top}_smoke: 9 results" in _interpret(smoke, top, f"../{top}.v")
    # runs of three, three, three and 21 points; of the first result a word less, as if it had two
    lines = (smoke / "results.hex").read_text().splitlines()
    assert [int(line[:-32], 16) >> 1 for line in lines] == [7, 7, 7, 15, 15, 15, 15, 15, 1]
    (smoke / "results.hex").write_text("\n".join([f"7{lines[0][-32:]}", *lines[1:]]) + "\n")
    assert f"FAIL {top}_smoke" in _interpret(smoke, top, f"../{top}.v", passes=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--preset", "x"),
            "release preset must be one of ecp5-tiny, ecp5-85f, kv260, zcu104, u250, asic-ngpc, not 'x'",
        ),
        (
            ("--preset", TINY, "--nfps", "2"),
            "a released build must be asked for without --processor, --scheduler and --nfps; leave them out",
        ),
    ],
)
def test_a_wrong_release_leaves_nothing(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none"
    with pytest.raises(SystemExit) as end:
        main(["verilog", *arguments, "--out", str(out)])
    assert (end.value.code, capsys.readouterr().err) == (2, f"ngpc: {sentence}\n")
    assert not out.exists()
