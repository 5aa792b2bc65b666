"""How much of the machine's three resources a steady layer uses, moment by moment (NanoFlow's Figure 10).

What a nano-operation computes, moves and sends follows from the cost model; it is spread evenly over the time the
nano-operation runs. The parts are of the peaks, so no resource is ever used more than fully.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.machine.decoder_program import kernel_cost
from sim.machine.timeline import Timeline
from sim.machine.token_times import TokenTimes

__all__ = ["RESOURCES", "Utilisation", "utilisation"]

RESOURCES = ("compute", "memory", "network")


@dataclass(frozen=True, kw_only=True)
class Utilisation:
    """Parts of the peaks in one period of the steady loop.

    Parameters
    ----------
    edges_us : (n + 1,) ends of the intervals in which the same nano-operations run, 0 first
    parts : by resource (n,), of the tensor, memory and one-way network peak
    """

    edges_us: np.ndarray
    parts: dict[str, np.ndarray]

    def mean(self, resource: str) -> float:
        """Over the whole period."""
        return float(np.average(self.parts[resource], weights=np.diff(self.edges_us)))


def utilisation(timeline: Timeline, times: TokenTimes) -> Utilisation:
    """Of the period that begins with the middle layer, whatever layers run in it."""
    entries = timeline.layer(timeline.program.count // 2)
    start = min(entry.start_us for entry in entries)
    stop = start + timeline.period_us
    running = [entry for entry in timeline.entries if entry.end_us > start and entry.start_us < stop]
    edges = sorted({start, stop, *(t for e in running for t in (e.start_us, e.end_us) if start < t < stop)})
    nanos = {nano.name: nano for nano in timeline.program.nano_operations}
    node = times.node
    seconds: dict[str, Callable] = {
        "compute": lambda cost: cost.compute_s(node),
        "memory": lambda cost: cost.memory_s(node),
        "network": lambda cost: cost.network_s(node),
    }
    parts = {name: np.zeros(len(edges) - 1) for name in RESOURCES}
    for entry in running:
        cost = kernel_cost(timeline.program, nanos[entry.nano_operation], times)
        if cost is None:
            continue
        first = np.searchsorted(edges, max(entry.start_us, start))
        last = np.searchsorted(edges, min(entry.end_us, stop))
        for name in RESOURCES:
            parts[name][first:last] += seconds[name](cost) * 1e6 / entry.duration_us
    return Utilisation(edges_us=np.array(edges) - start, parts=parts)
