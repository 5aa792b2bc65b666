"""Cost model of a decoder under tensor parallelism: operations, bytes and the time no machine can beat.

Follows section 3 of NanoFlow (OSDI 2025); every figure of its Table 2 comes out of :func:`operation_costs`. Counts
are for the whole node and all layers, a multiply-add is two operations, one iteration works on one dense batch of
decode and prefill tokens together.
"""

import math
from dataclasses import dataclass

from arch.device import NodeConfig
from arch.errors import InputError, check_integer, check_positive
from arch.language_model import LanguageModelConfig

__all__ = [
    "OPERATIONS", "OperationCost", "TokenBatch", "attention_cost", "compute_time_s", "gemm_cost", "gemm_shape",
    "gemm_shard", "max_dense_batch", "memory_compute_ratio", "memory_time_s", "network_compute_ratio", "network_cost",
    "network_time_s", "operation_costs", "optimal_tokens_per_s_per_gpu",
]  # fmt: skip

OPERATIONS = ("KQV", "O", "UpGate", "Down", "DecodeAttention", "PrefillAttention", "Network")
"""Operations of a layer in the order of NanoFlow's Table 2."""

GEMMS = ("KQV", "O", "UpGate", "Down")


@dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """The dense batch of a steady serving state.

    Parameters
    ----------
    prompt : mean prompt length p, tokens
    decode : mean output length d, tokens
    rows : tokens of the dense batch
    decoding : rows that decode, where the mix is not the steady one of the lengths
    attended : mean tokens a decoding row attends to, where it is not that of the lengths

    A request spends d iterations decoding and its p prompt tokens are spread over them, so ``d / (p + d)`` of the
    rows decode; the mean context of a decoding request is ``p + d / 2``.

    Raises
    ------
    InputError
        If a number is out of range, or more rows are to decode than there are.
    """

    prompt: int
    decode: int
    rows: int
    decoding: float | None = None
    attended: float | None = None

    def __post_init__(self) -> None:
        check_integer("prompt", self.prompt, 1, 1 << 20)
        check_integer("decode", self.decode, 1, 1 << 20)
        check_integer("rows of the dense batch", self.rows, 1, 1 << 20)
        if self.decoding is not None and not 0 <= self.decoding <= self.rows:
            raise InputError(f"rows that decode must be 0 to {self.rows}, not {self.decoding:g}")
        if self.attended is not None:
            check_positive("context", self.attended)
            if self.attended > 1 << 20:
                raise InputError(f"context must be at most {1 << 20} tokens, not {self.attended:g}")

    @property
    def decode_rows(self) -> float:
        """Rows that decode, one a request."""
        if self.decoding is not None:
            return self.decoding
        return self.rows * self.decode / (self.prompt + self.decode)

    @property
    def prefill_rows(self) -> float:
        """Rows that prefill."""
        return self.rows - self.decode_rows

    @property
    def context(self) -> float:
        """Mean tokens a decoding row attends to."""
        return self.prompt + self.decode / 2 if self.attended is None else self.attended


@dataclass(frozen=True, kw_only=True)
class OperationCost:
    """What one operation takes, over the node and the layers it was counted for.

    Parameters
    ----------
    operation : one of ``OPERATIONS``
    flop : arithmetic, 2 per multiply-add
    memory_bytes : device memory traffic
    network_bytes : bytes sent
    """

    operation: str
    flop: float
    memory_bytes: float
    network_bytes: float = 0.0

    def compute_s(self, node: NodeConfig) -> float:
        """Seconds at the tensor peak."""
        return self.flop / node.fp16_flops_per_s

    def memory_s(self, node: NodeConfig) -> float:
        """Seconds at the memory's peak."""
        return self.memory_bytes / node.memory_bytes_per_s

    def network_s(self, node: NodeConfig) -> float:
        """Seconds at the network's one-way peak."""
        return self.network_bytes / node.network_bytes_per_s if self.network_bytes else 0.0

    def roofline_s(self, node: NodeConfig) -> float:
        """Seconds of the slowest of the three: T_op of NanoFlow, section 3.5."""
        return max(self.compute_s(node), self.memory_s(node), self.network_s(node))


def gemm_shape(model: LanguageModelConfig, operation: str) -> tuple[int, int]:
    """Outputs N and inputs K of a GEMM's weights, on all GPUs together, of one expert where there are several."""
    d, inner = model.d_model, model.d_ffn
    return {
        "KQV": (model.q_dim + 2 * model.kv_dim, d),
        "O": (d, model.q_dim),
        "UpGate": (2 * inner, d),
        "Down": (d, inner),
    }[operation]


def gemm_shard(model: LanguageModelConfig, operation: str, n_gpus: int) -> tuple[int, int]:
    """Outputs N and inputs K of one GPU's part of a GEMM: O and Down are split along K, the others along N."""
    n, k = gemm_shape(model, operation)
    return (n, math.ceil(k / n_gpus)) if operation in ("O", "Down") else (math.ceil(n / n_gpus), k)


