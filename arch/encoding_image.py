"""What the host loads into a grid encoding engine: register addresses and the load image of a grid.

Load words of the encoding engine (all other bits of address and data are 0):

=================  ============================================  ================================================
target             address                                       data
=================  ============================================  ================================================
ENCODING_CONTROL   ``ControlRegister``                           the number; one the build cannot run is ignored
LEVEL_REGISTER     level << 3 | ``LevelRegister``                see ``LevelRegister``
TABLE              word << 28 | engine << 24 | row << B | bank   64 bits of a table row, word 0 the lowest:
                                                                 features, first one lowest, two's complement or
                                                                 bits of fp16
=================  ============================================  ================================================

B is ``EncodingEngineConfig.bank_bits``: 3 for eight banks, 4 for 16.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from arch.checkpoint import MAX_LEVEL_SHIFT
from arch.encoding_engine import EncodingEngineConfig, LevelLayout, level_layouts
from arch.errors import InputError, check_integer
from arch.grid import GridConfig
from arch.load import DATA_BITS, LoadImage, LoadTarget
from arch.number_format import LEVEL_SCALE

__all__ = [
    "BANK_BIT_FIELD",
    "CARRY_SHIFT",
    "ENGINE_ADDRESS_SHIFT",
    "FIRST_ROW_SHIFT",
    "HASHED_SHIFT",
    "INTERPOLATION_CODES",
    "INTERPOLATION_SHIFT",
    "LEVEL_ADDRESS_SHIFT",
    "MASKED_SHIFT",
    "RECIPROCAL_BITS",
    "REDUCED_SHIFT",
    "TILE_STRIDE_BITS",
    "WORD_ADDRESS_SHIFT",
    "ControlRegister",
    "LevelRegister",
    "check_runnable",
    "encoding_image",
    "level_scale_bits",
    "level_scale_raw",
]

LEVEL_ADDRESS_SHIFT = 3
"""Level registers: bit of the address where the level starts."""
ENGINE_ADDRESS_SHIFT = 24
"""Tables: bit of the address where the physical engine starts."""
WORD_ADDRESS_SHIFT = 28
"""Tables: bit of the address where the word of the row starts."""
HASHED_SHIFT = 32
"""WRAP register: bit of the hashed flag."""
MASKED_SHIFT = 33
"""WRAP register: bit of the flag for dense sums that wrap by mask."""
RECIPROCAL_BITS = 32
"""RECIPROCAL register: bits of the reciprocal; its shift stands above."""
CARRY_SHIFT = 40
"""RECIPROCAL register of ``fp16`` builds: bit where the carry starts."""
REDUCED_SHIFT = 32
"""STRIDE registers of ``fp16`` builds: bit where the reduced stride starts."""
TILE_STRIDE_BITS = (17, 23)
"""TILE register: bits of the strides of dimensions 1 and 2; ``STEP_BOTH`` stands above."""
INTERPOLATION_SHIFT = 8
"""SHIFT register: bit where the interpolation starts."""
INTERPOLATION_CODES = {"Linear": 0, "Nearest": 1, "Smoothstep": 2}
"""SHIFT register: the interpolation's number, 2 bits; 3 is Linear too."""
BANK_BIT_FIELD = 4
"""PLACE register: bits of each bank-bit selector."""
FIRST_ROW_SHIFT = 16
"""PLACE register: bit where the first row starts."""


class ControlRegister(IntEnum):
    """Registers of the whole engine; the first two start with the build's own numbers.

    Any word to CLEAR_COUNTERS sets the counters of all level engines to 0.
    """

    N_LEVELS = 0
    N_POS_DIMS = 1
    CLEAR_COUNTERS = 2


class LevelRegister(IntEnum):
    """Registers of each level.

    SCALE holds the level scale, 14 + 10 bits. STRIDE_1 and STRIDE_2 hold the factors of dimensions 1 and 2, low
    ``index_bits`` bits: powers of the resolution or hash primes. WRAP holds the entries of a dense level, or the mask
    (entries - 1) of a hashed one with bit 32 set, or that of a tile smaller than its level with bit 33 set. PLACE
    holds the bank-bit selectors, ascending, 4 bits each from bit 0, and the first row from bit 16. SHIFT holds
    the output shift, 3 bits, and the interpolation's number of ``INTERPOLATION_CODES`` from bit 8.

    Builds with ``tile_remainder`` have two more, 0 for levels that need no remainder. For a tile of n rows,
    2^(b-1) < n < 2^b, under a level of strides s: WRAP holds n, STRIDE_1 and STRIDE_2 hold s_1 mod n and s_2 mod n,
    TILE holds s_1 in bits 16:0, s_2 in bits 39:17 and (s_1 + s_2) mod n from bit 40. RECIPROCAL holds
    floor(2^(31+b) / n), 32 bits, and b from bit 32.

    Builds of ``fp16`` take true remainders modulo 2^32 and n of every dense index. SCALE holds an fp32 number, SHIFT
    the interpolation alone. STRIDE_1, STRIDE_2 and STRIDE_3 hold the whole factor, 32 bits, and from bit 32 its
    remainder by n. WRAP holds n, or n - 1 with bit 33 set where n is a power of two (with bit 32 set, too, for hashes).
    RECIPROCAL holds the reciprocal and b as above, and from bit 40 what a sum past 2^32 adds: -2^32 mod n; it is 0
    where n is a power of two.
    """

    SCALE = 0
    STRIDE_1 = 1
    STRIDE_2 = 2
    WRAP = 3
    PLACE = 4
    SHIFT = 5
    TILE = 6
    STRIDE_3 = 6
    RECIPROCAL = 7


