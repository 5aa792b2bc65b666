"""Runs vectors through the RTL of an engine: grid encoding, MLP, or both fused in the neural fields processor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from arch.checkpoint import FloatField, FloatMlp, QuantizedField, QuantizedMlp
from arch.encoding_engine import EncodingEngineConfig, EngineCounter
from arch.encoding_image import encoding_image
from arch.errors import InputError
from arch.grid import GridConfig
from arch.load import LoadImage
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.mlp_plan import plan_mlp
from arch.nfp import ClusterConfig, NfpConfig
from arch.nfp_image import n_results, nfp_image
from rtl.cluster.nfp_cluster import NfpCluster
from rtl.encoding.engine_counters import CounterSelectLayout, CounterValueLayout
from rtl.encoding.grid_encoding import GridEncoding
from rtl.mlp.mlp_engine import MlpEngine
from rtl.nfp.nfp import Nfp
from rtl.nfp.nfp_counters import CountersLayout
from rtl.streams import LoadLayout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator

__all__ = [
    "EncodingSimulator",
    "EngineRun",
    "EngineSimulator",
    "NfpSimulator",
    "cluster_simulator",
    "encoding_simulator",
    "mlp_simulator",
    "nfp_simulator",
]

_MAX_CLOCKS_PER_VECTOR = 4096
_MAX_CLOCKS_AT_REST = 1 << 16


@dataclass(frozen=True, kw_only=True)
class EngineRun:
    """Vectors that went through the RTL.

    Parameters
    ----------
    outputs : (vectors, outputs) raw results
    cycles : clocks from the first vector taken to the last result given, both included
    accepted : clock of every vector's transfer, from the first one's
    given : clock of every result's transfer, from the first vector's
    simulated_hz : clocks the Verilator model ran in a second of one core's processor time
    """

    outputs: np.ndarray
    cycles: int
    accepted: np.ndarray
    given: np.ndarray
    simulated_hz: float

    @property
    def clk_per_point(self) -> float:
        """Clocks a vector, filling and draining included."""
        return self.cycles / len(self.outputs)


class EngineSimulator:
    """One engine under Verilator, loaded; use as a context manager.

    Parameters
    ----------
    component : the engine, with a ``load`` stream, one more source and one sink
    name : top module name
    image : what to load first
    source, sink : names of the streams of vectors and results
    n_outputs : elements of a result that mean something
    beat : most vectors of a transfer, and results
    waves : VCD file, or None
    seed : seed of random stalls
    """

    def __init__(
        self,
        component: wiring.Component,
        name: str,
        image: LoadImage,
        *,
        source: str,
        sink: str,
        n_outputs: int,
        beat: int = 1,
        waves: Path | None = None,
        seed: int = 1,
    ) -> None:
        self._source, self._sink, self._n_outputs, self._beat = source, sink, n_outputs, beat
        self._source_layout = getattr(component, source).payload.shape()
        self._sink_layout = getattr(component, sink).payload.shape()
        self._simulator = RtlSimulator(component, name, waves=waves, seed=seed)
        self.load(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._simulator.__exit__(*exception)

    def load(self, image: LoadImage) -> None:
        """Load tables, weights and registers; the engine must be empty, as it is after every :meth:`run`."""
        words = pack_payloads(LoadLayout(), {"target": image.target, "address": image.address, "data": image.data})
        self._simulator.run({"load": words}, {}, max_cycles=4 * len(image) + _MAX_CLOCKS_AT_REST)

    def run(
        self,
        vectors: np.ndarray,
        *,
        side: np.ndarray | None = None,
        run_length: int = 0,
        idle: float = 0.0,
        backpressure: float = 0.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> EngineRun:
        """Send raw vectors, (vectors, elements), the last one marked ``last``, and take every result.

        ``side`` are the side inputs that come with them, (vectors, side_inputs); zeros if left out.

        ``run_length`` marks the last one of every so many vectors too: runs one behind the other.

        ``idle`` and ``backpressure`` are the stall chances of source and sink; with both 0 the source always offers
        and the sink always takes, which is what the cycle models time.
        """
        count = len(vectors)
        if count == 0:
            raise InputError("number of points must be at least 1, not 0")
        last = np.zeros(count, dtype=np.int64)
        last[-1] = 1
        if run_length:
            last[run_length - 1 :: run_length] = 1
        elements = next(iter(self._source_layout))[0]
        beside = {} if side is None else {"side": side}
        sent, beats = _beats({elements: vectors, **beside}, last, self._source_layout, self._beat)
        block = self._simulator.run(
            {self._source: pack_payloads(self._source_layout, sent)},
            {self._sink: int(beats[-1]) + 1},
            max_cycles=int(count * _MAX_CLOCKS_PER_VECTOR / ((1 - idle) * (1 - backpressure))) + _MAX_CLOCKS_AT_REST,
            idle=idle,
            backpressure=backpressure,
            progress=progress,
        )
        results = unpack_payloads(self._sink_layout, block.outputs[self._sink])
        marked = ("last", "n") if self._beat > 1 else ("last",)
        if any(not np.array_equal(results[name], sent[name]) for name in marked):
            raise RuntimeError("The RTL marked other results as last than those of vectors marked last")
        first = block.sent[self._source][0]
        given = (block.taken[self._sink] - first).astype(np.int64)[beats]
        place = np.arange(count) - np.searchsorted(beats, beats)
        return EngineRun(
            outputs=results["values"].reshape(int(beats[-1]) + 1, self._beat, -1)[beats, place, : self._n_outputs],
            cycles=int(given[-1]) + 1,
            accepted=(block.sent[self._source] - first).astype(np.int64)[beats],
            given=given,
            simulated_hz=block.simulated_hz,
        )


def _beats(
    columns: dict[str, np.ndarray], last: np.ndarray, layout: StructLayout, beat: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Fields of transfers of up to ``beat`` vectors that end with ``last``; and in which transfer each vector is."""
    count = len(last)
    if beat == 1:
        return columns | {"last": last}, np.arange(count)
    ends = np.flatnonzero(last)
    place = (np.arange(count) - np.concatenate([[0], ends + 1])[np.searchsorted(ends, np.arange(count))]) % beat
    beats, sent = np.cumsum(place == 0) - 1, {}
    for name, column in columns.items():
        sent[name] = np.zeros((beats[-1] + 1, beat, layout[name].shape.length // beat), dtype=np.int64)
        sent[name][beats, place, : column.shape[1]] = column
        sent[name] = sent[name].reshape(len(sent[name]), -1)
    ends = np.flatnonzero(np.diff(beats, append=beats[-1] + 1))
    return sent | {"n": place[ends], "last": last[ends]}, beats


class NfpSimulator(EngineSimulator):
    """The neural fields processor under Verilator; see :func:`nfp_simulator`."""

    def counters(self) -> dict[str, int]:
        """Its counters by name, as ``arch.nfp.NFP_COUNTERS`` describes them."""
        values = unpack_payloads(CountersLayout(), self._simulator.probe("counters"))
        return {name: int(value[0]) for name, value in values.items()}


class EncodingSimulator(EngineSimulator):
    """The grid encoding engine under Verilator; see :func:`encoding_simulator`."""

    def counters(self, engine: EncodingEngineConfig) -> np.ndarray:
        """(level_parallel, counters) int64, by ``EngineCounter``, of all runs since the last load image.

        ``engine`` is the build's configuration, with ``counters``.
        """
        numbers = np.arange(engine.level_parallel)
        ids = {"engine": np.repeat(numbers, len(EngineCounter)), "counter": np.tile(list(EngineCounter), len(numbers))}
        asked = pack_payloads(CounterSelectLayout(), ids)
        block = self._simulator.run(
            {"counter_select": asked}, {"counter_value": len(asked)}, max_cycles=_MAX_CLOCKS_AT_REST
        )
        counts = unpack_payloads(CounterValueLayout(), block.outputs["counter_value"])["count"]
        return counts.reshape(len(numbers), len(EngineCounter))


def encoding_simulator(
    grid: GridConfig,
    engine: EncodingEngineConfig,
    tables: np.ndarray,
    level_shifts: Sequence[int],
    *,
    only: int | None = None,
    scales: Sequence[float] | None = None,
    waves: Path | None = None,
    seed: int = 1,
) -> EncodingSimulator:
    """The grid encoding engine with a grid, or level ``only`` of it, loaded: raw coordinates in, features out."""
    image = encoding_image(grid, engine, tables, level_shifts, only=only, scales=scales)
    n_outputs = grid.n_output_dims if only is None else grid.n_features_per_level
    return EncodingSimulator(
        GridEncoding(engine), "grid_encoding", image,
        source="points", sink="features", n_outputs=n_outputs, waves=waves, seed=seed,
    )  # fmt: skip


def mlp_simulator(
    networks: QuantizedMlp | FloatMlp | Sequence[QuantizedMlp | FloatMlp],
    engine: MlpEngineConfig,
    *,
    waves: Path | None = None,
    seed: int = 1,
) -> EngineSimulator:
    """The MLP engine with one or two networks loaded: raw inputs in, raw outputs up to the last result out."""
    networks = (networks,) if isinstance(networks, QuantizedMlp | FloatMlp) else tuple(networks)
    image = mlp_image(networks, engine)
    results = plan_mlp([network.config for network in networks], engine).results
    return EngineSimulator(
        MlpEngine(engine), "mlp_engine", image,
        source="inputs", sink="outputs", n_outputs=max(results) + 1, waves=waves, seed=seed,
    )  # fmt: skip


def nfp_simulator(
    field: QuantizedField | FloatField,
    config: NfpConfig,
    *,
    scales: Sequence[float] | None = None,
    waves: Path | None = None,
    seed: int = 1,
) -> NfpSimulator:
    """The neural fields processor with a field loaded: coordinates (for nerf: and codes) in, results out, raw."""
    image = nfp_image(field, config, scales=scales)
    return NfpSimulator(
        Nfp(config), "nfp", image,
        source="points", sink="results", n_outputs=n_results(field), waves=waves, seed=seed,
    )  # fmt: skip


def cluster_simulator(
    field: QuantizedField | FloatField, config: ClusterConfig, *, waves: Path | None = None, seed: int = 1
) -> NfpSimulator:
    """A cluster with a field loaded and no watchdog: coordinates (for nerf: and codes) in, results out, raw."""
    image = nfp_image(field, config.nfp)
    return NfpSimulator(
        NfpCluster(config), "nfp_cluster", image,
        source="points", sink="results", n_outputs=n_results(field), beat=config.beat_points, waves=waves, seed=seed,
    )  # fmt: skip
