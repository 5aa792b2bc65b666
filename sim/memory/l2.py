"""The L2 in front of the DRAM: which sectors hit, what goes to DRAM, how long its banks are busy."""

from dataclasses import dataclass

import numba
import numpy as np

from arch.errors import InputError
from arch.memory import L2Config

__all__ = ["L2Cache", "L2Run"]


@dataclass(frozen=True, kw_only=True)
class L2Run:
    """What a piece of traffic did to the L2.

    Parameters
    ----------
    l2 : the cache
    requests, hits : sectors asked for, and found; a write of a whole sector never waits for memory and counts as hit
        only if its sector was there
    reads, write_hits : of the requests, those that read; of the hits, those that wrote
    bank_bytes : (n_banks,) bytes each bank gave or took; fills and write-backs have a port of their own
    dram_addresses, dram_writes : sectors for the DRAM, in order: fills of read misses, write-backs of evicted lines
    """

    l2: L2Config
    requests: int
    hits: int
    reads: int
    write_hits: int
    bank_bytes: np.ndarray
    dram_addresses: np.ndarray
    dram_writes: np.ndarray

    @property
    def fills(self) -> int:
        """Sectors read from DRAM."""
        return int(np.count_nonzero(self.dram_writes == 0))

    @property
    def write_backs(self) -> int:
        """Sectors written to DRAM."""
        return int(np.count_nonzero(self.dram_writes))

    @property
    def hit_rate(self) -> float:
        """Hits of all requests; 0 for none."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def busy_ns(self) -> float:
        """Time of the busiest bank."""
        return float(self.bank_bytes.max()) / self.l2.bank_bytes_per_clk / self.l2.clock_hz * 1e9


class L2Cache:
    """The cache's contents, kept from one piece of traffic to the next.

    Requests are sectors. A read miss fetches its sector; a write takes its sector without a fetch, since GPU stores
    are merged to whole sectors before they come here; an evicted line writes its dirty sectors back.

    Parameters
    ----------
    config : the cache
    """

    def __init__(self, config: L2Config) -> None:
        self.config = config
        lines = config.n_banks * config.n_sets * config.n_ways
        self._tag = np.full(lines, -1, dtype=np.int64)
        self._used = np.zeros(lines, dtype=np.int64)
        self._valid = np.zeros(lines, dtype=np.uint32)
        self._dirty = np.zeros(lines, dtype=np.uint32)
        self._clock = np.zeros(1, dtype=np.int64)

    def run(self, addresses: np.ndarray, writes: np.ndarray | None = None) -> L2Run:
        """Serve one sector per address, in order.

        Raises
        ------
        InputError
            If ``writes`` has another shape than ``addresses`` or an address is negative.
        """
        config = self.config
        addresses = np.ascontiguousarray(addresses, dtype=np.int64)
        if writes is None:
            writes = np.zeros(len(addresses), dtype=np.uint8)
        writes = np.ascontiguousarray(writes).astype(np.uint8, copy=False)
        if addresses.ndim != 1 or writes.shape != addresses.shape:
            raise InputError(f"writes must have the shape of addresses, {addresses.shape}, not {writes.shape}")
        if len(addresses) and addresses.min() < 0:
            raise InputError(f"addresses must be at least 0, not {addresses.min()}")
        bank_bytes = np.zeros(config.n_banks, dtype=np.int64)
        counts = np.zeros(3, dtype=np.int64)
        per_line = config.line_bytes // config.sector_bytes
        out_address = np.empty(len(addresses) * (1 + per_line), dtype=np.int64)
        out_write = np.empty(len(out_address), dtype=np.uint8)
        n_out = _serve(
            addresses, writes, self._tag, self._used, self._valid, self._dirty, self._clock,
            np.array([config.n_banks, config.n_sets, config.n_ways, per_line, config.sector_bytes], dtype=np.int64),
            bank_bytes, counts, out_address, out_write,
        )  # fmt: skip
        return L2Run(
            l2=config,
            requests=len(addresses),
            hits=int(counts[0]),
            reads=int(counts[1]),
            write_hits=int(counts[2]),
            bank_bytes=bank_bytes,
            dram_addresses=out_address[:n_out].copy(),
            dram_writes=out_write[:n_out].copy(),
        )

    @property
    def dirty_bytes(self) -> int:
        """Bytes written that are not in memory yet."""
        return int(np.bitwise_count(self._dirty).sum()) * self.config.sector_bytes


@numba.njit(cache=True, error_model="numpy")
def _serve(  # noqa: PLR0917 - numba takes no keywords
    addresses, writes, tag, used, valid, dirty, clock, shape, bank_bytes, counts, out_address, out_write
):
    n_banks, n_sets, n_ways, per_line, sector_bytes = shape[0], shape[1], shape[2], shape[3], shape[4]
    line_bytes = per_line * sector_bytes
    now = clock[0]
    n_out = 0
    for i in range(len(addresses)):
        now += 1
        line = addresses[i] // line_bytes
        sector = np.uint32(1) << np.uint32(addresses[i] // sector_bytes % per_line)
        upper = line // n_banks
        # Banks are rotated by higher bits, so that strides do not stay on one of them.
        bank = (line + ((upper * 0x9E3779B1) >> 12 & 0xFFFF)) % n_banks
        first = (bank * n_sets + upper % n_sets) * n_ways
        way = -1
        oldest = first
        for w in range(first, first + n_ways):
            if tag[w] == line:
                way = w
                break
            if used[w] < used[oldest]:
                oldest = w
        bank_bytes[bank] += sector_bytes
        if writes[i] == 0:
            counts[1] += 1
        if way >= 0 and valid[way] & sector:
            counts[0] += 1
            counts[2] += writes[i]
        else:
            if way < 0:
                way = oldest
                for s in range(per_line):
                    if dirty[way] >> np.uint32(s) & np.uint32(1):
                        out_address[n_out] = tag[way] * line_bytes + s * sector_bytes
                        out_write[n_out] = 1
                        n_out += 1
                tag[way] = line
                valid[way] = 0
                dirty[way] = 0
            if writes[i] == 0:
                out_address[n_out] = addresses[i] // sector_bytes * sector_bytes
                out_write[n_out] = 0
                n_out += 1
            valid[way] |= sector
        if writes[i]:
            dirty[way] |= sector
        used[way] = now
    clock[0] = now
    return n_out
