"""Runs points of a field through the neural fields processor's RTL."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from arch.checkpoint import QuantizedField
from arch.errors import InputError
from arch.nfp import NfpConfig
from arch.nfp_image import nfp_image
from rtl.nfp.nfp import Nfp
from rtl.streams import LoadLayout, PointLayout, VectorLayout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator

__all__ = ["NfpRun", "NfpSimulator"]

_MAX_CLOCKS_PER_POINT = 4096
_MAX_CLOCKS_AT_REST = 1 << 16


@dataclass(frozen=True, kw_only=True)
class NfpRun:
    """Points that went through the RTL.

    Parameters
    ----------
    outputs : (points, n_output_dims) raw results
    cycles : clocks from the first point taken to the last result given, both included
    point_clocks : clock of every point's transfer, from the first one's
    result_clocks : clock of every result's transfer, from the first point's
    """

    outputs: np.ndarray
    cycles: int
    point_clocks: np.ndarray
    result_clocks: np.ndarray

    @property
    def clk_per_point(self) -> float:
        """Clocks a point, filling and draining included."""
        return self.cycles / len(self.outputs)


class NfpSimulator:
    """One Nfp under Verilator with a field loaded; use as a context manager.

    Parameters
    ----------
    field : the quantised field
    config : the processor
    waves : VCD file, or None
    seed : seed of random stalls
    """

    def __init__(self, field: QuantizedField, config: NfpConfig, *, waves: Path | None = None, seed: int = 1) -> None:
        image = nfp_image(field, config)
        self._field = field
        self._config = config
        self._simulator = RtlSimulator(Nfp(config), "nfp", waves=waves, seed=seed)
        words = pack_payloads(LoadLayout(), {"target": image.target, "address": image.address, "data": image.data})
        self._simulator.run({"load": words}, {}, max_cycles=4 * len(image) + _MAX_CLOCKS_AT_REST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._simulator.__exit__(*exception)

    def run(
        self,
        coordinates: np.ndarray,
        *,
        idle: float = 0.0,
        backpressure: float = 0.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> NfpRun:
        """Send raw coordinates, (points, n_pos_dims), and take every result.

        ``idle`` and ``backpressure`` are the stall chances of source and sink; with both 0 the source always offers
        and the sink always takes, which is what the cycle model times.
        """
        points = len(coordinates)
        if points == 0:
            raise InputError("number of points must be at least 1, not 0")
        layout = PointLayout(self._config.encoding.n_pos_dims)
        last = np.zeros(points, dtype=np.int64)
        last[-1] = 1
        block = self._simulator.run(
            {"points": pack_payloads(layout, {"position": coordinates, "last": last})},
            {"results": points},
            max_cycles=int(points * _MAX_CLOCKS_PER_POINT / ((1 - idle) * (1 - backpressure))) + _MAX_CLOCKS_AT_REST,
            idle=idle,
            backpressure=backpressure,
            progress=progress,
        )
        mlp = self._config.mlp
        results = unpack_payloads(VectorLayout(mlp.max_width, mlp.profile.value_bits), block.outputs["results"])
        if not np.array_equal(results["last"], last):
            raise RuntimeError("The RTL marked another result than the last one as last")
        first = block.sent["points"][0]
        result_clocks = (block.taken["results"] - first).astype(np.int64)
        return NfpRun(
            outputs=results["values"][:, : self._field.config.networks[-1].n_output_dims],
            cycles=int(result_clocks[-1]) + 1,
            point_clocks=(block.sent["points"] - first).astype(np.int64),
            result_clocks=result_clocks,
        )
