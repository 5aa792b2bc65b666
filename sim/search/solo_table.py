"""How long each kernel of a decoder layer takes alone, by chunks: what a schedule search is given.

Two sources. ``artifact``: the very table NanoFlow's published search had, for one model on one node, so that schedules
can be compared. ``calibrated``: :class:`sim.machine.token_times.TokenTimes`, for every model and device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from arch.device import NodeConfig
from arch.errors import InputError, check_integer, check_one_of
from arch.language_model import LanguageModelConfig
from arch.program import MAX_CHUNKS
from arch.workload import load_calibration
from sim.machine.token_cost import TokenBatch
from sim.machine.token_times import token_times

__all__ = ["CHUNK_ROWS", "KERNELS", "TIMES", "SoloTable", "solo_table"]

CHUNK_ROWS = 128
"""Tokens of a chunk: what NanoFlow profiles in steps of, and the scheduler tracks."""

_COLLECTIVES = {
    "AttentionAllGather": "AllGather",
    "OutputAllGather": "AllGather",
    "OutputAllReduce": "AllReduce",
    "DownAllReduce": "AllReduce",
}
KERNELS = ("KQV", "DecodeAttention", "PrefillAttention", "O", "UpGate", "Down", *_COLLECTIVES)
"""Kernels of a layer; element-wise operations are part of the kernel they are fused with."""

TIMES = ("auto", "artifact", "calibrated")


@dataclass(frozen=True, kw_only=True)
class SoloTable:
    """Kernel times of one layer, by chunks of 128 rows.

    Parameters
    ----------
    source : ``artifact`` or ``calibrated``
    decode_chunks, prefill_chunks : chunks of the dense batch that decode and that prefill
    networked : whether collectives join several GPUs
    us : by kernel, microseconds for 0, 1, 2 ... chunks; 0 for none
    """

    source: str
    decode_chunks: int
    prefill_chunks: int
    networked: bool
    us: dict[str, tuple[float, ...]]

    @property
    def n_chunks(self) -> int:
        """Chunks of the dense batch."""
        return self.decode_chunks + self.prefill_chunks

    @property
    def least_period_us(self) -> float:
        """Time of the unit with most to do, each kernel cut into whatever pieces take least: no layer is shorter."""
        us, every = self.us, self.n_chunks
        gemm = sum(_least(us[kernel], every) for kernel in ("KQV", "O", "UpGate", "Down"))
        gemv = _least(us["DecodeAttention"], self.decode_chunks) + us["PrefillAttention"][self.prefill_chunks]
        gathered = [sum(pair) for pair in zip(us["AttentionAllGather"], us["OutputAllGather"], strict=True)]
        output = [min(pair) for pair in zip(gathered, us["OutputAllReduce"], strict=True)]
        return max(gemm, gemv, _least(output, every) + _least(us["DownAllReduce"], every))


def solo_table(
    model: LanguageModelConfig, node: NodeConfig, batch: TokenBatch, decode_chunks: int, times: str = "auto"
) -> SoloTable:
    """The table for a dense batch of whole chunks, ``decode_chunks`` of them decoding.

    Parameters
    ----------
    model, node : what runs where
    batch : lengths and rows; the context of decode attention is its mean
    decode_chunks : chunks of 128 decoding rows
    times : ``artifact`` (LLaMA-2-70B or LLaMA-3-70B on 8xA100 at a context of 1024), ``calibrated``, or ``auto``:
        the artifact's where it applies

    Raises
    ------
    InputError
        If the artifact's table is asked for where it does not apply, or the batch is not of whole chunks.
    """
    check_one_of("times", times, TIMES)
    if batch.rows % CHUNK_ROWS:
        raise InputError(f"rows of the dense batch must be a multiple of {CHUNK_ROWS}, not {batch.rows}")
    n_chunks = batch.rows // CHUNK_ROWS
    check_integer("chunks of the dense batch", n_chunks, 1, MAX_CHUNKS)
    check_integer("decode chunks", decode_chunks, 0, n_chunks)
    published = load_calibration("a100_search")
    applies = (
        model.name in (published["reference.model"], "llama3_70b")
        and node.name == published["reference.device"]
        and batch.context == published["reference.context"]
    )
    if times == "artifact" and not applies:
        raise InputError(
            f"times must be calibrated for {model.name} on {node.name} at context {batch.context:g}, not 'artifact', "
            "which is of llama2_70b on 8xa100_80gb at context 1024"
        )
    if applies and times != "calibrated":
        points = published.group("kernel_us")
        kernels = {name: _along(np.array(points[_COLLECTIVES.get(name, name)])) for name in KERNELS}
    else:
        kernels = _calibrated(model, node, batch)
    return SoloTable(
        source="artifact" if applies and times != "calibrated" else "calibrated",
        decode_chunks=decode_chunks,
        prefill_chunks=n_chunks - decode_chunks,
        networked=node.n_gpus > 1,
        us={
            name: (0.0, *(kernel(chunks * CHUNK_ROWS) for chunks in range(1, n_chunks + 1)))
            for name, kernel in kernels.items()
        },
    )


def _least(times: Sequence[float], chunks: int) -> float:
    """Least time of that many chunks in any pieces."""
    best = [0.0]
    for n in range(1, chunks + 1):
        best.append(min(times[piece] + best[n - piece] for piece in range(1, n + 1)))
    return best[chunks]


def _along(points: np.ndarray) -> Callable[[int], float]:
    """Straight lines in rows a microsecond; beyond the last point that rate, below the first point its whole time.

    Fewer rows than were ever measured are thus never taken to be faster.
    """
    rates = points[:, 0] / points[:, 1]
    return lambda rows: max(float(points[0, 1]), float(rows / np.interp(rows, points[:, 0], rates)))


def _calibrated(model: LanguageModelConfig, node: NodeConfig, batch: TokenBatch) -> dict[str, Callable[[int], float]]:
    """Kernels with the element-wise work fused with them: rotary embedding with KQV, norms with collectives.

    Without a network the norms go with the GEMM that follows.
    """
    times = token_times(model, node, batch)
    parts = {
        **{name: (name,) for name in ("O", "UpGate", "Down", "DecodeAttention", "PrefillAttention")},
        "KQV": ("KQV", "Rope"),
    }
    if node.n_gpus == 1:
        parts |= {"KQV": ("NormAttention", "KQV", "Rope"), "UpGate": ("NormFfn", "UpGate")}
        parts |= {name: () for name in _COLLECTIVES}
    else:
        parts |= {
            "AttentionAllGather": ("AllGather",),
            "OutputAllGather": ("AllGather", "NormFfn"),
            "OutputAllReduce": ("AllReduce", "NormFfn"),
            "DownAllReduce": ("AllReduce", "NormAttention"),
        }

    def kernel(names: tuple[str, ...]) -> Callable[[int], float]:
        return lambda rows: sum((times.nano_batch_us(name, rows) for name in names), 0.0)

    return {name: kernel(names) for name, names in parts.items()}
