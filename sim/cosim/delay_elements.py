"""Takes wide registers that only hand elements on apart, one register an element."""

import math
import re
from collections import defaultdict

from sim.cosim.netlist import OPERAND, Netlist, Type, escaped

__all__ = ["split_delays"]

_WIDE = 64
"""Bits from which a register is more than one value of the C++ model."""

_NARROWEST, _WIDEST = 4, 64
"""Bits of an element."""

_FEWEST = 32
"""Elements of a group of registers from which it is worth it."""

_COPY = re.compile(r"\\(\S+)  *<= (.*);")
_CONSTANT = re.compile(r"\d+'([bdh])([0-9a-f]+)")
_BASES = {"b": 2, "d": 10, "h": 16}


def split_delays(netlist: Netlist) -> None:
    """Split the registers of delay lines and of triangles of delays, so that equal elements can run in loops.

    Taken are registers that are no more than a copy of others' bits, in groups of registers that copy from each other,
    some of them of more than 64 bits, if one element size divides everything that is read and written.
    """
    copies: dict[str, list[tuple[str, int, int]]] = {}
    for name, statement in netlist.registers.items():
        copied = _COPY.fullmatch(statement)
        if name in netlist.initial and not _CONSTANT.fullmatch(netlist.initial[name]):
            continue
        if copied and (netlist.types[name].width > _WIDE or "[" in copied[2]) and (items := _items(netlist, copied[2])):
            copies[name] = items
    if not copies:
        return
    cuts = _cuts(netlist, copies)
    for group in _groups(copies):
        sizes = [netlist.types[name].width for name in group]
        bits = math.gcd(*sizes, *(cut for name in group for cut in cuts[name]))
        if max(sizes) > _WIDE and _NARROWEST <= bits <= _WIDEST and sum(sizes) // bits >= _FEWEST:
            _split(netlist, {name: copies[name] for name in group}, bits)


def _items(netlist: Netlist, text: str) -> list[tuple[str, int, int]] | None:
    """Names and constants of a concatenation with their lowest bit and width, the lowest item first."""
    text = text.strip()
    parts = [part.strip() + " " for part in text[1:-1].split(",")] if text.startswith("{") else [text + " "]
    items = []
    for part in reversed(parts):
        found = OPERAND.fullmatch(part.strip() + " ") or OPERAND.fullmatch(part.strip())
        if found is None or found[1] not in netlist.types:
            return None
        if found[2] is None:
            items.append((found[1], 0, netlist.types[found[1]].width))
        else:
            low = int(found[3] or found[2])
            items.append((found[1], low, int(found[2]) - low + 1))
    return items


def _groups(copies: dict[str, list[tuple[str, int, int]]]) -> list[list[str]]:
    """Registers that copy from each other."""
    near: dict[str, set[str]] = defaultdict(set)
    for name, items in copies.items():
        for source, _, _ in items:
            if source in copies:
                near[name].add(source)
                near[source].add(name)
    groups, seen = [], set()
    for start in copies:
        group, waiting = [], [start]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                group.append(name)
                waiting += near[name]
        if group:
            groups.append(group)
    return groups


def _cuts(netlist: Netlist, copies: dict[str, list[tuple[str, int, int]]]) -> dict[str, set[int]]:
    """The bits at which something begins or ends in a register's readers and in what it copies."""
    cuts: dict[str, set[int]] = defaultdict(set)
    for text in netlist.texts():
        for name, high, low in OPERAND.findall(text):
            if name in copies and high:
                cuts[name] |= {int(low or high), int(high) + 1}
    for name, items in copies.items():
        place = 0
        for _, _, width in items:
            place += width
            cuts[name].add(place)
    return cuts


def _split(netlist: Netlist, copies: dict[str, list[tuple[str, int, int]]], bits: int) -> None:
    def element(name: str, number: int) -> str:
        return f"{name}#{number}"

    def read(name: str, low: int, width: int) -> str:
        """Bits of a name; of a register that is split, whole elements."""
        if name in copies:
            numbers = range((low + width) // bits - 1, low // bits - 1, -1)
            return ", ".join(escaped(element(name, number)) for number in numbers)
        if (low, width) == (0, netlist.types[name].width):
            return escaped(name)
        return f"{escaped(name)}[{low + width - 1}:{low}]"

    def replace(match: re.Match) -> str:
        name, high, low = match.groups()
        if name not in copies:
            return match[0]
        lowest = 0 if high is None else int(low or high)
        highest = netlist.types[name].width - 1 if high is None else int(high)
        parts = read(name, lowest, highest - lowest + 1)
        return f"{{ {parts} }}" if "," in parts else parts

    for name, items in copies.items():
        netlist.registers.pop(name)
        constant = _CONSTANT.fullmatch(netlist.initial.get(name, "1'h0"))
        value = int(constant[2], _BASES[constant[1]])
        place = 0
        for source, low, width in items:
            for step in range(0, width, bits):
                own = element(name, (place + step) // bits)
                netlist.types[own], netlist.kinds[own] = Type(bits), "reg"
                netlist.scopes[own] = netlist.scopes[name]
                netlist.initial[own] = f"{bits}'h{value >> (place + step) & ((1 << bits) - 1):x}"
                netlist.registers[own] = f"{escaped(own)} <= {read(source, low + step, bits)};"
            place += width
    touched = re.compile("|".join(re.escape(escaped(name)) for name in copies))
    for part in (netlist.wires, netlist.registers):
        for name, text in part.items():
            if touched.search(text):
                part[name] = OPERAND.sub(replace, text).strip() + " "
    netlist.others[:] = [OPERAND.sub(replace, text) if touched.search(text) else text for text in netlist.others]
