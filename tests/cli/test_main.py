"""The entry point: what goes wrong outside a command is one sentence and exit code 2 as well."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main


def _run_process(stdout: object, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-c", "import sys; from cli.main import main; main(sys.argv[1:])", *arguments]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_a_full_disk_behind_stdout_is_one_sentence(form: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        code, error = _run_process(full, "tokens", "--execution", "sequential", *form)
    assert code == 2
    assert error == (
        "ngpc: stdout must be readable and writable, not refused by the system (No space left on device)\n"
    )


def test_a_closed_stdout_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", None)
        with pytest.raises(SystemExit) as end:
            main(["tokens"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "ngpc: stdout must be open, not closed; send it to a file or to /dev/null\n"


@pytest.mark.parametrize("engine", ["encoding", "mlp", "nfp"])
@pytest.mark.parametrize("seed", ["-1", str(1 << 63)])
def test_a_seed_no_generator_takes_is_refused(engine: str, seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["simulate", engine, "--seed", seed])
    shown = capsys.readouterr()
    assert (end.value.code, shown.out) == (2, "")
    assert shown.err == f"ngpc: seed must be an integer from 0 to 9223372036854775807, not {seed}\n"
