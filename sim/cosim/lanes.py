"""Turns equal instances of a module into loops over arrays, before Verilator sees them.

Amaranth writes every instance out as a module of its own, and Verilator gives each of their registers a statement of
its own: the rows of a 64 x 64 array become half a megabyte of straight code, which fits no cache. Here equal leaf
modules below one parent are found by their text, and their registers become unpacked arrays with an entry an instance.
One clocked block moves them: first every input is gathered, from the registers of other instances or from the parent,
as they stand before the clock; then each register takes its next value, all instances in one loop, in an order in
which no register is written before its last reader. The C++ compiler makes vector instructions of the loops.

Taken are modules written the way Yosys writes registers and expressions (``assign`` and clocked ``always`` with one
register each, nothing else) all of whose outputs are registers. All other text stays as it is. Values and clocks are
the same; the names of registers inside are not, so builds for waves do without.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

__all__ = ["vectorise"]

_FEWEST = 8
"""Instances from which loops are worth it."""

_VECTOR = 16
"""Loops run over a multiple of so many entries: 32-bit values of the widest vector registers."""

_ID = r"(?:\\\S+ |\w+)"
_MODULE = re.compile(rf"^module ({_ID})\s*\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"\\\S+ |(?<![\w'$\\])[A-Za-z_][\w$]*")
_DECLARATION = re.compile(rf"^  (input|output|wire|reg) (signed )?(\[\d+:0\] )?({_ID})(?: = ([^;]+))?;$")
_ASSIGN = re.compile(r"^  assign (.*?) = (.*);$")
_ALIAS = re.compile(rf"^  assign ({_ID}) ?= ({_ID}) ?;$", re.MULTILINE)
_INSTANCE = re.compile(rf"^  ({_ID}) ({_ID}) \(\n((?:    \..*\n)*?)  \);\n", re.MULTILINE)
_PORT = re.compile(rf"^    \.({_ID})\((.*)\),?$", re.MULTILINE)
_TARGET = re.compile(rf"({_ID})(\[[\d:]+\])? ?<= ")
_BRANCH = re.compile(r"^if \(([^()]*)\) (\S+ ?) <= ([^;]*);(?: else \2 <= ([^;]*);)?$")
_WORDS = frozenset({"if", "else", "signed"})


def vectorise(verilog: str) -> str:
    """The same design with the instances of equal leaf modules run in loops."""
    modules = {match[1].strip(): match[0] for match in _MODULE.finditer(verilog)}
    leaves: dict[str, _Leaf | None] = {}
    bodies = {name: _body(text) for name, text in modules.items() if not _INSTANCE.search(text)}
    for body in bodies.values():
        if body not in leaves:
            leaves[body] = _Leaf.read(body)
    replaced: set[str] = set()
    for name, text in modules.items():
        groups: dict[str, list[re.Match]] = defaultdict(list)
        for instance in _INSTANCE.finditer(text):
            body = bodies.get(instance[1].strip())
            if leaves.get(body) is not None:
                groups[body].append(instance)
        large = [(body, instances) for body, instances in groups.items() if len(instances) >= _FEWEST]
        for number, (body, instances) in enumerate(large):
            modules[name] = _Loops(leaves[body], instances, f"lanes_{number}").put_into(modules[name])
            replaced.update(instance[1].strip() for instance in instances)
    if not replaced:
        return verilog
    return "\n".join(text for name, text in modules.items() if name not in replaced)


def _body(text: str) -> str:
    """A module's text without its name and ports, its declarations in one order: equal modules have equal bodies."""
    lines = text[text.index(";\n") + 2 : text.rindex("endmodule")].splitlines()
    return "\n".join(sorted(lines, key=lambda line: line if _DECLARATION.match(line) else "~"))


