"""P(R): how fast a nano-operation runs on a share of the machine.

NanoFlow (OSDI 2025, section 4.1) measures it in pairs, a GEMM beside one other kernel, and takes the pair to hold for
three. R is the share the GEMM leaves or keeps; the GEMM's own performance defines it, so its P(R) is R.
"""

from functools import cache

import numpy as np

from arch.errors import check_one_of
from arch.workload import load_calibration

__all__ = ["INTERFERENCE_TABLES", "performance"]

INTERFERENCE_TABLES = ("paper", "artifact", "h200_green", "h200_dynamic")
"""Table 3 with the text of section 4.1.4, or the CSV files of the published artifact; the two differ. Measured on an
H200 with SMs split by green contexts or by a GEMM that counts its tiles, collectives on two of them."""

_MEASURED_UNITS = ("gemv", "network")


def performance(unit: str, share: float, table: str = "paper") -> float:
    """P(R): part of its solo speed a nano-operation of ``unit`` reaches on ``share`` (0 .. 1) of the machine.

    Straight lines between the published points, and to P = 0 at R = 0. Units nobody measured (copy, element-wise
    kernels) run at full speed.
    """
    check_one_of("interference table", table, INTERFERENCE_TABLES)
    if unit == "gemm":
        return share
    if unit not in _MEASURED_UNITS:
        return 1.0
    shares, speeds = _points(unit, table)
    return float(np.interp(share, shares, speeds))


@cache
def _points(unit: str, table: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    points = [[0.0, 0.0], *load_calibration("interference")[f"{unit}.{table}"]]
    return tuple(zip(*points, strict=True))
