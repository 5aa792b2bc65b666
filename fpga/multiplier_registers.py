"""Registers behind multipliers, moved into the DSP blocks of an ECP5.

The block has registers of its own, which Yosys does not use: product and register are then apart, and the wire
between them, often across half the device, takes longer than the multiplication. Vendors' tools do the same.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from arch.whole_file import write_whole

__all__ = ["absorb_registers"]

_PRODUCT = tuple(f"P{bit}" for bit in range(36))
_MUXES = {"CLKMUX": "CLK", "LSRMUX": "LSR", "GSR": "DISABLED", "REGSET": "RESET", "SRMODE": "LSR_OVER_CE"}
"""What a register must be to be one of the block's: at the rising edge, cleared by a synchronous reset over enable."""


def absorb_registers(netlist: Path, top: str) -> int:
    """Let DSP blocks of a netlist register their products; returns how many registers went into them.

    A block takes the registers behind it if each bit of its product that anything reads is read by one register
    alone, and all these have the same clock, enable and reset. Function and clocks of the design stay as they are.

    Parameters
    ----------
    netlist : JSON of Yosys, of one module mapped to ECP5 cells; it is written anew
    top : that module
    """
    design = json.loads(netlist.read_text(encoding="utf-8"))
    module = design["modules"][top]
    cells = module["cells"]
    readers = _readers(module)
    absorbed = 0
    for block in [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]:
        product = {pin: block["connections"][pin][0] for pin in _PRODUCT if readers[block["connections"][pin][0]]}
        behind = {pin: _register(cells, readers[bit]) for pin, bit in product.items()}
        if not behind or None in behind.values():
            continue
        kinds = {_kind(cells[name]) for name in behind.values()}
        if len(kinds) != 1 or not all(_fits(cells[name]) for name in behind.values()):
            continue
        clock, enable, reset = kinds.pop()
        block["parameters"] |= {"REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE0", "REG_OUTPUT_RST": "RST0"}
        block["parameters"] |= {"CLK0_DIV": "ENABLED", "RESETMODE": "SYNC", "GSR": "DISABLED"}
        for pin, bit in (("CLK0", clock), ("CE0", enable), ("RST0", reset)):
            block["connections"][pin] = [bit]
            block["port_directions"][pin] = "input"
        for pin, name in behind.items():
            block["connections"][pin] = cells.pop(name)["connections"]["Q"]
        absorbed += len(behind)
    write_whole(netlist, json.dumps(design))
    return absorbed


def _readers(module: dict[str, Any]) -> dict[int | str, list[tuple[str, str]]]:
    """Cell and pin of all that read a bit; ports of the module have no cell."""
    readers: dict[int | str, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in module["cells"].items():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] == "input":
                for bit in bits:
                    readers[bit].append((name, pin))
    for name, port in module["ports"].items():
        if port["direction"] == "output":
            for bit in port["bits"]:
                readers[bit].append(("", name))
    return readers


def _register(cells: dict[str, dict], readers: list[tuple[str, str]]) -> str | None:
    """The register that alone reads a bit, if one does."""
    if Counter(pin for _, pin in readers) != {"DI": 1} or cells[readers[0][0]]["type"] != "TRELLIS_FF":
        return None
    return readers[0][0]


def _kind(register: dict) -> tuple[int | str, int | str, int | str]:
    """Clock, enable and reset of a register: bits, or constants."""
    pins = register["connections"]
    return pins["CLK"][0], pins.get("CE", ["1"])[0], pins.get("LSR", ["0"])[0]


def _fits(register: dict) -> bool:
    parameters = register["parameters"]
    # Yosys writes a string of digits with a blank behind it
    enabled = parameters.get("CEMUX", "1").strip() in ("CE", "1")
    return enabled and all(parameters.get(name, value) == value for name, value in _MUXES.items())
