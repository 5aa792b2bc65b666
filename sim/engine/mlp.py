"""Exact cycle model of the systolic MLP engine: the clock of every transfer of ``rtl.mlp.MlpEngine``.

The array works without a gap on whatever nano-batches are there, so a nano-batch's clocks follow from two rules
(P = ``engine.pass_cycles(n)`` clocks a pass, T passes, T0 of them of the first layer):

* it starts ``START_CYCLES`` after its last vector was accepted, or T * P after the start of the one before it;
* its vectors are accepted one a clock once offered, and not before the nano-batch two places earlier started its last
  pass of the first layer, which frees the input bank: (T0 - 1) * P after its start.

Its output v leaves ``(T - 1) * P + engine.latency_cycles + v`` after its start. The sink is always ready.
"""

from dataclasses import dataclass

import numba
import numpy as np

from arch.errors import InputError, check_integer
from arch.mlp import MlpConfig
from arch.mlp_engine import START_CYCLES, MlpEngineConfig, layer_tiles

__all__ = ["MlpClock", "MlpTiming", "mlp_cycles", "mlp_total_cycles"]


@dataclass(frozen=True, kw_only=True)
class MlpTiming:
    """Clocks of a run.

    Parameters
    ----------
    accepted : (vectors,) int64, clock of each transfer on ``inputs``
    outputs : (vectors,) int64, clock of each transfer on ``outputs``
    start : (nano-batches,) int64, first clock of each nano-batch in the array
    end : (nano-batches,) int64, clock of its last output's transfer
    busy : clocks in which a nano-batch was in the array
    """

    accepted: np.ndarray
    outputs: np.ndarray
    start: np.ndarray
    end: np.ndarray
    busy: int

    @property
    def cycles(self) -> int:
        """Clocks from the first accepted vector to the last output, both included."""
        return int(self.outputs[-1] - self.accepted[0]) + 1 if len(self.outputs) else 0

    def utilisation(self, network: MlpConfig, engine: MlpEngineConfig) -> float:
        """Share of the array's multipliers doing the network's own multiplications, over ``cycles``."""
        return network.macs * len(self.outputs) / (self.cycles * engine.macs) if self.cycles else 0.0


class MlpClock:
    """The engine's clock, for runs given in pieces.

    The clocks of a piece do not depend on later pieces: a source whose own clocks depend on when vectors are accepted
    (the encoding engine) is modelled exactly by turns, one nano-batch at a time, with :attr:`inputs_free`.

    Parameters
    ----------
    network : the network that is loaded
    engine : the engine

    Raises
    ------
    InputError
        If the network does not fit the engine.
    """

    def __init__(self, network: MlpConfig, engine: MlpEngineConfig) -> None:
        self.network = network
        self.engine = engine
        tiles = [layer.tiles for layer in layer_tiles(network, engine)]
        self.passes = sum(tiles)
        shape = (engine.nano_batch, engine.min_pass_cycles, engine.latency_cycles, self.passes, tiles[0], START_CYCLES)
        self._shape = np.array(shape, dtype=np.int64)
        # last accepted clock; clocks from which the next two banks are free; clock in which the array is free
        self._state = np.array([-1, 0, 0, 0], dtype=np.int64)

    @property
    def inputs_free(self) -> int:
        """First clock in which the next nano-batch's first vector can be accepted."""
        return int(max(self._state[0] + 1, self._state[1]))

    def run(self, n_vectors: int, *, offered: np.ndarray | None = None) -> MlpTiming:
        """Clocks of the next vectors; the last one carries ``last``.

        Parameters
        ----------
        n_vectors : vectors of the run
        offered : (n_vectors,) clock from which the source offers each vector once those before it are accepted; 0
            for all if left out (an always-valid source)
        """
        check_integer("n_vectors", n_vectors, 0, 1 << 40)
        offered = np.zeros(n_vectors, dtype=np.int64) if offered is None else np.asarray(offered, dtype=np.int64)
        if offered.shape != (n_vectors,):
            raise InputError(f"shape of offered must be {(n_vectors,)}, not {offered.shape}")
        batches = -(-n_vectors // self.engine.nano_batch)
        vectors, spans = np.empty((2, n_vectors), dtype=np.int64), np.empty((2, batches), dtype=np.int64)
        busy = _run(offered, self._shape, self._state, vectors, spans)
        return MlpTiming(accepted=vectors[0], outputs=vectors[1], start=spans[0], end=spans[1], busy=int(busy))


def mlp_cycles(
    network: MlpConfig, engine: MlpEngineConfig, n_vectors: int, *, offered: np.ndarray | None = None
) -> MlpTiming:
    """Clocks of a run that starts with an empty engine, its inputs ready in clock 0; see :meth:`MlpClock.run`."""
    return MlpClock(network, engine).run(n_vectors, offered=offered)


def mlp_total_cycles(network: MlpConfig, engine: MlpEngineConfig, n_vectors: int) -> int:
    """``mlp_cycles(network, engine, n_vectors).cycles`` for an always-valid source, in closed form."""
    check_integer("n_vectors", n_vectors, 0, 1 << 62)
    passes = sum(layer.tiles for layer in layer_tiles(network, engine))
    if n_vectors == 0:
        return 0
    first = min(n_vectors, engine.nano_batch)
    batches = -(-n_vectors // engine.nano_batch)
    last = n_vectors - (batches - 1) * engine.nano_batch
    start = first - 1 + START_CYCLES + (batches - 1) * passes * engine.pass_cycles(first)
    return start + (passes - 1) * engine.pass_cycles(last) + engine.latency_cycles + last


@numba.njit(cache=True)
def _run(offered, shape, state, vectors, spans):
    nano_batch, min_pass, latency, passes, first_passes, start_cycles = shape
    accepted, outputs = vectors
    start, end = spans
    busy = 0
    for batch in range(start.shape[0]):
        low = batch * nano_batch
        high = min(low + nano_batch, offered.shape[0])
        clock = max(state[0], state[1] - 1)
        for number in range(low, high):
            clock = max(clock + 1, offered[number])
            accepted[number] = clock
        length = max(high - low, min_pass)
        begin = max(clock + start_cycles, state[3])
        first_output = begin + (passes - 1) * length + latency
        for number in range(low, high):
            outputs[number] = first_output + number - low
        start[batch] = begin
        end[batch] = first_output + high - low - 1
        state[0] = clock
        state[1], state[2] = state[2], begin + (first_passes - 1) * length
        state[3] = begin + passes * length
        busy += passes * length
    return busy
