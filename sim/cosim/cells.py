"""Finds registers whose next values are the same expression of other names: the entries of a loop."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations

from sim.cosim.netlist import NAME, OPERAND, Netlist, Type, escaped, names

__all__ = ["Cell", "CellClass", "Family", "Operand", "families"]

_FEWEST = 32
"""Registers of one family from which loops are worth it."""

_GRID = 16
"""Rows of a grid are a multiple of so many places long."""

_FEWEST_OF_CLASS = 8
"""Registers with one expression; fewer stay outside the family's array."""

_WIDEST = 64
"""Bits of a register or operand."""

_MOST_NUMBERS = 3
"""Varying numbers in a family's names up to which every order of them is tried."""

_LARGEST_CONE = 48
"""Wires behind one register."""

_BRANCH = re.compile(r"if \(([^()]*)\) (.*?);(?: else (.*))?$")
_SET = re.compile(r"\\\S+  *<= (.*)$")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Operand:
    """What a cell reads: a name, or constant bits of one."""

    name: str
    bits: str = ""

    def __str__(self) -> str:
        return f"{escaped(self.name)}{self.bits}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A register and what its next value is made of."""

    register: str
    operands: tuple[Operand, ...]


@dataclass(kw_only=True)
class CellClass:
    """Cells of a family with equal expressions.

    In ``wires`` and ``choices`` ``@`` stands for the register, ``%n`` for wire n and ``#n`` for operand n. ``choices``
    are pairs of condition and value, the first true condition counts; a condition ``""`` is always true.
    """

    wires: tuple[tuple[Type, str], ...]
    choices: tuple[tuple[str, str], ...]
    operand_types: tuple[Type, ...]
    initial: str
    cells: list[Cell] = field(default_factory=list)


@dataclass(kw_only=True)
class Family:
    """Registers of one type whose names differ in numbers only, and their classes, the largest first.

    ``order`` tells which of the numbers sort them, the slowest first.
    """

    name: str
    type: Type
    order: tuple[int, ...]
    classes: list[CellClass]

    def places(self) -> dict[str, int]:
        """Each register's place in an array, the last register first.

        What most registers read, the one before them in a chain, then lies ahead of a loop that goes up. Those of a
        grid leave holes, so that grids of like size lie alike.
        """
        keys = {cell.register: self._key(cell.register) for each in self.classes for cell in each.cells}
        if len(self.order) == 2:
            rows, cols = (
                {n: at for at, n in enumerate(sorted(set(numbers)))} for numbers in zip(*keys.values(), strict=True)
            )
            width = -(-len(cols) // _GRID) * _GRID
            if len(rows) * width * 3 <= len(keys) * 4:
                last = len(rows) * width - 1
                return {name: last - rows[row] * width - cols[col] for name, (row, col) in keys.items()}
        return {name: place for place, name in enumerate(sorted(keys, key=keys.__getitem__, reverse=True))}

    def _key(self, register: str) -> tuple[int, ...]:
        numbers = _numbers(register)
        return tuple(numbers[place] for place in self.order)


def families(netlist: Netlist) -> list[Family]:
    """All families of enough registers."""
    found: dict[tuple[str, Type], list[CellClass]] = {}
    candidates = set(netlist.registers)
    for _ in range(2):  # what a loop reads of registers that are in no loop can be any bits of theirs
        found = _classes(netlist, candidates)
        candidates = {cell.register for classes in found.values() for each in classes for cell in each.cells}
    return [
        Family(name=name, type=shape, order=_order(classes), classes=classes)
        for (name, shape), classes in found.items()
    ]


def _classes(netlist: Netlist, candidates: set[str]) -> dict[tuple[str, Type], list[CellClass]]:
    found: dict[tuple[str, Type], dict[object, CellClass]] = defaultdict(dict)
    sizes = Counter(map(_family, netlist.registers))
    for register in netlist.registers:
        shape, name = netlist.types[register], _family(register)
        if sizes[name] < _FEWEST or shape.width > _WIDEST:
            continue
        cone = _Cone(netlist, register, candidates)
        if cone.known:
            kind = cone.kind()
            key = (kind.wires, kind.choices, kind.operand_types, kind.initial)
            found[name, shape].setdefault(key, kind).cells.append(
                Cell(register=register, operands=tuple(cone.operands))
            )
    kept = {}
    for family, classes in found.items():
        large = [each for each in classes.values() if len(each.cells) >= _FEWEST_OF_CLASS]
        for each in large:
            each.cells.sort(key=lambda cell: _numbers(cell.register), reverse=True)
        if sum(len(each.cells) for each in large) >= _FEWEST and any(_gains(each, candidates) for each in large):
            kept[family] = sorted(large, key=lambda each: -len(each.cells))
    return kept


def _gains(each: CellClass, candidates: set[str]) -> bool:
    """Whether a loop saves anything: not where it only stores what other text made for each register."""
    reads = [{cell.operands[number] for cell in each.cells} for number in range(len(each.operand_types))]
    if each.wires or any(operand.name in candidates for read in reads for operand in read):
        return True
    return all(len(read) * 2 < len(each.cells) for read in reads)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in _DIGITS.findall(name)]