def _names(text: str) -> list[str]:
    return [name for name in map(str.strip, _NAME.findall(text)) if name not in _WORDS]


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _by_number(instance: re.Match) -> list[object]:
    """Sorts instances by the numbers in their names, so that neighbours stand side by side."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", instance[2])]


@dataclass
class _Leaf:
    """A module of registers and expressions: assignments to its wires, statements of its registers."""

    types: dict[str, str] = field(default_factory=dict)
    initial: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    wires: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    registers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, body: str) -> "_Leaf | None":
        """The parts of a module, or None if it has any that this file does not know."""
        leaf, statements = cls(), []
        for line in body.splitlines():
            if declared := _DECLARATION.match(line):
                kind, sign, width, name, initial = declared.groups()
                name = name.strip()
                leaf.types[name] = f"{sign or ''}{width or ''}"
                leaf.initial[name] = initial or leaf.initial.get(name, "0")
                if kind == "input":
                    leaf.inputs.append(name)
                elif kind == "output":
                    leaf.outputs.append(name)
            elif assigned := _ASSIGN.match(line):
                for name in _names(assigned[1]):
                    leaf.wires[name].append(line.strip().removeprefix("assign "))
            elif line.startswith("    ") and statements:
                statements[-1] += f" {line.strip()}"
            elif line == "  always @(posedge clk)":
                statements.append("")
            elif line.strip():
                return None
        for statement in statements:
            targets = {found[1].strip() for found in _TARGET.finditer(statement)}
            if len(targets) != 1 or "begin" in statement:
                return None
            leaf.registers[targets.pop()].append(statement.strip())
        known = "clk" in leaf.inputs and all(output in leaf.registers for output in leaf.outputs)
        return leaf if known else None

    def statements(self, register: str) -> list[str]:
        """What happens to a register in a clock, ``@`` in place of its name where it is written.

        One branch is written as a choice, as vector instructions want it.
        """
        chosen = [
            _BRANCH.sub(lambda found: f"{found[2]} <= {found[1]} ? {found[3]} : {found[4] or found[2]};", statement)
            for statement in self.registers[register]
        ]
        return [_TARGET.sub(r"@\2 = ", statement) for statement in chosen]

    def reads(self, register: str) -> tuple[list[str], set[str]]:
        """Assignments to wires behind a register's next value, in order; the registers and inputs they come from."""
        order: dict[str, None] = {}
        sources: set[str] = set()

        def visit(text: str) -> None:
            for name in _names(text):
                for assignment in self.wires.get(name, ()):
                    if assignment not in order:
                        visit(assignment.split(" = ", 1)[1])
                        order[assignment] = None
                if name in self.types and name not in self.wires:
                    sources.add(name)

        for line in self.registers[register]:
            visit(line)
        return list(order), sources

    def order(self) -> tuple[list[str], set[str]]:
        """Registers so that none is written before it is read, and those of rings, which must wait for their value."""
        before: dict[str, set[str]] = {register: set() for register in self.registers}
        for register in self.registers:
            for source in self.reads(register)[1] & set(self.registers) - {register}:
                before[source].add(register)
        late: set[str] = set()
        while True:
            try:
                graph = {register: () if register in late else readers for register, readers in before.items()}
                return list(TopologicalSorter(graph).static_order()), late
            except CycleError as ring:
                late.add(ring.args[1][0])


