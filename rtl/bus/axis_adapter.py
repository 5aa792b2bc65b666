"""Between AXI4-Stream words and the payloads of the house's streams."""

from amaranth.hdl import Cat, Module, Shape, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from arch.axis_format import AxisFormat
from rtl.bus.axi import AxisSignature
from rtl.bus.skid_buffer import SkidBuffer

__all__ = ["FromAxis", "ToAxis"]


def _check_widths(layout: data.StructLayout, words: AxisFormat) -> None:
    for field in words.fields:
        shape = layout[field.name].shape
        width = Shape.cast(shape.elem_shape if field.count else shape).width
        if width != field.bits:
            raise TypeError(f"Field {field.name} must be {field.bits} bits wide, not {width}")


def _elements(payload: data.View, words: AxisFormat) -> list[tuple[Value, int]]:
    """Every element of the payload that lies in TDATA, and its lowest bit there."""
    places = []
    for field in words.fields:
        value = payload[field.name]
        elements = [value[index] for index in range(field.count)] if field.count else [value]
        places += zip(map(Value.cast, elements), field.low_bits, strict=True)
    return places


class FromAxis(Component):
    """Take AXI4-Stream words as payloads.

    A word whose TKEEP is not all ones is taken all the same, and ``keep_error`` tells of it.

    *Timing*: latency 1 clock, one word a clock; TREADY is a register.

    Parameters
    ----------
    layout : the payload; its fields are those of ``words``, and ``last`` if it has one
    words : where they lie

    Members
    -------
    axis : In(AxisSignature(words.data_bytes))
    o : Out(stream of layout)
    keep_error : Out(1), high in the clock of such a word's transfer

    Attributes
    ----------
    buffer : the SkidBuffer behind the port

    Raises
    ------
    TypeError
        If a field has another width in ``words``.
    """

    def __init__(self, layout: data.StructLayout, words: AxisFormat) -> None:
        _check_widths(layout, words)
        self.layout = layout
        self.words = words
        super().__init__(
            {
                "axis": In(AxisSignature(words.data_bytes)),
                "o": Out(stream.Signature(layout)),
                "keep_error": Out(1),
            }
        )
        self.buffer = SkidBuffer(layout)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = self.buffer
        axis, i = self.axis, buffer.i
        m.d.comb += [
            i.valid.eq(axis.tvalid),
            axis.tready.eq(i.ready),
            self.keep_error.eq(axis.tvalid & axis.tready & ~axis.tkeep.all()),
        ]
        for element, low in _elements(i.payload, self.words):
            m.d.comb += element.eq(axis.tdata[low : low + len(element)])
        if "last" in self.layout.members:
            m.d.comb += i.payload.last.eq(axis.tlast)
        connect(m, buffer.o, flipped(self.o))
        return m


class ToAxis(Component):
    """Give payloads as AXI4-Stream words. TKEEP is all ones; what lies in no field is 0.

    A payload without ``last`` is a packet of one word: TLAST is 1.

    *Timing*: latency 1 clock, one word a clock; TVALID and all that goes with it are registers.

    Parameters
    ----------
    layout : the payload; its fields are those of ``words``, ``last`` and ``error`` (TUSER) if it has them
    words : where they lie

    Members
    -------
    i : In(stream of layout)
    axis : Out(AxisSignature(words.data_bytes, 1 if layout has an error else 0))

    Attributes
    ----------
    buffer : the SkidBuffer in front of the port

    Raises
    ------
    TypeError
        If a field has another width in ``words``.
    """

    def __init__(self, layout: data.StructLayout, words: AxisFormat) -> None:
        _check_widths(layout, words)
        self.layout = layout
        self.words = words
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "axis": Out(AxisSignature(words.data_bytes, int("error" in layout.members))),
            }
        )
        self.buffer = SkidBuffer(layout)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = self.buffer
        axis, o = self.axis, buffer.o
        connect(m, flipped(self.i), buffer.i)
        m.d.comb += [axis.tvalid.eq(o.valid), o.ready.eq(axis.tready), axis.tkeep.eq(-1)]
        for element, low in _elements(o.payload, self.words):
            m.d.comb += axis.tdata[low : low + len(element)].eq(Cat(element))
        m.d.comb += axis.tlast.eq(o.payload.last if "last" in self.layout.members else 1)
        if "error" in self.layout.members:
            m.d.comb += axis.tuser.eq(o.payload.error)
        return m
