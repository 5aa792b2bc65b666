"""The load image of the encoding engine: every word decoded again, and every refusal."""

from dataclasses import replace

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig, level_layouts
from arch.encoding_image import LevelRegister, check_runnable, encoding_image
from arch.errors import InputError
from arch.grid import HASH_PRIMES, GridConfig
from arch.load import LoadTarget

GRID = GridConfig(n_pos_dims=3, n_levels=4, log2_hashmap_size=10, base_resolution=5, per_level_scale=1.8)
ENGINE = EncodingEngineConfig(n_levels=5, level_parallel=2, table_rows=4096)
SHIFTS = [0, 3, 7, 1]
PLAIN_REGISTERS = set(LevelRegister) - {LevelRegister.TILE, LevelRegister.RECIPROCAL}
"""Registers of a build without options."""


def _tables(seed: int, grid: GridConfig = GRID) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 127, (grid.n_entries, grid.n_features_per_level), endpoint=True)


def _words(image, target: LoadTarget) -> dict[int, int]:
    chosen = image.target == target
    words = dict(zip(image.address[chosen].tolist(), image.data[chosen].tolist(), strict=True))
    assert len(words) == chosen.sum(), "an address was written twice"
    return words


def test_control_and_level_registers(seed):
    image = encoding_image(GRID, ENGINE, _tables(seed), SHIFTS)
    assert _words(image, LoadTarget.ENCODING_CONTROL) == {0: 4, 1: 3}
    words = _words(image, LoadTarget.LEVEL_REGISTER)
    assert len(words) == 4 * len(PLAIN_REGISTERS)
    low = (1 << ENGINE.index_bits) - 1
    for layout, shift in zip(level_layouts(GRID, ENGINE), SHIFTS, strict=True):
        level = layout.level
        read = {register: words[level.index << 3 | register] for register in PLAIN_REGISTERS}
        assert abs(read[LevelRegister.SCALE] / 1024 - float(level.scale)) <= 2**-11
        strides = HASH_PRIMES if level.hashed else (1, level.resolution, level.resolution**2)
        assert (read[LevelRegister.STRIDE_1], read[LevelRegister.STRIDE_2]) == (strides[1] & low, strides[2] & low)
        assert read[LevelRegister.WRAP] == ((1 << 32 | 1023) if level.hashed else level.entries)
        place = read[LevelRegister.PLACE]
        assert tuple(place >> 4 * i & 15 for i in range(3)) == layout.bank_bits
        assert place >> 16 == layout.first_row
        assert read[LevelRegister.SHIFT] == shift
    assert any(level.hashed for level in GRID.levels) and not all(level.hashed for level in GRID.levels)


def test_table_words(seed):
    tables = _tables(seed)
    words = _words(encoding_image(GRID, ENGINE, tables, SHIFTS), LoadTarget.TABLE)
    assert len(words) == GRID.n_entries
    for layout in level_layouts(GRID, ENGINE):
        index = np.arange(layout.level.entries)
        bank, row = layout.place(index)
        for entry, b, r in zip(index, bank, row, strict=True):
            first, second = tables[layout.level.offset + entry].tolist()
            assert words[layout.engine << 24 | int(r) << 3 | int(b)] == (first & 255) | (second & 255) << 8


@pytest.mark.parametrize(("interpolation", "code"), [("Linear", 0), ("Nearest", 1), ("Smoothstep", 2)])
def test_interpolation_register(interpolation, code, seed):
    grid = replace(GRID, interpolation=interpolation)
    words = _words(encoding_image(grid, ENGINE, _tables(seed), SHIFTS), LoadTarget.LEVEL_REGISTER)
    assert [words[level << 3 | LevelRegister.SHIFT] for level in range(4)] == [code << 8 | shift for shift in SHIFTS]


def test_tiles_of_a_power_of_two_wrap_by_mask(seed):
    grid = replace(GRID, grid_type="Tiled", base_resolution=4)
    layouts = level_layouts(grid, ENGINE)
    assert [layout.tiled for layout in layouts] == [False, True, True, True]
    words = _words(encoding_image(grid, ENGINE, _tables(seed, grid), SHIFTS), LoadTarget.LEVEL_REGISTER)
    assert [words[level << 3 | LevelRegister.WRAP] for level in range(4)] == [64] + [1 << 33 | 63] * 3


def test_one_level_alone(seed):
    """It becomes level 0 of the engine, from row 0 on, with its own shift and table."""
    tables = _tables(seed)
    whole, alone = encoding_image(GRID, ENGINE, tables, SHIFTS), encoding_image(GRID, ENGINE, tables, SHIFTS, only=2)
    assert _words(alone, LoadTarget.ENCODING_CONTROL) == {0: 1, 1: 3}
    given, taken = _words(whole, LoadTarget.LEVEL_REGISTER), _words(alone, LoadTarget.LEVEL_REGISTER)
    assert set(taken) == PLAIN_REGISTERS
    for register in PLAIN_REGISTERS - {LevelRegister.PLACE}:
        assert taken[register] == given[2 << 3 | register]
    (layout,) = level_layouts(GRID, ENGINE, only=2)
    assert (layout.engine, layout.first_row, layout.level) == (0, 0, GRID.levels[2])
    assert len(_words(alone, LoadTarget.TABLE)) == GRID.levels[2].entries
    with pytest.raises(InputError, match=r"^level must be an integer from 0 to 3, not 4$"):
        encoding_image(GRID, ENGINE, tables, SHIFTS, only=4)


