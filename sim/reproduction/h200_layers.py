"""Whole decoder layers measured on an H200, beside solo times and the law of :mod:`sim.machine.partitioned_layer`.

Nothing is fitted to a layer: solo times come from single kernels, shared rates from pairs of kernels. Files of other
workloads, models and GPU counts than the packaged one can be given; they are predicted the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from arch.workload import load_calibration, load_model, load_node
from sim.machine.kernel_laws import streaming_bytes_per_s
from sim.machine.partitioned_layer import (
    LayerParts,
    PartitionRates,
    layer_parts,
    overlapped_layer_us,
    partition_rates,
)
from sim.machine.token_cost import TokenBatch
from sim.machine.token_times import TokenTimes, token_times
from sim.reproduction.comparison_row import ComparisonRow
from sim.reproduction.h200_kernels import MODELS
from sim.reproduction.h200_overlap import attention_rates, collective_rates
from sim.reproduction.measured_data import MeasuredRow

__all__ = ["layer_rows"]

_PREFILL_LENGTH = 256
"""Prompts of the measured layers: chunks of 256 tokens without a past."""

_TILE_COUNTER = "dyn"
_N_SMS = 132


def layer_rows(data: Mapping[str, Sequence[MeasuredRow]], gpu: str) -> Iterator[ComparisonRow]:
    """A row for every measured layer of a model and a way of sharing we know."""
    for row in data.get("D_layers", ()):
        if row.text("model") in MODELS or f"{row.text('model')}tp{row.text('tp')}" in MODELS:
            yield from _layer(row, gpu)


def _layer(row: MeasuredRow, gpu: str) -> Iterator[ComparisonRow]:
    times = _times(row, gpu)
    parts = layer_parts(times, row.text("regime"), max(1, row.integer("nb")))
    found = _predict(row, times, parts)
    reference = row.number("us_per_layer")
    if found is None or not reference:
        return
    ours, reason = found
    if row.text("regime") == "sustained" and row.flag("overlap"):
        reason += "; sustained, the power cap slows GEMMs and attention together more than GEMMs alone"
    yield ComparisonRow(what=_what(row), ours=ours, reference=reference, source="calibrated", reason=reason)


def _times(row: MeasuredRow, gpu: str) -> TokenTimes:
    name = row.text("model")
    model, n_gpus = MODELS[name if name in MODELS else f"{name}tp{row.text('tp')}"]
    n_gpus = row.integer("tp") or n_gpus
    decode_rows, prefill_rows = row.integer("n_dec"), row.integer("n_pref")
    batch = TokenBatch(
        prompt=_PREFILL_LENGTH, decode=1, rows=decode_rows + prefill_rows, decoding=decode_rows,
        attended=row.number("ctx") or 1.0,
    )  # fmt: skip
    return token_times(load_model(model), load_node(gpu if n_gpus == 1 else f"{n_gpus}x{gpu}"), batch)


def _what(row: MeasuredRow) -> str:
    how = f"{row.integer('nb')} nano-batches"
    if row.flag("overlap"):
        how += f" overlapped, {row.text('partition') or 'no partition'}"
        how += f" {row.text('gemm')}/{row.text('attn')}" if row.text("partition") else ""
    elif row.text("gemm") not in ("cublas", ""):
        how += f" by {row.text('gemm')}"
    if row.text("skip"):
        how += f" without {row.text('skip')}"
    return (
        f"D_layers, {row.text('model')} on {row.integer('tp')}, {row.integer('n_dec')} decoding at context "
        f"{row.integer('ctx')} and {row.integer('n_pref')} prefilling, {how}, {row.text('regime')}, line {row.line}, us"
    )


def _predict(row: MeasuredRow, times: TokenTimes, parts: LayerParts) -> tuple[float, str] | None:
    """Microseconds of a layer and why they may be off; None for a way of running it that we have no rates of."""
    skip, n = row.text("skip"), parts.n_batches
    if skip not in ("", "attn", "gemm", "ar"):
        return None
    kept = replace(
        parts,
        gemm=0.0 if skip == "gemm" else parts.gemm,
        attention=0.0 if skip == "attn" else parts.attention,
        collectives=0.0 if skip == "ar" else parts.collectives,
    )
    if row.flag("paired"):
        kept = replace(kept, collectives=kept.collectives * _exposed())
    if not row.flag("overlap") or not row.text("partition"):
        reason = "sum of solo times; in the sustained regime attention between GEMMs lets the chip cool"
        if row.flag("overlap"):
            reason = "without a partition the library's GEMM holds nearly every SM, so nothing overlaps"
        elif row.text("gemm").startswith("tri"):
            reason = "sum of the library's solo times; this GEMM was written for overlap and is a little slower"
        return n * (kept.gemm + kept.attention + kept.collectives), reason
    rates = _rates(row, times)
    if rates is None or skip:
        return None
    reason = "shared rates until the shorter ends, then the partition's own; rates are means over four GEMMs in bursts"
    if row.text("partition") == "cores":
        reason = "rates of attention on the GEMM's own SMs swing by a factor of two with the size of the GEMM"
    if n > 2:
        reason += "; shorter kernels leave more of the time to filling and draining"
    return overlapped_layer_us(kept, rates), reason


def _rates(row: MeasuredRow, times: TokenTimes) -> PartitionRates | None:
    partition, sms = row.text("partition"), row.integer("k")
    known = {"green": "green", _TILE_COUNTER: "dynamic"}.get(partition)
    if known is not None:
        measured = load_calibration("h200_layers")[f"{known}.attention_sms"]
        return partition_rates(known, min(max(sms, measured[0]), measured[-1]))
    warps, stages = _attention_kernel(row.text("attn"))
    key = ("tgt8", "cublas", "8", "3") if partition == "tgtm" else (partition, row.text("gemm"), warps, stages)
    pair = attention_rates(key, sms)
    one = times.calibration.get(f"one_sm_bytes_per_s.attention_{warps}x{stages}")
    if pair is None or one is None:
        return None
    gpu = times.node.gpu
    solo = times.calibration["decode_attention.bandwidth_fraction"] * gpu.memory.bandwidth_bytes_per_s
    alone = streaming_bytes_per_s(times.calibration, gpu, sms, one) / solo
    gemm_alone = 1.0 - sms / _N_SMS if partition == "tgtm" else 1.0
    return PartitionRates(gemm=pair[0], gemm_alone=gemm_alone, attention=pair[1], attention_alone=alone)


def _attention_kernel(name: str) -> tuple[str, str]:
    """Warps and stages in a name such as ``cu-8-3-44``."""
    parts = name.split("-")
    return (parts[1], parts[2]) if len(parts) == 4 else ("", "")


def _exposed() -> float:
    """Part of an all-reduce's time that it costs the GEMM it hides behind."""
    rates = collective_rates("AR", "default", 0)
    assert rates is not None, "the packaged measurements have all-reduces beside a GEMM"
    gemm, collective = rates
    return (1.0 - gemm) / collective
