"""Kernel times of models, devices and batches nobody measured: rising with the work, and never beyond the machine."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.workload import load_calibration, load_model, load_node, preset_names
from sim.machine.kernel_laws import collective_us, elementwise_us, gemm_us, prefill_attention_us, streaming_bytes_per_s
from sim.machine.token_cost import GEMMS, TokenBatch, attention_cost, gemm_cost
from sim.machine.token_times import ELEMENTWISE, token_times
from sim.machine.tokens import time_tokens

DEVICES = [name for name in preset_names("device") if "ngpc" not in name]
NETWORKED = [name for name in DEVICES if name != "rtx3090"]
MODELS = ["llama2_70b", "llama3_70b", "llama3_8b", "qwen2_72b", "deepseek_67b", "mixtral_8x7b", "llama3_405b"]
KERNELS = (*GEMMS, *ELEMENTWISE, "DecodeAttention", "PrefillAttention", "AllGather", "AllReduce", "KvOffload")

nodes = st.one_of(
    st.sampled_from(DEVICES),
    st.builds(lambda n, name: f"{n}x{name}", st.sampled_from([2, 4, 8]), st.sampled_from(NETWORKED)),
)  # fmt: skip
rows = st.floats(1, 16384)


def times(model, node, context=1024):
    batch = TokenBatch(prompt=512, decode=1024, rows=16384, attended=context)
    return token_times(load_model(model), load_node(node), batch)


@settings(max_examples=150, derandomize=True)
@given(model=st.sampled_from(MODELS), node=nodes, kernel=st.sampled_from(KERNELS), one=rows, other=rows)
def test_more_rows_never_take_less(model, node, kernel, one, other):
    own, (less, more) = times(model, node), sorted((one, other))
    first, second = own.nano_batch_us(kernel, less), own.nano_batch_us(kernel, more)
    assert 0 <= first <= second * (1 + 1e-9)
    assert first > 0 or (own.node.n_gpus == 1 and kernel.startswith("All"))


@settings(max_examples=150, derandomize=True)
@given(model=st.sampled_from(MODELS), node=nodes, kernel=st.sampled_from(GEMMS), n=rows)
def test_no_gemm_beats_the_peaks(model, node, kernel, n):
    own = times(model, node)
    assert own.nano_batch_us(kernel, n) >= gemm_cost(own.model, kernel, n, 1).roofline_s(own.node) * 1e6
    assert own.whole_batch_us(kernel) >= gemm_cost(own.model, kernel, 16384, 1).roofline_s(own.node) * 1e6


@settings(max_examples=100, derandomize=True)
@given(
    model=st.sampled_from(MODELS), node=nodes, n=rows, context=st.floats(1, 1e6),
    kernel=st.sampled_from(["DecodeAttention", "PrefillAttention"]),
)  # fmt: skip
def test_no_attention_beats_the_peaks(model, node, n, context, kernel):
    own = times(model, node, context)
    cost = attention_cost(own.model, kernel, own.batch, 1, n)
    if kernel == "DecodeAttention":  # the bytes of the new token, in the paper's count, are written by another kernel
        cached = n * context * own.model.kv_bytes_per_token / own.model.n_layers
        assert own.nano_batch_us(kernel, n) * 1e-6 * own.node.memory_bytes_per_s >= cached
    else:
        assert own.nano_batch_us(kernel, n) >= cost.compute_s(own.node) * 1e6


@settings(max_examples=60, derandomize=True)
@given(n_gpus=st.sampled_from([2, 4, 8, 16]), name=st.sampled_from(NETWORKED), n=rows, kind=st.sampled_from("GR"))
def test_no_collective_beats_the_links(n_gpus, name, n, kind):
    """Every GPU sends (N - 1) / N of the message in an all-gather, twice as much in an all-reduce."""
    own = times("llama2_70b", f"{n_gpus}x{name}")
    kernel, sent = ("AllGather", 1) if kind == "G" else ("AllReduce", 2)
    least = sent * (1 - 1 / n_gpus) * n * 8192 * 2 / own.node.gpu.network.bandwidth_bytes_per_s
    assert own.nano_batch_us(kernel, n) * 1e-6 >= least


@settings(derandomize=True)
@given(sms=st.floats(1, 132), more=st.floats(0, 100), one=st.floats(1e9, 2e11))
def test_more_sms_read_more_and_never_more_than_the_peak(sms, more, one):
    law, gpu = load_calibration("h200_kernels"), load_node("h200").gpu
    first, second = (streaming_bytes_per_s(law, gpu, n, one) for n in (sms, sms + more))
    assert 0 < first <= second <= gpu.memory.bandwidth_bytes_per_s and first <= sms * one * (1 + 1e-12)


@settings(derandomize=True)
@given(size=st.floats(1, 1e10), more=st.floats(0, 1e9), blocks=st.integers(0, 32), n_gpus=st.integers(2, 16))
def test_laws_rise_with_the_work(size, more, blocks, n_gpus):
    law, gpu = load_calibration("h200_kernels"), load_node("h200").gpu
    for time in (
        lambda x: gemm_us(law, gpu, 100 * x, x),
        lambda x: gemm_us(law, gpu, x, x),
        lambda x: elementwise_us(law, gpu, x),
        lambda x: prefill_attention_us(law, gpu, 1000 * x, 512),
        lambda x: collective_us(law, "all_reduce", x, n_gpus, n_blocks=blocks),
    ):
        assert 0 < time(size) <= time(size + more) * (1 + 1e-12)


def test_laws_by_hand():
    law, gpu = load_calibration("h200_kernels"), load_node("h200").gpu
    # far from either peak's influence on the other: 784 TFLOP/s, and 4.05 TB/s
    assert gemm_us(law, gpu, 784.2e12, 1e6) == pytest.approx(3.19 + 1e6, rel=1e-3)
    assert gemm_us(law, gpu, 1e6, 4.049e12) == pytest.approx(3.19 + 1e6, rel=1e-3)
    # both as long as each other: 2^(1 / 2.653) times either
    assert gemm_us(law, gpu, 784.2e9, 4.049e9) == pytest.approx(3.19 + 1e3 * 2 ** (1 / 2.653), rel=1e-3)
    assert elementwise_us(law, gpu, 9e6) == pytest.approx(1.71 + 1.0)
    assert elementwise_us(law, gpu, 4.228e9) == pytest.approx(1.71 + 1000.0, rel=1e-3)
    assert streaming_bytes_per_s(law, gpu, 8, 118e9) == pytest.approx(8 * 118e9, rel=1e-4)
    assert collective_us(law, "all_reduce", 64 << 20, 2) == pytest.approx(23.05 + 64 * 3.553)
    assert collective_us(law, "all_gather", 64 << 20, 2, n_blocks=1) == pytest.approx(2219.89, rel=0.02)


@pytest.mark.parametrize(
    ("model", "device"), [("qwen2_72b", "8xh100"), ("llama3_8b", "h200"), ("mixtral_8x7b", "2xh200")]
)
def test_each_level_leaves_out_what_costs_time(model, device):
    layer = {
        level: time_tokens(model=model, device=device, executions=["overlapped"], level=level).rows[0].layer_ms
        for level in ("roofline", "calibrated", "interference")
    }
    assert layer["roofline"] < layer["calibrated"] < layer["interference"]


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    model=st.sampled_from(MODELS[:6]), device=st.sampled_from(["8xa100_80gb", "8xh100", "4xh200", "8xmi300"]),
    chunks=st.integers(4, 60), decoding=st.floats(0, 1), context=st.floats(16, 8192),
)  # fmt: skip
def test_any_mix_runs_between_its_bounds(model, device, chunks, decoding, context):
    """Overlap never beats the unit with most to do, and never more than doubles what one stream takes."""
    rows_ = 128 * chunks
    timing = time_tokens(
        model=model, device=device, rows=rows_, decode_rows=int(decoding * rows_), context=context,
        executions=["nano_only", "overlapped"],
    )  # fmt: skip
    nano_only, overlapped = (row.layer_ms for row in timing.rows)
    busiest = max(timing.timelines["overlapped"].unit_busy.values())
    assert 0 < overlapped <= 2 * nano_only and busiest <= 1.0
    assert all(0 < row.fraction_of_optimal < 1 for row in timing.rows)
