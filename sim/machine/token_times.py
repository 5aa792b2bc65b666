"""How long the kernels of a decoder layer take alone on the machine: rooflines times published efficiencies.

Two sets of kernels, as in the measurements. *Whole-batch* kernels have the machine and the full dense batch to
themselves (NanoFlow's Table 2). *Nano-batch* kernels are smaller and partly built with few thread blocks so that others
fit beside them (profile tables of NanoFlow's artifact). Every constant lies in ``workloads/calibration`` with its
source; what carries it to another model or device is the cost model.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from arch.device import NodeConfig
from arch.errors import InputError
from arch.language_model import LanguageModelConfig
from arch.workload import Calibration, load_calibration, load_model, load_node
from sim.machine.token_cost import GEMMS, OperationCost, TokenBatch, attention_cost, gemm_cost, gemm_shape, network_cost

__all__ = ["ELEMENTWISE", "TokenTimes", "token_times"]

ELEMENTWISE = ("NormAttention", "Rope", "NormFfn")
"""Operations that are neither GEMM, attention nor network; the calibration has one figure for all of them."""

_MIB = 1 << 20


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

        Where the calibration has no whole-batch time, the largest nano-batch kernel serves.
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
        rows = self.batch.decode_rows if operation == "DecodeAttention" else self.batch.rows
        return self.nano_batch_us(operation, rows)

    def nano_batch_us(self, operation: str, rows: float) -> float:
        """Time of an operation on ``rows`` rows; for the attentions, rows of their own kind."""
        if operation in GEMMS:
            cost = gemm_cost(self.model, operation, rows, 1)
            if self.node.gpu.systolic is not None:
                return max(self._systolic_us(operation, rows), cost.memory_s(self.node) * 1e6)
            return cost.roofline_s(self.node) * 1e6 / self._nano_batch_efficiency(operation, rows)
        if operation in ELEMENTWISE:
            return self._elementwise_us(operation, rows)
        known = {
            "DecodeAttention": self._decode_attention_us,
            "PrefillAttention": self._prefill_attention_us,
            "AllGather": self._all_gather_us,
            "AllReduce": lambda rows: self._reduce_scatter_us(rows) + self._all_gather_us(rows),
            "KvOffload": self._offload_us,
        }
        if operation not in known:
            raise InputError(f"operation must be one of {', '.join(GEMMS + ELEMENTWISE)}, {', '.join(known)}, "
                             f"not {operation!r}")  # fmt: skip
        return known[operation](rows)

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

    def _nano_batch_efficiency(self, operation: str, rows: float) -> float:
        model, node = self._reference()
        points = np.array(self.calibration[f"nano_batch_ms.{operation}"])
        factor = self.calibration.get(f"nano_batch_correction.{operation}", 1.0)
        rooflines = [gemm_cost(model, operation, tokens, 1).roofline_s(node) for tokens in points[:, 0]]
        efficiencies = np.array(rooflines) / (points[:, 1] * 1e-3 * factor)
        return float(np.interp(rows, points[:, 0], efficiencies))

    def _systolic_us(self, operation: str, rows: float) -> float:
        """GEMM of one GPU's arrays: outputs are split over the GPUs, or inputs where an all-reduce follows."""
        model, arrays = self.model, self.node.gpu.systolic
        n, k = gemm_shape(model, operation)
        if operation == "Down":
            k = math.ceil(k / self.node.n_gpus)
        else:
            n = math.ceil(n / self.node.n_gpus)
        experts = model.n_experts if operation in ("UpGate", "Down") else 1
        visits = model.n_active_experts if experts > 1 else 1
        return arrays.gemm_clocks(math.ceil(rows * visits / experts), n, k, experts) * 1e6 / arrays.clock_hz

    def _reference(self) -> tuple[LanguageModelConfig, NodeConfig]:
        return load_model(self.calibration["reference.model"]), load_node(self.calibration["reference.device"])

    def _elementwise_us(self, operation: str, rows: float) -> float:
        weights = self.calibration.group("other_weight")
        values = rows * self.model.d_model / self.calibration["other.reference_values"]
        memory = self._reference()[1].gpu.memory.bandwidth_bytes_per_s / self.node.gpu.memory.bandwidth_bytes_per_s
        return self.calibration["other.layer_us"] * values * memory * weights[operation] / sum(weights.values())

    def _decode_attention_us(self, rows: float) -> float:
        model = self.model
        cached = rows * self.batch.context * model.kv_bytes_per_token / model.n_layers
        bandwidth = self.calibration["decode_attention.bandwidth_fraction"] * self.node.memory_bytes_per_s
        return self.calibration["decode_attention.latency_us"] + cached / bandwidth * 1e6

    def _prefill_attention_us(self, rows: float) -> float:
        part = replace(self.batch, rows=max(1, round(self.batch.rows * rows / self.batch.prefill_rows)))
        roofline = attention_cost(self.model, "PrefillAttention", part, 1).roofline_s(self.node)
        efficiency = self.calibration.get("prefill_attention.efficiency", 1.0)
        return max(self.calibration["prefill_attention.launch_us"], roofline * 1e6 / efficiency)

    def _all_gather_us(self, rows: float) -> float:
        return self._collective_us("all_gather", rows)

    def _reduce_scatter_us(self, rows: float) -> float:
        return self._collective_us("reduce_scatter", rows)

    def _collective_us(self, kind: str, rows: float) -> float:
        """Latency, and a slope for the part of the message that comes from the N - 1 peers."""
        reference = self._reference()[1]
        message = rows * self.model.d_model * self.model.value_bytes / _MIB
        slope = self.calibration[f"{kind}.us_per_mib"]
        slope *= reference.gpu.network.bandwidth_bytes_per_s / self.node.gpu.network.bandwidth_bytes_per_s
        slope *= (1 - 1 / self.node.n_gpus) / (1 - 1 / reference.n_gpus)
        return self.calibration[f"{kind}.latency_us"] + slope * message

    def _offload_us(self, rows: float) -> float:
        per_gpu = rows * self.model.kv_bytes_per_token / self.model.n_layers / self.node.n_gpus
        return per_gpu / self.calibration["copy.bandwidth_bytes_per_s"] * 1e6


def token_times(model: LanguageModelConfig, node: NodeConfig, batch: TokenBatch) -> TokenTimes:
    """Solo times with the calibration that fits the node: one H200, another single GPU, or tensor parallelism."""
    single = "h200_single" if node.gpu.name.startswith("h200") else "a100_single"
    name = single if node.n_gpus == 1 else "a100_tensor_parallel"
    return TokenTimes(model=model, node=node, batch=batch, calibration=load_calibration(name))


def _cost(model: LanguageModelConfig, node: NodeConfig, batch: TokenBatch, operation: str) -> OperationCost:
    if operation in GEMMS:
        return gemm_cost(model, operation, batch.rows, 1)
    if operation == "Network":
        return network_cost(model, node, batch.rows, 1)
    return attention_cost(model, operation, batch, 1)
