"""Corner indices of the fp16 profile against Python integers: cells of all 32 bits, dense, tiled, hashed and flat."""

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig, level_layouts
from arch.encoding_image import (
    CARRY_SHIFT,
    HASHED_SHIFT,
    MASKED_SHIFT,
    RECIPROCAL_BITS,
    REDUCED_SHIFT,
    LevelRegister,
    encoding_image,
)
from arch.grid import GridConfig, GridLevel
from arch.load import LoadTarget
from rtl.encoding.float_corner_index import FloatCornerIndex


def golden(level: GridLevel, cell: list[int]) -> list[int]:
    """As the GPU: 32-bit products and sums, then the remainder."""
    rows = []
    for corner in range(1 << len(cell)):
        row = 0
        for dim, (coordinate, stride) in enumerate(zip(cell, level.strides, strict=True)):
            term = (coordinate + (corner >> dim & 1)) * stride & 0xFFFFFFFF
            row = row ^ term if level.hashed else row + term & 0xFFFFFFFF
        rows.append(row % level.entries)
    return rows


def wrap_fields(grid: GridConfig, config: EncodingEngineConfig) -> list[dict]:
    """What the host loads for each level, as the fields of ``FloatWrapLayout``."""
    table = np.zeros((grid.n_entries, 1), dtype=np.int16)
    image = encoding_image(grid, config, table, [0] * grid.n_levels)
    words = image.target == LoadTarget.LEVEL_REGISTER
    registers = {int(a): int(d) for a, d in zip(image.address[words], image.data[words], strict=True)}
    fields = []
    for number in range(grid.n_levels):
        word = {register: registers.get(number << 3 | register, 0) for register in range(8)}
        strides = [word[register] for register in (1, 2, LevelRegister.STRIDE_3)[: config.n_pos_dims - 1]]
        limit, reciprocal = word[LevelRegister.WRAP], word[LevelRegister.RECIPROCAL]
        fields.append(
            {
                "strides": [stride & 0xFFFFFFFF for stride in strides],
                "reduced": [stride >> REDUCED_SHIFT for stride in strides],
                "limit": limit & 0xFFFFFFFF,
                "hashed": limit >> HASHED_SHIFT & 1,
                "masked": limit >> MASKED_SHIFT & 1,
                "reciprocal": reciprocal & 0xFFFFFFFF,
                "shift": reciprocal >> RECIPROCAL_BITS & 31,
                "carry": reciprocal >> CARRY_SHIFT,
            }
        )
    return fields


GRIDS = {
    2: [
        GridConfig(n_pos_dims=2, grid_type="Dense", n_levels=4, n_features_per_level=1, base_resolution=3),
        GridConfig(n_pos_dims=2, grid_type="Tiled", n_levels=4, n_features_per_level=1, base_resolution=7,
                   per_level_scale=38.0),  # the last level is too fine for a dense index
        GridConfig(n_pos_dims=2, n_levels=4, n_features_per_level=1, log2_hashmap_size=9, base_resolution=9),
    ],
    3: [
        GridConfig(n_pos_dims=3, grid_type="Dense", n_levels=3, n_features_per_level=1, base_resolution=5),
        GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=4, n_features_per_level=1, base_resolution=11,
                   per_level_scale=6.0),
        GridConfig(n_pos_dims=3, n_levels=4, n_features_per_level=1, log2_hashmap_size=11, base_resolution=9),
    ],
    4: [
        GridConfig(n_pos_dims=4, grid_type="Dense", n_levels=2, n_features_per_level=1, base_resolution=5),
        GridConfig(n_pos_dims=4, grid_type="Tiled", n_levels=4, n_features_per_level=1, base_resolution=5,
                   per_level_scale=4.0),
        GridConfig(n_pos_dims=4, n_levels=4, n_features_per_level=1, log2_hashmap_size=12, base_resolution=4),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("dims", "stalls"), [(2, True), (3, False), (4, True)])
def test_golden(dims, stalls, run_pipeline, seed):
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig(n_pos_dims=dims, n_features_per_level=1, table_rows=1 << 15, arithmetic="fp16")
    inputs, expected, kinds = [], [], set()
    for grid in GRIDS[dims]:
        for layout, wrap in zip(level_layouts(grid, config), wrap_fields(grid, config), strict=True):
            level = layout.level
            kinds.add((level.hashed, layout.tiled, layout.flat))
            for number in range(40):
                # inside; at the far faces; just outside, where sums pass 2**32; anywhere
                span = (level.resolution, 2, 3, 1 << 32)[number % 4]
                low = (0, level.resolution - 1, -2, 0)[number % 4]
                cell = [int(c) & 0xFFFFFFFF for c in low + rng.integers(0, span, dims)]
                inputs.append({"cell": cell, "wrap": wrap})
                expected.append(golden(level, cell))
    # dense, hashed, tiled, and too fine for a dense index
    assert kinds == {(False, False, False), (True, False, False), (False, True, False), (False, False, True)}
    results = run_pipeline(FloatCornerIndex(config), inputs, ["index"], config.corner_index_latency, stalls=stalls)
    assert [list(found["index"]) for found in results] == expected
