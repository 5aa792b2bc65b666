"""From addresses to pseudo-channel, bank and row: requests sorted by the controller that serves them."""

import numba
import numpy as np

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
    return _sort(addresses, writes, place, np.array(shape, dtype=np.uint64), positions)


@numba.njit(cache=True, error_model="numpy")
def _cut(place, field, lower, upper):
    return ((upper if place[field, 2] else lower) >> place[field, 0]) & place[field, 1]


@numba.njit(cache=True, error_model="numpy")
def _sort(addresses, writes, place, shape, positions):
    burst_shift, below, hashed, n_buses, factor, shift = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5]
    one = np.uint64(1)
    below_mask = (one << below) - one
    per_group = place[_BANK, 1] + one
    bank_mask = (place[_GROUP, 1] + one) * per_group - one
    n = len(addresses)
    bus = np.empty(n, np.uint16)
    code = np.empty(n, np.int32)
    start = np.zeros(np.int64(n_buses) + 1, np.int64)
    for i in range(n):
        index = np.uint64(addresses[i]) >> burst_shift
        lower = index & below_mask
        upper = (index >> below) * factor >> shift if factor else (index >> below) // n_buses
        channel = (index >> below) - upper * n_buses
        row = _cut(place, _ROW, lower, upper)
        bank = _cut(place, _GROUP, lower, upper) * per_group + _cut(place, _BANK, lower, upper)
        if hashed:
            bank ^= row & bank_mask
            # A multiplicative hash of the bits above, brought to 0 .. n_buses - 1 by a product instead of a division
            channel += ((upper * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)) * n_buses >> np.uint64(32)
            if channel >= n_buses:
                channel -= n_buses
        bus[i] = channel
        code[i] = np.int32(row << np.uint64(ROW_SHIFT) | bank << one | np.uint64(writes[i]))
        start[channel + one] += 1
    for p in range(len(start) - 1):
        start[p + 1] += start[p]
    fill = start[:-1].copy()
    packed = np.empty(n, np.int32)
    position = np.empty(n if positions else 0, np.int32)
    for i in range(n):
        free = fill[bus[i]]
        fill[bus[i]] = free + 1
        packed[free] = code[i]
        if positions:
            position[free] = i
    return start, packed, position
