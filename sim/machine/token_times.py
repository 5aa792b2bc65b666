"""How long the kernels of a decoder layer take alone on the machine: rooflines times published efficiencies.

Two sets of kernels, as in the measurements. *Whole-batch* kernels have the machine and the full dense batch to
themselves (NanoFlow's Table 2). *Nano-batch* kernels are smaller and partly built with few thread blocks so that others
fit beside them (profile tables of NanoFlow's artifact). Every constant lies in ``workloads/calibration`` with its
source; what carries it to another model or device is the cost model.
"""

import math
from dataclasses import dataclass

import numpy as np

from arch.device import NodeConfig
from arch.errors import InputError
from arch.language_model import LanguageModelConfig
from arch.workload import Calibration, load_calibration, load_model, load_node
from sim.machine.kernel_laws import collective_us, elementwise_us, gemm_us, prefill_attention_us
from sim.machine.token_cost import (
    GEMMS,
    OperationCost,
    TokenBatch,
    attention_cost,
    gemm_cost,
    gemm_shape,
    gemm_shard,
    network_cost,
)

__all__ = ["ELEMENTWISE", "RooflineTimes", "TokenTimes", "token_times"]

ELEMENTWISE = ("NormAttention", "Rope", "NormFfn")
"""Operations that are neither GEMM, attention nor network; the calibration has one figure for all of them."""

_EXPERT_GEMMS = ("UpGate", "Down")
_OPERATIONS = (*GEMMS, *ELEMENTWISE, "DecodeAttention", "PrefillAttention", "AllGather", "AllReduce", "KvOffload")


