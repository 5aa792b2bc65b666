"""Vectors of int32 in compiled code: one lane a bank, or one lane a command.

numba turns loops into vector instructions only where it can prove that arrays do not overlap, and then in ways that
change from release to release; the loop of the DRAM model says what it wants instead. Everything here is LLVM's own
vector type, so it compiles for any processor.

The compiler's cache does not see changes here: touch ``dram_kernel.py`` after one.
"""
# ruff: noqa: PLR0917 - the compiler takes no keywords

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model

__all__ = [
    "BANKS", "COMMANDS", "KEY_SHIFT", "below", "first", "least", "load_banks", "load_commands", "lowest_bit",
    "minus", "most", "peek", "plus", "poke", "soonest", "spread", "store", "with_lane",
]  # fmt: skip

BANKS = 16
"""Lanes of a vector of banks."""
COMMANDS = 8
"""Lanes of a vector of commands; there are five."""
KEY_SHIFT = 32
"""Bits of a key below its tick."""

_INT = ir.IntType(32)
_WORD = ir.IntType(64)


class _Lanes(types.Type):
    """The compiler's type of a vector of ``n`` int32."""

    def __init__(self, n: int) -> None:
        super().__init__(name=f"Lanes({n})")
        self.n = n


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: _Lanes) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(_INT, fe_type.n))


def _place(context: Any, builder: ir.IRBuilder, array: Any, values: Any, at: Any, n: int) -> Any:
    data = context.make_array(array)(context, builder, values).data
    return builder.bitcast(builder.gep(data, [at]), ir.VectorType(_INT, n).as_pointer())


def _spread(builder: ir.IRBuilder, scalar: Any, n: int) -> Any:
    vector = ir.VectorType(_INT, n)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), builder.trunc(scalar, _INT), ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0] * n))


def _loader(lanes: _Lanes) -> Callable[..., Any]:
    @intrinsic
    def load(typing: Any, array: Any, at: Any) -> Any:
        def code(context: Any, builder: Any, _: Any, values: Any) -> Any:
            return builder.load(_place(context, builder, array, values[0], values[1], lanes.n), align=4)

        return lanes(array, types.int64), code

    return load


load_banks = _loader(_Lanes(BANKS))
"""``load_banks(array, at)``: the lanes of 16 banks, from ``array[at]`` on."""
load_commands = _loader(_Lanes(COMMANDS))
"""``load_commands(array, at)``: the lanes of 8 commands, from ``array[at]`` on."""


@intrinsic
def store(typing, array, at, vector):
    """Store all lanes from ``array[at]`` on."""

    def code(context, builder, _, values):
        builder.store(values[2], _place(context, builder, array, values[0], values[1], vector.n), align=4)

    return types.void(array, types.int64, vector), code


@intrinsic
def spread(typing, like, scalar):
    """The scalar in every lane of a vector of the kind of ``like``."""

    def code(_, builder, __, values):
        return _spread(builder, values[1], like.n)

    return like(like, types.int64), code


def _lanewise(name: str) -> Callable[..., Any]:
    @intrinsic
    def combine(typing: Any, one: Any, other: Any) -> Any:
        def code(_: Any, builder: Any, __: Any, values: Any) -> Any:
            kind = ir.FunctionType(values[0].type, [values[0].type] * 2)
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{one.n}i32")
            return builder.call(function, list(values))

        return one(one, other), code

    return combine


most, least = _lanewise("smax"), _lanewise("smin")
"""Lane by lane the larger, the smaller of two vectors."""


@intrinsic
def plus(typing, vector, scalar):
    """The vector with the scalar added to every lane."""

    def code(_, builder, __, values):
        return builder.add(values[0], _spread(builder, values[1], vector.n))

    return vector(vector, types.int64), code


@intrinsic
def below(typing, one, other):
    """-1 in the lanes in which ``one`` is less than ``other``, else 0."""

    def code(_, builder, __, values):
        return builder.sext(builder.icmp_signed("<", values[0], values[1]), values[0].type)

    return one(one, other), code


@intrinsic
def minus(typing, one, other):
    """Lane by lane the difference."""

    def code(_, builder, __, values):
        return builder.sub(values[0], values[1])

    return one(one, other), code


