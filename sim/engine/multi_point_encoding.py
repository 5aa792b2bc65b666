"""Exact cycle model of the multi-point encoding: the clock of every transfer of ``rtl.encoding.MultiPointEncoding``.

A group of points is accepted and given as a point is by one grid encoding engine (``sim.engine.encoding``); every
level engine of a lane works on that lane's point, and engines of lanes that a group does not fill rest.
"""

from dataclasses import dataclass

import numba
import numpy as np

from arch.errors import InputError
from arch.grid import GridConfig
from arch.multi_point_encoding import MultiPointConfig
from arch.number_format import COORDINATE
from sim.engine.encoding import EncodingClock
from sim.engine.encoding_front import PENDING_LOOKUPS, issue_lookup
from sim.engine.encoding_lookup import lookup_clocks

__all__ = ["MultiPointTiming", "group_sizes", "multi_point_cycles"]


@dataclass(frozen=True, kw_only=True)
class MultiPointTiming:
    """Clocks of a run.

    Parameters
    ----------
    accepted : (groups,) int64, clock of each transfer on ``points``
    features : (groups,) int64, clock of each transfer on ``features``
    held : (level_parallel,) int64, clocks each level engine lost to bank conflicts
    """

    accepted: np.ndarray
    features: np.ndarray
    held: np.ndarray

    @property
    def cycles(self) -> int:
        """Clocks from the first accepted group to the last features, both included."""
        return int(self.features[-1] - self.accepted[0]) + 1 if len(self.features) else 0


def group_sizes(points: int, lanes: int) -> np.ndarray:
    """Points of each group, all full but the last."""
    return np.minimum(lanes, points - np.arange(0, points, lanes))


def multi_point_cycles(
    grid: GridConfig,
    config: MultiPointConfig,
    coordinates_raw: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    offered: np.ndarray | None = None,
    wanted: np.ndarray | None = None,
) -> MultiPointTiming:
    """Clocks of a run that starts with empty sections.

    Parameters
    ----------
    grid : the grid that is loaded
    config : the sections
    coordinates_raw : (points, n_pos_dims) raw coordinates, 0 .. 2**23
    groups : points of each group, 1 to ``config.lanes(grid.n_levels)``; full ones if left out
    offered, wanted : (groups,) as for ``sim.engine.encoding.EncodingClock.run``
    """
    clock = EncodingClock(grid, config.engine)
    points = _checked(grid, coordinates_raw)
    lanes = config.lanes(grid.n_levels)
    groups = group_sizes(len(points), lanes) if groups is None else np.asarray(groups, dtype=np.int64)
    if groups.sum() != len(points) or (len(groups) and not 1 <= groups.min() <= groups.max() <= lanes):
        raise InputError(f"groups must be 1 to {lanes} points each and {len(points)} in all, not {groups.tolist()[:8]}")
    clocks = {"offered": offered, "wanted": wanted}
    for name, given in clocks.items():
        clocks[name] = np.zeros(len(groups), dtype=np.int64) if given is None else np.asarray(given, dtype=np.int64)
        if clocks[name].shape != groups.shape:
            raise InputError(f"shape of {name} must be {groups.shape}, not {clocks[name].shape}")
    engine = config.engine
    accepted, features = np.empty((2, len(groups)), dtype=np.int64)
    held = np.zeros(engine.level_parallel, dtype=np.int64)
    _run(
        points,
        groups,
        clocks["offered"],
        clocks["wanted"],
        clock._levels,
        (engine.front_latency, engine.back_latency, engine.points_in_flight, engine.point_fifo_depth),
        engine.level_parallel // lanes,
        accepted,
        features,
        held,
    )
    return MultiPointTiming(accepted=accepted, features=features, held=held)


def _checked(grid: GridConfig, coordinates_raw: np.ndarray) -> np.ndarray:
    """The raw coordinates as the kernel takes them."""
    coordinates_raw = np.asarray(coordinates_raw)
    if coordinates_raw.ndim != 2 or coordinates_raw.shape[1] != grid.n_pos_dims:
        raise InputError(f"shape of coordinates_raw must be (points, {grid.n_pos_dims}), not {coordinates_raw.shape}")
    one = 1 << COORDINATE.fraction_bits
    if len(coordinates_raw) and (coordinates_raw.min() < 0 or coordinates_raw.max() > one):
        raise InputError(
            f"raw coordinates must be from 0 to 2^{COORDINATE.fraction_bits}, "
            f"not from {coordinates_raw.min()} to {coordinates_raw.max()}"
        )
    return np.ascontiguousarray(coordinates_raw, dtype=np.uint64)


@numba.njit(cache=True)
def _run(  # noqa: PLR0917 - numba takes no keywords
    points, groups, offered, wanted, levels, sizes, lane_engines, accepted, features, held
):  # fmt: skip
    front_latency, back_latency, in_flight, fifo_depth = sizes
    parallel, n_levels = held.shape[0], levels.shape[0]
    never = -(1 << 60)
    popped = np.full((parallel, fifo_depth), never)
    pushed = np.zeros(parallel, dtype=np.int64)
    front = np.zeros((parallel, 5), dtype=np.int64)
    front[:, 0] = never
    pending = np.zeros((parallel, PENDING_LOOKUPS, 2), dtype=np.int64)
    first = 0
    for group in range(groups.shape[0]):
        clock = max(offered[group], accepted[group - 1] + 1 if group else 0)
        if group >= in_flight:
            clock = max(clock, features[group - in_flight] + 1)
        for engine in range(parallel):
            if engine % lane_engines < n_levels:
                clock = max(clock, popped[engine, pushed[engine] % fifo_depth] + 1)
        finished = np.int64(0)
        for engine in range(groups[group] * lane_engines):
            local, issued = engine % lane_engines, clock
            if local >= n_levels:
                continue
            done = np.int64(0)
            for level in range(local, n_levels, lane_engines):
                clocks = lookup_clocks(points, first + engine // lane_engines, levels, level)
                done, issued = issue_lookup(front, pending, engine, clock + 1, clocks, front_latency)
            popped[engine, pushed[engine] % fifo_depth] = issued
            pushed[engine] += 1
            finished = max(finished, done)
        first += groups[group]
        accepted[group] = clock
        features[group] = max(finished + back_latency, wanted[group], features[group - 1] + 1 if group else 0)
    held[:] = front[:, 2]
