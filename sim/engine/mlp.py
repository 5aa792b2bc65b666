"""Exact cycle model of the systolic MLP engine: the clock of every transfer of ``rtl.mlp.MlpEngine``.

A nano-batch of n vectors makes the passes of its plan (``arch.mlp_plan``) one after the other, each
``engine.pass_cycles`` behind the one before it. Its clocks follow from three rules:

* it starts ``START_CYCLES`` after its last vector was accepted, or when the nano-batch before it leaves the array;
* its vectors are accepted one a clock once offered, and not before the clock after the one in which the nano-batch two
  places earlier started its last pass over the input vectors, which frees the input bank;
* its first pass with results does not start before the clock behind the last output of the nano-batch two places
  earlier, which frees the output bank. It never waits unless a nano-batch takes fewer clocks than it has vectors.

Its output v leaves ``engine.latency_cycles + v`` after the start of its last pass, or behind the nano-batch before it.
The sink is always ready.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from arch.errors import InputError, check_integer
from arch.mlp import MlpConfig
from arch.mlp_engine import START_CYCLES, MlpEngineConfig
from arch.mlp_plan import plan_mlp

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

    def utilisation(self, networks: MlpConfig | Sequence[MlpConfig], engine: MlpEngineConfig) -> float:
        """Share of the array's multipliers doing the networks' own multiplications, over ``cycles``."""
        macs = plan_mlp(networks, engine).macs
        return macs * len(self.outputs) / (self.cycles * engine.macs) if self.cycles else 0.0


class MlpClock:
    """The engine's clock, for runs given in pieces.

    The clocks of a piece do not depend on later pieces: a source whose own clocks depend on when vectors are accepted
    (the encoding engine) is modelled exactly by turns, one nano-batch at a time, with :attr:`inputs_free`.

    Parameters
    ----------
    networks : the network that is loaded, or the two
    engine : the engine

    Raises
    ------
    InputError
        If the networks do not fit the engine.
    """

    def __init__(self, networks: MlpConfig | Sequence[MlpConfig], engine: MlpEngineConfig) -> None:
        self.engine = engine
        self.plan = plan_mlp(networks, engine)
        self._shape = np.array((engine.nano_batch, engine.min_pass_cycles, engine.latency_cycles), dtype=np.int64)
        self._layers = np.array(
            [(layer.tiles, layer.split.points, layer.frees_input, layer.to_output) for layer in self.plan.layers],
            dtype=np.int64,
        )
        # last accepted clock; clocks from which the next two input banks are free; clock in which the array is free;
        # clocks of the last output of the nano-batches two and one places earlier
        self._state = np.array([-1, 0, 0, 0, -1, -1], dtype=np.int64)

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
        busy = _run(offered, (self._shape, self._layers), self._state, vectors, spans)
        return MlpTiming(accepted=vectors[0], outputs=vectors[1], start=spans[0], end=spans[1], busy=int(busy))


def mlp_cycles(
    networks: MlpConfig | Sequence[MlpConfig],
    engine: MlpEngineConfig,
    n_vectors: int,
    *,
    offered: np.ndarray | None = None,
) -> MlpTiming:
    """Clocks of a run that starts with an empty engine, its inputs ready in clock 0; see :meth:`MlpClock.run`."""
    return MlpClock(networks, engine).run(n_vectors, offered=offered)


def mlp_total_cycles(networks: MlpConfig | Sequence[MlpConfig], engine: MlpEngineConfig, n_vectors: int) -> int:
    """``mlp_cycles(networks, engine, n_vectors).cycles`` for an always-valid source, in closed form.

    Raises
    ------
    InputError
        If a nano-batch takes fewer clocks than it has vectors, so that the streams set the pace and not the array.
    """
    check_integer("n_vectors", n_vectors, 0, 1 << 62)
    plan = plan_mlp(networks, engine)
    if n_vectors == 0:
        return 0
    first = min(n_vectors, engine.nano_batch)
    batches = -(-n_vectors // engine.nano_batch)
    last = n_vectors - (batches - 1) * engine.nano_batch
    whole = sum(plan.layer_cycles(first))
    if whole < first:
        raise InputError(f"clocks of a nano-batch must be at least its {first} vectors, not {whole}")
    last_pass = engine.pass_cycles(plan.layers[-1].beats(last))
    start = first - 1 + START_CYCLES + (batches - 1) * whole
    return start + sum(plan.layer_cycles(last)) - last_pass + engine.latency_cycles + last


@numba.njit(cache=True)
def _run(offered, hardware, state, vectors, spans):
    shape, layers = hardware
    nano_batch, min_pass, latency = shape
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
        begin = max(clock + START_CYCLES, state[3])
        if layers[0, 3]:
            begin = max(begin, state[4] + 1)
        opened = layers[0, 3] != 0
        now = freed = last_pass = begin
        for layer in range(layers.shape[0]):
            tiles, points, frees_input, to_output = layers[layer]
            if to_output and not opened:
                opened = True
                now = max(now, state[4] + 1)
            beats = (high - low + points - 1) // points
            last_pass = now + (tiles - 1) * (beats + max(0, min_pass - beats))
            if frees_input:
                freed = last_pass + 1
            shortest = beats
            if layer + 1 < layers.shape[0]:
                shortest = min(beats, (high - low + layers[layer + 1, 1] - 1) // layers[layer + 1, 1])
            now = last_pass + beats + max(0, min_pass - shortest)
        first_output = max(last_pass + latency, state[5] + 1)
        for number in range(low, high):
            outputs[number] = first_output + number - low
        start[batch] = begin
        end[batch] = first_output + high - low - 1
        state[0] = clock
        state[1], state[2] = state[2], freed
        state[3] = now
        state[4], state[5] = state[5], end[batch]
        busy += now - begin
    return busy
