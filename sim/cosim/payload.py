"""Payloads as arrays: struct layouts of the RTL packed into, and unpacked from, 32-bit words, all rows at once."""

from collections.abc import Iterator, Mapping

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib.data import ArrayLayout, Layout, StructLayout

__all__ = ["pack_payloads", "unpack_payloads"]


def pack_payloads(layout: StructLayout, fields: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pack one array a field into (n, words) uint32.

    A plain field takes an (n,) array, an array field (n, length) with missing elements left 0. Signed values are
    packed in two's complement. Fields not given are 0.
    """
    count = len(next(iter(fields.values())))
    words = np.zeros((count, -(-layout.size // 32)), dtype=np.uint32)
    for name, values in fields.items():
        columns = values.T if values.ndim == 2 else values[None]
        for (offset, shape), column in zip(_elements(layout, name), columns, strict=False):
            _put(words, offset, shape.width, column)
    return words


def unpack_payloads(layout: StructLayout, words: np.ndarray) -> dict[str, np.ndarray]:
    """Every field of (n, words) payloads as int64: (n,) for plain fields, (n, length) for array fields."""
    fields = {}
    for name, field in layout:
        columns = [_get(words, offset, shape) for offset, shape in _elements(layout, name)]
        is_array = isinstance(field.shape, ArrayLayout)
        fields[name] = np.stack(columns, axis=1) if is_array else columns[0]
    return fields


def _elements(layout: Layout, name: str) -> Iterator[tuple[int, Shape]]:
    """Bit offset and shape of every element of a field."""
    field = layout[name]
    if isinstance(field.shape, ArrayLayout):
        element = Shape.cast(field.shape.elem_shape)
        for index in range(field.shape.length):
            yield field.offset + index * element.width, element
    else:
        yield field.offset, Shape.cast(field.shape)


def _put(words: np.ndarray, offset: int, width: int, values: np.ndarray) -> None:
    mask = np.uint64((1 << width) - 1)
    values = np.asarray(values).astype(np.int64, copy=False).view(np.uint64) & mask
    word, shift = divmod(offset, 32)
    words[:, word] |= ((values << np.uint64(shift)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    taken = 32 - shift
    while taken < width:
        word += 1
        words[:, word] |= ((values >> np.uint64(taken)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        taken += 32


def _get(words: np.ndarray, offset: int, shape: Shape) -> np.ndarray:
    word, shift = divmod(offset, 32)
    value = words[:, word].astype(np.uint64) >> np.uint64(shift)
    taken = 32 - shift
    while taken < shape.width:
        word += 1
        value |= words[:, word].astype(np.uint64) << np.uint64(taken)
        taken += 32
    value = (value & np.uint64((1 << shape.width) - 1)).view(np.int64)
    if shape.signed and shape.width < 64:
        value = value - ((value >> (shape.width - 1)) << shape.width)
    return value
