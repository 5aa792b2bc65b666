"""A server of one model: continuous batching with chunked prefill, paged keys and values, admission by prediction.

One turn of the loop is one iteration of the model (NanoFlow, OSDI 2025, section 4.2):

* **Batch.** Every decoding request contributes one row, the oldest prompts fill the dense batch with chunks of any
  length to exactly its size. A batch is smaller only if there is nothing left to fill it with.
* **Asynchronous.** A batch is formed while the one before runs: from requests that had arrived when that one began,
  and without knowing who ends in it. A request that has ended thus takes one more row, which is wasted. Synchronous
  forming knows both and pays nothing for it here, as the host's time is not modelled.
* **Admission.** Keys and values lie in pages of 16 tokens. A request is let in if the pages predicted for every coming
  iteration, with every answer as long as the mean, stay within the memory less one mean request. What outlives the
  prediction is counted as staying. If pages run out all the same, the youngest request waits on the host (its pages
  copied there beside the GEMMs, at no cost in time here) and returns before anybody else is let in.
* **Order.** First come, first served.
"""

import math
from dataclasses import dataclass

import numpy as np

from arch.device import NodeConfig
from arch.errors import InputError, check_integer
from arch.language_model import LanguageModelConfig
from sim.serving.iteration_time import IterationTimes
from sim.serving.server_kernel import COUNTERS, LOGGED, PAGE_TOKENS, serve_requests
from sim.serving.trace import RequestTrace

__all__ = ["LOGGED", "Distribution", "ServingResult", "kv_capacity_tokens", "serve"]


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Mean and percentiles of something every request has."""

    mean: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Distribution":
        """Of an array with at least one value."""
        p50, p90, p99 = np.percentile(values, (50, 90, 99))
        return cls(mean=float(values.mean()), p50=float(p50), p90=float(p90), p99=float(p99))


@dataclass(frozen=True, kw_only=True)
class ServingResult:
    """What a trace came to.

    Parameters
    ----------
    trace : what was served
    first_s, finish_s : (n,) when each request had its first and its last token
    makespan_s : from the first arrival to the last token
    counters : iterations, rows, decode_rows, wasted_rows (of requests that had ended), padded_rows (a program is longer
        than its batch), swaps, peak_pages, peak_requests
    capacity_tokens : tokens the memory has pages for
    n_gpus : GPUs of the node
    iterations : (n, 7) the first iterations, columns as ``LOGGED``; none unless asked for
    """

    trace: RequestTrace
    first_s: np.ndarray
    finish_s: np.ndarray
    makespan_s: float
    counters: dict[str, int]
    capacity_tokens: int
    n_gpus: int
    iterations: np.ndarray

    @property
    def tokens_per_s_per_gpu(self) -> float:
        """Prompt and answer tokens of all requests over the makespan."""
        tokens = int(self.trace.prompt.sum() + self.trace.decode.sum())
        return tokens / self.makespan_s / self.n_gpus

    @property
    def steady_tokens_per_s_per_gpu(self) -> float:
        """Throughput of the middle half of the requests by their end, where the batch is full if it ever is."""
        order = np.argsort(self.finish_s, kind="stable")
        first, last = len(order) // 4, (3 * len(order)) // 4
        if self.finish_s[order[first]] == self.finish_s[order[last]]:
            return self.tokens_per_s_per_gpu
        middle = order[first:last]
        tokens = int(self.trace.prompt[middle].sum() + self.trace.decode[middle].sum())
        return tokens / float(self.finish_s[order[last]] - self.finish_s[order[first]]) / self.n_gpus

    @property
    def ttft_s(self) -> Distribution:
        """Time to first token."""
        return Distribution.of(self.first_s - self.trace.arrival_s)

    @property
    def tpot_s(self) -> Distribution:
        """Time per output token after the first, of requests that have more than one; 0 if none has."""
        more = self.trace.decode > 1
        if not more.any():
            return Distribution.of(np.zeros(1))
        return Distribution.of((self.finish_s - self.first_s)[more] / (self.trace.decode[more] - 1))

    @property
    def normalized_latency_s(self) -> Distribution:
        """Arrival to last token over the length of the answer."""
        return Distribution.of((self.finish_s - self.trace.arrival_s) / self.trace.decode)


def kv_capacity_tokens(model: LanguageModelConfig, node: NodeConfig) -> int:
    """Tokens whose keys and values fit beside the weights, in whole pages.

    Raises
    ------
    InputError
        If the weights do not fit, or leave no page.
    """
    free = node.memory_bytes - model.n_parameters * model.value_bytes
    pages = math.floor(free / (model.kv_bytes_per_token * PAGE_TOKENS))
    if pages < 1:
        raise InputError(
            f"device must hold the {model.n_parameters * model.value_bytes / 1e9:.0f} GB of weights of {model.name} "
            f"and a page of its cache, not {node.memory_bytes / 1e9:.0f} GB as {node.name} does"
        )
    return pages * PAGE_TOKENS


def serve(
    trace: RequestTrace,
    model: LanguageModelConfig,
    node: NodeConfig,
    times: IterationTimes,
    *,
    asynchronous: bool = True,
    max_iterations: int = 50_000_000,
    log_iterations: int = 0,
) -> ServingResult:
    """Serve a trace to its end.

    Parameters
    ----------
    trace : requests
    model, node : set the memory for keys and values
    times : how long an iteration takes
    asynchronous : form batches while the one before runs
    max_iterations : guard against runs without end
    log_iterations : how many of the first iterations to keep, at most a million

    Raises
    ------
    InputError
        If a request alone does not fit the memory, or the guard is met.
    """
    capacity = kv_capacity_tokens(model, node)
    longest = int((trace.prompt + trace.decode).max()) + PAGE_TOKENS
    if longest > capacity:
        raise InputError(
            f"requests must be at most {capacity - PAGE_TOKENS} tokens long on {node.name}, not {longest - PAGE_TOKENS}"
        )
    first_s, finish_s = np.zeros(len(trace)), np.zeros(len(trace))
    counters = np.zeros(len(COUNTERS), dtype=np.int64)
    check_integer("log_iterations", log_iterations, 0, 1_000_000)
    log = np.zeros((log_iterations, len(LOGGED)))
    end = serve_requests(
        trace.arrival_s,
        trace.prompt,
        trace.decode,
        (times.rows, times.decode_share, times.context),
        times.seconds,
        times.padded,
        capacity,
        max(1, round(float(trace.prompt.mean()))),
        max(1, round(float(trace.decode.mean()))),
        asynchronous,
        max_iterations,
        first_s,
        finish_s,
        counters,
        log,
    )
    if end < 0:
        raise InputError(f"iterations of a trace must be at most {max_iterations}, not more; serve fewer requests")
    return ServingResult(
        trace=trace,
        first_s=first_s,
        finish_s=finish_s,
        makespan_s=float(finish_s.max() - trace.arrival_s[0]),
        counters=dict(zip(COUNTERS, counters.tolist(), strict=True)),
        capacity_tokens=capacity,
        n_gpus=node.n_gpus,
        iterations=log[: counters[0]],
    )
