"""The driver's transport on a board that runs PYNQ: registers by MMIO, streams by AXI DMA engines in simple mode."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["PynqTransport"]


class PynqTransport:
    """``host.transport.Transport`` over PYNQ's objects.

    An AXI DMA engine in simple mode ends a transfer at TLAST and drops TUSER. So a run that ends early is seen by its
    length, and a run during which a processor failed by the register ``failed``; both raise OSError. MMIO cannot tell
    an error answer of the bus: the kernel ends the process. A run, and the words of a field, are one transfer each: an
    engine whose length register is too narrow for them refuses it (ValueError of PYNQ), and the run must be cut.

    Parameters
    ----------
    mmio : ``pynq.MMIO`` of the register window, or an overlay's IP: ``read(offset)``, ``write(offset, word)``
    load : send channel of the engine on ``s_axis_load``: ``transfer(buffer)``, ``idle``, ``wait()``
    points : send channel of the engine on ``s_axis_points``
    results : receive channel of the engine on ``m_axis_results``, with ``transferred``, bytes of the last transfer
    result_bytes : bytes of a result's word (``arch.axis_format.results_format``)
    allocate : ``pynq.allocate``: makes a buffer the engines can reach, ``allocate(shape, dtype)``
    failed_address : of the register ``failed``
    timeout_s : longest transfer, after which OSError is raised and the engine must be reset; PYNQ would wait for ever,
        as for results of a cluster that was reset and has no field
    """

    def __init__(
        self,
        mmio: Any,
        *,
        load: Any,
        points: Any,
        results: Any,
        result_bytes: int,
        allocate: Callable[..., np.ndarray],
        failed_address: int,
        timeout_s: float = 10.0,
    ) -> None:
        self._mmio = mmio
        self._load, self._points, self._results = load, points, results
        self._result_bytes = result_bytes
        self._allocate = allocate
        self._failed_address = failed_address
        self._timeout_s = timeout_s

    def read(self, address: int) -> int:
        """The 32-bit register at a byte address."""
        return int(self._mmio.read(address))

    def write(self, address: int, word: int) -> None:
        """Write a 32-bit register."""
        self._mmio.write(address, int(word))

    def send_load(self, words: np.ndarray) -> None:
        """Send (n, bytes) uint8 words on the load stream."""
        buffer = self._filled(words)
        self._load.transfer(buffer)
        self._wait(self._load, "load words")

    def exchange(self, points: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Send points, one transfer a run, and take as many results.

        Raises
        ------
        OSError
            If a run ends elsewhere than at its last point, takes too long, or a processor has failed.
        """
        ends = np.flatnonzero(last) + 1
        if not len(ends) or ends[-1] != len(points):
            raise ValueError("last must be set at the last point")
        parts = []
        for first, end in zip([0, *ends[:-1]], ends, strict=True):
            sent = self._filled(points[first:end])
            taken = self._allocate(shape=(end - first, self._result_bytes), dtype=np.uint8)
            self._results.transfer(taken)  # first, so that no result finds the engine asleep
            self._points.transfer(sent)
            self._wait(self._points, "points")
            self._wait(self._results, "results")
            if self._results.transferred != taken.nbytes:
                raise OSError(f"the run ended after {self._results.transferred} bytes of results, not {taken.nbytes}")
            parts.append(np.array(taken))
        failed = self.read(self._failed_address)
        if failed:
            raise OSError(f"processors failed (mask {failed:#x}) and their results cannot be told; reset the cluster")
        return np.concatenate(parts), np.array(last, dtype=bool), np.zeros(len(points), dtype=bool)

    def _wait(self, channel: Any, what: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not channel.idle:
            if time.monotonic() > deadline:
                raise OSError(f"the transfer of {what} did not end within {self._timeout_s} s; reset the DMA engine")
        channel.wait()

    def _filled(self, words: np.ndarray) -> np.ndarray:
        buffer = self._allocate(shape=words.shape, dtype=np.uint8)
        buffer[:] = words
        return buffer