@dataclass(frozen=True, kw_only=True)
class TokenTimes:
    """Solo times, in microseconds of one layer on one node.

    Parameters
    ----------
    model : the decoder
    node : the machine; rates other than the calibrated machine's scale the times
    batch : the dense batch
    calibration : measured times and what they were measured on
    """

    model: LanguageModelConfig
    node: NodeConfig
    batch: TokenBatch
    calibration: Calibration

    def whole_batch_us(self, operation: str) -> float:
        """Time of an operation on the whole dense batch; ``Elementwise`` stands for all of ``ELEMENTWISE``.

        Where the calibration has no whole-batch time, the nano-batch kernel of as many rows serves.
        """
        if operation == "Elementwise":
            return sum(self.nano_batch_us(name, self.batch.rows) for name in ELEMENTWISE)
        if operation == "Network" and self.node.n_gpus == 1:
            return 0.0
        if operation == "PrefillAttention":
            return self.nano_batch_us(operation, self.batch.prefill_rows)
        on_arrays = operation in GEMMS and self.node.gpu.systolic is not None
        if f"whole_batch_ms.{operation}" in self.calibration and not on_arrays:
            cost = _cost(self.model, self.node, self.batch, operation)
            return cost.roofline_s(self.node) * 1e6 / self._whole_batch_efficiency(operation)
        if operation == "Network":
            return 2 * self.nano_batch_us("AllReduce", self.batch.rows)
        rows = self.batch.decode_rows if operation == "DecodeAttention" else self.batch.rows
        return self.nano_batch_us(operation, rows)

    @property
    def head_us(self) -> float:
        """Output matrix of the decoding rows, once an iteration; 0 where the calibration has it in its other times."""
        model, node = self.model, self.node
        rows = self.batch.decode_rows
        if "other.layer_us" in self.calibration or model.vocab_size is None or not rows:
            return 0.0
        n = math.ceil(model.vocab_size / node.n_gpus)
        if node.gpu.systolic is not None:
            arrays = node.gpu.systolic
            return arrays.gemm_clocks(math.ceil(rows), n, model.d_model) * 1e6 / arrays.clock_hz
        moved = (n * model.d_model + rows * (n + model.d_model)) * model.value_bytes
        return gemm_us(self.calibration, node.gpu, 2.0 * rows * n * model.d_model, moved)

    @property
    def has_whole_network(self) -> bool:
        """Whether the collectives of a layer were measured together only."""
        return "whole_batch_ms.Network" in self.calibration

    def nano_batch_us(self, operation: str, rows: float) -> float:
        """Time of an operation on ``rows`` rows; for the attentions, rows of their own kind. No rows take no time."""
        if operation not in _OPERATIONS:
            raise InputError(f"operation must be one of {', '.join(_OPERATIONS)}, not {operation!r}")
        if rows <= 0:
            return 0.0
        if operation in GEMMS:
            return self._gemm_us(operation, rows)
        if operation in ELEMENTWISE:
            return self._elementwise_us(operation, rows)
        return {
            "DecodeAttention": self._decode_attention_us,
            "PrefillAttention": self._prefill_attention_us,
            "AllGather": lambda rows: self._collective_us("all_gather", rows),
            "AllReduce": self._all_reduce_us,
            "KvOffload": self._offload_us,
        }[operation](rows)

    @property
    def achievable_flops_per_s(self) -> float:
        """GEMM rate of one GPU that the optimum is counted with: the calibrated one, scaled by the tensor peaks; of
        arrays beside it all they have."""
        if self.node.gpu.systolic is not None:
            return self.node.gpu.systolic.flops_per_s
        peak = self._reference()[1].gpu.fp16_flops_per_s
        return self.calibration["optimal_flops_per_s"] * self.node.gpu.fp16_flops_per_s / peak

    @property
    def extrapolated(self) -> bool:
        """True if the calibration was measured with another model or device."""
        return (self.model.name, self.node.name) != tuple(
            self.calibration[f"reference.{name}"] for name in ("model", "device")
        )

    def _whole_batch_efficiency(self, operation: str) -> float:
        model, node = self._reference()
        batch = TokenBatch(**{name: self.calibration[f"reference.{name}"] for name in ("prompt", "decode", "rows")})
        seconds = self.calibration[f"whole_batch_ms.{operation}"] * 1e-3 / model.n_layers
        return _cost(model, node, batch, operation).roofline_s(node) / seconds

    def _gemm_us(self, operation: str, rows: float) -> float:
        """On arrays beside the GPU; by the table where shapes were measured; by the law of its GPU for other shapes."""
        model, node = self.model, self.node
        cost = gemm_cost(model, operation, rows, 1)
        if node.gpu.systolic is not None:
            return max(self._systolic_us(operation, rows), cost.memory_s(node) * 1e6)
        if "gemm.sharpness" in self.calibration and self.extrapolated:
            n, k = gemm_shard(model, operation, node.n_gpus)
            visits = model.n_active_experts if operation in _EXPERT_GEMMS else 1
            weights = n * k * (model.n_experts if operation in _EXPERT_GEMMS else 1)
            moved = (weights + rows * visits * (n + k)) * model.value_bytes
            return gemm_us(self.calibration, node.gpu, 2.0 * rows * visits * n * k, moved)
        # compute and memory apart, so that time rises with the rows on machines of another balance too
        tensor, memory = self._table_efficiencies(operation, rows)
        return max(cost.compute_s(node) / tensor, cost.memory_s(node) / memory) * 1e6

    def _table_efficiencies(self, operation: str, rows: float) -> tuple[float, float]:
        """Parts of the tensor and memory peaks a table's kernels reach.

        Of the tensor peak by straight lines between the measured points, level beyond them; of the memory's the best
        of any point, and at least what the smallest reaches of whatever bounds it.
        """
        model, node = self._reference()
        points = np.array(self.calibration[f"nano_batch_ms.{operation}"])
        seconds = points[:, 1] * 1e-3 * self.calibration.get(f"nano_batch_correction.{operation}", 1.0)
        costs = [gemm_cost(model, operation, tokens, 1) for tokens in points[:, 0]]
        tensor = np.array([cost.compute_s(node) for cost in costs]) / seconds
        memory = np.array([cost.memory_s(node) for cost in costs]) / seconds
        return float(np.interp(rows, points[:, 0], tensor)), float(max(tensor[0], *memory))

    def _systolic_us(self, operation: str, rows: float) -> float:
        """GEMM of one GPU's arrays: outputs are split over the GPUs, or inputs where an all-reduce follows."""
        model, arrays = self.model, self.node.gpu.systolic
        n, k = gemm_shape(model, operation)
        if operation == "Down":
            k = math.ceil(k / self.node.n_gpus)
        else:
            n = math.ceil(n / self.node.n_gpus)
        experts = model.n_experts if operation in _EXPERT_GEMMS else 1
        visits = model.n_active_experts if experts > 1 else 1
        return arrays.gemm_clocks(math.ceil(rows * visits / experts), n, k, experts) * 1e6 / arrays.clock_hz

    def _reference(self) -> tuple[LanguageModelConfig, NodeConfig]:
        return load_model(self.calibration["reference.model"]), load_node(self.calibration["reference.device"])

    def _elementwise_us(self, operation: str, rows: float) -> float:
        if "elementwise.launch_us" in self.calibration:
            return sum(
                elementwise_us(self.calibration, self.node.gpu, rows * width * self.model.value_bytes)
                for width in self._elementwise_widths(operation)
            )
        weights = self.calibration.group("other_weight")
        values = rows * self.model.d_model / self.calibration["other.reference_values"]
        memory = self._reference()[1].gpu.memory.bandwidth_bytes_per_s / self.node.gpu.memory.bandwidth_bytes_per_s
        return self.calibration["other.layer_us"] * values * memory * weights[operation] / sum(weights.values())

    def _elementwise_widths(self, operation: str) -> tuple[float, ...]:
        """Values a row that the kernels of an operation read and write on one GPU: norms work on whole rows, rotary
        embedding with cache append and SiLU on the GPU's own part."""
        model, n_gpus = self.model, self.node.n_gpus
        norm = 4.0 * model.d_model
        return {
            "NormAttention": (norm,),
            "Rope": (2.0 * (model.q_dim + 2 * model.kv_dim) / n_gpus,),
            "NormFfn": (norm, 3.0 * model.d_ffn * model.n_active_experts / n_gpus),
        }[operation]

    def _decode_attention_us(self, rows: float) -> float:
        model = self.model
        cached = rows * self.batch.context * model.kv_bytes_per_token / model.n_layers
        bandwidth = self.calibration["decode_attention.bandwidth_fraction"] * self.node.memory_bytes_per_s
        return self.calibration["decode_attention.latency_us"] + cached / bandwidth * 1e6

    def _prefill_attention_us(self, rows: float) -> float:
        cost = attention_cost(self.model, "PrefillAttention", self.batch, 1, rows)
        if "prefill_attention.us_per_key" in self.calibration:
            flop = cost.flop / self.node.n_gpus
            memory = cost.memory_s(self.node) / self.calibration["decode_attention.bandwidth_fraction"]
            walk = min(self.batch.prompt, rows)
            return max(prefill_attention_us(self.calibration, self.node.gpu, flop, walk), memory * 1e6)
        return max(self.calibration["prefill_attention.launch_us"], cost.roofline_s(self.node) * 1e6)

    def _all_reduce_us(self, rows: float) -> float:
        if "all_reduce.latency_us" in self.calibration:
            return self._collective_us("all_reduce", rows)
        return self._collective_us("reduce_scatter", rows) + self._collective_us("all_gather", rows)

    def _collective_us(self, kind: str, rows: float) -> float:
        if self.node.n_gpus == 1:
            return 0.0
        ratio = self._reference()[1].gpu.network.bandwidth_bytes_per_s / self.node.gpu.network.bandwidth_bytes_per_s
        message = rows * self.model.d_model * self.model.value_bytes
        return collective_us(self.calibration, kind, message, self.node.n_gpus, bandwidth_ratio=ratio)

    def _offload_us(self, rows: float) -> float:
        per_gpu = rows * self.model.kv_bytes_per_token / self.model.n_layers / self.node.n_gpus
        return per_gpu / self.calibration["copy.bandwidth_bytes_per_s"] * 1e6


