"""How many of some bits are set, as gates."""

from collections.abc import Sequence

from amaranth.hdl import Const, Value

__all__ = ["ones"]


def ones(bits: Sequence[Value]) -> list[Value]:
    """Bits of the number of ones among ``bits``, lowest first: adders would cost a carry chain each."""
    columns, number = [list(bits)], []
    while columns:
        column = columns.pop(0)
        carries = []
        while len(column) > 1:
            a, b = column.pop(0), column.pop(0)
            c = column.pop(0) if column else Const(0)
            column.append(a ^ b ^ c)
            carries.append(a & b | a & c | b & c)
        number += column
        if carries:
            if not columns:
                columns.append([])
            columns[0] += carries
    return number
