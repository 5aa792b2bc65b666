"""Exact cycle model of the grid encoding engine: the clock of every transfer of ``rtl.encoding.GridEncoding``.

The engine is a chain of in-order queues, so a point's clocks follow from those of the points before it alone:

* a point is accepted once it is offered, a clock after the one before it, a clock after the transfer of the features
  ``points_in_flight`` points earlier, and a clock after every engine in use issued the last lookup of the point
  ``point_fifo_depth`` points earlier;
* an engine issues one lookup in each clock in which its front moves; the front pauses ``conflict_clocks - 1`` clocks
  when a lookup reaches the arbiter, ``front_latency`` moves after its issue, unless it reuses the cell before it;
  with queues it pauses while a lookup waits for a place in the window instead (``sim.engine.encoding_queue``);
* features are transferred ``back_latency`` clocks after the arbiter's last clock of the slowest engine's last lookup,
  a clock after the features before, and once they are wanted.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

from arch.encoding_engine import EncodingEngineConfig, EngineCounter
from arch.encoding_image import check_runnable, level_scale_raw
from arch.errors import InputError
from arch.grid import GridConfig
from arch.number_format import COORDINATE
from sim.engine.encoding_cells import cell_of, float_arbiter_clocks, float_cells
from sim.engine.encoding_front import PENDING_LOOKUPS, issue_lookup, next_move, pause
from sim.engine.encoding_lookup import arbiter_clocks
from sim.engine.encoding_queue import new_queues, take_lookup

__all__ = ["EncodingClock", "EncodingTiming", "encoding_cycles"]

_BLOCK_POINTS = 1 << 16
"""Points whose arbiter clocks are computed ahead; a block stays inside the caches."""
_LOOKUPS, _POINT, _OUTPUT = int(EngineCounter.LOOKUPS), int(EngineCounter.POINT), int(EngineCounter.OUTPUT)
_PEER, _REUSED = int(EngineCounter.PEER), int(EngineCounter.REUSED)


@dataclass(frozen=True, kw_only=True)
class EncodingTiming:
    """Clocks of a run.

    Parameters
    ----------
    accepted : (points,) int64, clock of each transfer on ``points``
    features : (points,) int64, clock of each transfer on ``features``
    held : (level_parallel,) int64, clocks each physical engine lost to bank conflicts
    offered : (points,) int64, first clock in which each point's features are offered, wanted or not
    counters : (level_parallel, counters) int64, what the engines' counters hold, by ``EngineCounter``, if they started
        with the fresh engine and the run ends with these points; no load word ever waits, so LOAD is 0
    """

    accepted: np.ndarray
    features: np.ndarray
    held: np.ndarray
    offered: np.ndarray
    counters: np.ndarray

    @property
    def cycles(self) -> int:
        """Clocks from the first accepted point to the last features, both included."""
        return int(self.features[-1] - self.accepted[0]) + 1 if len(self.features) else 0


def encoding_cycles(
    grid: GridConfig,
    engine: EncodingEngineConfig,
    coordinates_raw: np.ndarray,
    *,
    only: int | None = None,
    scales: Sequence[float] | None = None,
    offered: np.ndarray | None = None,
    wanted: np.ndarray | None = None,
) -> EncodingTiming:
    """Clocks of a run that starts with an empty engine; see :class:`EncodingClock` and its ``run``."""
    return EncodingClock(grid, engine, only=only, scales=scales).run(coordinates_raw, offered=offered, wanted=wanted)


class EncodingClock:
    """The engine's clock, for runs given in pieces.

    The clocks of a piece do not depend on later pieces, so a consumer whose readiness follows from earlier features
    (a nano-batch buffer) is modelled exactly by calling :meth:`run` piece by piece.

    Parameters
    ----------
    grid : the grid that is loaded
    engine : the engine
    only : the one level of the grid that is loaded, as the engine's level 0; all of them if left out
    scales : for ``fp16``, the fp32 scale of each level of the grid where it is not the host's
    """

    def __init__(
        self,
        grid: GridConfig,
        engine: EncodingEngineConfig,
        *,
        only: int | None = None,
        scales: Sequence[float] | None = None,
    ) -> None:
        layouts = check_runnable(grid, engine, only=only)
        self.grid = grid
        self.engine = engine
        assert engine.front_latency < PENDING_LOOKUPS
        self._latencies = np.array([engine.front_latency, engine.back_latency], dtype=np.int64)
        numbers = [layout.level.index for layout in layouts]
        scales = [level.scale for level in grid.levels] if scales is None else scales
        self._scales = np.array([scales[number] for number in numbers], dtype=np.float32)
        self._levels = np.zeros((len(layouts), 12), dtype=np.uint64)
        for row, layout in zip(self._levels, layouts, strict=True):
            level = layout.level
            strides = (*level.strides, 0, 0)[:4]
            # none where cells are computed ahead
            scale = 0 if engine.floating else level_scale_raw(level.scale)
            # A level too fine for an index wraps to its one row like a tile of one.
            entries = 1 if layout.flat else level.entries
            wraps = layout.flat or layout.tiled
            # A selector that is not there takes a bit that no index has.
            *bank_bits, fourth = (*layout.bank_bits, 63)[:4]
            place = (*bank_bits, layout.engine, wraps, fourth)
            row[:] = (scale, *strides[1:3], entries, level.hashed, *place, strides[3])
        parallel = engine.level_parallel
        never = -(1 << 60)
        self._accepted = np.array([never], dtype=np.int64)
        self._features = np.full(engine.points_in_flight, never, dtype=np.int64)
        self._popped = np.full((parallel, engine.point_fifo_depth), never, dtype=np.int64)
        # Per engine: last move used, pauses before it, all pauses so far, ring of pauses to come
        self._front = np.zeros((parallel, 5), dtype=np.int64)
        self._front[:, 0] = never
        self._pending = np.zeros((parallel, PENDING_LOOKUPS, 2), dtype=np.int64)
        self._count = np.zeros(1, dtype=np.int64)
        # Last cell of each level in each engine; no lookup has had one yet.
        self._cells = np.full((parallel, len(layouts), grid.n_pos_dims), never, dtype=np.int64)
        self._queued = engine.bank_ports == 1
        self._queues = new_queues(parallel, engine.lookup_window)
        self._counters = np.zeros((parallel, len(EngineCounter)), dtype=np.int64)

    def run(
        self, coordinates_raw: np.ndarray, *, offered: np.ndarray | None = None, wanted: np.ndarray | None = None
    ) -> EncodingTiming:
        """Clocks of the next points.

        Parameters
        ----------
        coordinates_raw : (points, n_pos_dims) raw coordinates: 0 .. 2**23, or for ``fp16`` the bits of fp32 numbers
        offered : (points,) clock from which the source offers each point once those before it are accepted; 0 for
            all if left out (an always-valid source)
        wanted : (points,) clock from which the sink is ready for each feature vector once those before it are
            transferred; always if left out

        Returns
        -------
        clocks on the time base of ``offered``; with the default the first point of a fresh engine is accepted in
        clock 0
        """
        coordinates_raw = np.asarray(coordinates_raw)
        if coordinates_raw.ndim != 2 or coordinates_raw.shape[1] != self.grid.n_pos_dims:
            raise InputError(
                f"shape of coordinates_raw must be (points, {self.grid.n_pos_dims}), not {coordinates_raw.shape}"
            )
        points = len(coordinates_raw)
        largest = (1 << self.engine.coordinate_bits) - 1 if self.engine.floating else 1 << COORDINATE.fraction_bits
        if points and (coordinates_raw.min() < 0 or coordinates_raw.max() > largest):
            bound = "2^32 - 1" if self.engine.floating else f"2^{COORDINATE.fraction_bits}"
            raise InputError(
                f"raw coordinates must be from 0 to {bound}, "
                f"not from {coordinates_raw.min()} to {coordinates_raw.max()}"
            )
        offered = np.zeros(points, dtype=np.int64) if offered is None else np.asarray(offered, dtype=np.int64)
        wanted = np.zeros(points, dtype=np.int64) if wanted is None else np.asarray(wanted, dtype=np.int64)
        for name, clocks in (("offered", offered), ("wanted", wanted)):
            if clocks.shape != (points,):
                raise InputError(f"shape of {name} must be {(points,)}, not {clocks.shape}")
        accepted = np.empty(points, dtype=np.int64)
        features, shown = np.empty((2, points), dtype=np.int64)
        held = self._front[:, 2].copy()
        blocks = [slice(first, first + _BLOCK_POINTS) for first in range(0, points, _BLOCK_POINTS)]
        for block, (coordinates, arbiter) in zip(blocks, self._prepared(coordinates_raw, blocks), strict=True):
            _run(
                coordinates,
                arbiter,
                offered[block],
                wanted[block],
                self._levels,
                self._latencies,
                self._accepted,
                self._features,
                self._popped,
                self._front,
                self._pending,
                self._count,
                self._counters,
                self._cells if self.engine.reuse_cells else self._cells[:, :0],
                self._queues if self._queued else self._queues[:, :0],
                accepted[block],
                features[block],
                shown[block],
            )
        return EncodingTiming(
            accepted=accepted,
            features=features,
            held=self._front[:, 2] - held,
            offered=shown,
            counters=self._counted(),
        )

    def _prepared(self, coordinates: np.ndarray, blocks: list[slice]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Coordinates and arbiter clocks of each block; one block ahead, on another core, while the caller works."""
        levels = self._levels[:0] if self._queued else self._levels

        def prepare(block: slice) -> tuple[np.ndarray, np.ndarray]:
            if self.engine.floating:
                cells = float_cells(coordinates[block].astype(np.uint32).view(np.float32), self._scales)
                return cells, float_arbiter_clocks(cells, levels)
            raw = np.ascontiguousarray(coordinates[block], dtype=np.uint64)
            return raw, arbiter_clocks(raw, levels)

        if len(blocks) < 2:
            yield from map(prepare, blocks)
            return
        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead = pool.submit(prepare, blocks[0])
            for block in blocks[1:]:
                ready, ahead = ahead, pool.submit(prepare, block)
                yield ready.result()
            yield ahead.result()

    def _counted(self) -> np.ndarray:
        """The counters once the last features have left; until then engines wait for points that do not come."""
        counters = self._counters.copy()
        used = counters[:, EngineCounter.LOOKUPS] > 0
        counters[:, EngineCounter.CONFLICT] = self._front[:, 2]
        end = self._features[(self._count[0] - 1) % self.engine.points_in_flight]
        counters[used, EngineCounter.POINT] += end - self._front[used, 0] - self._front[used, 2]
        return counters


