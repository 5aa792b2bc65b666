"""Tokens on a GPU whose GEMMs run on an NGPC's arrays: times by hand, rates, and what overlap is then worth."""

import pytest

from arch.errors import InputError
from arch.workload import load_model, load_node, load_program
from sim.machine.decoder_program import beside_arrays, fit_to_batch
from sim.machine.token_cost import GEMMS, TokenBatch, gemm_cost
from sim.machine.token_times import TokenTimes, token_times
from sim.machine.tokens import time_tokens
from sim.search.search import search_schedule
from sim.serving.iteration_time import iteration_times

BATCH = TokenBatch(prompt=512, decode=1024, rows=2048)


def times(device: str = "8xa100_80gb_ngpc64", model: str = "llama2_70b") -> TokenTimes:
    return token_times(load_model(model), load_node(device), BATCH)


def test_gemm_times_by_hand():
    """KQV of one of eight GPUs: 8192 x 1280 weights are 128 x 20 tiles, 40 an array, 2048 rows each, at 1 GHz."""
    own = times()
    assert own.nano_batch_us("KQV", 2048) == pytest.approx((40 * 2048 + 128) / 1e3)
    # Down is split by its inputs: 3584 of 28672, so 56 x 128 tiles
    assert own.nano_batch_us("Down", 640) == pytest.approx((56 * 128 // 64 * 640 + 128) / 1e3)
    assert own.whole_batch_us("UpGate") == own.nano_batch_us("UpGate", 2048)
    assert own.extrapolated and own.achievable_flops_per_s == 2 * 64 * 4096 * 1e9
    # few rows wait for the weights to be read, or to be loaded into the arrays
    floor = gemm_cost(own.model, "UpGate", 8, 1).memory_s(own.node) * 1e6
    assert own.nano_batch_us("UpGate", 8) >= floor


def test_an_expert_gets_its_part_of_the_rows():
    own = times(model="mixtral_8x7b")
    # 8 experts of 448 x 64 tiles over 8 GPUs: 56 a GPU and input tile row; 2 of 8 experts a row
    clocks = 8 * (28672 // 8 // 64) * 64 // 64 * 512 + 128
    assert own.nano_batch_us("UpGate", 2048) == pytest.approx(clocks / 1e3)


def test_everything_else_is_the_gpus():
    own, plain = times(), times("8xa100_80gb")
    for operation in ("DecodeAttention", "PrefillAttention", "AllGather", "AllReduce", "Rope"):
        assert own.nano_batch_us(operation, 640) == plain.nano_batch_us(operation, 640)


def test_gemms_hold_no_share_and_cost_their_neighbours_bandwidth():
    own = times()
    program = fit_to_batch(load_program("llama2_70b_2048"), BATCH)
    freed, rates = beside_arrays(program, own, "artifact")
    index = {nano.name: number for number, nano in enumerate(freed.nano_operations)}
    assert all(not nano.shares for nano in freed.nano_operations if nano.operation in GEMMS)
    gemm, attention = index["UpGate1"], index["DecodeAttention1"]
    assert rates((attention,)) == [1.0]
    together = dict(zip(sorted((gemm, attention)), rates(tuple(sorted((gemm, attention)))), strict=True))
    used = gemm_cost(own.model, "UpGate", 640, 1).memory_s(own.node) * 1e6 / own.nano_batch_us("UpGate", 640)
    assert together[gemm] == 1.0
    assert together[attention] == pytest.approx(1.0 - used) and 0.1 < used < 0.5


def test_overlap_with_arrays_beats_overlap_without():
    plain = time_tokens(executions=["overlapped"]).rows[0]
    found = time_tokens(device="8xa100_80gb_ngpc64", executions=["sequential", "nano_only", "overlapped"]).rows
    by_name = {row.execution: row.tokens_per_s_per_gpu for row in found}
    assert by_name["overlapped"] > by_name["sequential"] > by_name["nano_only"]
    assert by_name["overlapped"] > 1.3 * plain.tokens_per_s_per_gpu
    assert all(row.fraction_of_optimal < 1 and row.extrapolated and row.deviation is None for row in found)


def test_serving_and_search_know_the_arrays():
    model, node = load_model("llama2_70b"), load_node("8xa100_80gb_ngpc64")
    assert (iteration_times(model, node).seconds < iteration_times(model, load_node("8xa100_80gb")).seconds).all()
    with pytest.raises(InputError) as error:
        search_schedule(device="8xa100_80gb_ngpc64", interference="artifact")
    assert str(error.value) == (
        "interference must be none for 8xa100_80gb_ngpc64, whose GEMMs take no share, not 'artifact'"
    )
    found = search_schedule(device="8xa100_80gb_ngpc64", effort=0.02)
    assert found.interference == "none" and found.times == "calibrated" and found.period_us > 0
