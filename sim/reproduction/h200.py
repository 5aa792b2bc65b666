"""LLM operations measured on an H200, beside what the timing models make of them, file by file.

Kernels alone against laws of few constants, pairs of kernels against a table of four, whole layers against both: the
further down, the less is fitted. ``data`` may be another folder of measurements, of another GPU too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from arch.workload import load_calibration, load_model, load_node
from sim.machine.partitioned_layer import sequential_layer_us
from sim.machine.token_cost import TokenBatch
from sim.machine.token_times import TokenTimes
from sim.reproduction.comparison_row import ComparisonRow
from sim.reproduction.h200_kernels import kernel_rows
from sim.reproduction.h200_layers import layer_rows
from sim.reproduction.h200_overlap import overlap_rows
from sim.reproduction.measured_data import read_measured

__all__ = ["FileSummary", "reproduce_h200", "summarise"]


@dataclass(frozen=True, kw_only=True)
class FileSummary:
    """How far the rows of one file are off.

    Parameters
    ----------
    file : name of the file, without its ending
    rows : compared values
    mean, largest : of the distances between ours and the measured, as parts of the measured
    within : part of the rows off by at most a tenth
    """

    file: str
    rows: int
    mean: float
    largest: float
    within: float


def reproduce_h200(data: Path | None = None, device: str = "h200") -> list[ComparisonRow]:
    """A row for every measured value the models predict.

    Parameters
    ----------
    data : folder of files as :mod:`sim.reproduction.measured_data` lists them; the packaged H200 data by default
    device : GPU preset they were measured on

    Raises
    ------
    InputError
        If the folder or a value in it is not one we can read, or the device is unknown.
    """
    gpu, measured = load_node(device).gpu, read_measured(data)
    rows = [*kernel_rows(measured, gpu), *overlap_rows(measured), *layer_rows(measured, gpu.name)]
    if gpu.name != "h200":
        reason = f"laws and tables of an H200, times scaled by the peaks of {gpu.name}; nothing of these was fitted"
        return [replace(row, reason=reason) for row in rows]
    return rows if data is not None else [*rows, _extrapolated()]


def summarise(rows: Sequence[ComparisonRow]) -> list[FileSummary]:
    """One line a file, in the order of the rows; what is from no file stands under its own name."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row.what.partition(",")[0], []).append(abs(row.ratio - 1))
    return [
        FileSummary(
            file=name,
            rows=len(found),
            mean=float(np.mean(found)),
            largest=float(np.max(found)),
            within=float(np.mean(np.array(found) <= 0.1)),
        )
        for name, found in groups.items()
    ]


def _extrapolated() -> ComparisonRow:
    """The same layer from the A100's kernels alone, as for a GPU nobody measured."""
    batch = TokenBatch(prompt=1, decode=1, rows=2048, decoding=2048, attended=1024)
    scaled = TokenTimes(
        model=load_model("llama3_8b"), node=load_node("h200"), batch=batch, calibration=load_calibration("a100_single")
    )
    return ComparisonRow(
        what="layer from A100 kernels, LLaMA-3-8B, 2048 decoding at context 1024, sequential, us",
        ours=sequential_layer_us(scaled),
        reference=load_calibration("h200_layers")["layer_us.burst.sequential"],
        source="calibrated",
        reason="everything from A100 kernels and two data sheets, nothing measured on an H200",
    )
