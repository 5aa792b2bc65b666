"""What fits the memory, what leaves it, and what the requests are: published figures beside computed ones."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from arch.workload import load_calibration, load_model, load_node, load_requests
from sim.machine.token_cost import max_dense_batch
from sim.machine.token_maps import REQUESTS
from sim.machine.tokens import time_tokens
from sim.reproduction.comparison_row import ComparisonRow
from sim.serving.server import kv_capacity_tokens
from sim.serving.trace import synthetic_trace

__all__ = ["capacity_rows", "length_rows", "offload_rows"]

_DRAWS = 50_000
_PRESETS = {"llama2_70b": "8xa100_80gb", "llama3_8b": "a100_80gb"}
_KV_UNIT = 1024


def capacity_rows() -> Iterator[ComparisonRow]:
    """Largest batches, decoding requests with and without grouped queries, and the published page pools."""
    published = load_calibration("published_nanoflow")
    for model, device in _PRESETS.items():
        decoder, node = load_model(model), load_node(device)
        for number, name in enumerate(REQUESTS):
            lengths = load_requests(name)
            rows = max_dense_batch(decoder, node, lengths.prompt_mean, lengths.decode_mean)
            part = lengths.decode_mean / (lengths.prompt_mean + lengths.decode_mean)
            for key, what, ours in (
                ("most_rows", "rows of the largest batch", rows),
                ("most_requests", "requests of the largest batch", rows * part),
            ):
                if f"{key}.{model}" in published:
                    yield ComparisonRow(
                        what=f"{what}, {model}, {name}", ours=ours, reference=published[f"{key}.{model}"][number],
                        source="computed", reason="memory the weights leave over the cache of a mean request",
                    )  # fmt: skip
    yield from _grouped()
    for key, reference in published.group("kv_pool").items():
        model, _, device = key.partition("-")
        yield ComparisonRow(
            what=f"page pool, {model} on {device}, 1024 tokens",
            ours=kv_capacity_tokens(load_model(model), load_node(device)) / _KV_UNIT, reference=reference,
            source="computed",
            reason="all memory but the weights; the published configurations leave 0.4 GB a GPU for the rest, with "
            "Qwen2 4 GB and on 40 GB GPUs 6 GB",
        )  # fmt: skip


def _grouped() -> Iterator[ComparisonRow]:
    published, node = load_calibration("published_nanoflow"), load_node("8xa100_80gb")
    grouped = load_model("llama2_70b")
    for key, model in (("grouped", grouped), ("ungrouped", replace(grouped, n_kv_heads=grouped.n_heads))):
        requests = max_dense_batch(model, node, 512, 512) / 2
        yield ComparisonRow(
            what=f"decoding requests that fit, {key} queries, 512 + 512", ours=requests,
            reference=published[f"decode_requests.{key}"], source="computed",
            reason="the memory's limit; the paper's round figure is the half that decodes of its batch of 2048, "
            "which is not the limit",
        )  # fmt: skip


def offload_rows() -> Iterator[ComparisonRow]:
    """What copying keys and values to the host takes."""
    published, model = load_calibration("published_nanoflow"), load_model("llama2_70b")
    timing = time_tokens(executions=["overlapped", "overlapped_offload"])
    plain, copied = (row for row in timing.rows if row.source != "published")
    timeline = timing.timelines["overlapped_offload"]
    layer = timeline.layer(timeline.program.count // 2)
    feed_forward = sum(entry.duration_us for entry in layer if entry.operation in ("UpGate", "Down"))
    written = copied.tokens_per_s_per_gpu * 8 * model.kv_bytes_per_token / 1e9
    yield ComparisonRow(
        what="keys and values written beside the feed-forward GEMMs, GB/s of the node",
        ours=written * timeline.period_us / feed_forward, reference=published["offload.gb_per_s"],
        source="cycle_model", reason="bytes of all rows over the time those GEMMs run; the published figure is rounded",
    )  # fmt: skip
    yield ComparisonRow(
        what="throughput kept with offload", ours=copied.tokens_per_s_per_gpu / plain.tokens_per_s_per_gpu,
        reference=published["offload.throughput_kept"], source="cycle_model",
        reason="the copy and its share are modelled, what the host does is not",
    )  # fmt: skip


def length_rows() -> Iterator[ComparisonRow]:
    """Moments of the synthetic traces beside those they are drawn for, and medians nobody asked them to have."""
    published = load_calibration("published_nanoflow")
    for name, moments in published.group("lengths").items():
        trace = synthetic_trace(load_requests(name), _DRAWS, 0)
        ours = [function(lengths) for lengths in (trace.prompt, trace.decode) for function in (np.mean, np.std)]
        labels = ("mean prompt", "deviation of prompts", "mean answer", "deviation of answers")
        for label, mine, reference in zip(labels, ours, moments, strict=True):
            yield ComparisonRow(
                what=f"synthetic {name}, {label}, tokens", ours=float(mine), reference=reference, source="computed",
                reason="50,000 log-normal draws of these moments, scaled to the mean; the tail makes deviations vary",
            )  # fmt: skip
        medians = zip(("prompt", "answer"), (trace.prompt, trace.decode), published[f"medians.{name}"], strict=True)
        for label, lengths, reference in medians:
            yield ComparisonRow(
                what=f"synthetic {name}, median {label}, tokens", ours=float(np.median(lengths)), reference=reference,
                source="computed",
                reason="log-normal lengths have the moments but not the shape of real ones, which have many short "
                "requests and some very long; the stored trace also differs from the paper's sample",
            )  # fmt: skip
