"""Exact cycle model of the cluster: the clock of every transfer of ``rtl.cluster.NfpCluster``.

Points are dealt ``beat_points`` a clock, and a processor's results go into a queue that never fills, so a processor's
clocks follow from those at which its points were dealt:

* a nano-batch begins once the one before it is dealt and a processor is eligible: its ``queued_batches``-th last
  nano-batch has finished and its ``reorder_batches``-th last one has left the cluster; of those eligible the next one
  in the ring takes it;
* a point is offered to its processor ``QUEUE_CYCLES`` after it was dealt, those of one beat one after the other; a beat
  of results can leave as long after its last one came;
* beats of results leave one a clock, in the order of the points.

The sink is always ready.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arch.errors import InputError
from arch.field import FieldConfig
from arch.nfp import QUEUE_CYCLES, ClusterConfig
from sim.engine.nfp import NfpClock

__all__ = ["ClusterTiming", "cluster_cycles"]


@dataclass(frozen=True, kw_only=True)
class ClusterTiming:
    """Clocks of a run, counted from the first point's transfer.

    Parameters
    ----------
    accepted : (points,) int64, clock of each point's transfer on ``points``
    results : (points,) int64, clock of each result's transfer on ``results``
    nfps : (nano-batches,) int64, the processor of each
    encoding_limits, mlp_limits : sums over the processors of their counters of these names
    """

    accepted: np.ndarray
    results: np.ndarray
    nfps: np.ndarray
    encoding_limits: int
    mlp_limits: int

    @property
    def cycles(self) -> int:
        """Clocks from the first accepted point to the last result, both included."""
        return int(self.results[-1] - self.accepted[0]) + 1

    @property
    def clk_per_point(self) -> float:
        """Clocks a point, filling and draining included."""
        return self.cycles / len(self.results)


@dataclass
class _Lane:
    """A processor: its clock, and of its latest nano-batches the clocks in which they finished and left."""

    clock: NfpClock
    finished: deque[int]
    left: deque[int]

    @property
    def eligible(self) -> int:
        """First clock in which it may begin another nano-batch."""
        return max(self.finished[0], self.left[0]) + 1


def cluster_cycles(
    field: FieldConfig,
    config: ClusterConfig,
    coordinates_raw: np.ndarray,
    *,
    primed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ClusterTiming:
    """Clocks of one run on an empty cluster, the source always valid and the sink always ready.

    Parameters
    ----------
    field : the field that is loaded
    config : the cluster; none of its processors has failed
    coordinates_raw : (points, n_pos_dims) raw coordinates, 0 .. 2**23; at least one point
    primed : first clock in which features are taken; ``config.nfp.prime_cycles`` if the first point is taken in the
        clock behind the last load word
    progress : called with (points done, points) after each nano-batch

    Raises
    ------
    InputError
        If there is no point, or the field does not fit the processors.
    """
    points, nano_batch = len(coordinates_raw), config.nfp.mlp.nano_batch
    if points == 0:
        raise InputError("number of points must be at least 1, not 0")
    never = -1
    lanes = [
        _Lane(
            clock=NfpClock(field, config.nfp, primed=primed),
            finished=deque([never] * config.queued_batches, config.queued_batches),
            left=deque([never] * config.reorder_batches, config.reorder_batches),
        )
        for _ in range(config.n_nfps)
    ]
    accepted, results = np.empty((2, points), dtype=np.int64)
    nfps, runs = [], []
    clock = gone = previous = -1
    for first in range(0, points, nano_batch):
        batch = slice(first, min(first + nano_batch, points))
        size = batch.stop - first
        clock = max(clock + 1, min(lane.eligible for lane in lanes))
        ring = ((previous + 1 + step) % config.n_nfps for step in range(config.n_nfps))
        previous = next(number for number in ring if lanes[number].eligible <= clock)
        lane, beat = lanes[previous], np.arange(size) // config.beat_points
        accepted[batch] = clock + beat
        clock += int(beat[-1])
        run = lane.clock.run(coordinates_raw[batch], offered=accepted[batch] + QUEUE_CYCLES)
        ends = np.flatnonzero(np.diff(beat, append=beat[-1] + 1))
        leaving = np.maximum.accumulate(run.results[ends] + QUEUE_CYCLES - beat[ends])
        results[batch] = np.maximum(leaving, gone + 1)[beat] + beat
        gone = int(results[batch.stop - 1])
        lane.finished.append(int(run.results[-1]))
        lane.left.append(gone)
        nfps.append(previous)
        runs.append(run)
        if progress is not None:
            progress(batch.stop, points)
    return ClusterTiming(
        accepted=accepted,
        results=results,
        nfps=np.array(nfps, dtype=np.int64),
        encoding_limits=sum(run.encoding_limits for run in runs),
        mlp_limits=sum(run.mlp_limits for run in runs),
    )