@numba.njit(cache=True)
def _same_cell(points, number, levels, level, last):
    """Whether a point lies in the cell ``last`` of a level, which becomes the point's."""
    same = True
    for dim in range(last.shape[0]):
        cell = np.int64(cell_of(points, number, dim, levels, level))
        same &= cell == last[dim]
        last[dim] = cell
    return same


@numba.njit(cache=True)
def _idle(front, pending, counters, engine, offered, credit, accepted):  # noqa: PLR0917 - numba takes no keywords
    """Count the moves that an engine leaves unused before it can issue a point accepted in clock ``accepted``.

    The point is offered from ``offered`` and has a credit from ``credit`` on; then engines without room keep it out.
    """
    if counters[engine, _LOOKUPS] == 0:
        offered = accepted  # the run starts here
        next_move(front, pending, engine, accepted)
    start = next_move(front, pending, engine, 0)
    there = next_move(front, pending, engine, min(offered, accepted))
    free = next_move(front, pending, engine, min(max(offered, credit), accepted))
    room = next_move(front, pending, engine, accepted)
    end = next_move(front, pending, engine, accepted + 1)
    counters[engine, _POINT] += there - start + end - room
    counters[engine, _OUTPUT] += free - there
    counters[engine, _PEER] += room - free


@numba.njit(cache=True, nogil=True)
def _run(  # noqa: PLR0917 - numba takes no keywords
    points, arbiter, offered, wanted, levels, latencies, last_accepted, last_features, popped, front, pending, count,
    counters, cells, queues, accepted, features, shown,
):  # fmt: skip
    in_flight, fifo_depth, parallel = last_features.shape[0], popped.shape[1], popped.shape[0]
    n_levels, used = levels.shape[0], min(parallel, levels.shape[0])
    # Places in the rings of credits and of each point FIFO, moved on by hand: a division costs as much as a lookup.
    credit_slot, fifo_slot = count[0] % in_flight, count[0] % fifo_depth
    before, previous = last_accepted[0], last_features[credit_slot - 1]
    for number in range(points.shape[0]):
        credit = last_features[credit_slot] + 1
        clock = max(offered[number], before + 1, credit)
        for engine in range(used):
            clock = max(clock, popped[engine, fifo_slot] + 1)
        finished = np.int64(0)
        for engine in range(used):
            done = np.int64(0)
            issued = clock
            if front[engine, 0] + front[engine, 1] < clock:
                _idle(front, pending, counters, engine, offered[number], credit, clock)
            level = engine
            while level < n_levels:  # a range with a step would divide
                reads = not cells.shape[1] or not _same_cell(points, number, levels, level, cells[engine, level])
                counters[engine, _REUSED] += not reads
                if queues.shape[1]:
                    move = next_move(front, pending, engine, clock + 1)
                    arrival = move + latencies[0] - 1 + front[engine, 2]
                    taken, done = take_lookup(points, number, levels, level, queues[engine], arrival, reads)
                    issued = pause(front, pending, engine, move, latencies[0] - 1, taken - arrival)
                else:
                    clocks = np.int64(arbiter[level, number]) if reads else np.int64(1)
                    done, issued = issue_lookup(front, pending, engine, clock + 1, clocks, latencies[0])
                counters[engine, _LOOKUPS] += 1
                level += parallel
            popped[engine, fifo_slot] = issued
            finished = max(finished, done) if engine else done
        shown[number] = max(finished + latencies[1], previous + 1)
        previous = max(shown[number], wanted[number])
        before = clock
        last_features[credit_slot] = previous
        accepted[number], features[number] = clock, previous
        credit_slot = credit_slot + 1 if credit_slot + 1 < in_flight else 0
        fifo_slot = fifo_slot + 1 if fifo_slot + 1 < fifo_depth else 0
    last_accepted[0] = before
    count[0] += points.shape[0]
