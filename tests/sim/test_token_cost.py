"""The cost model against every figure NanoFlow (OSDI 2025) prints: Table 2 and the heat maps of Figures 2 and 3."""

import pytest

from arch.errors import InputError
from arch.workload import load_model, load_node
from sim.machine.token_cost import (
    OPERATIONS,
    TokenBatch,
    max_dense_batch,
    memory_compute_ratio,
    network_compute_ratio,
    operation_costs,
    optimal_tokens_per_s_per_gpu,
)  # fmt: skip

TOLERANCE = 0.005
"""Relative, or half of the last printed digit if that is more."""

TABLE_2 = {
    # operation: GFLOP, memory GB, network GB, compute ms, memory ms, network ms; as printed
    "KQV": ("27487.8", "19.5", "0", "11.01", "1.22", "0"),
    "O": ("21990.2", "16.1", "0", "8.81", "1.01", "0"),
    "UpGate": ("153931.6", "96.6", "0", "61.67", "6.04", "0"),
    "Down": ("76965.8", "49.7", "0", "30.84", "3.11", "0"),
    "DecodeAttention": ("3665.9", "462.2", "0", "1.47", "28.89", "0"),
    "PrefillAttention": ("916.3", "2.1", "0", "0.37", "0.13", "0"),
    "Network": ("18.8", "75.2", "75.2", "0.01", "4.70", "31.33"),
}
TABLE_2_TOTALS = ("114.17", "45.09", "31.33")

WORKLOADS = {
    "LMSYS": (102, 222), "Splitwise": (1155, 211), "ShareGPT": (246, 322),
    "512-512": (512, 512), "1024-512": (1024, 512), "512-1024": (512, 1024),
}  # fmt: skip
FIGURE_3 = {
    ("llama3_8b", "a100_80gb"): "0.23 0.31 0.37 0.61 0.68 1.09",
    ("mixtral_8x7b", "8xa100_80gb"): "0.12 0.17 0.20 0.32 0.36 0.58",
    ("llama2_70b", "8xa100_80gb"): "0.07 0.09 0.11 0.18 0.20 0.32",
    ("llama3_70b", "8xa100_80gb"): "0.07 0.09 0.11 0.18 0.20 0.32",
    ("qwen2_72b", "8xa100_80gb"): "0.07 0.09 0.11 0.18 0.20 0.31",
}
MAX_DENSE_BATCH = {
    ("llama2_70b", "8xa100_80gb"): (10455, 7837, 6613, 3974, 3576, 2235),
    ("llama3_8b", "a100_80gb"): (3346, 2508, 2116, 1272, 1144, 715),
}
ACCELERATORS = ("v100", "a100_40gb", "a100_80gb", "h100", "h200", "b100", "b200",
                "mi250", "mi300", "mi325x", "gaudi2", "gaudi3", "ada6000")  # fmt: skip
FIGURE_2 = {
    "llama3_8b": "0.382 0.477 0.477 1.008 1.008 0.918 1.147 0.415 1.171 1.171 1.529 1.376 2.609",
    "mixtral_8x7b": "0.243 0.303 0.303 0.640 0.640 0.583 0.728 0.264 0.744 0.744 0.971 0.874 1.657",
    "llama2_70b": "0.218 0.273 0.273 0.576 0.576 0.524 0.655 0.237 0.669 0.669 0.874 0.786 1.491",
    "llama3_70b": "0.218 0.273 0.273 0.576 0.576 0.524 0.655 0.237 0.669 0.669 0.874 0.786 1.491",
    "qwen2_72b": "0.212 0.265 0.265 0.560 0.560 0.510 0.637 0.231 0.651 0.651 0.850 0.765 1.450",
    "llama3_405b": "0.119 0.148 0.148 0.314 0.314 0.285 0.357 0.129 0.364 0.364 0.476 0.428 0.812",
}


def half_digit(printed: str) -> float:
    return 0.5 * 10 ** -len(printed.partition(".")[2])


def assert_printed(value: float, printed: str) -> None:
    assert value == pytest.approx(float(printed), rel=TOLERANCE, abs=half_digit(printed))


def assert_near_printed(value: float, printed: str) -> None:
    """Within TOLERANCE of a number that rounds to the printed one (maps of two or three digits)."""
    margin = half_digit(printed) + TOLERANCE * float(printed)
    assert value == pytest.approx(float(printed), rel=0, abs=margin)


