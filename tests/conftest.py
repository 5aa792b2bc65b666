"""Fixtures of the whole suite: the seed, and running a cocotb bench on a component."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--seed N`` sets the seed of every random bench; ``--waves`` keeps waves of cocotb benches."""
    parser.addoption("--seed", type=int, default=20231, help="seed of random benches")
    parser.addoption("--waves", action="store_true", help="write waves of cocotb benches into build/cocotb")


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed at the top of a run."""
    return f"seed: {config.getoption('--seed')} (set with --seed)"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Seed of random benches."""
    return request.config.getoption("--seed")


@pytest.fixture
def cocotb_run(request: pytest.FixtureRequest, seed: int) -> Callable[..., None]:
    """Build a component with Verilator (once per content, shared by tests) and run cocotb coroutines on it.

    Called as ``cocotb_run(component, name, bench, environment={...})``: ``name`` is the top module, ``bench`` the
    path of the file with the coroutines, usually ``Path(__file__).with_name("<dut>_bench.py")``. The bench finds the
    seed in the environment variable ``NGPC_SEED``.
    """

    def run(component: object, name: str, bench: Path, *, environment: dict[str, str] | None = None) -> None:
        from cocotb_tools.runner import get_runner

        from rtl.verilog import cached_verilog
        from sim.cosim.toolchain import verilator_environment

        source = cached_verilog(component, name)
        waves = request.config.getoption("--waves")
        folder = ROOT / "build" / "cocotb" / f"{source.stem}{'-waves' if waves else ''}"
        with _lock(folder):
            os.environ.update(verilator_environment())
            runner = get_runner("verilator")
            runner.build(
                sources=[source],
                hdl_toplevel=name,
                build_dir=folder,
                # One C++ file: with several, the wheel's makefile asks for precompiled headers that g++ does not take.
                build_args=[
                    *("-Wno-fatal", "-O3", "-CFLAGS", "-O1", "-Wno-WIDTH", "--output-split", "0"),
                    # Benches see the ports alone: half the C++ of a model whose every signal is public.
                    *("--no-public-flat-rw", "--public-depth", "1"),
                ],
                timescale=("1ns", "1ps"),
                waves=waves,
                always=False,
            )
        test = request.node.name
        results = folder / "results" / hashlib.sha256(f"{request.node.nodeid}{environment}".encode()).hexdigest()[:12]
        results.mkdir(parents=True, exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            # The runner hands this process's own search path to the simulator, and nothing else.
            patch.syspath_prepend(str(ROOT))
            patch.syspath_prepend(str(bench.parent))
            runner.test(
                hdl_toplevel=name,
                test_module=bench.stem,
                build_dir=folder,
                test_dir=results,
                results_xml=str(results / "results.xml"),
                extra_env={"NGPC_SEED": str(seed), **(environment or {})},
                waves=waves,
                log_file=str(results / "log.txt"),
                seed=seed,
            )
        assert (results / "results.xml").is_file(), f"{test} left no results"

    return run


class _lock:
    """Hold a file lock so that two workers never build the same simulator at once."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._path = folder.with_suffix(".lock")

    def __enter__(self) -> None:
        import fcntl

        self._stream = self._path.open("w")
        fcntl.flock(self._stream, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._stream.close()
