"""Gates, flip-flops and memory bits of the engines, by Yosys: ``python -m fpga.gates [--fission] [--out FILE]``.

Nothing of a vendor: logic becomes two- and three-input gates, every flip-flop a plain one, memories stay memories.
The level engine is the study's, with 2^19 rows of two int8 features. The MLP engine is synthesised with arrays of
4 x 4, 8 x 4 and 4 x 8, and rows of a 64-row array with 4 and 8 elements, from which :mod:`arch.cell_table` reaches any
size. Builds already counted are not synthesised again. Writes ``workloads/silicon/ngpc_cells.toml``; ``--fission``
also counts arrays that split, whose netlists are five times as large.
"""

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from amaranth.lib.wiring import Component

import workloads
from arch.cell_table import GATES, CellBuild, CellTable
from arch.encoding_engine import EncodingEngineConfig
from arch.mlp_engine import MlpEngineConfig
from arch.whole_file import write_whole
from fpga.flow import counted_design, synthesised_design
from rtl.encoding.grid_encoding import GridEncoding
from rtl.mlp.array_row import ArrayRow
from rtl.mlp.mlp_engine import MlpEngine
from rtl.verilog import BUILD_ROOT, to_verilog

__all__ = ["builds", "count"]

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


def builds(*, fission: bool = False) -> Iterator[tuple[CellBuild, Component]]:
    """What is counted, with arrays that split if ``fission``: builds without their counts, and their hardware."""
    for ports in (2, 1):
        config = replace(_LEVEL, bank_ports=ports)
        yield CellBuild(name=f"level_engine_{ports}_ports", engine="level", ports=ports), GridEncoding(config)
    for split in (False, True) if fission else (False,):
        suffix = "_fission" if split else ""
        for cols in _ROW_COLS:
            row = CellBuild(name=f"array_row_{cols}{suffix}", engine="row", rows=64, cols=cols, fission=split)
            yield row, ArrayRow(MlpEngineConfig(rows=64, cols=cols, fission=split))
        for rows, cols in _SIZES:
            config = replace(_ARRAY, rows=rows, cols=cols, fission=split)
            name = f"mlp_engine_{rows}x{cols}{suffix}"
            yield CellBuild(name=name, engine="mlp", rows=rows, cols=cols, fission=split), MlpEngine(config)


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


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Gates, flip-flops and memory bits of the engines.")
    default = Path(workloads.__file__).parent / "silicon" / "ngpc_cells.toml"
    parser.add_argument("--out", type=Path, default=default, help="the table to write")
    parser.add_argument("--fission", action="store_true", help="also arrays that split")
    arguments = parser.parse_args()
    counted = []
    for build, component in builds(fission=arguments.fission):
        counted.append(count(build, component))
        print(f"{build.name}: {sum(counted[-1].gates.values()):,} cells, {counted[-1].memory_bits:,} bits", flush=True)
    write_whole(arguments.out, CellTable(builds=tuple(counted)).to_toml().encode())


if __name__ == "__main__":
    main()
