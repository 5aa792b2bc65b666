"""Cell and fraction against Python integers."""

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.pos_fract import PosFract

ONE = 1 << 23


def golden(x: int, scale: int) -> tuple[int, int]:
    p = min(x, ONE) * scale + (1 << 32)
    return p >> 33, (p >> 25) & 255


def _inputs(rng: np.random.Generator, dims: int, count: int) -> list[dict]:
    edges = [0, 1, ONE // 2, ONE - 1, ONE, ONE + 1, 2 * ONE - 1]
    scales = [0, 1, 15 << 10, 511 << 10, (1 << 24) - 1]
    inputs = [{"position": [x] * dims, "scale": scale} for x in edges for scale in scales]
    inputs += [
        {"position": rng.integers(0, ONE, dims, endpoint=True).tolist(), "scale": int(rng.integers(0, 1 << 24))}
        for _ in range(count)
    ]
    return inputs


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("stalls", [False, True])
def test_golden(dims, stalls, run_pipeline, seed):
    config = EncodingEngineConfig(n_pos_dims=dims)
    inputs = _inputs(np.random.default_rng(seed), dims, 200)
    results = run_pipeline(
        PosFract(config),
        inputs,
        ["cell", "fraction"],
        config.pos_fract_latency,
        fixed={"three_dims": int(dims == 3)},
        stalls=stalls,
    )
    assert len(results) == len(inputs)
    for given, found in zip(inputs, results, strict=True):
        expected = [golden(x, given["scale"]) for x in given["position"]]
        assert list(zip(found["cell"], found["fraction"], strict=True)) == expected


def test_dimension_2_rests_on_2d_grids(run_pipeline, seed):
    config = EncodingEngineConfig(n_pos_dims=3)
    inputs = _inputs(np.random.default_rng(seed), 3, 50)
    results = run_pipeline(
        PosFract(config), inputs, ["cell", "fraction"], config.pos_fract_latency, fixed={"three_dims": 0}
    )
    for given, found in zip(inputs, results, strict=True):
        expected = [golden(x, given["scale"]) for x in given["position"][:2]]
        assert list(zip(found["cell"], found["fraction"], strict=True)) == [*expected, (0, 0)]
