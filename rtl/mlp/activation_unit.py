"""From requantised sums to activations that no straight line gives."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from arch.activation_table import (
    OFFSET_BITS,
    PRE_ACTIVATION_BITS,
    SLOPE_BITS,
    offset_fraction_bits,
    segment_bits,
    slope_fraction_bits,
)
from arch.mlp_engine import ACTIVATION_CYCLES, MlpEngineConfig

__all__ = ["ActivationUnit"]


class ActivationUnit(Component):
    """Look every column's pre-activation up in one of the loaded tables, or only saturate it.

    Every column has its own copy of all tables, written together: one memory of ``activation_tables`` times the
    segments, 36 bits wide, and one multiplier. A block memory of 512 x 36 bits holds 4 tables of int8, or 1 of int16.

    *Timing*: latency ``ACTIVATION_CYCLES``, initiation interval 1, no stall. Stages: memory; coefficients; product;
    sum; rounding and saturation. ``table`` belongs to the ``i`` of the same clock. Stages without a valid vector hold
    still, the memories of layers without a table too. A load word is written in its own clock.

    *Numerics*: docs/numerics.md, "Activations". With ``table`` 0, ``saturate(i)``: a pre-activation is at least as wide
    as a value, so requantisation saturates twice to the same result.

    Parameters
    ----------
    config : an engine with ``activation_tables`` of at least 1

    Members
    -------
    w_en, w_addr, w_data : In, a load word: ``table << segment_bits | segment``; slope, and the offset above it
    valid : In(1)
    table : In, 0 for none, t + 1 for table t
    i : In(signed(PRE_ACTIVATION_BITS)) of each column
    o_valid : Out(1)
    o : Out(signed(value_bits)) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        self._depth = config.activation_tables << segment_bits(config.profile)
        super().__init__(
            {
                "w_en": In(1),
                "w_addr": In(range(self._depth)),
                "w_data": In(OFFSET_BITS + SLOPE_BITS),
                "valid": In(1),
                "table": In(range(config.activation_tables + 1)),
                "i": In(signed(PRE_ACTIVATION_BITS)).array(config.cols),
                "o_valid": Out(1),
                "o": Out(signed(config.profile.value_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, looks_up = Signal(ACTIVATION_CYCLES), Signal()
        m.d.sync += [valid.eq(valid << 1 | self.valid), looks_up.eq(self.table != 0)]
        m.d.comb += self.o_valid.eq(valid[-1])
        enable = [self.valid, *valid[:-1]]
        for c in range(self.config.cols):
            stages = self._column(m, c, looks_up)
            assert len(stages) == ACTIVATION_CYCLES
            for stage_enable, statements in zip(enable, stages, strict=True):
                with m.If(stage_enable):
                    m.d.sync += statements
        return m

    def _column(self, m: Module, c: int, looks_up: Signal) -> list[list]:
        """Statements of each stage of one column, and its memory."""
        profile, i = self.config.profile, self.i[c]
        fraction, offset_fraction = slope_fraction_bits(profile), offset_fraction_bits(profile)
        low_bits = PRE_ACTIVATION_BITS - segment_bits(profile)
        lowest, highest = profile.value.minimum, profile.value.maximum
        shape = data.StructLayout({"slope": signed(SLOPE_BITS), "offset": signed(OFFSET_BITS)})
        m.submodules[f"memory_{c}"] = memory = Memory(shape=shape, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.as_value().eq(self.w_data),
            read.en.eq(self.valid & (self.table != 0)),
            read.addr.eq(Cat(i[low_bits:], (self.table - 1)[: len(read.addr) - segment_bits(profile)])),
        ]

        def register(shape: object, name: str) -> Signal:
            return Signal(shape, name=f"{name}_{c}", reset_less=True)

        low = [register(signed(low_bits), f"low_{stage}") for stage in range(2)]
        straight = register(signed(profile.value_bits), "straight")
        slope, offset = register(signed(SLOPE_BITS), "slope"), register(signed(OFFSET_BITS), "offset")
        base, product = register(signed(OFFSET_BITS), "base"), register(signed(SLOPE_BITS + low_bits), "product")
        aligned = fraction - offset_fraction
        total = register(signed(OFFSET_BITS + aligned + 1), "total")
        quotient = total[fraction:].as_signed()
        up = total[fraction - 1] & (total[: fraction - 1].any() | quotient[0])
        rounded = quotient[: profile.value_bits].as_signed() + up
        return [
            [
                # counted from the middle of the segment: the top bit inverted
                low[0].eq(Cat(i[: low_bits - 1], ~i[low_bits - 1])),
                straight.eq(Mux(i > highest, highest, Mux(i < lowest, lowest, i))),
            ],
            [
                low[1].eq(low[0]),
                slope.eq(Mux(looks_up, read.data.slope, 0)),
                offset.eq(Mux(looks_up, read.data.offset, straight << offset_fraction)),
            ],
            [product.eq(slope * low[1]), base.eq(offset)],
            [total.eq((base << aligned) + product)],
            [self.o[c].eq(Mux(quotient >= highest, highest, Mux(quotient < lowest, lowest, rounded)))],
        ]
