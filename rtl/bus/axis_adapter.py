"""Between AXI4-Stream words and the payloads of the house's streams."""

from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from arch.axis_format import AxisFormat
from rtl.bus.axi import AxisSignature
from rtl.skid_buffer import SkidBuffer

__all__ = ["FromAxis", "ToAxis"]


def _check_widths(layout: data.StructLayout, words: AxisFormat) -> None:
    for field in words.fields:
        shape = layout[field.name].shape
        width = Shape.cast(shape.elem_shape if field.count else shape).width
        if width != field.bits:
            raise TypeError(f"Field {field.name} must be {field.bits} bits wide, not {width}")


def _elements(payload: data.View, words: AxisFormat, beat: int) -> list[tuple[Value, int]]:
    """Every element of the payload that lies in TDATA, and its lowest bit there."""
    places = []
    for field in words.fields:
        value = payload[field.name]
        lows = [8 * words.data_bytes * word + low for word in range(beat) for low in field.low_bits]
        elements = [value[index] for index in range(len(lows))] if field.count else [value]
        places += zip(map(Value.cast, elements), lows, strict=True)
    return places


class FromAxis(Component):
    """Take AXI4-Stream words as payloads.

    A transfer has one word, or ``beat`` of them; with TLAST it may have fewer, whole ones from the lowest byte on, and
    TKEEP tells how many. A transfer with another TKEEP is taken all the same, and ``keep_error`` tells of it: it has
    ``beat`` words, or with TLAST as many as have no byte missing below the first word that has, at least one.

    *Timing*: latency 1 clock, one transfer a clock; TREADY is a register.

    Parameters
    ----------
    layout : the payload; its fields are those of ``words``, word after word, ``last`` if it has one, and with several
        words ``n``, their number less one
    words : where they lie
    beat : most words of a transfer

    Members
    -------
    axis : In(AxisSignature(beat * words.data_bytes))
    o : Out(stream of layout)
    keep_error : Out(1), high in the clock of such a transfer

    Attributes
    ----------
    buffer : the SkidBuffer behind the port

    Raises
    ------
    TypeError
        If a field has another width in ``words``.
    """

    def __init__(self, layout: data.StructLayout, words: AxisFormat, beat: int = 1) -> None:
        _check_widths(layout, words)
        self.layout = layout
        self.words = words
        self.beat = beat
        super().__init__(
            {
                "axis": In(AxisSignature(beat * words.data_bytes)),
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
            self.keep_error.eq(axis.tvalid & axis.tready & ~self._keep_whole(m)),
        ]
        for element, low in _elements(i.payload, self.words, self.beat):
            m.d.comb += element.eq(axis.tdata[low : low + len(element)])
        if "last" in self.layout.members:
            m.d.comb += i.payload.last.eq(axis.tlast)
        connect(m, buffer.o, flipped(self.o))
        return m

    def _keep_whole(self, m: Module) -> Value:
        """Whether TKEEP is one that a transfer may have; counts its words."""
        keep = self.axis.tkeep
        if self.beat == 1:
            return keep.all()
        n, allowed = self.buffer.i.payload.n, Signal()
        m.d.comb += [n.eq(self.beat - 1), allowed.eq(keep.all())]
        whole = [keep.word_select(word, self.words.data_bytes).all() for word in range(self.beat)]
        with m.If(self.axis.tlast):  # the first word that is not whole; later assignments win
            for word in reversed(range(self.beat)):
                with m.If(~whole[word]):
                    below, rest = Cat(whole[:word]).all() & (word > 0), keep[word * self.words.data_bytes :]
                    m.d.comb += [n.eq(max(0, word - 1)), allowed.eq(below & ~rest.any())]
        return allowed


class ToAxis(Component):
    """Give payloads as AXI4-Stream words. TKEEP is all ones for the words there are; what lies in no field is 0.

    A payload without ``last`` is a packet of one word: TLAST is 1.

    *Timing*: latency 1 clock, one transfer a clock; TVALID and all that goes with it are registers.

    Parameters
    ----------
    layout : the payload; its fields are those of ``words``, word after word, ``last`` and ``error`` (TUSER, a bit a
        word) if it has them, and with several words ``n``, their number less one
    words : where they lie
    beat : most words of a transfer

    Members
    -------
    i : In(stream of layout)
    axis : Out(AxisSignature(beat * words.data_bytes, beat if layout has an error else 0))

    Attributes
    ----------
    buffer : the SkidBuffer in front of the port

    Raises
    ------
    TypeError
        If a field has another width in ``words``.
    """

    def __init__(self, layout: data.StructLayout, words: AxisFormat, beat: int = 1) -> None:
        _check_widths(layout, words)
        self.layout = layout
        self.words = words
        self.beat = beat
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "axis": Out(AxisSignature(beat * words.data_bytes, beat if "error" in layout.members else 0)),
            }
        )
        self.buffer = SkidBuffer(layout)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = self.buffer
        axis, o = self.axis, buffer.o
        connect(m, flipped(self.i), buffer.i)
        m.d.comb += [axis.tvalid.eq(o.valid), o.ready.eq(axis.tready)]
        if self.beat == 1:
            m.d.comb += axis.tkeep.eq(-1)
        else:
            held = Cat((number <= o.payload.n).replicate(self.words.data_bytes) for number in range(self.beat))
            m.d.comb += axis.tkeep.eq(held)
        for element, low in _elements(o.payload, self.words, self.beat):
            m.d.comb += axis.tdata[low : low + len(element)].eq(Cat(element))
        m.d.comb += axis.tlast.eq(o.payload.last if "last" in self.layout.members else 1)
        if "error" in self.layout.members:
            m.d.comb += axis.tuser.eq(o.payload.error)
        return m
