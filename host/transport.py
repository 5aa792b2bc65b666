"""How a driver reaches the hardware: registers, and the three streams."""

from typing import Protocol

import numpy as np

__all__ = ["Transport"]


class Transport(Protocol):
    """Registers and streams of one ``NfpTop``. All calls return when their transfers are done.

    An implementation over memory-mapped registers and a DMA engine, and one over a simulator's bus models, look alike
    to the driver.
    """

    def read(self, address: int) -> int:
        """The 32-bit register at a byte address; raises OSError if the bus answers an error."""
        ...

    def write(self, address: int, word: int) -> None:
        """Write a 32-bit register; raises OSError if the bus answers an error."""
        ...

    def send_load(self, words: np.ndarray) -> None:
        """Send (n, bytes) uint8 words on the load stream."""
        ...

    def exchange(self, points: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Send points and take as many results, both streams at once.

        How many words a transfer of the hardware's streams holds is the transport's own business: the words of a run
        follow one another, and only its last transfer is not full.

        Parameters
        ----------
        points : (n, bytes) uint8 words
        last : (n,) bool, TLAST of each

        Returns
        -------
        (n, bytes) uint8 words, (n,) bool TLAST, (n,) bool TUSER
        """
        ...
