"""Tile rows of cells against Python's own remainder, and the corners that follow from them."""

from dataclasses import replace

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import LevelRegister, encoding_image
from arch.grid import GridConfig
from arch.load import LoadTarget
from rtl.encoding.corner_index import CornerIndex
from rtl.encoding.tile_remainder import TileRemainder

# Tiles of 3^2, 7^2, 100^2, 5^3, 21^3, 101^3 rows under levels of up to the finest dense index.
GRIDS = [
    GridConfig(n_pos_dims=dims, grid_type="Tiled", n_levels=2, base_resolution=base, per_level_scale=scale)
    for dims, base, scale in (
        (2, 3, 9.0), (2, 7, 2300.0), (2, 100, 163.0), (3, 5, 3.3), (3, 21, 77.0), (3, 101, 16.08),
    )
]  # fmt: skip


def _registers(grid: GridConfig, engine: EncodingEngineConfig) -> dict[str, int]:
    """What the host writes for level 1, taken apart."""
    image = encoding_image(grid, engine, np.zeros((grid.n_entries, 2), dtype=int), [0, 0], only=1)
    chosen = image.target == LoadTarget.LEVEL_REGISTER
    words = dict(zip(image.address[chosen].tolist(), image.data[chosen].tolist(), strict=True))
    tile, reciprocal = words[LevelRegister.TILE], words[LevelRegister.RECIPROCAL]
    return {
        "tile": {
            "stride_1": tile & (1 << 17) - 1,
            "stride_2": tile >> 17 & (1 << 23) - 1,
            "both": tile >> 40,
            "reciprocal": reciprocal & (1 << 32) - 1,
            "shift": reciprocal >> 32,
        },
        "limit": words[LevelRegister.WRAP],
        "strides": [words[LevelRegister.STRIDE_1], words[LevelRegister.STRIDE_2]],
    }


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.n_pos_dims}d-{grid.base_resolution}")
@pytest.mark.parametrize("stalls", [False, True])
def test_rows_and_corners(grid, stalls, run_pipeline, seed):
    """Rows of cells equal the remainder; the corners made from them equal tiny-cuda-nn's indices."""
    rng = np.random.default_rng(seed)
    dims, level = grid.n_pos_dims, grid.levels[1]
    engine = EncodingEngineConfig(n_pos_dims=dims, table_rows=1 << 24, tile_remainder=True)
    registers = _registers(grid, engine)
    assert level.entries & level.entries - 1 and level.resolution**dims > level.entries
    cells = rng.integers(0, level.resolution, (150, dims))
    cells[:3] = level.resolution - 1
    cells[3:6] = 0
    # Cells whose index is a multiple of the tile, or one below: where a quotient one too small would show.
    multiples = rng.integers(1, level.resolution**dims // level.entries, 40, endpoint=True) * level.entries
    multiples[::2] -= 1
    multiples = np.minimum(multiples, level.resolution**dims - 1)
    cells[6:46] = np.stack([multiples // level.resolution**dim % level.resolution for dim in range(dims)], axis=1)
    inputs = [{"cell": c, "tile": registers["tile"], "limit": registers["limit"]} for c in cells.tolist()]
    rows = run_pipeline(
        TileRemainder(engine), inputs, ["first", "others"], engine.tile_remainder_latency, stalls=stalls
    )
    index = (cells * np.array(level.strides)).sum(axis=1)
    assert [found["first"] for found in rows] == (index % level.entries).tolist()
    assert all(list(found["others"]) == [0] * (dims - 1) for found in rows)

    fixed = {
        "strides": registers["strides"][: dims - 1], "limit": registers["limit"], "hashed": 0, "masked": 0,
        "reduced": 1, "both": registers["tile"]["both"],
    }  # fmt: skip
    inputs = [{"cell": [found["first"], *list(found["others"])], **fixed} for found in rows]
    results = run_pipeline(CornerIndex(engine), inputs, ["index"], engine.corner_index_latency, stalls=stalls)
    offsets = np.array([[corner >> dim & 1 for dim in range(dims)] for corner in range(1 << dims)])
    corners = ((cells[:, None, :] + offsets) * np.array(level.strides)).sum(axis=2) % level.entries
    assert [list(found["index"]) for found in results] == corners.tolist()


@pytest.mark.parametrize("stalls", [False, True])
def test_other_levels_pass(stalls, run_pipeline, seed):
    rng = np.random.default_rng(seed)
    engine = EncodingEngineConfig(table_rows=1 << 10, tile_remainder=True)
    grid = replace(GRIDS[3], grid_type="Hash", log2_hashmap_size=10)
    registers = _registers(grid, engine)
    assert registers["tile"]["reciprocal"] == 0
    cells = rng.integers(0, 1 << 15, (80, 3)).tolist()
    inputs = [{"cell": c, "tile": registers["tile"], "limit": registers["limit"] & 1023} for c in cells]
    rows = run_pipeline(
        TileRemainder(engine), inputs, ["first", "others"], engine.tile_remainder_latency, stalls=stalls
    )
    assert [[found["first"], *list(found["others"])] for found in rows] == cells
