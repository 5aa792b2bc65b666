"""Builds a Verilator model of a component as a shared library, once per content, cached under ``build/cosim``."""

import fcntl
import hashlib
import platform
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import stream, wiring
from amaranth.lib.data import Layout, StructLayout

from arch.errors import InputError
from arch.whole_file import make_directory
from rtl.verilog import BUILD_ROOT, cached_verilog
from sim.cosim.lanes import vectorise
from sim.cosim.toolchain import verilator_environment

__all__ = ["Model", "StreamPort", "build_model"]

_FOLDER = Path(__file__).parent
_HARNESS = _FOLDER / "harness.cpp"
_EXTEND = _FOLDER / "extend.h"
_LOOP_SOURCES = tuple(
    _FOLDER / name for name in ("netlist.py", "delay_elements.py", "cells.py", "gather.py", "lanes.py", "extend.h")
)
_FLAGS = (
    "--cc", "--exe", "--prefix", "Vtop", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert",
    "-Wno-fatal", "-Wno-lint", "-CFLAGS", "-fPIC -std=c++20 -fno-exceptions", "-LDFLAGS", "-shared",
)  # fmt: skip
# Straight code runs as fast with -O1 as with -O2 and compiles in half the time.
_MAKE_VARIABLES = ("OPT_FAST=-O1", "OPT_SLOW=-O0", "CXX=g++", "LINK=g++")
# The loops of sim.cosim.lanes stay loops, and want vector instructions.
_LOOP_FLAGS = ("--unroll-count", "1", "--compiler-include", str(_EXTEND))
_LOOP_MAKE_VARIABLES = ("OPT_FAST=-O3 -march=native", *_MAKE_VARIABLES[1:])


@dataclass(frozen=True, kw_only=True)
class StreamPort:
    """A stream, or a plain output, of the top module: its name, its payload layout and 32-bit words of a payload."""

    name: str
    layout: Layout

    @property
    def words(self) -> int:
        """32-bit words of a payload."""
        return -(-self.layout.size // 32)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A built model: the shared library and the top module's ports, in the order the library numbers them.

    Probes are outputs beside the streams, such as counters.
    """

    shared_object: Path
    sources: tuple[StreamPort, ...]
    sinks: tuple[StreamPort, ...]
    probes: tuple[StreamPort, ...]


def build_model(component: wiring.Component, name: str, *, waves: bool = False) -> Model:
    """Generate, verilate and compile ``component``, or find it in the cache.

    Every top-level member must be a stream or a plain port. Sources are the streams the component takes, sinks those it
    gives, probes plain outputs; plain inputs stay 0.

    Raises
    ------
    InputError
        If a tool is missing or stops with an error, or the cache cannot be written.
    """
    verilog = cached_verilog(component, name)
    ports = _ports(component)
    parts = [verilog.name, str(waves), str(ports), *_FLAGS, *_MAKE_VARIABLES]
    # the loops are known by what makes them, so that a model that is there needs none made
    parts += [*_LOOP_FLAGS[:-1], *_LOOP_MAKE_VARIABLES, _processor()]
    parts += [source.read_text() for source in (_HARNESS, *_LOOP_SOURCES)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    library = BUILD_ROOT / "cosim" / f"{name}-{digest}.so"
    if not library.exists():
        make_directory(library.parent)
        with library.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not library.exists():
                _build(verilog.read_text(), name, library, waves=waves, ports=ports)
    return Model(shared_object=library, **ports)


def _build(text: str, name: str, library: Path, *, waves: bool, ports: dict[str, tuple[StreamPort, ...]]) -> None:
    # whoever looks at waves wants every register under its own name; and a flat design of many equal modules would be
    # as many copies of their logic for Verilator and the compiler, which their registers' loops do not repay
    loops = text if waves or _repeats_modules(text) else vectorise(text)
    if loops == text:
        flags = (*_FLAGS, *(("--trace",) if waves else ()))
        _compile(text, name, library, flags=flags, make=_MAKE_VARIABLES, ports=ports)
    else:
        _compile(loops, name, library, flags=(*_FLAGS, *_LOOP_FLAGS), make=_LOOP_MAKE_VARIABLES, ports=ports)


def _repeats_modules(text: str) -> bool:
    """Whether a module is used more than once, as those of ``rtl.shared_module`` are."""
    modules = set(re.findall(r"^module (\S+?)\(", text, re.MULTILINE))
    used = Counter(name for name in re.findall(r"^  (\S+) \S+ +\($", text, re.MULTILINE) if name in modules)
    return any(count > 1 for count in used.values())


def _processor() -> str:
    """What ``-march=native`` means here: the processor's kind and features, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def _ports(component: wiring.Component) -> dict[str, tuple[StreamPort, ...]]:
    ports: dict[str, tuple[StreamPort, ...]] = {"sources": (), "sinks": (), "probes": ()}
    for name, member in component.signature.members.items():
        if member.is_port and member.flow is wiring.In:
            continue  # stays 0
        if member.is_port:
            kind, shape = "probes", member.shape
            if not isinstance(shape, Layout):
                shape = StructLayout({"value": shape})
        elif member.is_signature and isinstance(member.signature, stream.Signature):
            # The flow of a stream member is that of its payload: In is taken by the component.
            kind = "sources" if member.flow is wiring.In else "sinks"
            shape = getattr(component, name).payload.shape()
        else:
            raise TypeError(f"Top-level member {name} must be a stream or a port, not {member!r}")
        ports[kind] += (StreamPort(name=name, layout=Layout.cast(shape)),)
    return ports


def _compile(
    verilog: str,
    name: str,
    library: Path,
    *,
    flags: tuple[str, ...],
    make: tuple[str, ...],
    ports: dict[str, tuple[StreamPort, ...]],
) -> None:
    environment = verilator_environment()
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        listed = "".join(_port_list(kind, of_kind) for kind, of_kind in ports.items())
        (Path(folder) / "ports.h").write_text(listed)
        (Path(folder) / "top.v").write_text(verilog)
        harness = shutil.copy(_HARNESS, folder)
        verilate = [
            "verilator",
            *flags,
            "--top-module",
            name,
            "--Mdir",
            folder,
            "-o",
            "model.so",
            str(Path(folder) / "top.v"),
            harness,
        ]
        _execute(verilate, environment)
        _execute(
            ["make", "-j2", "-C", folder, "-f", "Vtop.mk", *make, "model.so"],
            environment,
        )
        (Path(folder) / "model.so").replace(library)


def _port_list(kind: str, ports: tuple[StreamPort, ...]) -> str:
    # Verilator spells the second of two underscores as its code point.
    end = "" if kind == "probes" else "___05F"
    entries = " ".join(f"X({index}, {port.name}{end}, {port.words})" for index, port in enumerate(ports))
    return f"#define NGPC_{kind.upper()}(X) {entries}\n"


def _execute(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        found = next((line for line in lines if "rror" in line), lines[0])
        raise InputError(f"{command[0]} must run without error, not stop with {found!r}; run ngpc doctor")