@pytest.mark.parametrize(("arithmetic", "kind", "n_words"), [("int8", np.int8, 1), ("int16", np.int16, 2)])
def test_widest_table_words(arithmetic, kind, n_words, seed):
    grid = replace(GRID, n_features_per_level=8, n_levels=2)
    tables = _tables(seed, grid) * (201 if kind is np.int16 else 1)
    engine = replace(ENGINE, n_features_per_level=8, arithmetic=arithmetic)
    words = _words(encoding_image(grid, engine, tables, [0, 0]), LoadTarget.TABLE)
    assert engine.row_words == n_words and len(words) == n_words * grid.n_entries
    for layout in level_layouts(grid, engine):
        bank, row = layout.place(np.arange(layout.level.entries))
        address = layout.engine << 24 | row << 3 | bank
        found = np.array([[words[int(a) | word << 28] for word in range(n_words)] for a in address], dtype=np.uint64)
        stored = tables[layout.level.offset : layout.level.offset + layout.level.entries]
        assert (found.view(kind).reshape(-1, 8) == stored).all()


@pytest.mark.parametrize(
    ("grid", "engine", "message"),
    [
        (
            replace(GRID, grid_type="Tiled"),
            ENGINE,
            (
                "the tile of level 1 must be a power of two or at least the level's 729 vertices on this encoding "
                "engine, not 125; take an engine with tile_remainder or a base_resolution that is a power of two"
            ),
        ),
        (
            replace(GRID, base_resolution=16384, per_level_scale=1.5),
            ENGINE,
            "scale of level 1 must be below 16384, not 24575; lower per_level_scale or n_levels",
        ),
        (
            replace(GRID, grid_type="Tiled", base_resolution=12, per_level_scale=8.0, n_levels=4),
            replace(ENGINE, table_rows=1 << 24),
            (
                "the tile of level 1 must be a power of two or at least the level's 884736 vertices on this encoding "
                "engine, not 1728; take an engine with tile_remainder or a base_resolution that is a power of two"
            ),
        ),
        (
            replace(GRID, n_pos_dims=4),
            ENGINE,
            "n_pos_dims of the grid must be at most the engine's 3, not 4",
        ),
        (
            replace(GRID, n_levels=6),
            ENGINE,
            "n_levels of the grid must be at most the engine's 5, not 6",
        ),
    ],
)
def test_refused_grids(grid, engine, message):
    with pytest.raises(InputError) as refused:
        check_runnable(grid, engine)
    assert str(refused.value) == message


def test_a_level_too_fine_for_a_dense_index_wraps_to_row_0(seed):
    grid = GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=2, base_resolution=8, per_level_scale=250.0)
    layouts = check_runnable(grid, ENGINE)
    assert [layout.flat for layout in layouts] == [False, True] and not any(
        layout.needs_remainder for layout in layouts
    )
    image = encoding_image(grid, ENGINE, _tables(seed, grid), [0, 0])
    words = _words(image, LoadTarget.LEVEL_REGISTER)
    assert words[1 << 3 | LevelRegister.WRAP] == 1 << 33
    assert words[1 << 3 | LevelRegister.STRIDE_1] == words[1 << 3 | LevelRegister.STRIDE_2] == 0


def test_remainder_registers(seed):
    """Tiles of 5^3 under 5, 9, 17 and 31 vertices an axis; level 0 fills its tile and wraps by subtraction."""
    grid = replace(GRID, grid_type="Tiled")
    engine = replace(ENGINE, tile_remainder=True)
    layouts = check_runnable(grid, engine)
    assert [layout.needs_remainder for layout in layouts] == [False, True, True, True]
    words = _words(encoding_image(grid, engine, _tables(seed, grid), SHIFTS), LoadTarget.LEVEL_REGISTER)
    assert len(words) == 4 * len(LevelRegister)
    assert words[LevelRegister.TILE] == words[LevelRegister.RECIPROCAL] == 0
    for layout in layouts[1:]:
        read = {register: words[layout.level.index << 3 | register] for register in LevelRegister}
        resolution = layout.level.resolution
        steps = [resolution % 125, resolution**2 % 125]
        assert [read[LevelRegister.STRIDE_1], read[LevelRegister.STRIDE_2], read[LevelRegister.WRAP]] == [*steps, 125]
        assert read[LevelRegister.TILE] == resolution | resolution**2 << 17 | sum(steps) % 125 << 40
        # 2^38 / 125, rounded down, and 7: 64 < 125 < 128
        assert read[LevelRegister.RECIPROCAL] == 2199023255 | 7 << 32


@pytest.mark.parametrize(
    ("tables", "shifts", "message"),
    [
        (lambda t: t[:-1], SHIFTS, r"^shape of tables_raw must be \(\d+, 2\), not \(\d+, 2\)$"),
        (lambda t: t * 2, SHIFTS, r"^tables_raw must be from -128 to 127, not from -256 to 254$"),
        (lambda t: t, SHIFTS[:-1], r"^number of level_shifts must be 4, not 3$"),
        (lambda t: t, [0, 0, 8, 0], r"^level_shift of level 2 must be an integer from 0 to 7, not 8$"),
    ],
)
def test_refused_parameters(tables, shifts, message, seed):
    with pytest.raises(InputError, match=message):
        encoding_image(GRID, ENGINE, tables(_tables(seed)), shifts)


def test_a_load_image_clears_the_counters_that_are_there(seed):
    with_counters = replace(ENGINE, counters=True)
    assert _words(encoding_image(GRID, with_counters, _tables(seed), SHIFTS), LoadTarget.ENCODING_CONTROL) == {
        0: 4, 1: 3, 2: 0,
    }  # fmt: skip
