"""Gates and memory bits of the engines as counted by ``python -m fpga.gates``, and arrays of other sizes from them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from arch.errors import InputError, check_integer, check_one_of

__all__ = ["GATES", "CellBuild", "CellTable", "load_cells"]

GATES = ("AND", "NAND", "OR", "NOR", "XOR", "XNOR", "MUX", "NOT", "AOI3", "OAI3", "DFF_P")
"""Yosys's simple gates, without ``$_`` and ``_``."""

_SIDE = 4


@dataclass(frozen=True, kw_only=True)
class CellBuild:
    """One synthesised engine.

    Parameters
    ----------
    name : of it
    engine : ``level`` (a level engine), ``mlp`` or ``row`` (a row of an MLP engine's array)
    ports : of the level engine's banks
    rows, cols, fission : of the MLP engine's array
    gates : how many of each of ``GATES``
    memory_bits : of all its memories
    """

    name: str
    engine: str
    ports: int = 0
    rows: int = 0
    cols: int = 0
    fission: bool = False
    gates: Mapping[str, int] = field(default_factory=dict)
    memory_bits: int = 0

    def __post_init__(self) -> None:
        check_one_of("engine of a build", self.engine, ("level", "mlp", "row"))
        for gate, number in self.gates.items():
            check_one_of(f"gate of {self.name}", gate, GATES)
            check_integer(f"{gate} of {self.name}", number, 0, 1 << 40)


@dataclass(frozen=True, kw_only=True)
class CellTable:
    """What was counted.

    Parameters
    ----------
    builds : one entry each
    """

    builds: tuple[CellBuild, ...]

    def level_engine(self, ports: int) -> Mapping[str, float]:
        """Gates of a level engine with banks of ``ports``."""
        return self._only(engine="level", ports=ports).gates

    def mlp_engine(self, rows: int, cols: int, fission: bool) -> Mapping[str, float]:
        """Gates of an MLP engine: a constant, a share a row, a share a column and a share an element.

        Rows and columns are told from engines of 4 x 4, 8 x 4 and 4 x 8, elements from rows of 4 and 8 of them.
        """
        small, tall, wide = (
            self._only(engine="mlp", rows=r, cols=c, fission=fission).gates
            for r, c in ((_SIDE, _SIDE), (2 * _SIDE, _SIDE), (_SIDE, 2 * _SIDE))
        )
        short, long = (self._only(engine="row", cols=cols, fission=fission).gates for cols in (_SIDE, 2 * _SIDE))
        down, across = rows - _SIDE, cols - _SIDE
        return {
            gate: small[gate]
            + down * (tall[gate] - small[gate]) / _SIDE
            + across * (wide[gate] - small[gate]) / _SIDE
            + down * across * (long[gate] - short[gate]) / _SIDE
            for gate in GATES
        }

    def to_toml(self) -> str:
        """The file's text."""
        lines = [
            "# Gates, flip-flops and memory bits of the engines, by Yosys without a vendor's cells:",
            "# python -m fpga.gates. Not to be edited.",
        ]
        for build in self.builds:
            shape = (
                f"ports = {build.ports}"
                if build.engine == "level"
                else f"rows = {build.rows}\ncols = {build.cols}\nfission = {str(build.fission).lower()}"
            )
            gates = ", ".join(f"{gate} = {build.gates[gate]}" for gate in GATES)
            lines += [
                "",
                f'[{build.name}]\nengine = "{build.engine}"\n{shape}\nmemory_bits = {build.memory_bits}',
                f"gates = {{ {gates} }}",
            ]
        return "\n".join(lines) + "\n"

    def _only(self, **wanted: object) -> CellBuild:
        for build in self.builds:
            if all(getattr(build, name) == value for name, value in wanted.items()):
                return build
        described = ", ".join(f"{name} {value}" for name, value in wanted.items())
        raise InputError(f"the cell table must hold a build with {described}, not only others; run fpga.gates")


@cache
def load_cells() -> CellTable:
    """The committed table ``workloads/silicon/ngpc_cells.toml``."""
    text = (resources.files("workloads") / "silicon" / "ngpc_cells.toml").read_text("utf-8")
    return CellTable(builds=tuple(CellBuild(name=name, **entry) for name, entry in tomllib.loads(text).items()))