class _Loops:
    """The instances of one leaf module below one parent, as arrays and loops."""

    def __init__(self, leaf: _Leaf, instances: list[re.Match], prefix: str) -> None:
        self._leaf, self._prefix = leaf, prefix
        self._instances = sorted(instances, key=_by_number)
        self._count = len(instances)
        # entries past the last instance hold nothing; they fill vectors, and indices of a power of two need no check
        self._padded = -(-self._count // _VECTOR) * _VECTOR
        self._size = 1 << (self._padded - 1).bit_length()
        self._index = f"{prefix}_index"
        self._connections = [
            {port.strip(): net.strip() for port, net in _PORT.findall(instance[3])} for instance in self._instances
        ]
        self._drivers = {
            nets[output]: (output, number)
            for number, nets in enumerate(self._connections)
            for output in leaf.outputs
            if output in nets
        }
        self._uniform: dict[str, str] = {}

    def put_into(self, parent: str) -> str:
        """The parent with these instances taken out and their loops put in."""
        taken = {instance[0] for instance in self._instances}
        parent = _INSTANCE.sub(lambda instance: "" if instance[0] in taken else instance[0], parent)
        aliases = {name.strip(): net.strip() for name, net in _ALIAS.findall(parent)}
        gathered = self._gather(aliases)
        moved = self._move()
        shown = self._show(parent, aliases)
        declarations = [f"  reg [31:0] {self._index};", *self._declare(), *shown[0]]
        block = ["  always @(posedge clk) begin", *gathered, *moved, *shown[1], "  end"]
        return parent[: parent.rindex("endmodule")] + "\n".join([*declarations, *block, "endmodule\n"])

    def _array(self, name: str) -> str:
        return f"{self._prefix}_{_plain(name)}"

    def _loop(self, first: int, end: int) -> str:
        return f"for ({self._index} = {first}; {self._index} < {end}; {self._index} = {self._index} + 1)"

    def _declare(self) -> list[str]:
        leaf, lines = self._leaf, []
        waits = {f"{self._array(name)}_next": name for name in leaf.order()[1]}
        inputs = [name for name in leaf.inputs if name not in self._uniform]
        arrays = {self._array(name): name for name in [*inputs, *leaf.registers]} | waits
        lines += [f"  reg {leaf.types[name]}{array} [0:{self._size - 1}];" for array, name in arrays.items()]
        lines += [f"  reg {leaf.types[name]}{self._array(name)};" for name in leaf.wires]
        for name in leaf.registers:
            start = f"{self._array(name)}[{self._index}] = {leaf.initial[name]};"
            lines.append(f"  initial {self._loop(0, self._count)} {start}")
        return lines

    def _gather(self, aliases: dict[str, str]) -> list[str]:
        """Inputs as they stand before the clock; one that is the same everywhere is not copied."""
        lines = []
        for name in self._leaf.inputs:
            sources = []
            for nets in self._connections:
                net = nets.get(name, "0")
                while net in aliases and net not in self._drivers:
                    net = aliases[net]
                sources.append(net)
            if len(set(sources)) == 1 and sources[0] not in self._drivers:
                self._uniform[name] = sources[0]
                continue
            lines += self._collect(name, sources)
        return lines

    def _collect(self, name: str, sources: list[str]) -> list[str]:
        """One input of all instances: from the neighbour that most of them listen to, then the others one by one."""
        array, near = self._array(name), Counter()
        for number, source in enumerate(sources):
            if source in self._drivers:
                output, driver = self._drivers[source]
                near[output, driver - number] += 1
        lines = []
        common = near.most_common(1)[0][0] if near else None
        if common:
            output, step = common
            first, end = max(0, -step), self._padded - max(0, step)
            entry = f"{self._array(output)}[{self._index} + {step}]"
            lines.append(f"    {self._loop(first, end)} {array}[{self._index}] = {entry};")
        for number, source in enumerate(sources):
            output, driver = self._drivers.get(source, (None, 0))
            if (output, driver - number) != common:
                value = source if output is None else f"{self._array(output)}[{driver}]"
                lines.append(f"    {array}[{number}] = {value} ;")
        return lines

    def _move(self) -> list[str]:
        """A loop for each register."""
        leaf, lines, after = self._leaf, [], []
        order, late = leaf.order()
        for register in order:
            assignments, _ = leaf.reads(register)
            body = [self._in_arrays(assignment) for assignment in assignments]
            array = self._array(register)
            target = f"{array}{'_next' * (register in late)}[{self._index}]"
            body += [self._in_arrays(statement).replace("@", target) for statement in leaf.statements(register)]
            if register in late:
                entry = f"[{self._index}]"
                body.insert(0, f"{array}_next{entry} = {array}{entry};")
                after.append(f"    {self._loop(0, self._padded)} {array}{entry} = {array}_next{entry};")
            # a value before the loop makes a wire a local variable of the C++ function
            wires = dict.fromkeys(name for assignment in assignments for name in _names(assignment.split(" = ")[0]))
            lines += [f"    {self._array(wire)} = 0;" for wire in wires]
            lines.append(f"    {self._loop(0, self._padded)} begin {' '.join(body)} end")
        return lines + after

    def _show(self, parent: str, aliases: dict[str, str]) -> tuple[list[str], list[str]]:
        """Registers outside the arrays for outputs that something else in the parent reads."""
        read = set(re.findall(rf"^  output .*?({_ID}) ?;$", parent, re.MULTILINE))
        read |= set(_names(_ALIAS.sub("", re.sub(r"^  (wire|input|output|reg) .*$", "", parent, flags=re.MULTILINE))))
        for name in [name for name in aliases if name in read]:
            net: str | None = name
            while net is not None:
                read.add(net)
                net = aliases.get(net)
        declarations, lines = [], []
        for net, (output, number) in self._drivers.items():
            if net in read:
                shown = f"{self._prefix}_{number}_{_plain(output)}"
                declarations.append(f"  reg {self._leaf.types[output]}{shown} = {self._leaf.initial[output]};")
                declarations.append(f"  assign {net}  = {shown};")
                lines.append(f"    {shown} <= {self._array(output)}[{number}];")
        return declarations, lines

    def _in_arrays(self, text: str) -> str:
        """A statement of the module as one of the loop."""

        def replace(match: re.Match) -> str:
            name = match[0].strip()
            if name in self._uniform:
                return f"{self._uniform[name]} "
            if name in self._leaf.wires:
                return self._array(name)
            return f"{self._array(name)}[{self._index}]" if name in self._leaf.types else match[0]

        return _NAME.sub(replace, text)
