"""Bank layout, conflict counts and latencies of the encoding engine's configuration."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.bank_layout import HASHED_BANK_BITS, N_BANK_BIT_POSITIONS, bank_of, conflict_clocks, squeeze
from arch.encoding_engine import EncodingEngineConfig, fitting_engine, level_layouts
from arch.encoding_image import check_runnable
from arch.errors import InputError
from arch.grid import GridConfig
from arch.presets import FIELDS

SMALL = GridConfig(n_pos_dims=3, n_levels=4, log2_hashmap_size=10, base_resolution=5, per_level_scale=1.8)


@given(st.sets(st.integers(0, N_BANK_BIT_POSITIONS - 1), min_size=3, max_size=4), st.integers(9, 14))
@settings(max_examples=40, deadline=None)
def test_bank_and_row_name_every_index_once(bits, index_bits):
    bank_bits = tuple(sorted(bits))
    index = np.arange(1 << index_bits)
    bank, row = bank_of(index, bank_bits), squeeze(index, bank_bits)
    banks = 1 << len(bank_bits)
    assert bank.max() == banks - 1 and len(np.unique(row * banks + bank)) == len(index)
    assert row.max() == (1 << index_bits) // banks - 1


def test_conflict_clocks_is_the_fullest_bank_over_two_ports():
    banks = np.array([[0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 1, 2, 3, 4, 5], [7] * 8, [0, 0, 0, 0, 0, 1, 2, 3]])
    assert conflict_clocks(banks).tolist() == [1, 2, 4, 3]

    # 16 banks of one port
    assert conflict_clocks(banks, 16).tolist() == [2, 3, 8, 5]


@pytest.mark.parametrize("bank_ports", [2, 1])
def test_levels_of_an_engine_never_overlap(bank_ports):
    engine = EncodingEngineConfig(n_levels=4, level_parallel=2, table_rows=4096, bank_ports=bank_ports)
    layouts = level_layouts(SMALL, engine)
    used = [set() for _ in range(2)]
    for layout in layouts:
        assert layout.engine == layout.level.index % 2
        bank, row = layout.place(np.arange(layout.level.entries))
        rows = set((row * engine.n_banks + bank).tolist())
        assert len(rows) == layout.level.entries
        assert row.min() >= layout.first_row and row.max() < layout.first_row + layout.rows <= engine.bank_rows
        assert not rows & used[layout.engine]
        used[layout.engine] |= rows
        if layout.level.hashed:
            assert layout.bank_bits == HASHED_BANK_BITS[engine.n_banks]


def test_bank_bits_cost_almost_nothing(seed):
    """Every level of the presets that the engine runs: at most 1.006 clocks a point on fresh random cells."""
    rng = np.random.default_rng(seed)
    checked = 0
    for name in ("nerf_hash", "nsdf_hash", "nvr_hash", "nerf_dense", "gia_dense"):
        grid = FIELDS[name].grid
        engine = EncodingEngineConfig(table_rows=1 << 24)
        for layout in check_runnable(grid, engine):
            level = layout.level
            cells = rng.integers(0, level.resolution, (20000, grid.n_pos_dims))
            corners = np.array([[c >> d & 1 for d in range(grid.n_pos_dims)] for c in range(1 << grid.n_pos_dims)])
            terms = (cells[:, None, :] + corners) * np.array(level.strides)
            if level.hashed:
                index = np.bitwise_xor.reduce(terms & 0xFFFFFFFF, axis=2) % level.entries
            else:
                index = terms.sum(axis=2) % level.entries
            clocks = conflict_clocks(layout.place(index)[0]).mean()
            assert clocks <= 1.006, f"{name} level {level.index}: {clocks}"
            checked += 1
    assert checked == 64


@pytest.mark.parametrize("dims", [2, 3])
def test_latency_adds_up_and_leaves_credit(dims):
    config = EncodingEngineConfig(n_pos_dims=dims)
    assert config.front_latency == 10
    assert config.back_latency == 7 + 2 * dims
    assert config.latency == 18 + 2 * dims <= 24
    # One credit a point: a clock to take it, ``latency`` to its features, and the credit is back.
    assert config.points_in_flight > config.latency
    assert replace(config, bank_ports=1).latency == config.latency + 1
    tiled = replace(config, tile_remainder=True)
    assert tiled.latency == config.latency + 9 < tiled.points_in_flight


@pytest.mark.parametrize("dims", [2, 3, 4])
def test_latency_in_fp16(dims):
    config = EncodingEngineConfig(n_pos_dims=dims, arithmetic="fp16")
    assert config.cell_wait == 4 * dims
    # multiply-add, floor and fraction; weights; issue and ranks
    assert config.front_latency == 10 + 12 + 5 * dims + 2
    assert config.back_latency == 5 + 6 * 2**dims
    assert config.latency == {2: 64, 3: 93, 4: 146}[dims] < config.points_in_flight


def test_four_dimensions_are_a_build_of_their_own():
    engine = EncodingEngineConfig(n_pos_dims=4, arithmetic="fp16")
    with pytest.raises(InputError, match=r"^n_pos_dims of the grid must be the engine's 4, not 3$"):
        level_layouts(SMALL, engine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_pos_dims": 4}, "n_pos_dims of the encoding engine must be one of 2, 3, not 4"),
        ({"n_features_per_level": 3}, "n_features_per_level must be one of 1, 2, 4, 8, not 3"),
        ({"n_levels": 17}, "n_levels of the encoding engine must be an integer from 1 to 16, not 17"),
        ({"level_parallel": 3}, "level_parallel must be one of 1, 2, 4, 8, 16, not 3"),
        ({"n_levels": 2, "level_parallel": 4}, "level_parallel must be at most n_levels = 2, not 4"),
        ({"table_rows": 100}, "table_rows must be a multiple of 8, not 100"),
        ({"table_rows": 24, "bank_ports": 1}, "table_rows must be a multiple of 16, not 24"),
        ({"bank_ports": 3}, "bank_ports must be one of 1, 2, not 3"),
        ({"tile_remainder": None}, "tile_remainder must be one of True, False, not None"),
        ({"reuse_cells": "yes"}, "reuse_cells must be one of True, False, not 'yes'"),
        ({"counters": 1}, "counters must be one of True, False, not 1"),
        ({"arithmetic": "fp32"}, "arithmetic must be one of int8, int16, fp16, not 'fp32'"),
        (
            {"arithmetic": "fp16", "n_pos_dims": 5},
            "n_pos_dims of the encoding engine must be one of 2, 3, 4, not 5",
        ),
        ({"arithmetic": "fp16", "tile_remainder": True}, "tile_remainder must be one of False, not True"),
    ],
)
def test_refused_engines(change, message):
    with pytest.raises(InputError) as refused:
        EncodingEngineConfig(**change)
    assert str(refused.value) == message


def test_a_grid_that_does_not_fit_says_by_how_much():
    with pytest.raises(InputError, match=r"^table_rows of the encoding engine must be at least \d+ for this grid, not"):
        level_layouts(SMALL, EncodingEngineConfig(table_rows=512))


def test_the_smallest_engine_of_a_grid_has_what_the_grid_needs():
    assert not fitting_engine(SMALL).tile_remainder
    tiles = GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=2, base_resolution=5)
    engine = fitting_engine(tiles)
    assert engine.tile_remainder and len(check_runnable(tiles, engine)) == 2
