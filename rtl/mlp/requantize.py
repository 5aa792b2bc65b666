"""From accumulators to activations."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import REQUANTIZE_CYCLES, MlpEngineConfig

__all__ = ["Requantize"]

_HALF = 16  # bits of the lower half of an accumulator: both half products fit a DSP block
_COARSE = 8  # the first of two shift stages moves by multiples of this


class Requantize(Component):
    """``saturate(round(activation(acc) * multiplier / 2**shift))`` for each column.

    *Timing*: latency ``REQUANTIZE_CYCLES``, initiation interval 1, no stall. Stages: activation; two half products;
    their sum; coarse shift; fine shift; rounding and saturation. ``relu``, ``multiplier`` and ``shift`` belong to the
    ``i`` of the same clock. Stages without a valid vector hold still.

    *Numerics*: docs/numerics.md, "Networks": 32-bit accumulator, unsigned 16-bit multiplier, shift 1 .. 47, half to
    even, saturating to the value's width. Exact: bits shifted out are kept as one sticky bit.

    Parameters
    ----------
    config : the engine

    Members
    -------
    valid : In(1)
    relu, multiplier, shift : In, the layer's
    i : In(signed(accumulator_bits)) of each column
    o_valid : Out(1)
    o : Out(signed(value_bits)) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        profile = config.profile
        super().__init__(
            {
                "valid": In(1),
                "relu": In(1),
                "multiplier": In(profile.multiplier_bits),
                "shift": In(6),
                "i": In(signed(profile.accumulator_bits)).array(config.cols),
                "o_valid": Out(1),
                "o": Out(signed(profile.value_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        profile = self.config.profile
        valid = Signal(REQUANTIZE_CYCLES)
        m.d.sync += valid.eq(valid << 1 | self.valid)
        m.d.comb += self.o_valid.eq(valid[-1])
        enable = [self.valid, *valid[:-1]]
        # the shift leaves one fraction bit, so the pipeline works with shift - 1
        multiplier = Signal(profile.multiplier_bits)
        shift = [Signal(6, name=f"shift_{stage}") for stage in range(REQUANTIZE_CYCLES - 2)]
        m.d.sync += [multiplier.eq(self.multiplier), shift[0].eq(self.shift - 1)]
        m.d.sync += [after.eq(before) for before, after in pairwise(shift)]
        for c in range(self.config.cols):
            stages = self._column(m, c, self.i[c], multiplier, shift)
            assert len(stages) == REQUANTIZE_CYCLES
            for stage_enable, statements in zip(enable, stages, strict=True):
                with m.If(stage_enable):
                    m.d.sync += statements
        return m

    def _column(self, m: Module, c: int, i: object, multiplier: Signal, shift: list[Signal]) -> list[list]:
        """Statements of each stage of one column."""
        profile = self.config.profile
        product_bits = profile.accumulator_bits + profile.multiplier_bits

        def signal(shape: object, name: str) -> Signal:
            return Signal(shape, name=f"{name}_{c}")

        activated = signal(signed(profile.accumulator_bits), "activated")
        activation = [activated.eq(Mux(self.relu & (i < 0), 0, i))]

        low = signal(unsigned(_HALF + profile.multiplier_bits), "low")
        high = signal(signed(product_bits - _HALF), "high")
        halves = [
            low.eq(activated[:_HALF] * multiplier),
            high.eq(activated[_HALF:].as_signed() * multiplier),
        ]

        product = signal(signed(product_bits), "product")
        total = [product.eq((high << _HALF) + low)]

        coarse, coarse_sticky = signal(signed(product_bits), "coarse"), signal(1, "coarse_sticky")
        coarse_steps = product_bits // _COARSE
        coarse_shift = shift[-2][_COARSE.bit_length() - 1 :]
        shifted, sticky = signal(signed(product_bits), "shifted"), signal(1, "sticky")
        with m.Switch(coarse_shift):
            for step in range(coarse_steps):
                with m.Case(step):
                    m.d.comb += [
                        shifted.eq(product >> (step * _COARSE)),
                        sticky.eq(product[: step * _COARSE].any()),
                    ]
        coarse_stage = [coarse.eq(shifted), coarse_sticky.eq(sticky)]

        fine, fine_sticky = signal(signed(product_bits), "fine"), signal(1, "fine_sticky")
        fine_shift = shift[-1][: _COARSE.bit_length() - 1]
        # an extra register below the point catches what the fine shift moves out
        room = _COARSE - 1
        moved = signal(signed(product_bits + room), "moved")
        m.d.comb += moved.eq(Cat(Const(0, room), coarse).as_signed() >> fine_shift)
        fine_stage = [fine.eq(moved >> room), fine_sticky.eq(coarse_sticky | moved[:room].any())]

        quotient = fine[1:].as_signed()
        up = fine[0] & (fine_sticky | quotient[0])
        low_limit, high_limit = profile.value.minimum, profile.value.maximum
        rounding = [
            self.o[c].eq(
                Mux(
                    quotient >= high_limit,
                    high_limit,
                    Mux(quotient < low_limit, low_limit, quotient[: profile.value_bits] + up),
                )
            )
        ]
        return [activation, halves, total, coarse_stage, fine_stage, rounding]
