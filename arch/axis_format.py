"""AXI4-Stream words: where the fields of a point, a result and a load word lie in TDATA.

Fields start at whole bytes, lowest byte first, so that hosts write them as arrays of C types; TDATA is rounded up to a
power of two of bytes, and what lies in no field is ignored or 0.

===========  ==========================================  =================================================
stream       field                                       place
===========  ==========================================  =================================================
points       coordinate d, unsigned 1.23                 32-bit word d, upper bits ignored
points       coordinate d of ``fp16``, an fp32 number    32-bit word d
points       side input i                                behind the coordinates, one value each
results      output j                                    value j
load         data; address; target                       bytes 0 to 7; 8 to 11; 12
issue        iteration; descriptor index                 bytes 0 and 1; 2
complete     descriptor index                            byte 0
issue        attempt, of supervised builds               byte 3
complete     attempt; error, of supervised builds        byte 1; lowest bit of byte 2
===========  ==========================================  =================================================

A value is one byte (``int8``) or two (``int16``, ``fp16``). TLAST is the ``last`` of a point or result; load words
ignore it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from arch.descriptor import COUNT_BITS, index_bits
from arch.errors import InputError
from arch.load import ADDRESS_BITS, DATA_BITS, TARGET_BITS
from arch.nfp import NfpConfig
from arch.scheduler import SchedulerConfig
from arch.supervision import ATTEMPT_BITS

__all__ = [
    "AxisField",
    "AxisFormat",
    "complete_format",
    "issue_format",
    "load_format",
    "points_format",
    "results_format",
]


@dataclass(frozen=True, kw_only=True)
class AxisField:
    """A field, or an array of them.

    Parameters
    ----------
    name : its name in the payload's layout
    count : elements; 0 for a plain field
    bits : bits of an element
    first_byte : byte at which the first one starts
    stride : bytes from one to the next
    signed : whether it is
    """

    name: str
    count: int = 0
    bits: int
    first_byte: int
    stride: int
    signed: bool = False

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.first_byte + max(1, self.count) * self.stride

    @property
    def low_bits(self) -> tuple[int, ...]:
        """Lowest bit of each element in TDATA."""
        return tuple(8 * (self.first_byte + index * self.stride) for index in range(max(1, self.count)))


@dataclass(frozen=True, kw_only=True)
class AxisFormat:
    """The words of a stream."""

    fields: tuple[AxisField, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes of TDATA."""
        return 1 << (max(field.end for field in self.fields) - 1).bit_length()

    def pack(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n, data_bytes) uint8 words of the named fields: (n,) or (n, count) raw integers each; others are 0."""
        rows = {len(column) for column in values.values()}
        if len(rows) != 1:
            raise InputError(f"number of words must be the same in all fields, not {sorted(rows)}")
        words = np.zeros((rows.pop(), self.data_bytes), dtype=np.uint8)
        for field in self.fields:
            if field.name not in values:
                continue
            raw = np.asarray(values[field.name])
            shape = (len(words), field.count) if field.count else (len(words),)
            if raw.shape != shape:
                raise InputError(f"shape of {field.name} must be {shape}, not {raw.shape}")
            raw = raw.astype(np.uint64 if raw.dtype == np.uint64 else np.int64).astype("<u8")
            parts = np.ascontiguousarray(raw).view(np.uint8).reshape(len(words), -1, 8)
            used = min(field.stride, 8)
            for index in range(parts.shape[1]):
                first = field.first_byte + index * field.stride
                words[:, first : first + used] = parts[:, index, :used]
        return words

    def unpack(self, words: np.ndarray) -> dict[str, np.ndarray]:
        """The fields of (n, data_bytes) uint8 words: (n,) or (n, count) int64 each, uint64 for fields of 64 bits."""
        words = np.asarray(words, dtype=np.uint8)
        if words.shape[1:] != (self.data_bytes,):
            raise InputError(f"shape of words must be (n, {self.data_bytes}), not {words.shape}")
        values = {}
        for field in self.fields:
            columns = []
            for low in field.low_bits:
                wide = np.zeros((len(words), 8), dtype=np.uint8)
                used = -(-field.bits // 8)
                wide[:, :used] = words[:, low // 8 : low // 8 + used]
                raw = wide.view("<u8")[:, 0]
                if field.bits < 64:
                    raw = (raw & np.uint64((1 << field.bits) - 1)).astype(np.int64)
                    if field.signed:
                        raw = raw - ((raw >> (field.bits - 1)) << field.bits)
                columns.append(raw)
            values[field.name] = np.stack(columns, axis=1) if field.count else columns[0]
        return values


def points_format(config: NfpConfig) -> AxisFormat:
    """Words of the points of a processor."""
    dims, value_bits = config.encoding.n_pos_dims, config.mlp.profile.value_bits
    position = AxisField(name="position", count=dims, bits=config.encoding.coordinate_bits, first_byte=0, stride=4)
    if not config.mlp.side_inputs:
        return AxisFormat(fields=(position,))
    side = AxisField(
        name="side",
        count=config.mlp.side_inputs,
        bits=value_bits,
        first_byte=position.end,
        stride=value_bits // 8,
        signed=True,
    )
    return AxisFormat(fields=(position, side))


def results_format(config: NfpConfig) -> AxisFormat:
    """Words of the results of a processor."""
    bits = config.mlp.profile.value_bits
    values = AxisField(name="values", count=config.max_outputs, bits=bits, first_byte=0, stride=bits // 8, signed=True)
    return AxisFormat(fields=(values,))


def load_format() -> AxisFormat:
    """Words of the load stream."""
    return AxisFormat(
        fields=(
            AxisField(name="data", bits=DATA_BITS, first_byte=0, stride=8),
            AxisField(name="address", bits=ADDRESS_BITS, first_byte=8, stride=4),
            AxisField(name="target", bits=TARGET_BITS, first_byte=12, stride=1),
        )
    )


def issue_format(config: SchedulerConfig) -> AxisFormat:
    """Words that tell an outside unit what to execute."""
    fields = (
        AxisField(name="iteration", bits=COUNT_BITS, first_byte=0, stride=2),
        AxisField(name="index", bits=index_bits(config.n_descriptors), first_byte=2, stride=1),
    )
    attempt = AxisField(name="attempt", bits=ATTEMPT_BITS, first_byte=3, stride=1)
    return AxisFormat(fields=(*fields, attempt) if config.supervised else fields)


def complete_format(config: SchedulerConfig) -> AxisFormat:
    """Words by which an outside unit says what is complete."""
    index = AxisField(name="index", bits=index_bits(config.n_descriptors), first_byte=0, stride=1)
    attempt = AxisField(name="attempt", bits=ATTEMPT_BITS, first_byte=1, stride=1)
    error = AxisField(name="error", bits=1, first_byte=2, stride=1)
    return AxisFormat(fields=(index, attempt, error) if config.supervised else (index,))
