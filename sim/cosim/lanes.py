"""Turns equal registers into loops over arrays, before Verilator sees them.

Amaranth writes every element of an array out by itself, and Verilator gives each register a statement of its own: a
64 x 64 systolic array becomes megabytes of straight code, which fit no cache. Here the design becomes one flat module
(``sim.cosim.netlist``); registers whose names differ in numbers only and whose next values are the same expression of
other names (``sim.cosim.cells``) become the entries of an unpacked array. One clocked block moves them: first,
everything that entries read at other places than their own is gathered, as it stands before the clock; then each
array takes its next values in a loop, in an order in which no array is written before its last reader. The C++
compiler makes vector instructions of the loops.

All other text stays as it is, and what it reads of the arrays' entries stays a register of its own. Values and clocks
are the same. Names inside are not all there, so builds for waves do without.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from sim.cosim.cells import Cell, CellClass, Family, Operand, families
from sim.cosim.delay_elements import split_delays
from sim.cosim.gather import Place, copies, loop
from sim.cosim.netlist import Netlist, Type, escaped, flatten

__all__ = ["vectorise"]

_VECTOR = 32
"""Loops run over a multiple of so many entries: bytes of the widest vector registers."""

_ENTRY = "[lanes_index]"
_COPY = (("", "#0 "),)
_ALONE = re.compile(r"#(\d+) ")
_PART = re.compile(r"([#%])(\d+)(\[[\d:]+\])?|@")


def vectorise(verilog: str) -> str:
    """The same design with equal registers run in loops; unchanged if it has too few of them."""
    netlist = flatten(verilog)
    if netlist is None:
        return verilog
    split_delays(netlist)
    found = families(netlist)
    return _Loops(netlist, found).write() if found else verilog


@dataclass
class _Array:
    """A family's registers as an array; entries that are no register's hold anything.

    ``near`` are the operands of the largest class that are entries of an array, so many places behind the reader's.
    """

    name: str
    family: Family
    places: dict[str, int]
    size: int = field(init=False)
    near: dict[int, tuple["_Array", int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = _padded(max(self.places.values()) + 1)


def _padded(entries: int) -> int:
    return -(-entries // _VECTOR) * _VECTOR


def _declared(entries: int) -> int:
    """Indices of a power of two need no check in C++."""
    return 1 << (entries - 1).bit_length()


class _Loops:
    """All families of a design."""

    def __init__(self, netlist: Netlist, found: list[Family]) -> None:
        self._netlist = netlist
        self._arrays = [_Array(f"lanes_{number}", family, family.places()) for number, family in enumerate(found)]
        self._place = {register: (array, place) for array in self._arrays for register, place in array.places.items()}
        self._sizes: dict[str, int] = {}
        self._declarations: list[str] = []
        self._gathered: dict[tuple[Type, tuple[tuple[int, Operand], ...]], str] = {}
        self._uniform: dict[tuple[str, Type], str] = {}
        self._gathering: list[str] = []
        for array in self._arrays:
            self._part(array)
        for array in self._arrays:
            furthest = max(
                (reader.size + step for reader in self._arrays for read, step in reader.near.values() if read is array),
                default=0,
            )
            self._declare(array.name, array.family.type, max(array.size, furthest))

    def write(self) -> str:
        """The flat module, loops at its end."""
        order = self._order()
        early = [line for array in self._arrays for line in self._minor(array)]
        moved = [line for array in order for line in self._major(array)]
        late = [line for array in self._arrays for line in self._scatter(array)]
        uniform = [f"{name} = {text};" for (text, _), name in self._uniform.items()]
        block = [*uniform, *self._gathering, *early, *moved, *late]
        for register in self._place:
            self._netlist.registers.pop(register)
        shown = [
            f"{escaped(register)} <= {self._place[register][0].name}[{self._place[register][1]}];"
            for register in sorted(self._netlist.live("\n".join(block)) & self._place.keys())
        ]
        lines = ["  reg [31:0] lanes_index;", *self._declarations, *self._initial()]
        lines += ["  always @(posedge \\clk ) begin", *(f"    {line}" for line in [*block, *shown]), "  end"]
        return self._netlist.write("\n".join(lines))

    def _declare(self, name: str, shape: Type, entries: int) -> str:
        self._sizes[name] = _declared(entries)
        self._declarations.append(f"  reg {shape}{name} [0:{self._sizes[name] - 1}];")
        return name

    def _variable(self, name: str, shape: Type) -> str:
        self._declarations.append(f"  reg {shape}{name};")
        return name

    def _initial(self) -> list[str]:
        lines = []
        for array in self._arrays:
            first, *others = array.family.classes
            lines.append(f"  initial {loop(0, array.size)} {array.name}{_ENTRY} = {first.initial};")
            for each in others:
                if each.initial != first.initial:
                    places = (array.places[cell.register] for cell in each.cells)
                    lines += [f"  initial {array.name}[{place}] = {each.initial};" for place in places]
        return lines

    def _part(self, array: _Array) -> None:
        """Find what the largest class reads at one distance, and make those of it that do not a class of their own."""
        each = array.family.classes[0]
        for number in range(len(each.operand_types)):
            far: Counter[tuple[str, int]] = Counter()
            for cell in each.cells:
                operand = cell.operands[number]
                if (found := self._place.get(operand.name)) and not operand.bits:
                    far[found[0].name, found[1] - array.places[cell.register]] += 1
            if far:
                (name, step), count = far.most_common(1)[0]
                # a loop that goes up may take what lies ahead of it in place
                if step >= 0 and count * 8 >= len(each.cells) * 7:
                    array.near[number] = (next(of for of in self._arrays if of.name == name), step)

        def regular(cell: Cell) -> bool:
            return all(
                self._place.get(cell.operands[number].name) == (read, array.places[cell.register] + step)
                for number, (read, step) in array.near.items()
            )

        others = [cell for cell in each.cells if not regular(cell)]
        if others:
            array.family.classes[0] = replace(each, cells=[cell for cell in each.cells if regular(cell)])
            array.family.classes.append(replace(each, cells=others))

    def _order(self) -> list[_Array]:
        """Arrays so that none is written before it is read; a ring is opened by gathering what one of them reads."""
        arrays = {array.name: array for array in self._arrays}
        while True:
            readers: dict[str, set[str]] = {name: set() for name in arrays}
            for array in self._arrays:
                for read, _ in array.near.values():
                    if read is not array:
                        readers[read.name].add(array.name)
            try:
                return [arrays[name] for name in TopologicalSorter(readers).static_order()]
            except CycleError as ring:
                reader, read = (arrays[name] for name in ring.args[1][:2])
                reader.near = {number: place for number, place in reader.near.items() if place[0] is not read}

    def _major(self, array: _Array) -> list[str]:
        """The loop, or loops, of a family's largest class: over all entries, also those of the other classes."""
        each = array.family.classes[0]
        if (written := self._written(array, each)) is not None:
            return written
        places = {cell.register: array.places[cell.register] for cell in each.cells}
        near = {
            number: f"{read.name}[lanes_index + {step}]" if step else read.name + _ENTRY
            for number, (read, step) in array.near.items()
        }
        return list(self._move(each, array.name, places, array.size, near))

    def _written(self, array: _Array, each: CellClass) -> list[str] | None:
        """Registers that many at a time take a value or hold still, as words of a memory do: only what is written."""
        (condition, value), *more = each.choices
        switch, source = _ALONE.fullmatch(condition), _ALONE.fullmatch(value)
        if more or switch is None or source is None:
            return None
        rows: dict[Operand, list[Cell]] = defaultdict(list)
        for cell in each.cells:
            rows[cell.operands[int(switch[1])]].append(cell)
        if len(rows) * _VECTOR > len(each.cells) or any(row.name in self._place for row in rows):
            return None
        number = int(source[1])
        values = {operand: at for at, operand in enumerate(dict.fromkeys(cell.operands[number] for cell in each.cells))}
        words = self._gather({at: operand for operand, at in values.items()}, each.operand_types[number])
        lines = []
        for row, cells in rows.items():
            sources = {array.places[cell.register]: (words, values[cell.operands[number]]) for cell in cells}
            lines.append(f"if ({row}) begin {' '.join(copies(array.name, sources, self._sizes, only=True))} end")
        return lines

    def _minor(self, array: _Array) -> Iterator[str]:
        """Next values of the other classes, in arrays of their own until :meth:`_scatter`."""
        for number, each in enumerate(array.family.classes[1:], 1):
            places = {cell.register: place for place, cell in enumerate(each.cells)}
            if each.choices == _COPY:
                continue
            size = _padded(len(places))
            target = self._declare(f"{array.name}_{number}", array.family.type, size)
            if any("@" in text for text in _texts(each)) or each.choices[-1][0]:
                own = {place: (array.name, array.places[register]) for register, place in places.items()}
                yield from copies(target, own, self._sizes)
            yield from self._move(each, target, places, size, {})

    def _scatter(self, array: _Array) -> Iterator[str]:
        for number, each in enumerate(array.family.classes[1:], 1):
            if each.choices == _COPY:
                yield from self._copied(array, each)
                continue
            sources = {
                array.places[cell.register]: (f"{array.name}_{number}", place) for place, cell in enumerate(each.cells)
            }
            yield from copies(array.name, sources, self._sizes, only=True)

    def _copied(self, array: _Array, each: CellClass) -> Iterator[str]:
        """Registers that take over a value: names outside are as they were before the clock, others are gathered."""
        inside = [cell for cell in each.cells if cell.operands[0].name in self._place]
        if inside:
            read = self._gather({place: cell.operands[0] for place, cell in enumerate(inside)}, each.operand_types[0])
            sources = {array.places[cell.register]: (read, place) for place, cell in enumerate(inside)}
            yield from copies(array.name, sources, self._sizes, only=True)
        for cell in each.cells:
            if cell.operands[0].name not in self._place:
                yield f"{array.name}[{array.places[cell.register]}] = {cell.operands[0]};"

    def _move(
        self, each: CellClass, target: str, places: dict[str, int], size: int, near: dict[int, str]
    ) -> Iterator[str]:
        """The loops that give a class its next values."""
        operands, same = [], set()
        for number, shape in enumerate(each.operand_types):
            found = {cell.operands[number] for cell in each.cells}
            if len(found) == 1 and next(iter(found)).name not in self._place:
                operands.append(self._hoist(str(found.pop()), shape))
                same.add(number)
            elif number in near:
                operands.append(near[number])
            else:
                read = {places[cell.register]: cell.operands[number] for cell in each.cells}
                operands.append(self._gather(read, shape) + _ENTRY)
        read: dict[int, str] = {}
        if any("?" in text for text in _texts(each)):
            # values are read before they are chosen from: a load that may not happen is no vector instruction
            for number, shape in enumerate(each.operand_types):
                if number not in same:
                    read[number] = self._variable(f"{target}_read_{number}", shape)
        wires = [self._variable(f"{target}_wire_{number}", shape) for number, (shape, _) in enumerate(each.wires)]

        def put(text: str) -> str:
            def part(match: re.Match) -> str:
                kind, number, bits = match.groups()
                if kind is None:
                    return f"{target}{_ENTRY}"
                if kind == "%":
                    return f"{wires[int(number)]}{bits or ''}"
                return f"{read.get(int(number), operands[int(number)])}{bits or ''}"

            return _PART.sub(part, text)

        def body(texts: list[str]) -> list[str]:
            """Assignments to the wires that expressions need, in order."""
            needed: set[int] = set()
            for text in texts:
                needed |= {int(number) for kind, number, _ in _PART.findall(text) if kind == "%"}
            for number in range(len(each.wires) - 1, -1, -1):
                if number in needed:
                    needed |= {int(n) for kind, n, _ in _PART.findall(each.wires[number][1]) if kind == "%"}
            loads = [f"{name} = {operands[number]};" for number, name in read.items()]
            return loads + [f"{wires[number]} = {put(each.wires[number][1])};" for number in sorted(needed)]

        yield from (
            f"{wire} = 0;" for wire in [*wires, *read.values()]
        )  # a value before the loop makes it a local variable of C++
        if all(
            {number for _, number, _ in _PART.findall(c)} <= set(map(str, same)) and "@" not in c and "%" not in c
            for c, _ in each.choices
        ):
            for position, (condition, value) in enumerate(each.choices):
                head = f"if ({put(condition)}) " if condition else ""
                inner = " ".join([*body([value]), f"{target}{_ENTRY} = {put(value)};"])
                yield f"{'else ' * (position > 0)}{head}begin {loop(0, size)} begin {inner} end end"
            return
        texts = [text for choice in each.choices for text in choice]
        lines, chosen = body(texts), f"{target}{_ENTRY}"
        for position, (condition, value) in reversed(list(enumerate(each.choices))):
            # each value in a variable of the register's width, so that none is widened by another's
            variable = self._variable(f"{target}_value_{position}", self._shape(each))
            yield f"{variable} = 0;"
            lines.append(f"{variable} = {put(value)};")
            chosen = f"{put(condition)} ? {variable} : {chosen}" if condition else variable
        yield f"{loop(0, size)} begin {' '.join(lines)} {target}{_ENTRY} = {chosen}; end"

    def _shape(self, each: CellClass) -> Type:
        return self._netlist.types[each.cells[0].register]

    def _hoist(self, text: str, shape: Type) -> str:
        """A value that is the same for all entries."""
        name = self._uniform.get((text, shape))
        if name is None:
            name = self._uniform[text, shape] = self._variable(f"lanes_same_{len(self._uniform)}", shape)
        return name

    def _gather(self, operands: dict[int, Operand], shape: Type) -> str:
        """An array with operands at their places, as they stand before the clock."""
        key = (shape, tuple(operands.items()))
        if key in self._gathered:
            return self._gathered[key]
        name = self._declare(f"lanes_gather_{len(self._gathered)}", shape, _padded(max(operands) + 1))
        self._gathered[key] = name
        sources: dict[int, Place] = {}
        outside: dict[Operand, list[int]] = {}
        for place, operand in operands.items():
            if found := self._place.get(operand.name):
                sources[place] = (found[0].name, found[1])
            else:
                outside.setdefault(operand, []).append(place)
        several = {operand: used for operand, used in outside.items() if len(used) > 1}
        if several:
            nets = self._declare(f"{name}_outside", shape, len(several))
            for index, (operand, used) in enumerate(several.items()):
                self._gathering.append(f"{nets}[{index}] = {operand};")
                sources |= dict.fromkeys(used, (nets, index))
        if sources:
            self._gathering += copies(name, sources, self._sizes)
        self._gathering += [
            f"{name}[{used[0]}] = {operand};" for operand, used in outside.items() if operand not in several
        ]
        return name


def _texts(each: CellClass) -> Iterator[str]:
    yield from (text for _, text in each.wires)
    for choice in each.choices:
        yield from choice
