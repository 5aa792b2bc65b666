"""One flat module out of the modules that Yosys writes: registers, expressions, and text that stays as it is.

Names carry their instance's path (``array.row_5.a_16``) and are written as escaped identifiers everywhere, so that text
can be searched and changed by name. Nothing is optimised: each line of the flat module is one of the modules' own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["NAME", "OPERAND", "Netlist", "Type", "escaped", "flatten", "names"]

_ID = r"(?:\\\S+ |[\w$]+)"
_MODULE = re.compile(rf"^module ({_ID})\s*\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_ANY_NAME = re.compile(r"\\(\S+) |(?<![\w'$\\])([A-Za-z_][\w$]*)")
_INSTANCE = re.compile(rf"^  ({_ID}) ({_ID}) \(\n((?:    \..*\n)*?)  \);\n", re.MULTILINE)
_PORT = re.compile(rf"^    \.({_ID})\((.*)\),?$", re.MULTILINE)
_DECLARATION = re.compile(r"^  (input|output|wire|reg) (signed )?(?:\[(\d+):0\] )?\\(\S+) (?: = ([^;]+))?;$")
_ASSIGN = re.compile(r"^  assign (.*?) = (.*);$")
_CLOCKED = re.compile(r"^  always @\(posedge \\(\S+) \)$")
_TARGET = re.compile(r"\\(\S+) (?:\[[^\]]*\])? <= ")
_WORDS = frozenset(
    {"always", "assign", "begin", "case", "casez", "default", "else", "end", "endcase", "endfunction", "for"}
    | {
        "function",
        "if",
        "initial",
        "inout",
        "input",
        "integer",
        "negedge",
        "output",
        "posedge",
        "reg",
        "signed",
        "wire",
    }
)

NAME = re.compile(r"\\(\S+) ")
OPERAND = re.compile(r"\\(\S+) (?:\[(\d+)(?::(\d+))?\])?")
"""A name and the constant bits taken of it."""


@dataclass(frozen=True)
class Type:
    """Width in bits, and whether Verilog calls it signed."""

    width: int
    signed: bool = False

    def __str__(self) -> str:
        bits = f"[{self.width - 1}:0] " if self.width > 1 else ""
        return f"{'signed ' * self.signed}{bits}"


@dataclass
class Netlist:
    """A flat module.

    Parameters
    ----------
    header : the top module's first line, up to its ports' end
    ports : declarations of its ports
    outputs : names of output ports
    types, kinds, initial : of every name that is no memory; wire or reg; initial values of registers
    scopes : path of the instance that a name belongs to
    wires : expression of every name that is assigned as a whole
    registers : statement of every register that one clocked statement without ``begin`` sets
    others : all other text, declarations of memories among it
    """

    header: str
    ports: list[str] = field(default_factory=list)
    outputs: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    types: dict[str, Type] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    initial: dict[str, str] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    wires: dict[str, str] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def source(self, name: str) -> str:
        """The name behind one that is another name for it."""
        while (found := NAME.fullmatch(self.wires.get(name, ""))) and self._alike(name, found[1]):
            name = found[1]
        return name

    def _alike(self, one: str, other: str) -> bool:
        return other in self.types and self.types[one].width == self.types[other].width

    def texts(self) -> Iterator[str]:
        """Everything that reads names."""
        yield from self.wires.values()
        yield from self.registers.values()
        yield from self.others

    def live(self, extra: str) -> set[str]:
        """Names that an output, text that is no wire or register, or ``extra`` needs."""
        live: set[str] = set()
        waiting = [*self.outputs, *names(extra)]
        for text in self.others:
            waiting += names(text)
        while waiting:
            name = waiting.pop()
            if name not in live:
                live.add(name)
                waiting += names(self.wires.get(name, "")) + names(self.registers.get(name, ""))
        return live

    def write(self, extra: str = "") -> str:
        """The module; of wires and registers, those that are live, and ``extra`` at its end."""
        live = self.live(extra)
        lines = [self.header, *self.ports]
        for name in sorted(live & self.types.keys() - self.inputs):
            kind = "wire" if name in self.wires else self.kinds[name]
            start = f" = {self.initial[name]}" if kind == "reg" and name in self.initial else ""
            lines.append(f"  {kind} {self.types[name]}{escaped(name)}{start};")
        lines += [text for text in self.others if re.match(r"  reg .*\];$", text)]
        lines += [text for text in self.others if not re.match(r"  reg .*\];$", text)]
        lines += [f"  assign {escaped(name)} = {text};" for name, text in self.wires.items() if name in live]
        lines += [f"  always @(posedge \\clk ) {text}" for name, text in self.registers.items() if name in live]
        return "\n".join([*lines, extra, "endmodule\n"])


def escaped(name: str) -> str:
    """A name as flat text writes it."""
    return f"\\{name} "


def names(text: str) -> list[str]:
    """Every name in a piece of flat text."""
    return NAME.findall(text)


def flatten(verilog: str) -> Netlist | None:
    """The flat module of a design with one clock ``clk``, or None if it is not written as expected."""
    modules = {_plain(match[1]): match[0] for match in _MODULE.finditer(verilog)}
    used = {_plain(instance[1]) for text in modules.values() for instance in _INSTANCE.finditer(text)}
    tops = [name for name in modules if name not in used]
    if len(tops) != 1 or not used <= modules.keys():
        return None
    top = modules[tops[0]]
    netlist = Netlist(header=top[: top.index(");\n") + 2])
    _inline(netlist, modules, tops[0], "")
    return netlist if "clk" in netlist.types else None


def _plain(identifier: str) -> str:
    return identifier.strip().lstrip("\\")


def _renamed(text: str, prefix: str) -> str:
    def rename(match: re.Match) -> str:
        name = match[1] or match[2]
        return match[0] if match[2] in _WORDS else f"\\{prefix}{name} "

    return _ANY_NAME.sub(rename, text)


def _inline(netlist: Netlist, modules: dict[str, str], module: str, path: str) -> None:
    text = modules[module]
    text = text[text.index(");\n") + 3 : text.rindex("endmodule")]
    prefix = f"{path}." if path else ""
    for instance in _INSTANCE.finditer(text):
        child, inside = _plain(instance[1]), f"{prefix}{_plain(instance[2])}"
        _inline(netlist, modules, child, inside)
        given = {_plain(name) for name in re.findall(rf"^  output .*?({_ID}) ?;$", modules[child], re.MULTILINE)}
        for port, connected in _PORT.findall(instance[3]):
            own, net = escaped(f"{inside}.{_plain(port)}"), _renamed(f"{connected.strip()} ", prefix)
            if _plain(port) in given:
                _assign(netlist, net, own)
            elif net.strip():
                _assign(netlist, own, net)
    body = _renamed(_INSTANCE.sub("", text), prefix)
    for chunk in _chunks(body):
        _read(netlist, chunk, path)


def _chunks(body: str) -> Iterator[list[str]]:
    """Lines that belong together: those further in, or an ``end``, belong to the line before them."""
    chunk: list[str] = []
    for line in body.splitlines():
        if not line.strip():
            continue
        if chunk and not line.startswith(("    ", "  end")):
            yield chunk
            chunk = []
        chunk.append(line)
    if chunk:
        yield chunk


def _assign(netlist: Netlist, target: str, value: str) -> None:
    whole = NAME.fullmatch(target.strip() + " ")
    if whole and whole[1] not in netlist.wires:
        netlist.wires[whole[1]] = value.strip() + " "
    else:
        netlist.others.append(f"  assign {target} = {value};")


def _read(netlist: Netlist, chunk: list[str], path: str) -> None:
    line = chunk[0]
    if len(chunk) == 1:
        if declared := _DECLARATION.match(line):
            kind, sign, highest, name, initial = declared.groups()
            netlist.types[name] = Type(int(highest or 0) + 1, bool(sign))
            netlist.kinds[name] = "reg" if kind == "reg" else "wire"
            netlist.scopes[name] = path
            if initial:
                netlist.initial[name] = initial
            if kind in ("input", "output") and not path:
                netlist.ports.append(line)
                (netlist.outputs if kind == "output" else netlist.inputs).add(name)
            return
        if assigned := _ASSIGN.match(line):
            _assign(netlist, assigned[1], assigned[2])
            return
    clocked = _CLOCKED.match(line)
    if clocked and clocked[1].rpartition(".")[2] == "clk":
        statement = " ".join(part.strip() for part in chunk[1:])
        targets = set(_TARGET.findall(statement))
        if len(targets) == 1 and "begin" not in statement and not re.search(r"\] +<= ", statement):
            netlist.registers[targets.pop()] = statement
            return
        chunk = ["  always @(posedge \\clk )", *chunk[1:]]
    netlist.others.append("\n".join(chunk))
