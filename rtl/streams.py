"""Payloads of the streams between engines, and the one safe way to connect two of them.

Streams follow Amaranth's rules: a payload is transferred in every clock where ``valid`` and ``ready`` are high;
``valid`` and the payload hold until then; ``valid`` never waits for ``ready``.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream, wiring

from arch import load
from arch.nfp import NfpConfig
from arch.number_format import COORDINATE

__all__ = ["LoadLayout", "PointLayout", "VectorLayout", "connect_stream", "points_layout"]


class PointLayout(data.StructLayout):
    """A point: ``position``, one raw coordinate a dimension, and ``last`` on the last point of a run.

    Parameters
    ----------
    n_pos_dims : coordinates; a grid of fewer dimensions ignores those past its own
    side_inputs : raw values that come with the point in ``side``, for its second network; 0: no such field
    value_bits : bits of one of them, signed
    coordinate_bits : bits of a coordinate: unsigned 1.23, or an fp32 number
    """

    def __init__(
        self, n_pos_dims: int, side_inputs: int = 0, value_bits: int = 8, coordinate_bits: int = COORDINATE.width
    ) -> None:
        position = data.ArrayLayout(unsigned(coordinate_bits), n_pos_dims)
        side = {"side": data.ArrayLayout(signed(value_bits), side_inputs)} if side_inputs else {}
        super().__init__({"position": position, **side, "last": 1})


def points_layout(config: NfpConfig, count: int = 1) -> PointLayout:
    """``count`` points of a processor: each field of all of them, and one ``last``."""
    encoding, mlp = config.encoding, config.mlp
    return PointLayout(
        count * encoding.n_pos_dims, count * mlp.side_inputs, mlp.profile.value_bits, encoding.coordinate_bits
    )


class VectorLayout(data.StructLayout):
    """A vector of raw values: ``values``, element 0 lowest, and ``last`` on the last vector of a run.

    Parameters
    ----------
    width : elements
    bits : bits of an element, signed
    """

    def __init__(self, width: int, bits: int) -> None:
        super().__init__({"values": data.ArrayLayout(signed(bits), width), "last": 1})


class LoadLayout(data.StructLayout):
    """A load word: ``target`` (``arch.load.LoadTarget``), ``address`` and ``data``."""

    def __init__(self) -> None:
        super().__init__({"target": load.TARGET_BITS, "address": load.ADDRESS_BITS, "data": load.DATA_BITS})


def connect_stream(m: object, source: stream.Interface, sink: stream.Interface) -> None:
    """Connect two streams of the same payload.

    Plain ``wiring.connect`` joins payloads of equal width and different layout without a word; this refuses them.

    Raises
    ------
    TypeError
        If the payload shapes differ.
    """
    source_shape = source.payload.shape()
    sink_shape = sink.payload.shape()
    # Layout equality looks through nested layouts at their widths only; the printed form has the whole structure.
    if repr(source_shape) != repr(sink_shape):
        raise TypeError(f"Payload shape of the sink must be {source_shape!r}, not {sink_shape!r}")
    wiring.connect(m, source, sink)
