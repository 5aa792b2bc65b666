"""Arrays beside a GPU: clocks counted tile by tile, peaks, presets and refusals."""

import math

import pytest

from arch.device import SystolicConfig
from arch.errors import InputError
from arch.workload import load_gpu, load_node

ARRAYS = SystolicConfig(n_arrays=64, rows=64, cols=64, clock_hz=1e9)


def test_the_peak_of_ngpc_64():
    assert ARRAYS.flops_per_s == 2 * 64 * 4096 * 1e9
    assert load_gpu("a100_80gb_ngpc64").systolic == load_gpu("h200_ngpc64").systolic == ARRAYS
    assert load_gpu("a100_80gb").systolic is None
    assert load_node("8xa100_80gb_ngpc64").n_gpus == 8


def dealt(m: int, n: int, k: int, arrays: SystolicConfig) -> int:
    """Tiles dealt one after the other; the array with the most decides."""
    busy = [0] * arrays.n_arrays
    number = 0
    for _ in range(0, k, arrays.rows):
        for _ in range(0, n, arrays.cols):
            busy[number % arrays.n_arrays] += max(m, arrays.rows)
            number += 1
    return max(busy) + arrays.rows + arrays.cols


@pytest.mark.parametrize(
    ("m", "n", "k"), [(2048, 1280, 8192), (100, 70, 130), (1, 1, 1), (640, 7168, 8192), (8, 64, 64)]
)
@pytest.mark.parametrize("arrays", [ARRAYS, SystolicConfig(n_arrays=3, rows=16, cols=32, clock_hz=5e8)])
def test_clocks_are_those_of_tiles_dealt_in_turn(m, n, k, arrays):
    assert arrays.gemm_clocks(m, n, k) == dealt(m, n, k, arrays)


def test_a_full_product_takes_its_operations_over_the_peak():
    clocks = ARRAYS.gemm_clocks(2048, 4096, 4096)
    assert math.isclose(clocks, 2048 * 4096 * 4096 / (64 * 4096), rel_tol=1e-2)
    assert ARRAYS.gemm_clocks(256, 4096, 4096, n_gemms=8) == 8 * (ARRAYS.gemm_clocks(256, 4096, 4096) - 128) + 128


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_arrays": 0}, "n_arrays must be an integer from 1 to 1024, not 0"),
        ({"rows": 2.0}, "rows of an array must be an integer from 1 to 1024, not 2.0"),
        ({"cols": -1}, "cols of an array must be an integer from 1 to 1024, not -1"),
        ({"clock_hz": 0}, "clock_hz of the arrays must be a number above 0, not 0"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(InputError) as error:
        SystolicConfig(**{"n_arrays": 1, "rows": 1, "cols": 1, "clock_hz": 1.0, **change})
    assert str(error.value) == message
