"""NanoFlow's evaluation (OSDI 2025, arXiv 2408.12757) figure by figure, beside ours.

Nothing here computes: costs, timelines and serving come from their rooms, references from ``workloads/calibration``.
"""

from collections.abc import Callable, Iterator

from arch.workload import load_calibration, load_model, load_node
from sim.machine.token_cost import OPERATIONS, TokenBatch, operation_costs, optimal_tokens_per_s_per_gpu
from sim.machine.token_maps import NETWORK_MAP_DEVICES, REQUESTS, memory_map, network_map
from sim.machine.token_times import token_times
from sim.machine.tokens import time_tokens
from sim.reproduction.comparison_row import ComparisonRow
from sim.reproduction.nanoflow_capacity import capacity_rows, length_rows, offload_rows
from sim.reproduction.nanoflow_kernels import kernel_rows
from sim.reproduction.nanoflow_schedules import schedule_rows
from sim.search.search import search_schedule
from sim.serving.iteration_time import IterationTimes, iteration_times
from sim.serving.server import ServingResult, serve
from sim.serving.trace import find_trace, with_arrivals

__all__ = ["reproduce_nanoflow"]

_MODEL, _DEVICE = "llama2_70b", "8xa100_80gb"
_OFFLINE_REQUESTS = 50_000
_ARRIVALS_S = 300
_SLO_S = 0.2
_FLOOR_S = 0.125
_NEAR_SATURATION = 32

_SLO = "where mean normalised latency passes 0.2 s, by halves to 0.1 requests/s"
_SLO_REASONS = {
    "lmsys": _SLO,
    "splitwise": _SLO + "; at the mean lengths the published rate asks for more than the paper measures anywhere",
    "sharegpt": _SLO + "; the published curve turns up at 14 requests/s, ours at 22, where the throughput is spent",
}
_ABLATION = {
    "sequential": "by construction: the time of everything but the seven kernels was derived from this very run",
    "nano_only": "kernels of the artifact's profile tables, one after the other; the paper's lose less",
    "overlapped": "published structure on the cycle model with the artifact's P(R); shares of Figure 6, drawn for "
    "other nano-batch sizes",
    "overlapped_offload": "the copy and its share are modelled, what the host does is not",
}


def reproduce_nanoflow(
    *, search_effort: float = 0.0, progress: Callable[[int, int], None] | None = None
) -> list[ComparisonRow]:
    """Every figure of the facts we have, ours beside the published.

    Parameters
    ----------
    search_effort : deterministic time for a schedule search beside the published one; 0 leaves it out
    progress : called with parts done and in all
    """
    parts = [
        _table_2, _maps, kernel_rows, capacity_rows, schedule_rows, _ablation, offload_rows, length_rows, _serving,
    ]  # fmt: skip
    rows: list[ComparisonRow] = []
    total = len(parts) + bool(search_effort)
    for number, part in enumerate(parts, 1):
        rows += part()
        if progress is not None:
            progress(number, total)
    if search_effort:
        rows += _search(search_effort)
    return rows