def level_scale_raw(scale: np.float32) -> int:
    """A level's scale as its register holds it."""
    return int(LEVEL_SCALE.quantize(scale))


def level_scale_bits(scale: np.float32) -> int:
    """A level's scale as its register holds it in ``fp16`` builds: the bits of an fp32 number."""
    return int(np.float32(scale).view(np.uint32))


def check_runnable(
    grid: GridConfig, engine: EncodingEngineConfig, *, only: int | None = None
) -> tuple[LevelLayout, ...]:
    """Layouts of the levels of ``grid`` in ``engine``, or of level ``only`` alone as the engine's level 0.

    Raises
    ------
    InputError
        If the grid does not fit, or needs what the engine does not compute: without ``tile_remainder`` a tile
        smaller than its level and not of a power of two of rows, a scale past its register. Engines of ``fp16``
        compute every grid that fits.
    """
    layouts = level_layouts(grid, engine, only=only)
    if engine.floating:
        return layouts
    levels = [layout.level for layout in layouts]
    for layout in layouts:
        level = layout.level
        if layout.needs_remainder and not engine.tile_remainder:
            raise InputError(
                f"the tile of level {level.index} must be a power of two or at least the level's "
                f"{level.resolution**grid.n_pos_dims} vertices on this encoding engine, not {level.entries}; "
                "take an engine with tile_remainder or a base_resolution that is a power of two"
            )
    for level in levels:
        if float(level.scale) > LEVEL_SCALE.to_float(LEVEL_SCALE.maximum):
            raise InputError(
                f"scale of level {level.index} must be below {1 << LEVEL_SCALE.integer_bits}, not {level.scale:g}; "
                "lower per_level_scale or n_levels"
            )
    return layouts


def encoding_image(
    grid: GridConfig,
    engine_config: EncodingEngineConfig,
    tables_raw: np.ndarray,
    level_shifts: Sequence[int],
    *,
    only: int | None = None,
    scales: Sequence[float] | None = None,
) -> LoadImage:
    """Load words that put ``grid`` into the encoding engine.

    Parameters
    ----------
    grid : the grid
    engine_config : the engine that will run it
    tables_raw : (n_entries, n_features_per_level) raw features of all levels, one after the other; for ``fp16`` the
        numbers' bits as int16
    level_shifts : output shift of each level, 0 .. 7; 0 for ``fp16``
    only : load this level of the grid alone, as the engine's level 0; all levels if left out
    scales : for ``fp16``, the fp32 scale of each level where it is not the host's: a GPU's own is up to 2 ulp off

    Raises
    ------
    InputError
        What :func:`check_runnable` refuses; a table or shifts of the wrong shape or range.
    """
    layouts = check_runnable(grid, engine_config, only=only)
    tables_raw = np.asarray(tables_raw)
    shape = (grid.n_entries, grid.n_features_per_level)
    if tables_raw.shape != shape:
        raise InputError(f"shape of tables_raw must be {shape}, not {tables_raw.shape}")
    value = engine_config.profile.value
    if tables_raw.min() < value.minimum or tables_raw.max() > value.maximum:
        raise InputError(
            f"tables_raw must be from {value.minimum} to {value.maximum}, "
            f"not from {tables_raw.min()} to {tables_raw.max()}"
        )
    if len(level_shifts) != grid.n_levels:
        raise InputError(f"number of level_shifts must be {grid.n_levels}, not {len(level_shifts)}")
    for level, shift in enumerate(level_shifts):
        check_integer(f"level_shift of level {level}", int(shift), 0, 0 if engine_config.floating else MAX_LEVEL_SHIFT)
    if scales is None:
        scales = [level.scale for level in grid.levels]
    elif not engine_config.floating:
        raise InputError(f"scales of levels must be the host's in {engine_config.arithmetic}, not others; take fp16")
    if len(scales) != grid.n_levels:
        raise InputError(f"number of scales must be {grid.n_levels}, not {len(scales)}")

    image = LoadImage.of(
        LoadTarget.ENCODING_CONTROL,
        np.array([ControlRegister.N_LEVELS, ControlRegister.N_POS_DIMS]),
        np.array([len(layouts), grid.n_pos_dims]),
    )
    if engine_config.counters:
        image += LoadImage.of(LoadTarget.ENCODING_CONTROL, np.array([ControlRegister.CLEAR_COUNTERS]), np.array([0]))
    for number, layout in enumerate(layouts):
        last = INTERPOLATION_CODES[grid.interpolation] << INTERPOLATION_SHIFT | int(level_shifts[layout.level.index])
        if engine_config.floating:
            registers = _float_registers(layout, engine_config, np.float32(scales[layout.level.index]))
        else:
            registers = _integer_registers(layout, engine_config)
        registers |= {LevelRegister.PLACE: _place(layout), LevelRegister.SHIFT: last}
        address = np.array(list(registers)) | number << LEVEL_ADDRESS_SHIFT
        image += LoadImage.of(LoadTarget.LEVEL_REGISTER, address, np.array(list(registers.values()), dtype=np.uint64))
    for layout in layouts:
        image += _table(layout, engine_config, tables_raw)
    return image