class RooflineTimes(TokenTimes):
    """The same by peaks alone: the longest of compute, memory and network time of NanoFlow's section 3.5.

    Element-wise operations, launches and latencies take no time.
    """

    def whole_batch_us(self, operation: str) -> float:
        """Roofline of an operation on the whole dense batch."""
        if operation == "Elementwise" or (operation == "Network" and self.node.n_gpus == 1):
            return 0.0
        return _cost(self.model, self.node, self.batch, operation).roofline_s(self.node) * 1e6

    @property
    def head_us(self) -> float:
        """The output matrix counts for nothing in NanoFlow's cost model."""
        return 0.0

    @property
    def has_whole_network(self) -> bool:
        """The collectives of a layer are known one by one."""
        return False

    def nano_batch_us(self, operation: str, rows: float) -> float:
        """Roofline of an operation on ``rows`` rows; no rows take no time."""
        if operation not in _OPERATIONS:
            raise InputError(f"operation must be one of {', '.join(_OPERATIONS)}, not {operation!r}")
        if rows <= 0 or operation in ELEMENTWISE:
            return 0.0
        if operation in GEMMS:
            return gemm_cost(self.model, operation, rows, 1).roofline_s(self.node) * 1e6
        if operation in ("DecodeAttention", "PrefillAttention"):
            return attention_cost(self.model, operation, self.batch, 1, rows).roofline_s(self.node) * 1e6
        if operation == "KvOffload":
            return self._offload_us(rows)
        part = 4 if operation == "AllGather" else 2
        return network_cost(self.model, self.node, rows, 1).roofline_s(self.node) * 1e6 / part

    @property
    def achievable_flops_per_s(self) -> float:
        """The tensor peak; of arrays beside the GPU all they have."""
        gpu = self.node.gpu
        return gpu.fp16_flops_per_s if gpu.systolic is None else gpu.systolic.flops_per_s

    @property
    def extrapolated(self) -> bool:
        """Peaks belong to the machine itself."""
        return False


def token_times(
    model: LanguageModelConfig, node: NodeConfig, batch: TokenBatch, *, roofline: bool = False
) -> TokenTimes:
    """Solo times with the calibration that fits the node: its GPU's kernels, or those of the GPU nearest to it.

    ``roofline`` leaves the calibration aside.
    """
    if node.gpu.kernels == "h200":
        name = "h200_kernels"
    else:
        name = "a100_single" if node.n_gpus == 1 else "a100_tensor_parallel"
    kind = RooflineTimes if roofline else TokenTimes
    return kind(model=model, node=node, batch=batch, calibration=load_calibration(name))


def _cost(model: LanguageModelConfig, node: NodeConfig, batch: TokenBatch, operation: str) -> OperationCost:
    if operation in GEMMS:
        return gemm_cost(model, operation, batch.rows, 1)
    if operation == "Network":
        return network_cost(model, node, batch.rows, 1)
    return attention_cost(model, operation, batch, 1)
