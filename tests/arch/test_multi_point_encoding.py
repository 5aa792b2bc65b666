"""Lanes of the multi-point encoding, and its load image."""

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import ENGINE_ADDRESS_SHIFT, LEVEL_ADDRESS_SHIFT, encoding_image
from arch.errors import InputError
from arch.grid import GridConfig
from arch.load import LoadTarget
from arch.multi_point_encoding import MultiPointConfig, multi_point_image

NGPC = MultiPointConfig(
    engine=EncodingEngineConfig(n_levels=16, level_parallel=16, table_rows=1 << 12), points_per_clock=8
)


@pytest.mark.parametrize(("levels", "lanes"), [(16, 1), (9, 1), (8, 2), (5, 2), (4, 4), (3, 4), (2, 8), (1, 8)])
def test_lanes_are_ngpcs(levels, lanes):
    """ISCA 2023, section 5: 16 levels a point a clock, 8 levels two, 2 levels eight."""
    assert NGPC.lanes(levels) == lanes
    counts = [NGPC.section_levels(section, levels) for section in range(8)]
    assert sum(counts) == lanes * levels and max(counts) <= NGPC.section.n_levels == 2
    for section, count in enumerate(counts):
        own = NGPC.lane_of(section, levels)
        assert own == section * lanes // 8
        # Sections of a lane take its levels in order, two each.
        place = section - own * 8 // lanes
        assert count == min(2, max(0, levels - 2 * place))


def test_more_levels_than_engines():
    engine = EncodingEngineConfig(n_levels=7, level_parallel=4, table_rows=1 << 12)
    config = MultiPointConfig(engine=engine, points_per_clock=2)
    assert config.section.level_parallel == 2 and config.section.n_levels == 4
    # Engines 0 and 1 hold levels 0, 1, 4 and 5, engines 2 and 3 levels 2, 3 and 6.
    assert [config.section_levels(section, 7) for section in range(2)] == [4, 3]
    assert config.lanes(7) == config.lanes(3) == 1 and config.lanes(2) == 2


def test_every_lane_holds_a_copy(seed):
    rng = np.random.default_rng(seed)
    grid = GridConfig(n_pos_dims=3, n_levels=3, log2_hashmap_size=8, base_resolution=4)
    tables, shifts = rng.integers(-128, 128, (grid.n_entries, 2)), [0, 1, 2]
    one = encoding_image(grid, NGPC.engine, tables, shifts)
    all_lanes = multi_point_image(grid, NGPC, tables, shifts)
    words = {
        (int(t), int(a)): int(d) for t, a, d in zip(all_lanes.target, all_lanes.address, all_lanes.data, strict=True)
    }
    control = int((one.target == LoadTarget.ENCODING_CONTROL).sum())
    assert len(words) == len(all_lanes) == control + 4 * (len(one) - control)
    for target, address, data in zip(one.target, one.address, one.data, strict=True):
        shift = {
            LoadTarget.ENCODING_CONTROL: None,
            LoadTarget.LEVEL_REGISTER: LEVEL_ADDRESS_SHIFT,
            LoadTarget.TABLE: ENGINE_ADDRESS_SHIFT,
        }[LoadTarget(target)]
        for lane in range(1 if shift is None else 4):
            copy = int(address) + (lane * 4 << (shift or 0))
            assert words[int(target), copy] == int(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points_per_clock": 3}, "points_per_clock must be one of 2, 4, 8, 16, not 3"),
        ({"points_per_clock": 1}, "points_per_clock must be one of 2, 4, 8, 16, not 1"),
        (
            {"points_per_clock": 4, "engine": EncodingEngineConfig(n_levels=4, level_parallel=2)},
            "points_per_clock must be at most level_parallel = 2, not 4",
        ),
        (
            {"engine": EncodingEngineConfig(n_levels=4, level_parallel=4, counters=True)},
            "counters of a multi-point encoding's engines must be False, not True",
        ),
        (
            {"engine": EncodingEngineConfig(n_levels=4, level_parallel=4, reuse_cells=True)},
            "reuse_cells of a multi-point encoding's engines must be False, not True",
        ),
        (
            {"engine": EncodingEngineConfig(n_levels=4, level_parallel=4, bank_ports=1)},
            "bank_ports of a multi-point encoding's engines must be 2, not 1",
        ),
    ],
)
def test_refusals(change, message):
    fields = {"engine": EncodingEngineConfig(n_levels=4, level_parallel=4), "points_per_clock": 2} | change
    with pytest.raises(InputError) as refused:
        MultiPointConfig(**fields)
    assert str(refused.value) == message


def test_levels_of_a_grid_are_checked():
    with pytest.raises(InputError, match=r"^n_levels must be an integer from 1 to 16, not 17$"):
        NGPC.lanes(17)
