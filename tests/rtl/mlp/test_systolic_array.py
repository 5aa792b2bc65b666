"""The array: exact products, latency, and tiles that follow one another without a gap."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.systolic_array import SystolicArray


def stream(config: MlpEngineConfig, tiles: np.ndarray, vectors: np.ndarray, write_from: int) -> np.ndarray:
    """Sums of tile after tile, each over ``vectors[tile]``, without a gap; ``array_cycles`` behind each vector.

    Weights of the first tile are written before clock 0; those of tile n + 1 row by row from ``write_from`` clocks
    after tile n's swap.
    """
    dut = SystolicArray(config)
    n_tiles, length = vectors.shape[:2]
    sums = []

    async def write(ctx, tile: int, row: int) -> None:
        ctx.set(dut.w_en, 1)
        ctx.set(dut.w_row, row)
        for column in range(config.cols):
            ctx.set(dut.w_data[column], int(tiles[tile, column, row]))

    async def bench(ctx) -> None:
        for row in range(config.rows):
            await write(ctx, 0, row)
            await ctx.tick()
        for clock in range(n_tiles * length + config.array_cycles):
            tile, step = divmod(clock, length)
            ctx.set(dut.swap, int(step == 0 and tile < n_tiles))
            if tile < n_tiles:
                for row in range(config.rows):
                    ctx.set(dut.a[row], int(vectors[tile, step, row]))
            behind, row = divmod(clock - write_from, length)
            ctx.set(dut.w_en, 0)
            if 0 <= behind < n_tiles - 1 and row < config.rows:
                await write(ctx, behind + 1, row)
            if clock >= config.array_cycles:
                sums.append([ctx.get(o) for o in dut.o])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(sums)


@pytest.mark.parametrize(
    ("rows", "cols", "arithmetic"), [(4, 4, "int8"), (8, 4, "int16"), (4, 8, "int8")], ids=["4x4", "8x4", "4x8"]
)
def test_tiles_back_to_back(rows: int, cols: int, arithmetic: str, seed: int) -> None:
    """Weights written as early as the datasheet allows, passes as short as that allows: every sum is exact."""
    config = MlpEngineConfig(rows=rows, cols=cols, max_width=8, arithmetic=arithmetic)
    rng = np.random.default_rng(seed)
    earliest = cols - 1
    length = max(rows, cols)
    value = config.profile.value
    tiles = rng.integers(-128, 128, (5, cols, rows))
    vectors = rng.integers(value.minimum, value.maximum, (5, length, rows), endpoint=True)
    sums = stream(config, tiles, vectors, earliest)
    np.testing.assert_array_equal(sums, np.einsum("tcr,tvr->tvc", tiles, vectors).reshape(-1, cols))


def test_extremes_do_not_overflow() -> None:
    """All operands at their most negative: the largest sum there is fits the partial sums."""
    config = MlpEngineConfig(rows=8, cols=4, max_width=8)
    tiles = np.full((1, 4, 8), -128)
    vectors = np.full((1, 9, 8), -128)
    sums = stream(config, tiles, vectors, config.cols)
    assert (sums == 8 * 128 * 128).all()
    assert sums.shape == (9, 4)
