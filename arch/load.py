"""The load port: how a host writes tables, weights and registers into the engines.

One stream carries (target, address, data) words. A load image is the list of words that puts one field into one
processor; the host sends it before the first point.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

__all__ = ["ADDRESS_BITS", "DATA_BITS", "TARGET_BITS", "LoadImage", "LoadTarget"]

TARGET_BITS = 4
ADDRESS_BITS = 32
DATA_BITS = 64


class LoadTarget(IntEnum):
    """What a load word is for; its address is explained by the engine that takes it."""

    ENCODING_CONTROL = 0
    LEVEL_REGISTER = 1
    TABLE = 2
    MLP_CONTROL = 3
    LAYER_REGISTER = 4
    WEIGHT = 5
    ACTIVATION_TABLE = 6
    NFP_CONTROL = 7
    SCHEDULER = 8


@dataclass(frozen=True, kw_only=True)
class LoadImage:
    """Load words in sending order.

    Parameters
    ----------
    target : (n,) uint8, values of :class:`LoadTarget`
    address : (n,) uint32
    data : (n,) uint64
    """

    target: np.ndarray
    address: np.ndarray
    data: np.ndarray

    @classmethod
    def of(cls, target: LoadTarget, address: np.ndarray, data: np.ndarray) -> "LoadImage":
        """Words of one target; signed data is taken as its two's complement."""
        address = np.atleast_1d(np.asarray(address, dtype=np.uint32))
        data = np.atleast_1d(np.asarray(data)).astype(np.int64, copy=False).view(np.uint64)
        return cls(target=np.full(address.shape, int(target), dtype=np.uint8), address=address, data=data)

    def __add__(self, other: "LoadImage") -> "LoadImage":
        return LoadImage(
            target=np.concatenate([self.target, other.target]),
            address=np.concatenate([self.address, other.address]),
            data=np.concatenate([self.data, other.data]),
        )

    def __len__(self) -> int:
        return len(self.target)