def _table_2() -> Iterator[ComparisonRow]:
    model, node = load_model(_MODEL), load_node(_DEVICE)
    batch = TokenBatch(prompt=512, decode=1024, rows=2048)
    times, published = token_times(model, node, batch), load_calibration("published_nanoflow")
    columns = (
        ("GFLOP", lambda cost: cost.flop / 1e9),
        ("memory, GB", lambda cost: cost.memory_bytes / 1e9),
        ("network, GB", lambda cost: cost.network_bytes / 1e9),
        ("compute, ms", lambda cost: cost.compute_s(node) * 1e3),
        ("memory time, ms", lambda cost: cost.memory_s(node) * 1e3),
        ("network time, ms", lambda cost: cost.network_s(node) * 1e3),
    )
    costs = operation_costs(model, node, batch)
    for operation, cost in zip(OPERATIONS, costs, strict=True):
        *printed, measured = published[f"table_2.{operation}"]
        for (name, value), reference in zip(columns, printed, strict=True):
            if reference:
                rounded = reference < 1 and operation == "Network"
                yield ComparisonRow(
                    what=f"Table 2, {operation}, {name}", ours=value(cost), reference=reference, source="computed",
                    reason="0.0075 rounds to the 0.01 that is printed" if rounded else "printed digits",
                )  # fmt: skip
        kernel_ms = times.whole_batch_us(operation) * model.n_layers / 1e3
        how = "launch-bound" if operation == "PrefillAttention" else "roofline over its efficiency"
        yield ComparisonRow(
            what=f"Table 2, {operation}, measured ms", ours=kernel_ms, reference=measured, source="calibrated",
            reason=f"by construction: calibrated on this table, {how}",
        )  # fmt: skip
    ours = [sum(value(cost) for cost in costs) for _, value in columns[3:]]
    for name, mine, total in zip(("compute", "memory", "network"), ours, published["table_2.total_ms"], strict=True):
        yield ComparisonRow(
            what=f"Table 2, total {name}, ms", ours=mine, reference=total, source="computed", reason="printed digits"
        )
    yield ComparisonRow(
        what="optimal throughput of LLaMA-2-70B, tokens/s/GPU",
        ours=optimal_tokens_per_s_per_gpu(model, times.achievable_flops_per_s),
        reference=published["optimal_tokens_per_s_per_gpu.llama2_70b"],
        source="computed",
        reason="260 TFLOP/s, what the paper's fractions imply; its text says 280, which gives 2000",
    )


def _maps() -> Iterator[ComparisonRow]:
    published = load_calibration("published_nanoflow")
    maps = (
        ("memory_map", "Figure 3, T_mem / T_compute", memory_map(), REQUESTS),
        ("network_map", "Figure 2, T_net / T_compute", network_map(), NETWORK_MAP_DEVICES),
    )
    for key, title, rows, columns in maps:
        for row in rows:
            references = published.get(f"{key}.{row['model']}")
            if references is None:
                continue
            for column, reference in zip(columns, references, strict=True):
                yield ComparisonRow(
                    what=f"{title}, {row['model']}, {column}", ours=row[column], reference=reference,
                    source="computed", reason="printed with two digits" if key == "memory_map" else "printed digits",
                )  # fmt: skip


def _ablation() -> Iterator[ComparisonRow]:
    timing = time_tokens(model=_MODEL, device=_DEVICE)
    ours = [row for row in timing.rows if row.source != "published"]
    for row in ours:
        published = next(r for r in timing.rows if r.execution == row.execution and r.source == "published")
        yield ComparisonRow(
            what=f"ablation 512-1024, {row.execution}, tokens/s/GPU", ours=row.tokens_per_s_per_gpu,
            reference=published.tokens_per_s_per_gpu, source=row.source, reason=_ABLATION[row.execution],
        )  # fmt: skip
    overlapped = next(row for row in ours if row.execution == "overlapped")
    yield ComparisonRow(
        what="compute utilisation over a layer, overlapped 512-1024", ours=overlapped.fraction_of_optimal,
        reference=load_calibration("published_nanoflow")["utilisation.compute"], source=overlapped.source,
        reason="time of the GEMMs at 260 TFLOP/s over the layer's; the paper's average is of ShareGPT, 1272 of 1857",
    )  # fmt: skip


