"""Runs points through the RTL of the multi-point encoding, several a transfer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from arch.errors import InputError
from arch.grid import GridConfig
from arch.multi_point_encoding import MultiPointConfig, multi_point_image
from rtl.encoding.multi_point_encoding import MultiPointEncoding, PointGroupLayout, VectorGroupLayout
from rtl.streams import LoadLayout
from sim.cosim.engine import EngineRun
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator

__all__ = ["MultiPointSimulator"]

_MAX_CLOCKS_PER_GROUP = 4096
_MAX_CLOCKS_AT_REST = 1 << 16


class MultiPointSimulator:
    """The multi-point encoding under Verilator with a grid loaded; use as a context manager.

    Parameters
    ----------
    config : the sections
    grid, tables, level_shifts : what to load, as for ``arch.encoding_image.encoding_image``
    waves : VCD file, or None
    seed : seed of random stalls
    """

    def __init__(
        self,
        config: MultiPointConfig,
        grid: GridConfig,
        tables: np.ndarray,
        level_shifts: Sequence[int],
        *,
        waves: Path | None = None,
        seed: int = 1,
    ) -> None:
        self.config, self.grid = config, grid
        image = multi_point_image(grid, config, tables, level_shifts)
        self._simulator = RtlSimulator(MultiPointEncoding(config), "multi_point_encoding", waves=waves, seed=seed)
        words = pack_payloads(LoadLayout(), {"target": image.target, "address": image.address, "data": image.data})
        self._simulator.run({"load": words}, {}, max_cycles=4 * len(image) + _MAX_CLOCKS_AT_REST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._simulator.__exit__(*exception)

    def run(self, coordinates: np.ndarray, *, progress: Callable[[int, int], None] | None = None) -> EngineRun:
        """Send raw coordinates, (points, n_pos_dims), in full groups but the last, and take every feature.

        Returns
        -------
        (points, n_output_dims) raw features; clocks are those of the groups' transfers
        """
        points, engine = len(coordinates), self.config.engine
        if points == 0:
            raise InputError("number of points must be at least 1, not 0")
        lanes = self.config.lanes(self.grid.n_levels)
        groups = -(-points // lanes)
        position = np.zeros((groups * lanes, engine.n_pos_dims), dtype=np.int64)
        position[:points, : self.grid.n_pos_dims] = coordinates
        last_index = np.full(groups, lanes - 1)
        last_index[-1] = points - 1 - (groups - 1) * lanes
        last = np.arange(groups) == groups - 1
        fields = {"position": position.reshape(groups, -1), "last_index": last_index, "last": last}
        block = self._simulator.run(
            {"points": pack_payloads(PointGroupLayout(self.config), fields)},
            {"features": groups},
            max_cycles=groups * _MAX_CLOCKS_PER_GROUP + _MAX_CLOCKS_AT_REST,
            progress=progress,
        )
        results = unpack_payloads(VectorGroupLayout(self.config), block.outputs["features"])
        if not (np.array_equal(results["last"], last) and np.array_equal(results["last_index"], last_index)):
            raise RuntimeError("The RTL gave other groups than it took")
        width = engine.level_parallel // lanes * engine.n_features_per_level
        values = results["values"] if lanes == 1 else results["values"][:, : lanes * width].reshape(-1, width)
        first = block.sent["points"][0]
        given = (block.taken["features"] - first).astype(np.int64)
        return EngineRun(
            outputs=values[:points, : self.grid.n_output_dims],
            cycles=int(given[-1]) + 1,
            accepted=(block.sent["points"] - first).astype(np.int64),
            given=given,
            simulated_hz=block.simulated_hz,
        )
