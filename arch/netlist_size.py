"""How large a netlist is before it is mapped to a device: a count of its word-level cells, by kind and width."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["NetlistSize", "netlist_size"]

_FLIP_FLOPS = ("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce")
_SUMS = ("$add", "$sub", "$eq", "$ne", "$lt", "$le", "$gt", "$ge", "$alu", "$neg")
_GATES = ("$and", "$or", "$xor", "$not", "$logic_not", "$logic_and", "$logic_or", "$reduce_and", "$reduce_or",
          "$reduce_bool", "$reduce_xor")  # fmt: skip
_SHIFTS = ("$shift", "$shiftx", "$shl", "$shr", "$sshr", "$sshl")
_CELL = re.compile(r"(\$pmux|\$[a-z_]+?)(?:_(\d+))?_(\d+)$")
_SHIFT_LEVELS = 4


@dataclass(frozen=True, kw_only=True)
class NetlistSize:
    """Counts of a whole design.

    Parameters
    ----------
    flip_flops : bits of registers
    memory_bits : bits of memories, those of registers' size included
    memories : how many
    multipliers : products of words, whatever their width
    sum_bits : bits of adders and comparisons, the carry chains
    choice_bits : bits of two-way multiplexers, those that wider ones and shifters are made of included
    gate_bits : bits of gates
    """

    flip_flops: int
    memory_bits: int
    memories: int
    multipliers: int
    sum_bits: int
    choice_bits: int
    gate_bits: int


def netlist_size(cells: Mapping[str, int], *, memory_bits: int, memories: int) -> NetlistSize:
    """Add up cells named as Yosys's ``stat -width`` names them: ``$add_24``, ``$pmux_4_15``."""
    sums = dict.fromkeys(("flip_flops", "multipliers", "sum_bits", "choice_bits", "gate_bits"), 0)
    for name, count in cells.items():
        match = _CELL.match(name)
        if match is None:
            continue
        kind, ways, width = match[1], match[2], int(match[3])
        if kind in _FLIP_FLOPS:
            sums["flip_flops"] += width * count
        elif kind == "$mul":
            sums["multipliers"] += count
        elif kind in _SUMS:
            sums["sum_bits"] += width * count
        elif kind == "$mux":
            sums["choice_bits"] += width * count
        elif kind == "$pmux":
            sums["choice_bits"] += int(ways or 1) * width * count
        elif kind in _SHIFTS:
            sums["choice_bits"] += _SHIFT_LEVELS * width * count
        elif kind in _GATES:
            sums["gate_bits"] += width * count
    return NetlistSize(memory_bits=memory_bits, memories=memories, **sums)
