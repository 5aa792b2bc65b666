"""The load image of a program: the words of the scheduler unit's tables on the cluster's load stream.

A word of the tables may be wider than a load word: it comes in parts of 64 bits, lowest first, and the last part
completes it. All are of target ``SCHEDULER``; the fields of the address are :data:`ADDRESS_FIELDS`.
"""

from collections.abc import Mapping

import numpy as np

from arch.descriptor import load_data_bits, pack_program
from arch.load import DATA_BITS, LoadImage, LoadTarget
from arch.program import Program
from arch.scheduler import SchedulerConfig

__all__ = ["ADDRESS_FIELDS", "program_image", "word_parts"]

ADDRESS_FIELDS: Mapping[str, tuple[int, int]] = {"part": (0, 8), "address": (8, 8), "table": (16, 2), "last": (18, 1)}
"""Lowest bit and width: number of the part, address in the table, ``arch.descriptor.LoadTable``, last part."""


def word_parts(config: SchedulerConfig) -> int:
    """Load words of a word of the tables."""
    return -(-load_data_bits(config) // DATA_BITS)


def program_image(program: Program, config: SchedulerConfig) -> LoadImage:
    """Load words that put ``program`` into a scheduler unit of ``config``.

    Raises
    ------
    InputError
        If the program does not fit the unit.
    """
    parts, addresses, data = word_parts(config), [], []
    for table, address, word in pack_program(program, config).load_words():
        for part in range(parts):
            values = {"part": part, "address": address, "table": int(table), "last": int(part == parts - 1)}
            addresses.append(sum(values[name] << low for name, (low, _) in ADDRESS_FIELDS.items()))
            data.append(word >> DATA_BITS * part & (1 << DATA_BITS) - 1)
    return LoadImage.of(LoadTarget.SCHEDULER, np.array(addresses), np.array(data, dtype=np.uint64))