def _serving() -> Iterator[ComparisonRow]:
    model, node = load_model(_MODEL), load_node(_DEVICE)
    times, published = iteration_times(model, node), load_calibration("published_nanoflow")
    for name, reference in published.group("throughput").items():
        found = serve(find_trace(name, _OFFLINE_REQUESTS, 0), model, node, times)
        yield ComparisonRow(
            what=f"offline throughput, {name}, tokens/s/GPU", ours=found.steady_tokens_per_s_per_gpu,
            reference=reference, source=times.source,
            reason="middle half of 50,000 requests; log-normal lengths of the published moments, nothing fitted",
        )  # fmt: skip
        optimal = load_calibration("published_nanoflow")["optimal_tokens_per_s_per_gpu.llama2_70b"]
        yield ComparisonRow(
            what=f"offline throughput over the optimum, {name}", ours=found.steady_tokens_per_s_per_gpu / optimal,
            reference=published[f"fraction_of_optimal.{name}"], source=times.source,
            reason="the same run, over 1857 tokens/s/GPU",
        )  # fmt: skip
    for name, points in published.group("latency").items():
        for rate, reference in points:
            ours = _latency(name, rate, times).normalized_latency_s.mean
            yield ComparisonRow(
                what=f"normalised latency, {name}, {rate} requests/s, s", ours=ours,
                reference=reference, source=times.source, reason=_latency_reason(name, ours, reference),
            )  # fmt: skip
    yield from _server(times)
    for name, reference in published.group("rate_at_slo").items():
        yield ComparisonRow(
            what=f"highest rate within 0.2 s, {name}, requests/s", ours=_rate_at_slo(name, times), reference=reference,
            source=times.source, reason=_SLO_REASONS[name],
        )  # fmt: skip


def _latency_reason(name: str, ours: float, reference: float) -> str:
    why = "past saturation the queue grows with the few percent of throughput in which the two differ"
    if reference < _FLOOR_S:
        why = "our floor is an iteration of the 768-row program, theirs is near the time of our 1024 rows"
    elif name == "splitwise":
        why = "at the mean lengths the published rate asks for more than the paper measures anywhere, so its five "
        why += "minutes were lighter"
    elif ours > reference:
        why = "between the 1024- and the 2048-row program ours pads"
    return f"five minutes of arrivals, reference read off pixels; {why}"


def _server(times: IterationTimes) -> Iterator[ComparisonRow]:
    """Tail of the latencies and rows lost to asynchronous forming."""
    published, found = load_calibration("published_nanoflow"), _latency("lmsys", _NEAR_SATURATION, times)
    latency, count = found.normalized_latency_s, found.counters
    yield ComparisonRow(
        what=f"p99 over mean of normalised latency, lmsys, {_NEAR_SATURATION} requests/s",
        ours=latency.p99 / latency.mean, reference=published["engine.p99_over_mean"], source=times.source,
        reason="ours includes the minutes in which the server fills, when requests are faster than the mean",
    )  # fmt: skip
    yield ComparisonRow(
        what="rows wasted on requests that had ended, lmsys (published as a bound)",
        ours=count["wasted_rows"] / count["rows"], reference=published["engine.wasted_rows"], source=times.source,
        reason="one row a request of 324: the published figure is a bound, and we are below",
    )  # fmt: skip


def _latency(name: str, rate: float, times: IterationTimes) -> ServingResult:
    """Five minutes of arrivals."""
    trace = with_arrivals(find_trace(name, round(_ARRIVALS_S * rate), 0), rate, 0)
    return serve(trace, load_model(_MODEL), load_node(_DEVICE), times)


def _rate_at_slo(name: str, times: IterationTimes) -> float:
    low, high = 1.0, 64.0
    while high - low > 0.1:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _latency(name, middle, times).normalized_latency_s.mean <= _SLO_S else (low, middle)
        )
    return low


def _search(effort: float) -> Iterator[ComparisonRow]:
    found = search_schedule(effort=effort, interference="none")
    yield ComparisonRow(
        what="steady layer of a searched schedule, interference-free, ms", ours=found.period_us / 1e3,
        reference=load_calibration("a100_search")["reference.period_us"] / 1e3, source="cycle_model",
        reason="same solo times, but the period of a cycle is searched and not the makespan of three layers; "
        f"our bound is {found.plan.bound_us / 1e3:.3f} ms",
    )  # fmt: skip
    yield ComparisonRow(
        what="part of the searched period the bound leaves open", ours=found.gap,
        reference=load_calibration("published_nanoflow")["search.gap"], source="cycle_model",
        reason="a cycle has a bound by its busiest unit, which a makespan of three layers has not",
    )  # fmt: skip