def _place(layout: LevelLayout) -> int:
    place = layout.first_row << FIRST_ROW_SHIFT
    for selector, bit in enumerate(layout.bank_bits):
        place |= bit << selector * BANK_BIT_FIELD
    return place


def _integer_registers(layout: LevelLayout, engine: EncodingEngineConfig) -> dict[LevelRegister, int]:
    level = layout.level
    index_mask = (1 << engine.index_bits) - 1
    strides = (*level.strides, 0)[:3]
    if layout.needs_remainder:
        strides = tuple(stride % level.entries for stride in strides)
    registers = {
        LevelRegister.SCALE: level_scale_raw(level.scale),
        LevelRegister.STRIDE_1: strides[1] & index_mask,
        LevelRegister.STRIDE_2: strides[2] & index_mask,
        LevelRegister.WRAP: _wrap(layout),
    }
    if engine.tile_remainder:
        registers |= _remainder_registers(layout)
    return registers


def _float_registers(layout: LevelLayout, engine: EncodingEngineConfig, scale: np.float32) -> dict[LevelRegister, int]:
    level = layout.level
    # a level too fine for an index wraps to its one row like a table of one
    entries = 1 if layout.flat else level.entries
    registers = {LevelRegister.SCALE: level_scale_bits(scale), LevelRegister.WRAP: entries, LevelRegister.RECIPROCAL: 0}
    for dim, stride in enumerate((*level.strides, 0, 0)[1 : engine.n_pos_dims], start=1):
        register = LevelRegister(LevelRegister.STRIDE_3 if dim == 3 else LevelRegister.STRIDE_1 + dim - 1)
        registers[register] = stride | stride % entries << REDUCED_SHIFT
    if entries & entries - 1:
        bits = entries.bit_length()
        reciprocal = (1 << 31 + bits) // entries | bits << RECIPROCAL_BITS
        registers[LevelRegister.RECIPROCAL] = reciprocal | -(1 << 32) % entries << CARRY_SHIFT
    else:
        registers[LevelRegister.WRAP] = 1 << MASKED_SHIFT | level.hashed << HASHED_SHIFT | entries - 1
    return registers


def _remainder_registers(layout: LevelLayout) -> dict[LevelRegister, int]:
    if not layout.needs_remainder:
        return {LevelRegister.TILE: 0, LevelRegister.RECIPROCAL: 0}
    entries = layout.level.entries
    stride_1, stride_2 = (*layout.level.strides, 0)[1:3]
    both = (stride_1 + stride_2) % entries
    bits = entries.bit_length()
    tile = stride_1 | stride_2 << TILE_STRIDE_BITS[0] | both << sum(TILE_STRIDE_BITS)
    return {LevelRegister.TILE: tile, LevelRegister.RECIPROCAL: (1 << 31 + bits) // entries | bits << RECIPROCAL_BITS}


def _wrap(layout: LevelLayout) -> int:
    entries = layout.level.entries
    if layout.level.hashed:
        return 1 << HASHED_SHIFT | entries - 1
    if layout.flat:
        return 1 << MASKED_SHIFT
    return 1 << MASKED_SHIFT | entries - 1 if layout.tiled and not layout.needs_remainder else entries


def _table(layout: LevelLayout, engine: EncodingEngineConfig, tables_raw: np.ndarray) -> LoadImage:
    level = layout.level
    bank, row = layout.place(np.arange(level.entries))
    address = layout.engine << ENGINE_ADDRESS_SHIFT | row << engine.bank_bits | bank
    features = tables_raw[level.offset : level.offset + level.entries].astype(np.int64)
    value_bits = engine.profile.value_bits
    per_word = DATA_BITS // value_bits
    image = None
    for word in range(engine.row_words):
        data = np.zeros(level.entries, dtype=np.int64)
        for position, feature in enumerate(features.T[word * per_word : (word + 1) * per_word]):
            data |= (feature & (1 << value_bits) - 1) << position * value_bits
        part = LoadImage.of(LoadTarget.TABLE, address | word << WORD_ADDRESS_SHIFT, data)
        image = part if image is None else image + part
    return image
