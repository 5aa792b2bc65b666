"""What a GPU's bits cost in hardware: ``python -m fpga.exactness [--only PART] [--seeds S]``.

Synthesises one level engine (2^11 rows of two features, three dimensions) and one MLP engine of 16 x 4 in ``int8`` and
in ``fp16`` for an ECP5, hierarchy kept, so that equal blocks are mapped once, and LUTs mapped by ``abc`` in a process
of its own, since ``abc9`` stops on the level engine of ``fp16``; and places and routes the blocks that set the clock of
``fp16``, each alone with its inputs behind registers: no engine built of them is faster than the slowest.
``activate_fp16_*`` are the activations of four columns. ``--only energy`` is the energy proxy alone
(:func:`energy_pj`). Prints the rows of docs/engines/floating.md.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.mlp_engine import MlpEngineConfig
from arch.number_format import FP16, FP32
from arch.presets import FIELDS
from arch.whole_file import write_whole
from arch.workload import load_calibration
from fpga.flow import ECP5_85F, LONG_WIRES, routed_clock, run_yosys, synthesised_cells
from rtl.delay_line import DelayLine
from rtl.encoding.grid_encoding import GridEncoding
from rtl.floating.fused_multiply_add import FusedMultiplyAdd
from rtl.floating.tensor_core_dot import TensorCoreDot
from rtl.mlp.float_activate import FloatActivate
from rtl.mlp.float_segment import FloatSegment
from rtl.mlp.mlp_engine import MlpEngine
from rtl.verilog import BUILD_ROOT, to_verilog

__all__ = ["Registered", "blocks", "energy_pj", "engines"]

_FOLDER = BUILD_ROOT / "fpga" / "exactness"
_CELLS = ("LUT4", "TRELLIS_FF", "DP16KD", "MULT18X18D")
_UP_TO_LUTS = (
    "read_verilog {top}.v; synth_ecp5 -noflatten -nowidelut -top {top} -run begin:map_luts; opt_clean -purge; "
    "write_rtlil {top}.il"
)
_LUTS = (
    "read_rtlil {top}.il; techmap -map +/lattice/latches_map.v; abc -lut 4; clean; "
    "synth_ecp5 -noflatten -nowidelut -top {top} -run map_cells: -json {top}.json"
)
_DEVICE = (*ECP5_85F, "--router", "router2")
_LEVEL = {"n_levels": 1, "table_rows": 1 << 11}
_ARRAY = {"rows": 16, "cols": 4, "max_width": 64, "nano_batch": 64, "weight_tiles": 64}


# M. Horowitz, ISSCC 2014, 45 nm, pJ an operation; integer products by the product of their factors' bits
_INTEGER_PRODUCT = 3.1 / 32**2
_INTEGER_SUM = 0.1 / 32
_FLOAT = {"fp16": {"product": 1.1, "sum": 0.4}, "fp32": {"product": 3.7, "sum": 0.9}}
_NERF_LOOKUPS, _NERF_MACS = 16, FIELDS["nerf_hash"].macs


class Registered(wiring.Component):
    """A block whose inputs come from registers, so that its first stage is timed out of context, too.

    Timing: a clock more than the block.

    Parameters
    ----------
    block : a component of plain ports
    """

    def __init__(self, block: wiring.Component) -> None:
        self.block = block
        super().__init__(block.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.block = self.block
        for name, member in self.signature.members.items():
            if member.flow is In:
                port = getattr(self, name)
                m.submodules[f"{name}_register"] = line = DelayLine(member.shape, clocks=1)
                m.d.comb += [line.i.eq(port), getattr(self.block, name).eq(line.o)]
            else:
                assert member.flow is Out
                m.d.comb += getattr(self, name).eq(getattr(self.block, name))
        return m


_Make = Callable[[], wiring.Component]


def energy_pj(arithmetic: str) -> dict[str, float]:
    """The energy proxy: operations of the arithmetic and bits of features times their energy, pJ at 45 nm.

    Counted are, of a lookup in three dimensions with two features, positions, weights, interpolation and the bits read
    of the table; of a multiply-accumulate the product and the sum. Not counted: registers, control, indices.

    Returns
    -------
    ``lookup``, of which ``table`` is reading; ``mac``; ``nerf``, all of a point
    """
    corners, features, dims = 8, 2, 3
    bit = load_calibration("technology_7nm")["sram.pj_per_bit_45nm"]
    if arithmetic == "fp16":
        half, single = _FLOAT["fp16"], _FLOAT["fp32"]
        fused = half["product"] + half["sum"]
        # a fused multiply-add a position, 1 - t, the product of weights over the dimensions, a chain over the corners
        logic = (
            dims * (single["product"] + 2 * single["sum"]) + (4 + 8) * single["product"] + corners * features * fused
        )
        mac, value_bits = fused, 16
    else:
        # a product of 24 bits a position; 4, 2 and 1 lerps a feature of 9, 17 and 25 by 9 bits, two sums each
        lerps = [(features * corners >> dim + 1, 8 * dim + 9) for dim in range(dims)]
        logic = dims * 24 * 24 * _INTEGER_PRODUCT
        logic += sum(count * (bits * 9 * _INTEGER_PRODUCT + (2 * bits + 9) * _INTEGER_SUM) for count, bits in lerps)
        mac, value_bits = 8 * 8 * _INTEGER_PRODUCT + 32 * _INTEGER_SUM, 8
    table = corners * features * value_bits * bit
    lookup = logic + table
    return {"lookup": lookup, "table": table, "mac": mac, "nerf": _NERF_LOOKUPS * lookup + _NERF_MACS * mac}


def engines() -> Iterator[tuple[str, _Make]]:
    """Name of what is synthesised whole, and what makes its hardware."""
    for arithmetic in ("int8", "fp16"):
        yield f"level_{arithmetic}", partial(GridEncoding, EncodingEngineConfig(**_LEVEL, arithmetic=arithmetic))
        yield f"mlp_{arithmetic}", partial(MlpEngine, MlpEngineConfig(**_ARRAY, arithmetic=arithmetic))
    table = MlpEngineConfig(**_ARRAY, arithmetic="fp16", activation_tables=1)
    yield "mlp_fp16_table", partial(MlpEngine, table)
    for name, config in (("segments", table), ("sine", replace(table, sine=True))):
        yield f"activate_fp16_{name}", partial(FloatActivate, config)


def blocks() -> Iterator[tuple[str, _Make]]:
    """Name of what is routed, and what makes its hardware."""
    yield "dot_16", partial(TensorCoreDot, 16)
    yield "fma_fp16", partial(FusedMultiplyAdd, FP16)
    yield "fma_fp32", partial(FusedMultiplyAdd, FP32)
    yield "segment", FloatSegment


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Cells and clocks of fp16 beside int8 on an ECP5.")
    parser.add_argument("--only", action="append", help="an engine or block by its name, or energy; default: all")
    parser.add_argument("--seeds", type=int, default=1, help="how many placements to try of each block")
    arguments = parser.parse_args()
    if not arguments.only or "energy" in arguments.only:
        for arithmetic in ("int8", "fp16"):
            print(
                f"| {arithmetic} | {' | '.join(f'{pj:.3g} pJ' for pj in energy_pj(arithmetic).values())} |", flush=True
            )
    for name, make in engines():
        if not arguments.only or name in arguments.only:
            write_whole((_FOLDER / name).with_suffix(".v"), to_verilog(make(), name))
            run_yosys(_FOLDER, _UP_TO_LUTS.format(top=name))
            cells = synthesised_cells(_FOLDER / name, _LUTS.format(top=name))
            print(_row(name, cells), flush=True)
    for name, make in blocks():
        if not arguments.only or name in arguments.only:
            script = f"read_verilog {name}.v; {LONG_WIRES.format(top=name, stem=name, options='')}"
            write_whole((_FOLDER / name).with_suffix(".v"), to_verilog(Registered(make()), name))
            cells = synthesised_cells(_FOLDER / name, script)
            seeds = range(1, arguments.seeds + 1)
            clock = statistics.median(
                routed_clock(_FOLDER / name, seed=seed, out_of_context=True, device=_DEVICE) for seed in seeds
            )
            print(f"{_row(name, cells)} {clock:.1f} MHz |", flush=True)


def _row(name: str, cells: dict[str, int]) -> str:
    return f"| {name} | {' | '.join(f'{cells.get(cell, 0):,}' for cell in _CELLS)} |"


if __name__ == "__main__":
    main()
