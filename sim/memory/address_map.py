"""From addresses to pseudo-channel, bank and row: requests sorted by the controller that serves them."""
# ruff: noqa: PLR0917 - numba takes no keywords

import numba
import numpy as np

from arch.errors import InputError
from arch.memory import AddressMapping, DramConfig

__all__ = ["BANK_MASK", "ROW_SHIFT", "SortedRequests", "sort_requests"]

ROW_SHIFT = 7
BANK_MASK = 63

_LINE_BYTES = 128
_LINE, _CHANNEL, _GROUP, _COLUMN, _BANK, _ROW = range(6)
_NAMES = ("line", "channel", "group", "column", "bank", "row")

SortedRequests = tuple[np.ndarray, np.ndarray, np.ndarray]
"""``start``, ``packed``, ``position``: requests ``start[p]`` to ``start[p + 1]`` belong to pseudo-channel p, in order
of arrival; ``packed`` is ``row << 7 | bank << 1 | write`` (int32), ``position`` the request's number."""


def sort_requests(
    dram: DramConfig, mapping: AddressMapping, addresses: np.ndarray, writes: np.ndarray, *, positions: bool = True
) -> SortedRequests:
    """Sort requests by pseudo-channel.

    Parameters
    ----------
    addresses : (requests,) int64 byte addresses within the memory
    writes : (requests,) uint8

    Raises
    ------
    InputError
        If an address lies outside the memory.
    """
    line = max(1, min(_LINE_BYTES, dram.row_bytes) // dram.burst_bytes)
    sizes = {
        "line": line, "group": dram.n_bank_groups, "column": dram.row_bytes // dram.burst_bytes // line,
        "bank": dram.n_banks_per_group, "row": dram.n_rows,
    }  # fmt: skip
    # Powers of two are cut out by shift and mask, below the channel and above it; only the channel needs a division.
    place = np.zeros((6, 3), dtype=np.uint64)
    at, is_above, below = 0, 0, 0
    for name in mapping.order:
        if name == "channel":
            at, is_above, below = 0, 1, at
        else:
            place[_NAMES.index(name)] = (at, sizes[name] - 1, is_above)
            at += sizes[name].bit_length() - 1
    burst_shift = dram.burst_bytes.bit_length() - 1
    # A division by a constant is a product and a shift, exact for up to 31 bits; others take the slow way.
    shift = 31 + (dram.n_buses - 1).bit_length()
    factor = -(-(1 << shift) // dram.n_buses) if dram.capacity_bytes >> burst_shift + below <= 1 << 31 else 0
    shape = [burst_shift, below, mapping.hashed, dram.n_buses, factor, shift]
    n = len(addresses)
    # Large arrays of NumPy's lie in large pages, those of compiled code do not.
    bus, code = np.empty(n, dtype=np.uint16), np.empty(n, dtype=np.int32)
    if _decode(addresses, writes, place, np.array(shape, dtype=np.uint64), bus, code) >= dram.capacity_bytes:
        worst = addresses.min() if addresses.min() < 0 else addresses.max()
        raise InputError(f"addresses must lie from 0 to {dram.capacity_bytes - 1}, not at {worst}")
    packed, position = np.empty(n, dtype=np.int32), np.empty(n if positions else 0, dtype=np.int32)
    start = np.zeros(dram.n_buses + 1, dtype=np.int64)
    _deal(bus, code, start, packed, position)
    return start, packed, position


@numba.njit(cache=True, error_model="numpy")
def _decode(addresses, writes, place, shape, bus, code):
    """Set the pseudo-channel and the packed request of each address; returns the largest address, negative ones as
    those from 2**63 on."""
    burst_shift, below, hashed, n_buses, factor, shift = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5]
    (row_at, row_mask, row_above) = place[_ROW, 0], place[_ROW, 1], place[_ROW, 2]
    (group_at, group_mask, group_above) = place[_GROUP, 0], place[_GROUP, 1], place[_GROUP, 2]
    (bank_at, bank_mask, bank_above) = place[_BANK, 0], place[_BANK, 1], place[_BANK, 2]
    one = np.uint64(1)
    below_mask = (one << below) - one
    per_group = bank_mask + one
    all_banks = (group_mask + one) * per_group - one
    largest = np.uint64(0)
    for i in range(len(addresses)):
        address = np.uint64(addresses[i])
        largest = max(largest, address)
        index = address >> burst_shift
        lower = index & below_mask
        above = index >> below
        upper = above * factor >> shift if factor else above // n_buses
        channel = above - upper * n_buses
        row = ((upper if row_above else lower) >> row_at) & row_mask
        group = ((upper if group_above else lower) >> group_at) & group_mask
        bank = group * per_group + (((upper if bank_above else lower) >> bank_at) & bank_mask)
        if hashed:
            bank ^= row & all_banks
            # A multiplicative hash of the bits above, brought to 0 .. n_buses - 1 by a product instead of a division
            channel += ((upper * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)) * n_buses >> np.uint64(32)
            channel -= n_buses if channel >= n_buses else np.uint64(0)
        bus[i] = channel
        code[i] = np.int32(row << np.uint64(ROW_SHIFT) | bank << one | np.uint64(writes[i]))
    return largest


@numba.njit(cache=True, error_model="numpy")
def _deal(bus, code, start, packed, position):
    """Sort by pseudo-channel, in the order of arrival."""
    n = len(bus)
    for i in range(n):
        start[np.int64(bus[i]) + 1] += 1
    for p in range(len(start) - 1):
        start[p + 1] += start[p]
    fill = start[:-1].copy()
    positions = len(position) > 0
    for i in range(n):
        p = np.int64(bus[i])
        free = fill[p]
        fill[p] = free + 1
        packed[free] = code[i]
        if positions:
            position[free] = i
