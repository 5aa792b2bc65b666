"""Address patterns of bursts, for the command line, the tests and the documentation's figures."""

import numpy as np

from arch.errors import InputError, check_integer, check_one_of
from arch.memory import DramConfig

__all__ = ["LEAST_FOOTPRINT_BYTES", "PATTERNS", "pattern_requests"]

PATTERNS = ("stream", "random", "strided", "copy")

_LINE_BYTES = 128
LEAST_FOOTPRINT_BYTES = 4 * _LINE_BYTES
"""Two lines for each half of a copy."""

_MOST_REQUESTS = 1 << 26
"""Their arrays take 3 GB."""


def pattern_requests(
    pattern: str,
    dram: DramConfig,
    requests: int,
    *,
    footprint_bytes: int | None = None,
    stride_bytes: int = 4096,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Addresses and write flags of a pattern, both (requests,).

    ``stream`` reads burst after burst; ``random`` reads bursts uniformly; ``strided`` reads one burst every
    ``stride_bytes``, one burst further after each turn; ``copy`` reads lines of 128 bytes of the lower half and writes
    them to the upper half, line by line. All wrap within ``footprint_bytes``, by default the whole memory.

    Raises
    ------
    InputError
        If the pattern is none of ``PATTERNS``, a number is out of its range, or ``stride_bytes`` of ``strided`` is more
        than half of the footprint: a turn would be a single request, and the pattern a stream.
    """
    check_one_of("pattern", pattern, PATTERNS)
    check_integer("requests", requests, 1, _MOST_REQUESTS)
    burst = dram.burst_bytes
    footprint = dram.capacity_bytes if footprint_bytes is None else footprint_bytes
    check_integer("footprint_bytes", footprint, LEAST_FOOTPRINT_BYTES, dram.capacity_bytes)
    check_integer("stride_bytes", stride_bytes, burst, dram.capacity_bytes // 2)
    writes = np.zeros(requests, dtype=np.uint8)
    number = np.arange(requests, dtype=np.int64)
    if pattern == "stream":
        addresses = number * burst % (footprint // burst * burst)
    elif pattern == "random":
        addresses = np.random.default_rng(seed).integers(0, footprint // burst, requests) * burst
    elif pattern == "strided":
        if 2 * stride_bytes > footprint:
            raise InputError(
                f"stride_bytes must be at most half of the footprint, {footprint // 2}, not {stride_bytes}; take a "
                "shorter stride or a larger footprint"
            )
        turn = footprint // stride_bytes
        addresses = (number % turn * stride_bytes + number // turn * burst) % (footprint // burst * burst)
    else:
        per_line = _LINE_BYTES // burst
        half = footprint // 2 // _LINE_BYTES * _LINE_BYTES
        line, within = number // (2 * per_line), number % per_line
        writes = (number // per_line % 2).astype(np.uint8)
        addresses = line * _LINE_BYTES % half + within * burst + writes * np.int64(half)
    return addresses, writes