def _family(name: str) -> str:
    return _DIGITS.sub("#", name)


class _Cone:
    """The expressions behind a register, as far as they belong to the instance that the register belongs to."""

    def __init__(self, netlist: Netlist, register: str, candidates: set[str]) -> None:
        self._netlist, self._register, self._candidates = netlist, register, candidates
        self._wires: dict[str, str | None] = {}
        self.operands: dict[Operand, int] = {}
        self._types: list[Type] = []
        self.known = True
        self._choices = [
            (self._read(condition), self._read(value))
            for condition, value in self._branches(netlist.registers[register])
        ]

    def kind(self) -> CellClass:
        types = self._netlist.types
        return CellClass(
            wires=tuple((types[name], str(text)) for name, text in self._wires.items()),
            choices=tuple(self._choices),
            operand_types=tuple(self._types),
            initial=self._netlist.initial.get(self._register, "0"),
        )

    def _branches(self, statement: str) -> Iterator[tuple[str, str]]:
        """Conditions and values of a clocked statement."""
        rest: str | None = statement
        while rest:
            branch = _BRANCH.fullmatch(rest)
            condition, text, rest = branch.groups() if branch else ("", rest.strip().removesuffix(";"), None)
            value = _SET.fullmatch(text)
            if value is None:
                self.known = False
                return
            yield condition, value[1]

    def _read(self, text: str) -> str:
        """An expression with places in the names' stead, its wires read before it."""
        if not self.known:
            return ""
        bare = OPERAND.sub("", text)
        self.known = "[" not in bare and len(self._wires) <= _LARGEST_CONE
        return OPERAND.sub(self._place, text) if self.known else ""

    def _place(self, match: re.Match) -> str:
        name, bits = match[1], match[0][len(match[1]) + 2 :]
        netlist = self._netlist
        if name == self._register:
            return f"@{bits} "
        if name not in netlist.types:
            self.known = False
            return ""
        if self._expands(name):
            if name not in self._wires:
                text = self._read(netlist.wires[name])
                self._wires[name] = text  # behind those that it reads
            return f"%{list(self._wires).index(name)}{bits} "
        return self._operand(name, bits, match)

    def _expands(self, name: str) -> bool:
        """Whether a wire is an expression of this instance, and narrow, and made of known names."""
        netlist = self._netlist
        text = netlist.wires.get(name)
        if text is None or NAME.fullmatch(text) or netlist.types[name].width > _WIDEST:
            return False
        return netlist.scopes[name] == netlist.scopes[self._register] and all(
            read in netlist.types and netlist.scopes[read] == netlist.scopes[name] for read in names(text)
        )

    def _operand(self, name: str, bits: str, match: re.Match) -> str:
        source, shape = self._netlist.source(name), self._netlist.types[name]
        own = bits if source in self._candidates else ""  # bits of a loop's register are taken in the loop
        if bits and not own:
            width = int(match[2]) - int(match[3] or match[2]) + 1
            operand, shape = Operand(source, bits), Type(width)
        else:
            operand = Operand(source)
        if shape.width > _WIDEST:
            self.known = False
            return ""
        if operand not in self.operands:
            self.operands[operand] = len(self._types)
            self._types.append(shape)
        return f"#{self.operands[operand]}{own} "


def _order(classes: list[CellClass]) -> tuple[int, ...]:
    """The order in which what registers read of each other is equally far away for as many as possible."""
    cells = [cell for each in classes for cell in each.cells]
    numbers = {cell.register: _numbers(cell.register) for cell in cells}
    columns = list(zip(*numbers.values(), strict=True))
    varying = tuple(place for place, column in enumerate(columns) if len(set(column)) > 1)
    near = [
        (cell.register, operand.name)
        for cell in cells
        for operand in cell.operands
        if operand.name in numbers and operand.name != cell.register
    ]
    if len(varying) > _MOST_NUMBERS:
        return varying

    def distances(places: tuple[int, ...]) -> int:
        order = sorted(numbers, key=lambda name: [numbers[name][place] for place in places])
        place = {name: position for position, name in enumerate(order)}
        return len({place[source] - place[name] for name, source in near})

    # the last number slowest where it does not matter: what enters an array's first column then lies side by side
    return min(permutations(varying[::-1]), key=distances)
