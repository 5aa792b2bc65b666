"""Activations of ``fp16`` by tables of segments."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from arch.float_activation import LOW_BITS, SEGMENT_BITS
from arch.mlp_engine import FLOAT_TABLE_CYCLES, MlpEngineConfig
from arch.number_format import FP16
from rtl.mlp.float_segment import FloatSegment, SegmentLayout
from rtl.mlp.float_sine import FloatSine
from rtl.shared_module import SharedModule

__all__ = ["FloatActivationUnit", "table_members"]


def table_members(config: MlpEngineConfig) -> dict[str, In]:
    """Members through which a unit is loaded and told its table."""
    depth = config.activation_tables << SEGMENT_BITS
    return {
        "w_en": In(1),
        "w_addr": In(range(depth)),
        "w_data": In(SegmentLayout().size),
        "table": In(range(config.activation_tables + 1)),
    }


class FloatActivationUnit(Component):
    """Look every column's sum up in one of the loaded tables.

    Every column has its own copy of all tables, written together: ``activation_tables << 12`` words of 62 bits.

    *Timing*: latency ``FLOAT_TABLE_CYCLES`` = 8, initiation interval 1, no stall. Stages: memory; coefficients; the six
    of ``FloatSegment``. ``table`` belongs to the ``i`` of the same clock. A load word is written in its own clock.

    *Numerics*: ``reference.activation.activate_fp16``, bit for bit. With ``table`` 0 ``o`` means nothing.

    Parameters
    ----------
    config : an engine of ``fp16`` with ``activation_tables`` of at least 1

    Members
    -------
    w_en, w_addr, w_data : In, a load word: ``table << SEGMENT_BITS | segment``; ``SegmentLayout``
    valid : In(1), ``i`` is to be looked up
    table : In, t + 1 for table t
    sine : In(1), in builds with ``sine`` alone: the table is Sine's
    i : In(16) of each column
    itself : Out(1) of each column, in builds with ``sine`` alone, combinational: the outcome is ``i``, and ``o`` not it
    o : Out(16) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        assert FLOAT_TABLE_CYCLES == 2 + FloatSegment.LATENCY
        self.config = config
        sine = {"sine": In(1), "itself": Out(1).array(config.cols)} if config.sine else {}
        super().__init__(
            {
                **table_members(config),
                **sine,
                "valid": In(1),
                "i": In(FP16.width).array(config.cols),
                "o": Out(FP16.width).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number = Signal(range(max(2, self.config.activation_tables)))
        m.d.comb += number.eq(self.table - 1)
        depth = self.config.activation_tables << SEGMENT_BITS
        for c in range(self.config.cols):
            i = self.i[c]
            m.submodules[f"memory_{c}"] = memory = Memory(shape=SegmentLayout(), depth=depth, init=[])
            write, read = memory.write_port(), memory.read_port()
            m.submodules[f"segment_{c}"] = segment = SharedModule(FloatSegment(), "float_segment")
            low = [Signal(LOW_BITS, name=f"low_{c}_{stage}", reset_less=True) for stage in range(2)]
            nan = [Signal(name=f"nan_{c}_{stage}", reset_less=True) for stage in range(2)]
            word = Signal(SegmentLayout(), name=f"word_{c}", reset_less=True)
            segment_number, no_number, found = i[LOW_BITS:], i[:-1] > FP16.special << FP16.mantissa_bits, read.data
            if self.config.sine:
                segment_number, no_number, found = self._sine(m, c, read.data)
            m.d.comb += [
                write.en.eq(self.w_en),
                write.addr.eq(self.w_addr),
                write.data.as_value().eq(self.w_data),
                read.en.eq(self.valid & (self.table != 0)),
                read.addr.eq(Cat(segment_number, number)),
                segment.segment.eq(word),
                segment.low.eq(low[1]),
                segment.nan.eq(nan[1]),
                self.o[c].eq(segment.o),
            ]
            m.d.sync += [
                low[0].eq(i),
                nan[0].eq(no_number),
                low[1].eq(low[0]),
                nan[1].eq(nan[0]),
                word.eq(found),
            ]
        return m

    def _sine(self, m: Module, column: int, word: Value) -> tuple[Value, Value, Value]:
        """Address, whether the outcome is no number, and what was read, where a table may be Sine's."""
        m.submodules[f"sine_{column}"] = sine = SharedModule(FloatSine(), "float_sine")
        m.d.comb += [
            sine.sine.eq(self.sine),
            sine.i.eq(self.i[column]),
            sine.word.eq(word),
            self.itself[column].eq(sine.itself),
        ]
        return sine.address, sine.nan, sine.segment
