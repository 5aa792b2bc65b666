"""Table indices of a cell's corners in the ``fp16`` profile: modulo 2**32, then modulo the level's rows."""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import RECIPROCAL_BITS
from rtl.encoding.float_pos_fract import CELL_BITS

__all__ = ["FloatCornerIndex", "FloatWrapLayout"]

_HALF = 16
_ROW = 10
"""Clocks from a cell to the row of its first corner."""


class FloatWrapLayout(data.StructLayout):
    """How a level finds rows: the fields of its registers, as ``arch.encoding_image.LevelRegister`` describes them.

    ``strides`` and ``reduced`` are those of the dimensions from 1 on, ``limit`` the rows or the mask, ``carry`` what a
    sum past 2**32 adds.
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        row_bits = config.index_bits - 1
        super().__init__(
            {
                "strides": data.ArrayLayout(unsigned(CELL_BITS), config.n_pos_dims - 1),
                "reduced": data.ArrayLayout(unsigned(row_bits), config.n_pos_dims - 1),
                "limit": config.index_bits,
                "hashed": 1,
                "masked": 1,
                "reciprocal": RECIPROCAL_BITS,
                "shift": 5,
                "carry": row_bits,
            }
        )


class FloatCornerIndex(wiring.Component):
    """Map a cell to the table indices of its corners as the GPU does, cells outside the unit cube included.

    The first corner's index is reduced by a reciprocal: the quotient is right or one too small. The other corners add
    reduced strides to that row, one dimension a clock, and wrap each time. Where a corner's whole index is past 2**32,
    the remainder of what it loses there is added last.

    Timing: latency ``config.corner_index_latency`` = 11 + n_pos_dims enabled clocks, initiation interval 1.

    Numerics: docs/numerics.md, "Grid encoding in fp16": exact for every cell. Corner c lies at +1 in every dimension d
    whose bit of c is set.

    Parameters
    ----------
    config : the engine, with ``fp16``

    Members
    -------
    en : In(1), the pipeline moves
    cell : In(n_pos_dims x 32 bits)
    wrap : In(FloatWrapLayout)
    index : Out(n_corners x (index_bits - 1))

    Notes
    -----
    tiny-cuda-nn's ``grid_index`` with ``coherent_prime_hash``.
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "cell": In(data.ArrayLayout(unsigned(CELL_BITS), config.n_pos_dims)),
                "wrap": In(FloatWrapLayout(config)),
                "index": Out(data.ArrayLayout(unsigned(config.index_bits - 1), config.n_corners)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # wrap[n]: the level of the cell n clocks ago
        self._wrap = [self.wrap]
        for clock in range(1, self.config.corner_index_latency):
            self._wrap.append(Signal(self.wrap.shape(), name=f"wrap_{clock}"))
        with m.If(self.en):
            m.d.sync += [later.eq(earlier) for earlier, later in pairwise(self._wrap)]

        products = self._products(m)
        base, steps = Signal(CELL_BITS), []
        with m.If(self.en):
            m.d.sync += base.eq(sum(products))
            for corner in range(self.config.n_corners):
                strides = [self._wrap[2].strides[dim - 1] for dim in range(1, len(products)) if corner >> dim & 1]
                steps.append(Signal(CELL_BITS, name=f"step_{corner}"))
                m.d.sync += steps[corner].eq(sum(strides, start=corner & 1))
        # whether each corner's sum is past 2**32
        past = Cat((base + step)[CELL_BITS] for step in steps)
        past = self._late(m, "past", past, self.config.corner_index_latency - 4)
        rows = [self._remainder(m, base)]
        for dim, product in enumerate(products):
            rows = self._corners(m, dim, self._late(m, f"hash_{dim}", product[: len(rows[0])], 8 + dim), rows)
        last = self._wrap[-1]
        for corner, row in enumerate(rows):
            m.d.comb += self.index[corner].eq(
                self._register(m, f"index_{corner}", self._wrapped(last, row + Mux(past[corner], last.carry, 0)))
            )
        return m

    def _products(self, m: Module) -> list[Value]:
        """Cell times stride of each dimension modulo 2**32, two clocks later."""
        cell = self._register(m, "cell_0", self.cell[0])
        products = [self._register(m, "product_0", cell)]
        for dim in range(1, self.config.n_pos_dims):
            stride, cell = self.wrap.strides[dim - 1], self.cell[dim]
            low = self._register(m, f"low_{dim}", cell[:_HALF] * stride[:_HALF])
            inner = self._register(m, f"near_{dim}", (cell[:_HALF] * stride[_HALF:])[:_HALF])
            outer = self._register(m, f"far_{dim}", (cell[_HALF:] * stride[:_HALF])[:_HALF])
            products.append(self._register(m, f"product_{dim}", (low + ((inner + outer) << _HALF))[:CELL_BITS]))
        return products

    def _remainder(self, m: Module, base: Value) -> Value:
        """Row of the first corner: ``base`` modulo the rows, seven clocks later; 0 for a hash."""
        bits = self.config.index_bits
        reciprocal = self._wrap[3].reciprocal
        halves = [(base[:_HALF], "low"), (base[_HALF:], "high")]
        parts = [
            self._register(m, f"part_{a}_{b}", half * factor)
            for half, a in halves
            for factor, b in ((reciprocal[:_HALF], "low"), (reciprocal[_HALF:], "high"))
        ]
        inner = self._register(m, "inner", parts[1] + parts[2])
        outer = self._register(m, "outer", Cat(parts[0], parts[3]))
        product = self._register(m, "reciprocal_product", (outer + (inner << _HALF))[: 4 * _HALF])
        quotient = self._register(m, "quotient", (product[RECIPROCAL_BITS - 1 :] >> self._wrap[6].shift)[:bits])
        taken = self._register(m, "taken", (quotient * self._wrap[7].limit)[:bits])
        # a mask has no reciprocal, so that the whole index is the rest
        rest = self._register(m, "rest", (self._late(m, "dividend", base[:bits], 5) - taken)[:bits])
        last = self._wrap[_ROW - 1]
        return self._register(m, "row", Mux(last.hashed, 0, self._wrapped(last, rest)))

    def _corners(self, m: Module, dim: int, product: Value, rows: list[Value]) -> list[Value]:
        """Rows of the corners at +0 and those at +1 in a dimension, a clock later."""
        wrap = self._wrap[_ROW + dim]
        reduced = wrap.reduced[dim - 1] if dim else 1
        later = []
        for far in range(2):
            for number, row in enumerate(rows):
                dense = self._wrapped(wrap, row + reduced) if far else row
                hashed = row ^ (product + reduced if far else product)[: len(row)]
                name = f"row_{dim}_{len(rows) * far + number}"
                later.append(self._register(m, name, Mux(wrap.hashed, hashed, dense)[: len(row)]))
        return later

    def _wrapped(self, wrap: data.View, value: Value) -> Value:
        """A sum of two rows, modulo the rows."""
        bits = self.config.index_bits
        excess = value[:bits] - wrap.limit
        dense = Mux(excess[bits], value[:bits], excess[:bits])
        return Mux(wrap.masked, value[:bits] & wrap.limit, dense)[: bits - 1]

    def _register(self, m: Module, name: str, value: Value) -> Signal:
        register = Signal(len(value), name=name)
        with m.If(self.en):
            m.d.sync += register.eq(value)
        return register

    def _late(self, m: Module, name: str, value: Value, clocks: int) -> Value:
        for clock in range(clocks):
            value = self._register(m, f"{name}_{clock}", value)
        return value