@pytest.fixture(scope="module")
def node():
    return load_node("8xa100_80gb")


@pytest.fixture(scope="module")
def costs(node):
    batch = TokenBatch(prompt=512, decode=1024, rows=2048)
    return {cost.operation: cost for cost in operation_costs(load_model("llama2_70b"), node, batch)}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_table_2(operation, costs, node):
    cost = costs[operation]
    ours = (
        cost.flop / 1e9, cost.memory_bytes / 1e9, cost.network_bytes / 1e9,
        cost.compute_s(node) * 1e3, cost.memory_s(node) * 1e3, cost.network_s(node) * 1e3,
    )  # fmt: skip
    for value, printed in zip(ours, TABLE_2[operation], strict=True):
        assert_printed(value, printed)


def test_table_2_totals(costs, node):
    totals = (
        sum(cost.compute_s(node) for cost in costs.values()),
        sum(cost.memory_s(node) for cost in costs.values()),
        sum(cost.network_s(node) for cost in costs.values()),
    )
    for value, printed in zip(totals, TABLE_2_TOTALS, strict=True):
        assert_printed(value * 1e3, printed)


def test_operation_time_is_the_slowest_resource(costs, node):
    assert costs["KQV"].roofline_s(node) == costs["KQV"].compute_s(node)
    assert costs["DecodeAttention"].roofline_s(node) == costs["DecodeAttention"].memory_s(node)
    assert costs["Network"].roofline_s(node) == costs["Network"].network_s(node)


@pytest.mark.parametrize(("model", "device"), FIGURE_3)
def test_figure_3_memory_to_compute(model, device):
    printed = FIGURE_3[model, device].split()
    for (prompt, decode), cell in zip(WORKLOADS.values(), printed, strict=True):
        assert_near_printed(memory_compute_ratio(load_model(model), load_node(device), prompt, decode), cell)


@pytest.mark.parametrize(("model", "device"), MAX_DENSE_BATCH)
def test_largest_dense_batch(model, device):
    for (prompt, decode), rows in zip(WORKLOADS.values(), MAX_DENSE_BATCH[model, device], strict=True):
        ours = max_dense_batch(load_model(model), load_node(device), prompt, decode)
        assert ours == pytest.approx(rows, rel=TOLERANCE)


@pytest.mark.parametrize("model", FIGURE_2)
def test_figure_2_network_to_compute(model):
    for accelerator, cell in zip(ACCELERATORS, FIGURE_2[model].split(), strict=True):
        assert_near_printed(network_compute_ratio(load_model(model), load_node(f"8x{accelerator}")), cell)


def test_optimal_throughput_of_the_paper():
    """1857 tokens/s/GPU, equation 6, at the 260 TFLOP/s its fractions imply."""
    assert optimal_tokens_per_s_per_gpu(load_model("llama2_70b"), 260e12) == pytest.approx(1857, abs=0.5)


def test_model_too_large_for_its_device():
    with pytest.raises(InputError) as refused:
        max_dense_batch(load_model("llama2_70b"), load_node("a100_80gb"), 512, 1024)
    assert str(refused.value) == (
        "device must hold the 140 GB of weights of llama2_70b, not 80 GB as a100_80gb does; "
        "take more GPUs, such as 8xa100_80gb"
    )


def test_batch_splits_into_decode_and_prefill():
    batch = TokenBatch(prompt=512, decode=1024, rows=2048)
    assert batch.decode_rows + batch.prefill_rows == batch.rows
    assert batch.decode_rows == pytest.approx(1365.3, abs=0.05)
    assert batch.context == 1024


def test_the_digits_that_need_the_new_token_and_whole_requests():
    """462.2 GB and 28.89 ms as printed; without the new token's keys and values 461.7 and 28.86."""
    batch = TokenBatch(prompt=512, decode=1024, rows=2048)
    costs = {
        cost.operation: cost for cost in operation_costs(load_model("llama2_70b"), load_node("8xa100_80gb"), batch)
    }
    assert round(costs["DecodeAttention"].memory_bytes / 1e9, 1) == 462.2
    assert costs["DecodeAttention"].memory_s(load_node("8xa100_80gb")) * 1e3 == pytest.approx(28.89, abs=0.006)
    assert round(costs["PrefillAttention"].memory_bytes / 1e9, 1) == 2.1
