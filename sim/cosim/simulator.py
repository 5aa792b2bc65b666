"""Runs a component's Verilator model in blocks of cycles, arrays in and arrays out."""

import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from amaranth.lib import wiring

from arch.errors import InputError
from arch.whole_file import make_directory
from sim.cosim.build import StreamPort, build_model

__all__ = ["Block", "RtlSimulator"]

_BLOCK_CYCLES = 1 << 18
"""Clocks between two calls of ``progress``: a quarter of a second at 1 MHz."""


class _Port(ctypes.Structure):
    """``Source`` and ``Sink`` of harness.cpp."""

    _fields_ = (
        ("words", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("clocks", ctypes.c_void_p),
        ("position", ctypes.c_uint64),
        ("handshake", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


@dataclass(frozen=True, kw_only=True)
class Block:
    """What came out of a block of cycles.

    Parameters
    ----------
    cycles : clocks run
    seconds : processor time of the model in them
    outputs : per sink, (count, words) uint32 payloads
    sent : per source, clock of every transfer, counted from reset
    taken : per sink, clock of every transfer, counted from reset
    """

    cycles: int
    seconds: float
    outputs: dict[str, np.ndarray]
    sent: dict[str, np.ndarray]
    taken: dict[str, np.ndarray]

    @property
    def simulated_hz(self) -> float:
        """Clocks in a second of one core's processor time."""
        return self.cycles / max(self.seconds, 1e-9)


class RtlSimulator:
    """One running instance of a component, fresh out of reset; use as a context manager.

    Parameters
    ----------
    component : any component whose top-level members are all streams or plain outputs
    name : top module name
    waves : VCD file to write every clock into; such a build is slower and kept apart
    seed : seed of the random stalls

    Raises
    ------
    InputError
        If ``waves`` cannot be written, or the model cannot be built.
    """

    def __init__(self, component: wiring.Component, name: str, *, waves: Path | None = None, seed: int = 1) -> None:
        if waves is not None:
            make_directory(waves.parent)
            if waves.is_dir():
                raise InputError(f"waves must be a file to write, not the directory {str(waves)!r}")
        self._model = build_model(component, name, waves=waves is not None)
        self._library = ctypes.CDLL(str(self._model.shared_object))
        self._library.ngpc_open.restype = ctypes.c_void_p
        self._library.ngpc_run.restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(self._library.ngpc_open(str(waves or "").encode()))
        self._library.ngpc_seed(self._handle, ctypes.c_uint64(seed))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.ngpc_close(self._handle)

    def probe(self, name: str) -> np.ndarray:
        """The (1, words) uint32 value of a plain output now; raises ValueError if there is none of that name."""
        names = [port.name for port in self._model.probes]
        if name not in names:
            raise ValueError(f"Output must be one of {', '.join(names)}, not {name}")
        index = names.index(name)
        words = np.zeros((1, self._model.probes[index].words), dtype=np.uint32)
        self._library.ngpc_probe(self._handle, ctypes.c_uint64(index), ctypes.c_void_p(words.ctypes.data))
        return words

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        expect: Mapping[str, int],
        *,
        max_cycles: int,
        idle: float = 0.0,
        backpressure: float = 0.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Block:
        """Send ``inputs`` and take ``expect`` payloads, all streams at once.

        Parameters
        ----------
        inputs : per source, (n, words) uint32 payloads (``sim.cosim.payload``); sources not named stay idle
        expect : per sink, payloads to take; sinks not named are never ready
        max_cycles : hang guard
        idle : chance that a source pauses before its next payload, each clock
        backpressure : chance that a sink is not ready, each clock
        progress : called with (payloads transferred, payloads in all) every quarter of a million clocks

        Raises
        ------
        InputError
            If the work is not done within ``max_cycles``.
        """
        sources, sent, kept = self._ports(self._model.sources, {name: len(words) for name, words in inputs.items()})
        for port, source in zip(self._model.sources, sources, strict=True):
            if port.name in inputs:
                words = np.ascontiguousarray(inputs[port.name], dtype=np.uint32)
                if words.shape[1:] != (port.words,):
                    raise ValueError(f"Payloads of {port.name} must be (n, {port.words}) words, not {words.shape}")
                source.words = words.ctypes.data
                kept.append(words)
        sinks, taken, outputs = self._ports(self._model.sinks, expect)
        states = [*sources, *sinks]
        total = sum(state.count for state in states)
        cycles, seconds = 0, 0.0
        while cycles < max_cycles and any(state.position < state.count for state in states):
            before = time.thread_time()
            cycles += self._library.ngpc_run(
                self._handle,
                ctypes.c_uint64(min(_BLOCK_CYCLES, max_cycles - cycles)),
                sources,
                sinks,
                ctypes.c_uint32(int(idle * 0xFFFFFFFF)),
                ctypes.c_uint32(int(backpressure * 0xFFFFFFFF)),
            )
            seconds += time.thread_time() - before
            if progress is not None:
                progress(sum(state.position for state in states), total)
        for ports, done in ((self._model.sources, sources), (self._model.sinks, sinks)):
            for port, state in zip(ports, done, strict=True):
                if state.position < state.count:
                    raise InputError(
                        f"stream {port.name} must transfer {state.count} payloads within {max_cycles} clocks, "
                        f"not {state.position}"
                    )
        return Block(
            cycles=cycles,
            seconds=seconds,
            outputs={port.name: words for port, words in zip(self._model.sinks, outputs, strict=True)},
            sent=sent,
            taken=taken,
        )

    @staticmethod
    def _ports(
        ports: tuple[StreamPort, ...], counts: Mapping[str, int]
    ) -> tuple[ctypes.Array, dict[str, np.ndarray], list[np.ndarray]]:
        unknown = set(counts) - {port.name for port in ports}
        if unknown:
            raise ValueError(f"Stream must be one of {', '.join(port.name for port in ports)}, not {unknown.pop()}")
        array = (_Port * max(1, len(ports)))()
        clocks, words = {}, []
        for port, state in zip(ports, array, strict=False):
            count = counts.get(port.name, 0)
            clocks[port.name] = np.zeros(count, dtype=np.uint64)
            words.append(np.zeros((count, port.words), dtype=np.uint32))
            state.count = count
            state.words = words[-1].ctypes.data
            state.clocks = clocks[port.name].ctypes.data
        return array, clocks, words
