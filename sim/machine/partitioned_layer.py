"""A decoder layer in equal nano-batches on a GPU whose SMs are split: attention of one beside the GEMMs of another.

The law the H200 measurements suggest: both run at their shared rates until the shorter one ends, and the rest of the
longer one runs at the rate its partition has alone. Rates are measured per number of SMs that attention gets
(``workloads/calibration/h200_layers.toml``), solo times come from :class:`sim.machine.token_times.TokenTimes`.
"""

from dataclasses import dataclass

import numpy as np

from arch.errors import InputError, check_integer, check_one_of
from arch.workload import load_calibration
from sim.machine.token_cost import GEMMS
from sim.machine.token_times import ELEMENTWISE, TokenTimes

__all__ = [
    "PARTITIONS", "REGIMES", "LayerParts", "PartitionRates", "layer_parts", "overlapped_layer_us", "partition_rates",
    "partitioned_layer_us", "sequential_layer_us",
]  # fmt: skip

PARTITIONS = ("green", "dynamic")
"""Disjoint SMs by green contexts, or a GEMM that takes its tiles from a counter on the SMs attention leaves."""

REGIMES = ("burst", "sustained")
"""Cold clocks for some 20 ms, or as long as the power cap holds."""


@dataclass(frozen=True, kw_only=True)
class PartitionRates:
    """Parts of their solo speed on the whole machine that GEMM and attention run at: side by side, and alone."""

    gemm: float
    gemm_alone: float
    attention: float
    attention_alone: float


@dataclass(frozen=True, kw_only=True)
class LayerParts:
    """Microseconds of one of ``n_batches`` equal nano-batches alone on the machine.

    Parameters
    ----------
    n_batches : nano-batches
    gemm : GEMMs, element-wise operations and prefill attention
    attention : decode attention
    collectives : both all-reduces of tensor parallelism; 0 on one GPU
    """

    n_batches: int
    gemm: float
    attention: float
    collectives: float


def partition_rates(partition: str, attention_sms: int) -> PartitionRates:
    """Measured rates, by straight lines between the numbers of SMs measured; others are refused."""
    check_one_of("partition", partition, PARTITIONS)
    table = load_calibration("h200_layers").group(partition)
    sms = table["attention_sms"]
    check_integer("attention_sms", attention_sms, sms[0], sms[-1])
    return PartitionRates(
        **{
            name: float(np.interp(attention_sms, sms, rates))
            for name, rates in table.items()
            if name != "attention_sms"
        }
    )


def layer_parts(times: TokenTimes, regime: str = "burst", n_batches: int = 1, *, prefill: bool = True) -> LayerParts:
    """The parts of a layer in ``n_batches`` equal nano-batches, with prefill attention or not."""
    check_one_of("regime", regime, REGIMES)
    check_integer("n_batches of a layer", n_batches, 1, 64)
    batch = times.batch
    rows = batch.rows / n_batches
    gemm = sum(times.nano_batch_us(name, rows) * _slowdown(times, name, rows, regime) for name in GEMMS)
    gemm += sum(times.nano_batch_us(name, rows) for name in ELEMENTWISE)
    if prefill:
        gemm += times.nano_batch_us("PrefillAttention", batch.prefill_rows / n_batches)
    return LayerParts(
        n_batches=n_batches,
        gemm=gemm,
        attention=times.nano_batch_us("DecodeAttention", batch.decode_rows / n_batches),
        collectives=2 * times.nano_batch_us("AllReduce", rows) if times.node.n_gpus > 1 else 0.0,
    )


def sequential_layer_us(times: TokenTimes, regime: str = "burst", n_batches: int = 1, *, prefill: bool = True) -> float:
    """A layer one kernel after the other, in ``n_batches`` equal nano-batches, with prefill attention or not."""
    parts = layer_parts(times, regime, n_batches, prefill=prefill)
    return n_batches * (parts.gemm + parts.attention + parts.collectives)


def partitioned_layer_us(
    times: TokenTimes, partition: str, attention_sms: int, regime: str = "burst", *, prefill: bool = True
) -> float:
    """A layer of two equal nano-batches in steady state; prefill attention stays with the GEMMs.

    Raises
    ------
    InputError
        If the machine has no measured partitions, or not of that size.
    """
    if times.node.name != "h200":
        raise InputError(f"device must be h200 for a layer on split SMs, not {times.node.name!r}")
    return overlapped_layer_us(
        layer_parts(times, regime, 2, prefill=prefill), partition_rates(partition, attention_sms)
    )


def overlapped_layer_us(parts: LayerParts, rates: PartitionRates) -> float:
    """A layer in steady state, the attention of one nano-batch beside the GEMMs and collectives of another."""
    gemm, attention = parts.gemm + parts.collectives, parts.attention
    gemm_end, attention_end = gemm / rates.gemm, attention / rates.attention
    if gemm_end > attention_end:
        one = attention_end + (1 - attention_end / gemm_end) * gemm / rates.gemm_alone
    else:
        one = gemm_end + (1 - gemm_end / attention_end) * attention / rates.attention_alone
    return parts.n_batches * one


def _slowdown(times: TokenTimes, operation: str, rows: float, regime: str) -> float:
    """Sustained time of a GEMM over its burst time; attention draws too little power to be slowed."""
    points = times.calibration.get(f"sustained.{operation}")
    if regime == "burst" or points is None:
        return 1.0
    return float(np.interp(rows, *zip(*points, strict=True)))
