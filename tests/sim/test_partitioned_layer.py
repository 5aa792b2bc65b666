"""Layers on split SMs: the law by hand, its limits, and its distance to the measured H200 layers."""

import numpy as np
import pytest

from arch.errors import InputError
from arch.workload import load_calibration, load_model, load_node
from sim.machine.partitioned_layer import (
    PARTITIONS,
    REGIMES,
    layer_parts,
    partition_rates,
    partitioned_layer_us,
    sequential_layer_us,
)
from sim.machine.token_cost import TokenBatch
from sim.machine.token_times import TokenTimes, token_times


def times(device: str = "h200", prompt: int = 1, decode: int = 2046, rows: int = 2048) -> TokenTimes:
    batch = TokenBatch(prompt=prompt, decode=decode, rows=rows)
    return token_times(load_model("llama3_8b"), load_node(device), batch)


def test_the_h200_has_its_own_solo_times():
    own = times()
    assert own.calibration.name == "h200_kernels" and not own.extrapolated
    assert own.nano_batch_us("UpGate", 1024) == pytest.approx(317.472, rel=1e-5)
    assert own.nano_batch_us("Down", 64) == pytest.approx(36.2473, rel=1e-4)
    assert times("a100_80gb").calibration.name == "a100_single"


@pytest.mark.parametrize(("requests", "us"), [(64, 63.7862), (256, 242.587), (1024, 947.072), (2048, 1882.37)])
def test_decode_attention_meets_its_points(requests, us):
    """Context 1024, measured with one split; the fit meets all 20 points within 1.6 %."""
    assert times().nano_batch_us("DecodeAttention", requests) == pytest.approx(us, rel=0.016)


@pytest.mark.parametrize(
    ("tokens", "us", "bound"), [(256, 22.6827, 0.5), (512, 19.6648, 0.12), (1024, 54.1345, 0.07), (2048, 162.706, 0.07)]
)
def test_prefill_attention_is_a_launch_a_walk_and_its_operations(tokens, us, bound):
    """One prompt, flash attention; at 256 tokens the library took longer than at 512, the model does not."""
    own = times(prompt=tokens, decode=1, rows=tokens + 1)
    assert own.nano_batch_us("PrefillAttention", own.batch.prefill_rows) == pytest.approx(us, rel=bound)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize(("name", "n"), [("sequential", 1), ("split_in_two", 2), ("split_in_four", 4)])
def test_sequential_layers_are_sums_of_kernels(regime, name, n):
    """Measured: +0.3 %, 0.0 %, -0.3 % in bursts; +2.2 %, +1.5 %, +1.9 % sustained."""
    measured = load_calibration("h200_layers")[f"layer_us.{regime}.{name}"]
    assert abs(sequential_layer_us(times(), regime, n, prefill=False) / measured - 1) < (
        0.01 if regime == "burst" else 0.035
    )


def test_overlapped_layers_beside_the_measured():
    """Measured: 21 layers, mean distance 5.4 %, largest 13.9 %."""
    measured, own = load_calibration("h200_layers"), times()
    errors = [
        partitioned_layer_us(own, partition, sms, regime, prefill=False) / us - 1
        for regime in REGIMES
        for partition in PARTITIONS
        for sms, us in measured[f"layer_us.{regime}.{partition}"]
    ]
    assert len(errors) == 21
    assert np.mean(np.abs(errors)) < 0.06 and np.max(np.abs(errors)) < 0.15


def test_the_law_by_hand():
    """52 SMs for attention: 0.38 and 0.71 of the solo speed side by side, then 0.67 for what is left of the GEMMs."""
    own = times()
    rates = partition_rates("green", 52)
    assert (rates.gemm, rates.attention, rates.gemm_alone) == (0.38, 0.71, 0.67)
    attention = own.nano_batch_us("DecodeAttention", own.batch.decode_rows / 2)
    gemm = sequential_layer_us(own, "burst", 2, prefill=False) / 2 - attention
    assert gemm / 0.38 > attention / 0.71
    left = gemm - attention / 0.71 * 0.38
    assert partitioned_layer_us(own, "green", 52, prefill=False) == pytest.approx(2 * (attention / 0.71 + left / 0.67))


def test_overlap_lies_between_its_limits():
    own = times()
    for partition in PARTITIONS:
        for sms in range(20, 77, 4):
            attention = 2 * own.nano_batch_us("DecodeAttention", own.batch.decode_rows / 2)
            assert partitioned_layer_us(own, partition, sms) > attention
    # what attention no longer waits for decides: the best split beats no split, the worst does not
    layers = [partitioned_layer_us(own, "dynamic", sms) for sms in range(16, 97)]
    assert min(layers) < sequential_layer_us(own, "burst", 2) < max(layers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: partition_rates("green", 10), "attention_sms must be an integer from 20 to 76, not 10"),
        (lambda: partition_rates("red", 20), "partition must be one of green, dynamic, not 'red'"),
        (lambda: sequential_layer_us(times(), "cold"), "regime must be one of burst, sustained, not 'cold'"),
        (
            lambda: partitioned_layer_us(times("a100_80gb"), "green", 20),
            "device must be h200 for a layer on split SMs, not 'a100_80gb'",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message


def test_two_gpus_add_both_all_reduces_of_every_nano_batch():
    """1024 rows of 8192 values are 16 MiB: twice 23.05 us and 3.553 us a MiB."""
    batch = TokenBatch(prompt=256, decode=1, rows=2048, decoding=2048, attended=1024)
    both = token_times(load_model("llama3_70b"), load_node("2xh200"), batch)
    parts = layer_parts(both, "burst", 2)
    assert parts.collectives == pytest.approx(2 * (23.05 + 16 * 3.553))
    assert sequential_layer_us(both, "burst", 2) == pytest.approx(
        2 * (parts.gemm + parts.attention + parts.collectives)
    )
    assert layer_parts(times(), "burst", 2).collectives == 0.0
