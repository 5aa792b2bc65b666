"""Corner indices against Python integers: dense with wrap, hashed with mask."""

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.grid import HASH_PRIMES
from rtl.encoding.corner_index import CornerIndex


def golden(cell: list[int], strides: list[int], limit: int, hashed: bool) -> list[int]:
    indices = []
    for corner in range(1 << len(cell)):
        terms = [(c + (corner >> dim & 1)) * s for dim, (c, s) in enumerate(zip(cell, [1, *strides], strict=True))]
        if hashed:
            total = 0
            for term in terms:
                total ^= term & 0xFFFFFFFF
            indices.append(total % (limit + 1))
        else:
            indices.append(sum(terms) % limit)
    return indices


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("stalls", [False, True])
def test_golden(dims, stalls, run_pipeline, seed):
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig(n_pos_dims=dims, table_rows=1 << 12)
    mask = (1 << config.index_bits) - 1
    inputs, expected = [], []
    for number in range(300):
        hashed = bool(rng.integers(2))
        if hashed:
            cell = rng.integers(0, 1 << 14, dims, endpoint=True).tolist()
            strides, limit = list(HASH_PRIMES[1:dims]), (1 << int(rng.integers(3, 13))) - 1
        else:
            top = 63 if dims == 2 else 15
            resolution = int(rng.integers(2, top, endpoint=True))
            # The half cell can carry a point to the last vertex: its +1 corners wrap.
            cell = rng.integers(0, resolution, dims).tolist() if number % 3 else [resolution - 1] * dims
            strides = [resolution**dim for dim in range(1, dims)]
            limit = -(-(resolution**dims) // 8) * 8
        masked = not hashed and number % 4 == 0
        if masked:
            limit = (1 << int(rng.integers(3, 9))) - 1
        expected.append(golden(cell, strides, limit + masked, hashed))
        inputs.append(
            {
                "cell": cell,
                "strides": [s & mask for s in strides],
                "limit": limit,
                "hashed": int(hashed),
                "masked": int(masked),
            }
        )
    results = run_pipeline(CornerIndex(config), inputs, ["index"], config.corner_index_latency, stalls=stalls)
    assert [list(found["index"]) for found in results] == expected
