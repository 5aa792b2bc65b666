"""From accumulators to activations."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import REQUANTIZE_CYCLES, MlpEngineConfig

__all__ = ["Requantize"]

_HALF = 16  # bits of the lower half of an accumulator: both half products fit a DSP block
_FINE = 8  # the coarse shift moves by multiples of this, the fine one by less


class Requantize(Component):
    """``saturate(round(acc * factor / 2**shift))`` for each column; ``factor`` depends on the sign of ``acc``.

    *Timing*: latency ``REQUANTIZE_CYCLES``, initiation interval 1, no stall. Stages: choice of the factor; two
    half products; their sum; coarse shift; fine shift; rounding and saturation. ``multiplier``, ``negative_multiplier``
    and ``shift`` belong to the ``i`` of the same clock. Stages without a valid vector hold still.

    *Numerics*: docs/numerics.md, "Networks": 32-bit accumulator, unsigned 16-bit multiplier, shift 1 .. 47, half to
    even, saturating to ``config.requantize_bits``. Exact: bits shifted out are kept as one sticky bit.

    Parameters
    ----------
    config : the engine

    Members
    -------
    valid : In(1)
    multiplier, negative_multiplier : In, factors of positive and of negative accumulators: with the second one 0 this
        is ReLU
    shift : In
    i : In(signed(accumulator_bits)) of each column
    o_valid : Out(1)
    o : Out(signed(requantize_bits)) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        profile = config.profile
        super().__init__(
            {
                "valid": In(1),
                "multiplier": In(profile.multiplier_bits),
                "negative_multiplier": In(profile.multiplier_bits),
                "shift": In(6),
                "i": In(signed(profile.accumulator_bits)).array(config.cols),
                "o_valid": Out(1),
                "o": Out(signed(config.requantize_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        profile = self.config.profile
        valid = Signal(REQUANTIZE_CYCLES)
        m.d.sync += valid.eq(valid << 1 | self.valid)
        m.d.comb += self.o_valid.eq(valid[-1])
        enable = [self.valid, *valid[:-1]]
        # one fraction bit is kept for rounding, so the pipeline shifts by shift - 1; masks are the bits a shift drops
        shift = [Signal(6, name=f"shift_{stage}") for stage in range(REQUANTIZE_CYCLES - 2)]
        m.d.sync += shift[0].eq(self.shift - 1)
        m.d.sync += [after.eq(before) for before, after in pairwise(shift)]
        low_bits = _FINE.bit_length() - 1
        product_bits = profile.accumulator_bits + profile.multiplier_bits
        coarse, coarse_mask = Signal(6), Signal(product_bits // _FINE)  # a bit of the mask is _FINE bits of the product
        fine, fine_mask = Signal(low_bits), Signal(_FINE - 1)
        m.d.comb += [coarse.eq(Cat(Const(0, low_bits), shift[-2][low_bits:])), fine.eq(shift[-1])]
        m.d.sync += [
            coarse_mask.eq((1 << shift[-3][low_bits:]) - 1),
            fine_mask.eq((1 << shift[-2][:low_bits]) - 1),
        ]
        for c in range(self.config.cols):
            stages = self._column(c, (coarse, coarse_mask), (fine, fine_mask))
            assert len(stages) == REQUANTIZE_CYCLES
            for stage_enable, statements in zip(enable, stages, strict=True):
                with m.If(stage_enable):
                    m.d.sync += statements
        return m

    def _column(self, c: int, coarse: tuple[Signal, Signal], fine: tuple[Signal, Signal]) -> list[list]:
        """Statements of each stage of one column; shifts come with the mask of what they drop."""
        profile, i = self.config.profile, self.i[c]
        product_bits = profile.accumulator_bits + profile.multiplier_bits

        def register(shape: object, name: str) -> Signal:
            return Signal(shape, name=f"{name}_{c}", reset_less=True)

        acc = register(signed(profile.accumulator_bits), "acc")
        factor = register(unsigned(profile.multiplier_bits), "factor")
        low = register(unsigned(_HALF + profile.multiplier_bits), "low")
        high = register(signed(product_bits - _HALF), "high")
        product = register(signed(product_bits), "product")
        coarsely = register(signed(product_bits), "coarsely")
        dropped = register(product_bits // _FINE, "dropped")  # bit k: the coarse shift drops a one of these _FINE bits
        finely, finely_sticky = register(signed(product_bits), "finely"), register(1, "finely_sticky")
        quotient = finely[1:].as_signed()
        up = finely[0] & (finely_sticky | quotient[0])
        highest = (1 << (self.config.requantize_bits - 1)) - 1
        lowest = -highest - 1
        rounded = quotient[: self.config.requantize_bits].as_signed() + up
        return [
            [acc.eq(i), factor.eq(Mux(i < 0, self.negative_multiplier, self.multiplier))],
            [
                low.eq(acc[:_HALF] * factor),
                high.eq(acc[_HALF:].as_signed() * factor),
            ],
            [product.eq((high << _HALF) + low)],
            [
                coarsely.eq(product >> coarse[0]),
                dropped.eq(coarse[1] & Cat(product.word_select(k, _FINE).any() for k in range(len(dropped)))),
            ],
            [finely.eq(coarsely >> fine[0]), finely_sticky.eq(dropped.any() | (coarsely & fine[1]).any())],
            [self.o[c].eq(Mux(quotient >= highest, highest, Mux(quotient < lowest, lowest, rounded)))],
        ]
