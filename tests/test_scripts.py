"""The scripts say in one sentence what a host lacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("bash", "dirname", "cat", "g++", "make", "perl")


@pytest.fixture
def setup_on(tmp_path):
    """Run scripts/setup on a host that has the given tools only, with ``python`` as its python3."""

    def run(tools: tuple[str, ...], python: str) -> tuple[int, str]:
        for tool in tools:
            (tmp_path / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")
        environment = {"PATH": str(tmp_path), "PYTHON": python, "HOME": os.environ.get("HOME", "/")}
        done = subprocess.run(
            ["/bin/bash", str(ROOT / "scripts" / "setup")], env=environment, capture_output=True, text=True, timeout=60,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.stdout == ""
        return done.returncode, done.stderr

    return run


@pytest.mark.parametrize("missing", ["g++", "make", "perl"])
def test_a_missing_tool_is_named(setup_on, missing):
    code, sentence = setup_on(tuple(part for part in PARTS if part != missing), sys.executable)
    assert code == 2
    assert sentence == (
        f"setup: {missing} must be on the PATH for the RTL simulator, not missing; "
        "install it with the system's package manager.\n"
    )


def test_a_missing_python_is_named(setup_on):
    code, sentence = setup_on(PARTS, "no-such-python3")
    assert code == 2
    assert sentence == "setup: Python 3.11 or newer must be on the PATH, not missing; install python3.\n"


def test_an_old_python_is_refused(setup_on, tmp_path):
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/bash\ncase $2 in *platform*) echo 3.9.2 ;; *) exit 1 ;; esac\n")
    old.chmod(0o755)
    code, sentence = setup_on(PARTS, str(old))
    assert (code, sentence) == (2, "setup: Python must be 3.11 or newer, not 3.9.2; set PYTHON to a newer one.\n")
