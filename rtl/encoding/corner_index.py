"""Table indices of a cell's corners."""

from itertools import pairwise

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.pos_fract import CELL_BITS
from rtl.encoding.tile_remainder import first_cell_bits

__all__ = ["CornerIndex"]


class CornerIndex(wiring.Component):
    """Map a cell to the table indices of its corners, dense or hashed.

    One multiplier each for dimensions 1 and 2; the corners at +1 take adders only. Corner c lies at +1 in every
    dimension d whose bit of c is set.

    Timing: latency ``config.corner_index_latency`` = 4 enabled clocks, initiation interval 1.

    Numerics: docs/numerics.md, "Grid encoding" step 5, in the low ``config.index_bits`` bits. Dense sums wrap by one
    conditional subtract (a sum must be below ``2 * limit``), hashes and tiles by mask. A cell that ``TileRemainder``
    has reduced wraps by the subtract, too: its row and the step of a corner are each below ``limit``.

    Parameters
    ----------
    config : the engine

    Members
    -------
    en : In(1), the pipeline moves
    cell : In(n_pos_dims x 15 bits; with ``config.tile_remainder``, ``first_cell_bits``)
    strides : In((n_pos_dims - 1) x index_bits), of dimensions 1 and 2; that of dimension 0 is 1
    limit : In(index_bits), entries of a dense level, mask of a hashed or tiled one
    hashed : In(1)
    masked : In(1), a dense sum wraps by mask, too
    reduced, both : In(1), In(index_bits - 1), with ``config.tile_remainder`` only: the cell is a row of a tile, and
        what its corners at +1 in dimensions 1 and 2 add, as the host reduced it
    index : Out(n_corners x (index_bits - 1))

    Notes
    -----
    tiny-cuda-nn's ``grid_index`` with ``coherent_prime_hash``.
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        bits = config.index_bits
        tile_members = {"reduced": In(1), "both": In(bits - 1)}
        super().__init__(
            {
                "en": In(1),
                "cell": In(data.ArrayLayout(unsigned(first_cell_bits(config)), config.n_pos_dims)),
                "strides": In(data.ArrayLayout(unsigned(bits), config.n_pos_dims - 1)),
                "limit": In(bits),
                "hashed": In(1),
                "masked": In(1),
                **(tile_members if config.tile_remainder else {}),
                "index": Out(data.ArrayLayout(unsigned(bits - 1), config.n_corners)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dims, bits = self.config.n_pos_dims, self.config.index_bits

        # The level's wrap rule travels with its lookup.
        wrap = [Signal(bits + 2, name=f"wrap_{stage}") for stage in range(self.config.corner_index_latency - 1)]
        hashed = [stage[bits] for stage in wrap]
        limit, masked = wrap[-1][:bits], wrap[-1][bits + 1]

        product = [Signal(max(bits, CELL_BITS), name=f"product_{dim}") for dim in range(dims)]
        # step[b]: what dimensions 1 and 2 add to a dense sum for the corners whose upper bits are b
        step = [Signal(bits, name=f"step_{upper}") for upper in range(1 << dims - 1)]
        first = [Signal(bits, name=f"first_{side}") for side in range(2)]
        outer = [Signal(bits, name=f"outer_{upper}") for upper in range(1 << dims - 1)]
        total = [Signal(bits, name=f"total_{corner}") for corner in range(1 << dims)]

        with m.If(self.en):
            m.d.sync += wrap[0][:bits].eq(self.limit)
            m.d.sync += [wrap[0][bits].eq(self.hashed), wrap[0][bits + 1].eq(self.hashed | self.masked)]
            m.d.sync += [later.eq(earlier) for earlier, later in pairwise(wrap)]
            m.d.sync += product[0].eq(self.cell[0])
            for dim in range(1, dims):
                m.d.sync += product[dim].eq(self.cell[dim][:CELL_BITS] * self.strides[dim - 1])
            for upper, value in enumerate(step):
                strides = [self.strides[dim] for dim in range(dims - 1) if upper >> dim & 1]
                total_step = sum(strides, start=Const(0))
                if self.config.tile_remainder and upper == 3:
                    total_step = Mux(self.reduced, self.both, total_step)
                m.d.sync += value.eq(total_step)
            m.d.sync += [first[side].eq(product[0] + side) for side in range(2)]
            for upper, value in enumerate(outer):
                if dims == 2:
                    m.d.sync += value.eq(product[1] + step[upper])
                else:
                    hashes = (product[1] + step[upper & 1]) ^ (product[2] + step[upper & 2])
                    m.d.sync += value.eq(Mux(hashed[0], hashes, product[1] + product[2] + step[upper]))
            for corner, value in enumerate(total):
                low, high = first[corner & 1], outer[corner >> 1]
                m.d.sync += value.eq(Mux(hashed[1], low ^ high, low + high))
            for corner, value in enumerate(total):
                excess = Signal(bits + 1, name=f"excess_{corner}")
                m.d.comb += excess.eq(value - limit)
                dense = Mux(excess[bits], value, excess)
                m.d.sync += self.index[corner].eq(Mux(masked, value & limit, dense))
        return m
