"""The Verilog that is released: one module for all equal blocks, plain names, checked.

Amaranth writes every instance out as a module of its own: eight processors of 64 x 64 with 16 level engines each are
128 level engines and 512 rows of the array, minutes of Python and a file nobody can read. Here every class of
``SHARED`` is written once; whoever contains it gets an instance of that module, with the same ports. Blocks in a
``SharedModule`` are written once as everywhere.

Names are those of the components: module ``<top>_<path of submodules>``, or ``<top>_<class>`` for a shared one;
instances as in ``m.submodules``. No name has a dot or a number that other parts of the design have a say in.
"""

import hashlib
import json
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, ResetSignal, Value
from amaranth.lib import wiring

from arch.netlist_size import NetlistSize, netlist_size
from arch.whole_file import make_directory
from rtl.encoding.level_engine import LevelEngine
from rtl.mlp.array_row import ArrayRow
from rtl.nfp.nfp import Nfp
from rtl.shared_module import ModuleLibrary
from rtl.verilog import BUILD_ROOT, blank_tables, run_yosys

__all__ = ["SHARED", "modular_netlist", "modular_size", "modular_verilog"]

SHARED = {Nfp: "nfp", LevelEngine: "level_engine", ArrayRow: "array_row"}
"""Classes whose instances are equal if their ``config`` is, and the names of their modules."""

_SCRIPT = (
    "read_rtlil netlist.il; hierarchy -check -top {name}; proc; opt -purge; clean -purge; check -assert; "
    "tee -q -o cells.json stat -width -json -top {name}; write_verilog -noattr netlist.v"
)
_MODULE = re.compile(r"^module \\(\S+)$", re.MULTILINE)
_NAMED = re.compile(r"^  (?:wire|memory) .*\\(\S+)$", re.MULTILINE)
_NO_BITS = re.compile(r"^  wire width 0 (?:input|output) \d+ ", re.MULTILINE)
_CELL = re.compile(r"^  cell \\(\S+) \\(\S+)$", re.MULTILINE)


def modular_netlist(component: wiring.Component, name: str) -> str:
    """RTLIL of ``component`` with top module ``name``; every shared configuration is one module of it.

    Raises
    ------
    TypeError
        If two configurations of one shared class are used: their modules would have one name.
    """
    found: dict[type, object] = {}
    originals = {kind: kind.elaborate for kind in SHARED}

    def instance(self: wiring.Component, platform: object) -> Instance:
        kind = type(self)
        if found.setdefault(kind, self.config) != self.config:
            raise TypeError(f"{kind.__name__} must have one configuration in a release, not also {self.config!r}")
        ports = {
            ("i_" if member.flow is wiring.In else "o_") + "__".join(map(str, path)): Value.cast(value)
            for path, member, value in self.signature.flatten(self)
            if len(Value.cast(value))
        }
        return Instance(f"{name}_{SHARED[kind]}", i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)

    library, texts = ModuleLibrary(), []

    def convert(block: wiring.Component, module: str) -> str:
        return rtlil.convert(block, name=module, platform=library, emit_src=False)

    with ExitStack() as patches:
        patches.enter_context(blank_tables())
        for kind in SHARED:
            patches.enter_context(mock.patch.object(kind, "elaborate", instance))
        texts.append(convert(component, name))
        for kind, short in SHARED.items():  # outer ones first: they bring the inner ones with them
            if kind in found:
                with mock.patch.object(kind, "elaborate", originals[kind]):
                    texts.append(convert(kind(found[kind]), f"{name}_{short}"))
        done: set[str] = set()
        while missing := library.blocks.keys() - done:
            for block in sorted(missing):
                texts.append(convert(library.blocks[block], block))
            done |= missing
    return _plain_names("".join(texts), name)


def modular_verilog(component: wiring.Component, name: str) -> Path:
    """Path of the Verilog of :func:`modular_netlist`, made at most once per content of the component.

    Yosys's ``check -assert`` has passed: no undriven, multiply driven or looping wire.

    Raises
    ------
    InputError
        If Yosys is not installed or refuses the netlist.
    """
    netlist = modular_netlist(component, name)
    digest = hashlib.sha256(f"{_SCRIPT}\n{netlist}".encode()).hexdigest()[:16]
    path = BUILD_ROOT / "verilog" / f"{name}-{digest}.v"
    cells = path.with_suffix(".cells.json")
    if not (path.exists() and cells.exists()):
        make_directory(path.parent)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            (Path(folder) / "netlist.il").write_text(netlist)
            run_yosys(_SCRIPT.format(name=name), Path(folder))
            (Path(folder) / "cells.json").replace(cells)
            (Path(folder) / "netlist.v").replace(path)
    return path


def modular_size(verilog: Path) -> NetlistSize:
    """Size of the whole design, before mapping, of a :func:`modular_verilog`."""
    report = verilog.with_suffix(".cells.json").read_text(encoding="utf-8")
    design = json.loads(report[report.index("{") :])["design"]
    return netlist_size(
        design["num_cells_by_type"], memory_bits=design["num_memory_bits"], memories=design["num_memories"]
    )


def _plain_names(netlist: str, top: str) -> str:
    """Modules that begin with ``top``, and instances, without dots and numbers of Amaranth's own."""
    netlist = _NO_BITS.sub("  wire width 0 ", netlist)  # Verilog would make ports of two bits of them
    starts = [match.start() for match in _MODULE.finditer(netlist)]
    parts = [netlist[first:end] for first, end in zip(starts, [*starts[1:], len(netlist)], strict=True)]
    modules: dict[str, str] = {}
    for part in parts:
        full = _MODULE.match(part)[1]
        plain = re.sub(r"\$\d+", "", full).replace(".", "_")
        modules[full] = _unused(plain if plain.startswith(top) else f"{top}_{plain}", set(modules.values()))
    renamed = []
    for part in parts:
        used = set(_NAMED.findall(part))

        def cell(match: re.Match, used: set[str] = used) -> str:
            instance = _unused(re.sub(r"\$\d+$", "", match[2]), used)
            used.add(instance)
            return f"  cell \\{modules.get(match[1], match[1])} \\{instance}"

        renamed.append(_CELL.sub(cell, _MODULE.sub(lambda match: f"module \\{modules[match[1]]}", part)))
    return netlist[: starts[0]] + "".join(renamed)


def _unused(name: str, used: set[str]) -> str:
    """``name``, or with ``_block`` behind it as often as it takes."""
    while name in used:
        name += "_block"
    return name