def gemm_cost(model: LanguageModelConfig, operation: str, rows: float, n_layers: int) -> OperationCost:
    """A GEMM of ``rows`` x N x K: every weight, input and output crosses memory once.

    A mixture of experts multiplies each token with ``n_active_experts`` experts and reads all ``n_experts``.
    """
    n, k = gemm_shape(model, operation)
    expert = operation in ("UpGate", "Down")
    visits = model.n_active_experts if expert else 1
    weights = n * k * (model.n_experts if expert else 1)
    return OperationCost(
        operation=operation,
        flop=2.0 * rows * visits * n * k * n_layers,
        memory_bytes=(weights + rows * visits * (k + n)) * model.value_bytes * n_layers,
    )


def attention_cost(
    model: LanguageModelConfig, operation: str, batch: TokenBatch, n_layers: int, rows: float | None = None
) -> OperationCost:
    """Attention of the decoding or of the prefilling rows, all of the batch's or ``rows`` of them.

    Decode reads the cached keys and values of the context, and writes and reads those of the new token; prefill (no
    causal halving, as in Table 2) reads those of every request the batch cuts through, so whole requests.
    """
    q, kv = model.q_dim, model.kv_dim
    if operation == "DecodeAttention":
        rows, context = batch.decode_rows if rows is None else rows, batch.context
        cached = rows * (context + 1) * 2 * kv
    else:
        rows, context = batch.prefill_rows if rows is None else rows, float(batch.prompt)
        cached = math.ceil(rows / batch.prompt) * batch.prompt * 2 * kv
    return OperationCost(
        operation=operation,
        flop=4.0 * rows * context * q * n_layers,
        memory_bytes=(cached + 2 * rows * q) * model.value_bytes * n_layers,
    )


def network_cost(model: LanguageModelConfig, node: NodeConfig, rows: float, n_layers: int) -> OperationCost:
    """Two all-gathers and one all-reduce a layer (or two all-reduces): equation 3 with N - 1 peers.

    The same bytes cross the memory, and the all-reduce adds a number for every fourth value sent.
    """
    sent = 4.0 * (node.n_gpus - 1) * rows * model.d_model * model.value_bytes * n_layers
    return OperationCost(operation="Network", flop=sent / 4, memory_bytes=sent, network_bytes=sent)


def operation_costs(
    model: LanguageModelConfig, node: NodeConfig, batch: TokenBatch, n_layers: int | None = None
) -> tuple[OperationCost, ...]:
    """Cost of each of ``OPERATIONS`` for ``n_layers`` layers (all of the model by default)."""
    layers = model.n_layers if n_layers is None else n_layers
    check_integer("n_layers of a cost", layers, 1, model.n_layers)
    return (
        *(gemm_cost(model, operation, batch.rows, layers) for operation in GEMMS),
        attention_cost(model, "DecodeAttention", batch, layers),
        attention_cost(model, "PrefillAttention", batch, layers),
        network_cost(model, node, batch.rows, layers),
    )


def memory_time_s(node: NodeConfig) -> float:
    """T_mem, equation 1: at the largest batch the whole memory is read once an iteration."""
    return node.memory_bytes / node.memory_bytes_per_s


def compute_time_s(model: LanguageModelConfig, node: NodeConfig, rows: float) -> float:
    """T_compute, equation 2."""
    return 2.0 * rows * model.n_active_parameters / node.fp16_flops_per_s


def network_time_s(model: LanguageModelConfig, node: NodeConfig, rows: float) -> float:
    """T_net, equation 3."""
    return network_cost(model, node, rows, model.n_layers).network_s(node)


def max_dense_batch(
    model: LanguageModelConfig, node: NodeConfig, prompt: float, decode: float, weights: float | None = None
) -> float:
    """Rows of the dense batch when keys and values fill all memory the weights leave.

    ``weights`` is the number of parameters held, ``n_parameters`` by default. A decoding request holds ``p + d / 2``
    tokens on average and brings ``(p + d) / d`` rows to the batch.
    """
    held = model.n_parameters if weights is None else weights
    free = node.memory_bytes - held * model.value_bytes
    if free <= 0:
        remedy = f"more GPUs, such as 8x{node.gpu.name}" if node.gpu.network else "another device, such as 8xa100_80gb"
        raise InputError(
            f"device must hold the {held * model.value_bytes / 1e9:.0f} GB of weights of {model.name}, "
            f"not {node.memory_bytes / 1e9:.0f} GB as {node.name} does; take {remedy}"
        )
    requests = free / model.kv_bytes_per_token / (prompt + decode / 2)
    return requests * (prompt + decode) / decode


def memory_compute_ratio(model: LanguageModelConfig, node: NodeConfig, prompt: float, decode: float) -> float:
    """T_R = T_mem / T_compute at the largest batch, equation 5 and Figure 3; below 1 the workload is compute-bound.

    For a mixture of experts the figure counts the memory of the active parameters only; kept, to agree with it.
    """
    rows = max_dense_batch(model, node, prompt, decode, weights=model.n_active_parameters)
    return memory_time_s(node) / compute_time_s(model, node, rows)


def network_compute_ratio(model: LanguageModelConfig, node: NodeConfig) -> float:
    """T_net / T_compute, equation 4 and Figure 2; the batch cancels out."""
    return network_time_s(model, node, 1.0) / compute_time_s(model, node, 1.0)


def optimal_tokens_per_s_per_gpu(model: LanguageModelConfig, flops_per_s_per_gpu: float) -> float:
    """Equation 6: tokens a second if every GPU multiplied all the time at the given achievable rate."""
    return flops_per_s_per_gpu / (2.0 * model.n_active_parameters)
