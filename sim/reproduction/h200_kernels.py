"""Single kernels measured on an H200, beside the laws of :mod:`sim.machine.kernel_laws`.

The laws have some twenty constants, fitted to the kernels of LLaMA-3-8B; the shards of LLaMA-70B measured with the
same tools are predictions, and so is every other GPU the laws are scaled to.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from arch.device import GpuConfig
from arch.language_model import LanguageModelConfig
from arch.workload import Calibration, load_calibration, load_model
from sim.machine.kernel_laws import (
    collective_us,
    elementwise_us,
    gemm_us,
    prefill_attention_us,
    streaming_bytes_per_s,
)
from sim.reproduction.comparison_row import ComparisonRow
from sim.reproduction.measured_data import MeasuredRow

__all__ = ["MODELS", "kernel_rows"]

MODELS: Mapping[str, tuple[str, int]] = {
    "l8b": ("llama3_8b", 1), "l70tp8": ("llama3_70b", 8), "l70tp2": ("llama3_70b", 2),
}  # fmt: skip
"""Model preset and GPUs behind the names the data uses."""

_COLLECTIVES = {"AG": "all_gather", "RS": "reduce_scatter", "AR": "all_reduce"}
_OPERATIONS = {"KQV": "KQV", "O": "O", "UG": "UpGate", "D": "Down", "LM": "UpGate"}
_MIB = 1 << 20
_FITTED = "LLaMA-3-8B, whose kernels on an H200 the law was fitted to"
_PREDICTED = "shard of another model than the one the law was fitted to"


def kernel_rows(data: Mapping[str, Sequence[MeasuredRow]], gpu: GpuConfig) -> Iterator[ComparisonRow]:
    """A row for every measured time or rate of a kernel that runs alone."""
    law = load_calibration("h200_kernels")
    for file, rows in (
        ("A_ceilings", _ceilings), ("B_gemm", _gemms), ("B_decode_attn_triton", _decode), ("B_prefill", _prefill),
        ("B_other", _elementwise), ("C_bandwidth_vs_SMs", _bandwidth), ("C_gemm_alone", _gemms_alone),
        ("N_collectives_alone", _collectives), ("N_p2p_copy_engine", _copies),
    ):  # fmt: skip
        for measured in data.get(file, ()):
            yield from rows(measured, law, gpu)


def _row(what: str, ours: float, reference: float | None, reason: str) -> Iterator[ComparisonRow]:
    if reference:
        yield ComparisonRow(what=what, ours=ours, reference=reference, source="calibrated", reason=reason)


def _ceilings(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    kind = row.text("kind")
    streamed = law["elementwise.bandwidth_fraction"] * gpu.memory.bandwidth_bytes_per_s / 1e12
    if kind == "read":
        blocks, size = row.integer("ctas"), row.integer("BLK")
        key = f"one_sm_bytes_per_s.read_{size}"
        one = law.get(key, law["one_sm_bytes_per_s.bulkread"])
        ours = streaming_bytes_per_s(law, gpu, blocks, one) / 1e12
        reason = "k SMs read k times what one does, up to 92 % of the peak; between, the channels are not loaded evenly"
        if blocks > (gpu.n_sms or blocks):
            reason = "several blocks an SM have more bytes in flight than the one the law's rate is of"
        yield from _row(f"A_ceilings, read, {blocks} blocks of {size}, TB/s", ours, row.number("TBs"), reason)
    elif kind in ("copy", "copy_eager", "add_kernel"):
        reason = "elements at the rate of large element-wise kernels"
        if kind == "copy":
            reason = "a copy node of a CUDA graph runs at two thirds of what kernels reach; the model has none"
        yield from _row(f"A_ceilings, {kind}, TB/s", streamed, row.number("TBs"), reason)
    elif kind == "mm":
        ours = 2 * 8192**3 / gemm_us(law, gpu, 2 * 8192**3, 3 * 8192 * 8192 * 2) / 1e6
        reason = "burst; the measured median of many in a row is nearly the sustained rate, 12 % below its own best"
        yield from _row("A_ceilings, product of 8192 cubed, TFLOP/s", ours, row.number("TFs"), reason)
    elif kind in ("chain200", "pingpong200"):
        reason = "an empty node; the law's launch also has the fill and drain of a kernel that does something"
        yield from _row(
            f"A_ceilings, {kind}, us a node", law["elementwise.launch_us"], row.number("us_per_node"), reason
        )
    elif kind == "power" and row.text("unit") == "TBs":
        ours = law["decode_attention.bandwidth_fraction"] * gpu.memory.bandwidth_bytes_per_s / 1e12
        for regime in ("burst", "sustained"):
            reason = "decode attention draws too little power to be slowed"
            yield from _row(f"A_ceilings, {row.text('job')}, {regime}, TB/s", ours, row.number(regime), reason)
    elif kind == "power":
        yield from _power(row, law, gpu)


def _power(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    """Rates of LLaMA-3-8B's GEMMs named by operation and rows, such as ``UG1024``."""
    job = row.text("job")
    name = job.rstrip("0123456789")
    shapes = {"UG": (28672, 4096), "D": (4096, 14336), "KQV": (6144, 4096), "O": (4096, 4096)}
    if name not in shapes or job == name:
        return
    rows, (n, k) = int(job[len(name) :]), shapes[name]
    burst = _gemm(law, gpu, rows, n, k)
    for regime, us in (("burst", burst), ("sustained", burst * _slowdown(law, name, rows))):
        reason = f"{_FITTED}; sustained by the slow-down of the operation under the power cap"
        yield from _row(
            f"A_ceilings, {job}, {regime}, TFLOP/s", 2 * rows * n * k / us / 1e6, row.number(regime), reason
        )


