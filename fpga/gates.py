"""Gates, flip-flops and memory bits of the engines, by Yosys: ``python -m fpga.gates [--out FILE] [--check SIZE]``.

Nothing of a vendor: logic becomes two- and three-input gates, every flip-flop a plain one, memories stay memories.
The level engine is the study's, with 2^19 rows of two int8 features. The MLP engine is synthesised with arrays of
4 x 4, 8 x 4 and 4 x 8, with and without fission, and rows of a 64-row array with 4 and 8 elements, from which
:mod:`arch.cell_table` reaches any size. Builds already counted are not synthesised again. Writes
``workloads/silicon/ngpc_cells.toml``.

``--check 16x16 [--fission]`` writes nothing: it synthesises that array, too, and sets its cells beside those that the
table says it has.
"""

import argparse
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from amaranth.lib.wiring import Component

import workloads
from arch.cell_table import GATES, CellBuild, CellTable, load_cells
from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.mlp_engine import MlpEngineConfig
from arch.whole_file import write_whole
from arch.workload import load_calibration
from fpga.flow import counted_design, synthesised_design
from rtl.encoding.grid_encoding import GridEncoding
from rtl.mlp.array_row import ArrayRow
from rtl.mlp.mlp_engine import MlpEngine
from rtl.verilog import BUILD_ROOT, to_verilog

__all__ = ["builds", "check_rows", "count", "mlp_engine"]

_LEVEL = EncodingEngineConfig(n_levels=1, table_rows=1 << 19)
_ARRAY = MlpEngineConfig(rows=4, cols=4, nano_batch=256, weight_tiles=64)
_FOLDER = BUILD_ROOT / "fpga" / "gates"
_SCRIPT = (
    "read_verilog {top}.v; synth -flatten -top {top} -run begin:fine; opt -fast -full; techmap; opt -fast; simplemap; "
    "opt -fast; dfflegalize -cell $_DFF_P_ 01; abc -g AND,NAND,OR,NOR,XOR,XNOR,MUX,AOI3,OAI3; opt_clean; memory_unpack"
)
_NO_LOGIC = ("$mem", "$scopeinfo")
"""Ports of memories, which are counted in bits, and names kept by flattening."""
_SIZES = ((4, 4), (8, 4), (4, 8))
_ROW_COLS = (4, 8)


def builds() -> Iterator[tuple[CellBuild, Component]]:
    """What is counted: builds without their counts, and their hardware."""
    for ports in (2, 1):
        config = replace(_LEVEL, bank_ports=ports)
        yield CellBuild(name=f"level_engine_{ports}_ports", engine="level", ports=ports), GridEncoding(config)
    for fission in (False, True):
        for cols in _ROW_COLS:
            name = f"array_row_{cols}{_suffix(fission)}"
            row = CellBuild(name=name, engine="row", rows=64, cols=cols, fission=fission)
            yield row, ArrayRow(MlpEngineConfig(rows=64, cols=cols, fission=fission))
        for rows, cols in _SIZES:
            yield mlp_engine(rows, cols, fission)


def mlp_engine(rows: int, cols: int, fission: bool) -> tuple[CellBuild, Component]:
    """An MLP engine as it is counted, with an array of any size."""
    config = replace(_ARRAY, rows=rows, cols=cols, fission=fission)
    name = f"mlp_engine_{rows}x{cols}{_suffix(fission)}"
    return CellBuild(name=name, engine="mlp", rows=rows, cols=cols, fission=fission), MlpEngine(config)


def _suffix(fission: bool) -> str:
    return "_fission" if fission else ""


def count(build: CellBuild, component: Component) -> CellBuild:
    """``build`` with the gates, flip-flops and memory bits of ``component``."""
    stem = _FOLDER / build.name
    verilog, script = to_verilog(component, build.name), _SCRIPT.format(top=build.name)
    done = stem.with_suffix(".done")
    digest = hashlib.sha256(f"{script}\n{verilog}".encode()).hexdigest()
    if done.exists() and done.read_text() == digest:
        design = counted_design(stem)
    else:
        write_whole(stem.with_suffix(".v"), verilog.encode())
        design = synthesised_design(stem, script)
        write_whole(done, digest.encode())
    cells = {cell: n for cell, n in design["num_cells_by_type"].items() if not cell.startswith(_NO_LOGIC)}
    found = {gate: cells.pop(f"$_{gate}_", 0) for gate in GATES}
    assert not cells, f"{build.name} has cells that are no gates: {cells}"
    return replace(build, gates=found, memory_bits=design["num_memory_bits"])


def check_rows(found: CellBuild, table: CellTable) -> Iterator[tuple[str, int, int, float]]:
    """Gate, how many ``table`` says an engine of the size of ``found`` has, how many it has, and by which part of them
    the table is wrong; last of all gates, and of their area in um2 at 45 nm."""
    computed = table.mlp_engine(found.rows, found.cols, found.fission)
    rows = [(gate, round(computed[gate]), found.gates[gate]) for gate in GATES]
    area = load_calibration("technology_7nm")
    rows += [
        ("all", sum(row[1] for row in rows), sum(row[2] for row in rows)),
        ("um2", *(round(sum(row[k] * area[f"gate_45nm_um2.{row[0]}"] for row in rows)) for k in (1, 2))),
    ]
    for gate, said, has in rows:
        yield gate, said, has, said / has - 1


def _size(text: str) -> tuple[int, int]:
    """Rows and columns of an array, as ``16x16``, of a size that can be built."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"array must be ROWSxCOLS, such as 16x16, not {text!r}")
    rows, cols = map(int, found.groups())
    try:
        replace(_ARRAY, rows=rows, cols=cols)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return rows, cols


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Gates, flip-flops and memory bits of the engines.")
    default = Path(workloads.__file__).parent / "silicon" / "ngpc_cells.toml"
    parser.add_argument("--out", type=Path, default=default, help="the table to write")
    parser.add_argument("--check", type=_size, metavar="ROWSxCOLS", help="compare the table with this array")
    parser.add_argument("--fission", action="store_true", help="of the checked array")
    arguments = parser.parse_args()
    if arguments.fission and not arguments.check:
        parser.error("--fission is of the array of --check; give both, or neither to count all builds")
    if arguments.check:
        found = count(*mlp_engine(*arguments.check, arguments.fission))
        for gate, said, has, error in check_rows(found, load_cells()):
            print(f"| {gate} | {said:,} | {has:,} | {error:+.1%} |", flush=True)
        return
    counted = []
    for build, component in builds():
        counted.append(count(build, component))
        print(f"{build.name}: {sum(counted[-1].gates.values()):,} cells, {counted[-1].memory_bits:,} bits", flush=True)
    write_whole(arguments.out, CellTable(builds=tuple(counted)).to_toml().encode())


if __name__ == "__main__":
    main()