@intrinsic
def first(typing, ticks, low):
    """Least ``tick << 32 | low`` of all lanes, as int64, for ticks from ``1 << 20`` up to ``1 << 30`` and ``low`` not
    negative.

    Such numbers are in the same order if their bits are taken as float64, for which processors have a minimum.
    """

    def code(_, builder, __, values):
        n = ticks.n
        # The pairs may come in any order; this one is that of x86's instructions.
        order = [part + 4 * half + lane for part in range(0, n, 8) for lane in (0, 2) for half in (0, 1)]
        mask = [lane + which for first in order for lane in (first, first + 1) for which in (0, n)]
        pairs = builder.shuffle_vector(values[1], values[0], ir.Constant(ir.VectorType(_INT, 2 * n), mask))
        keys = builder.bitcast(pairs, ir.VectorType(ir.DoubleType(), n))
        kind = ir.FunctionType(ir.DoubleType(), [keys.type])
        reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fmin.v{n}f64")
        return builder.bitcast(builder.call(reduce, [keys], fastmath=("nnan", "nsz")), _WORD)

    return types.int64(ticks, low), code


@intrinsic
def peek(typing, array, at):
    """``array[at]`` as int64; a negative ``at`` does not count from the end, which would cost three instructions."""

    def code(context, builder, _, values):
        data = context.make_array(array)(context, builder, values[0]).data
        return context.cast(builder, builder.load(builder.gep(data, [values[1]])), array.dtype, types.int64)

    return types.int64(array, types.int64), code


@intrinsic
def poke(typing, array, at, value):
    """``array[at] = value``, as :func:`peek` reads it."""

    def code(context, builder, _, values):
        data = context.make_array(array)(context, builder, values[0]).data
        builder.store(context.cast(builder, values[2], types.int64, array.dtype), builder.gep(data, [values[1]]))

    return types.void(array, types.int64, types.int64), code


@intrinsic
def with_lane(typing, vector, lane, scalar):
    """The vector with the scalar in one lane; as it is for a lane it does not have."""

    def code(_, builder, __, values):
        kind = ir.VectorType(_INT, vector.n)
        chosen = builder.icmp_signed(
            "==", ir.Constant(kind, list(range(vector.n))), _spread(builder, values[1], vector.n)
        )
        return builder.select(chosen, _spread(builder, values[2], vector.n), values[0])

    return vector(vector, types.int64, types.int64), code


@intrinsic
def soonest(typing, array, columns, rows, pairs, column_from, row_from):
    """Least of ``tick << 10 | choice << 7 | key & 127`` over the keys of column commands from ``array[columns]`` on, at
    every second place, and of row commands from ``array[rows]`` on; as many of each as ``pairs`` is long.

    ``tick`` is the key's, but at least ``column_from`` or ``row_from``, and even for a column command, which starts
    with a clock; ``choice`` counts column and row in turn, from 4 on, so that of two commands for one tick the lesser
    goes first.
    """
    n = 2 * len(pairs)
    kind = ir.VectorType(_WORD, n)

    def constant(*values: int) -> ir.Constant:
        return ir.Constant(kind, list(values) * (n // len(values)))

    def code(context, builder, _, values):
        data = context.make_array(array)(context, builder, values[0]).data
        keys = earliest = ir.Constant(kind, ir.Undefined)
        for k in range(n):
            place = builder.add(values[1 + k % 2], ir.Constant(_WORD, k // 2 * 2))
            keys = builder.insert_element(keys, builder.load(builder.gep(data, [place])), ir.Constant(_INT, k))
            earliest = builder.insert_element(earliest, values[4 + k % 2], ir.Constant(_INT, k))
        later = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 2), f"llvm.smax.v{n}i64")
        ticks = builder.call(later, [builder.ashr(keys, constant(KEY_SHIFT)), earliest])
        ticks = builder.add(ticks, builder.and_(ticks, constant(1, 0)))
        found = builder.or_(builder.shl(ticks, constant(10)), builder.and_(keys, constant(127)))
        found = builder.or_(found, constant(*(4 + k << 7 for k in range(n))))
        reduced = ir.FunctionType(_WORD, [kind])
        reduce = cgutils.get_or_insert_function(builder.module, reduced, f"llvm.vector.reduce.smin.v{n}i64")
        return builder.call(reduce, [found])

    return types.int64(array, types.int64, types.int64, pairs, types.int64, types.int64), code


@intrinsic
def lowest_bit(typing, mask):
    """Number of the lowest set bit of an int64 that is not 0."""

    def code(_, builder, __, values):
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), code