def _gemm(law: Calibration, gpu: GpuConfig, m: int, n: int, k: int) -> float:
    return gemm_us(law, gpu, 2.0 * m * n * k, 2.0 * (m * n + n * k + m * k))


def _slowdown(law: Calibration, operation: str, rows: int) -> float:
    points = law[f"sustained.{_OPERATIONS.get(operation, 'UpGate')}"]
    return float(np.interp(rows, *zip(*points, strict=True)))


def _gemms(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    model, op = row.text("model"), row.text("op")
    m, n, k = (row.integer(name) for name in "MNK")
    ours = _gemm(law, gpu, m, n, k)
    reason = f"{_FITTED if model == 'l8b' else _PREDICTED}; the law is smooth, where the library's tiles make steps"
    what = f"B_gemm, {model} {op}, {m} x {n} x {k}"
    yield from _row(f"{what}, burst, us", ours, row.number("us_burst"), reason)
    yield from _row(f"{what}, sustained, us", ours * _slowdown(law, op, m), row.number("us_sust"), reason)


def _gemms_alone(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    """Repeats of B_gemm, with the shapes of LLaMA-3-8B unless a model is named."""
    op = row.text("op")
    model, _, name = op.rpartition(":")
    model = model or row.text("model") or "l8b"
    n, k = _shape(model, name)
    if n:
        impl = row.text("impl") or "cublas"
        reason = "the library's kernel, which the law was fitted to"
        if impl != "cublas":
            reason = "a kernel written so that attention fits beside it: slower alone than the library's of the law"
        what = f"C_gemm_alone, {model} {name}, {row.integer('M')} rows, {impl}, line {row.line}, us"
        yield from _row(what, _gemm(law, gpu, row.integer("M"), n, k), row.number("us"), reason)


def _shape(model: str, operation: str) -> tuple[int, int]:
    if model not in MODELS or operation not in _OPERATIONS:
        return 0, 0
    name, n_gpus = MODELS[model]
    config = load_model(name)
    return {
        "KQV": ((config.q_dim + 2 * config.kv_dim) // n_gpus, config.d_model),
        "O": (config.d_model, config.q_dim // n_gpus),
        "UG": (2 * config.d_ffn // n_gpus, config.d_model),
        "D": (config.d_model, config.d_ffn // n_gpus),
        "LM": ((config.vocab_size or 0) // n_gpus, config.d_model),
    }[operation]


def _decode(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    model = row.text("model")
    if model not in MODELS:
        return
    config, n_gpus = _model(model)
    requests, context, splits = row.integer("B"), row.integer("S"), row.integer("nsplit")
    cached = requests * context * config.kv_bytes_per_token / config.n_layers / n_gpus
    bandwidth = law["decode_attention.bandwidth_fraction"] * gpu.memory.bandwidth_bytes_per_s
    reason = f"{_FITTED if model == 'l8b' else _PREDICTED}: latency and bytes over bandwidth"
    if splits > 1:
        reason = "the keys cut into more parts than help, with another kernel to add the parts up; the model cuts none"
    yield from _row(
        f"B_decode_attn_triton, {model}, {requests} requests, context {context}, {splits} splits, us",
        law["decode_attention.latency_us"] + cached / bandwidth * 1e6, row.number("us"), reason,
    )  # fmt: skip


def _model(name: str) -> tuple[LanguageModelConfig, int]:
    model, n_gpus = MODELS[name]
    return load_model(model), n_gpus


def _prefill(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    model, backend = row.text("model"), row.text("backend")
    if model not in MODELS:
        return
    config, n_gpus = _model(model)
    length, past, sequences = row.integer("L"), row.integer("past"), row.integer("nseq")
    # without causal halving, so the past counts twice
    flop = 4.0 * sequences * length * (length + 2 * past) * config.q_dim / n_gpus
    kernel = "prefill_cudnn" if backend.startswith("CUDNN") else "prefill_attention"
    reason = "launch, a walk along the keys and the work: one set of constants for all three models, 9 % on the mean"
    if past:
        reason = "tiles over a past have no masked half and run faster; the law was fitted without a past"
    elif length <= 256:
        reason = "so short that the library chooses another kernel; the law has one"
    what = f"B_prefill, {model}, {sequences} x {length} after {past}, {backend}, us"
    yield from _row(what, prefill_attention_us(law, gpu, flop, length + past, kernel), row.number("us"), reason)


def _elementwise(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    model = row.text("model")
    if model not in MODELS:
        return
    config, n_gpus = _model(model)
    widths = {
        "add_rmsnorm_us": 4 * config.d_model,
        "silu_mul_us": 3 * config.d_ffn / n_gpus,
        "rope_append_us": 2 * (config.q_dim + 2 * config.kv_dim) / n_gpus,
    }
    rows = row.integer("T")
    for column, width in widths.items():
        ours = elementwise_us(law, gpu, rows * width * config.value_bytes)
        reason = f"{_FITTED if model == 'l8b' else _PREDICTED}; from cache to memory the law goes in a straight line"
        yield from _row(
            f"B_other, {model}, {column.removesuffix('_us')}, {rows} rows, us", ours, row.number(column), reason
        )


def _bandwidth(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    kind, sms = row.text("kind"), row.integer("k")
    stages = f"{row.integer('warps')}x{row.integer('stages')}"
    kernel = {"bulkread": "bulkread", "attn_alone": "attention_triton"}.get(kind, f"attention_{stages}")
    one = law.get(f"one_sm_bytes_per_s.{kernel}")
    if one is None or not sms:
        return
    ours = streaming_bytes_per_s(law, gpu, sms, one) / 1e12
    reason = "k SMs read k times what one does up to 92 % of the peak; 56 to 100 SMs were measured to read less than 48"
    yield from _row(f"C_bandwidth_vs_SMs, {kernel}, {sms} SMs, line {row.line}, TB/s", ours, row.number("TBs"), reason)


def _collectives(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    kind, blocks = _COLLECTIVES.get(row.text("coll")), row.integer("group")
    if kind is None:
        return
    ratio = 1.0 if gpu.network is None else 450e9 / gpu.network.bandwidth_bytes_per_s
    ours = collective_us(
        law, kind, row.number("bytes") or 0.0, 2, bandwidth_ratio=ratio, n_blocks=blocks
    )  # fmt: skip
    reason = "latency and a slope, of one block and of as many as the library takes, joined by a p-norm"
    if blocks and row.integer("rows") <= 512:
        reason = "small messages on few blocks go by another protocol of the library than the law's"
    what = f"N_collectives_alone, {kind}, {row.integer('rows')} rows, {blocks or 'all'} blocks, us"
    yield from _row(what, ours, row.number("us"), reason)


def _copies(row: MeasuredRow, law: Calibration, gpu: GpuConfig) -> Iterator[ComparisonRow]:
    """A copy engine beside a GEMM; rows are of 8192 values of two bytes."""
    rows, both = row.integer("rows"), "both ways" if row.flag("bidir") else "one way"
    if not rows:
        return
    ratio = 1.0 if gpu.network is None else 450e9 / gpu.network.bandwidth_bytes_per_s
    copy = law["copy_engine.latency_us"] + law["copy_engine.us_per_mib"] * ratio * rows * 8192 * 2 / _MIB
    reason = "a straight line through two of the four sizes one way; both ways it takes a little longer"
    yield from _row(f"N_p2p_copy_engine, copy, {rows} rows {both}, us", copy, row.number("copy_us"), reason)
    reason = "a copy engine takes no SM; the GEMM's loss of 2 to 6 % by its memory traffic is not modelled"
    yield from _row(
        f"N_p2p_copy_engine, GEMM beside the copy, {rows} rows {both}, us", row.number("gemm_us") or 0.0,
        row.number("gemm_ovl_us"), reason,
    )  # fmt: skip
