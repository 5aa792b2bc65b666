"""One step of a tensor core: a dot product of fp16 numbers added to an fp16 accumulator."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FP16
from rtl.delay_line import DelayLine
from rtl.floating.number import Unpack
from rtl.floating.round_nearest import RoundNearest

__all__ = ["TensorCoreDot"]

_BELOW = 25
"""Bits kept below the largest exponent; measured on an H200, as is all of the rule."""
_TERM_BITS = _BELOW + 2  # a product of two significands is below 4
_EXPONENT_BITS = 6  # sum of two biased exponents: 2 .. 60
_WINDOW = 40
"""Bits of the sum's magnitude. The largest of 17 terms has 32; with 8 above them the highest bit of the smallest sum,
of products of two subnormals, still has an exponent of fp16."""


class TensorCoreDot(wiring.Component):
    """``a[0] * b[0] + .. + a[n - 1] * b[n - 1] + c`` as the tensor core of an H200 adds it.

    Timing: latency ``LATENCY`` = 8 enabled clocks, initiation interval 1. Stages: products; largest exponent;
    alignment; sum; magnitude; and the three of ``RoundNearest``.

    Numerics: ``reference.tensor_core``. With E the largest exponent of a term that is not zero (a product's is the sum
    of its factors', subnormals count -14), every term is truncated towards zero to a multiple of 2**(E - 25); the sum
    is exact and rounded once to fp16, to nearest even; an outcome of zero is +0. Infinite and NaN terms follow IEEE
    754; every NaN is ``FP16.nan``.

    Parameters
    ----------
    n : products, up to 16: 16 is a step of FullyFusedMLP, 8 one of CutlassMLP

    Members
    -------
    en : In(1), the pipeline moves; left unconnected it always does
    a, b : In(n x 16 bits)
    c : In(16), the accumulator
    o : Out(16)
    """

    LATENCY = 5 + RoundNearest.LATENCY

    def __init__(self, n: int) -> None:
        if not 1 <= n <= 16:
            raise ValueError(f"Products must be 1 to 16, not {n!r}")
        self.n = n
        numbers = data.ArrayLayout(FP16.width, n)
        super().__init__(
            {"en": In(1, init=1), "a": In(numbers), "b": In(numbers), "c": In(FP16.width), "o": Out(FP16.width)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        significands, negatives, exponents, special = self._multiply(m)
        m.submodules.waiting = waiting = DelayLine(special.shape(), clocks=4)

        # every stage takes the registers of the one before
        largest = Signal(_EXPONENT_BITS)
        waited = [Signal.like(value, name=f"waited_{value.name}") for value in significands]
        waited_negative, waited_exponents = (
            Signal.like(negatives),
            [Signal.like(value, name=f"waited_{value.name}") for value in exponents],
        )
        aligned = [Signal(_TERM_BITS, name=f"aligned_{n}") for n in range(self.n + 1)]
        aligned_negative, aligned_exponent = Signal.like(negatives), Signal.like(largest)
        total, total_exponent = Signal(signed(_WINDOW)), Signal.like(largest)
        magnitude, negative, exponent = Signal(_WINDOW), Signal(), Signal(_EXPONENT_BITS + 1)
        terms = [Mux(minus, -term, term) for term, minus in zip(aligned, aligned_negative, strict=True)]
        with m.If(self.en):
            m.d.sync += largest.eq(_tree(exponents, lambda x, y: Mux(x > y, x, y)))
            m.d.sync += [after.eq(before) for after, before in zip(waited, significands, strict=True)]
            m.d.sync += [after.eq(before) for after, before in zip(waited_exponents, exponents, strict=True)]
            m.d.sync += [
                after.eq(before >> (largest - its_exponent)[:_EXPONENT_BITS])
                for after, before, its_exponent in zip(aligned, waited, waited_exponents, strict=True)
            ]
            m.d.sync += [
                waited_negative.eq(negatives),
                aligned_negative.eq(waited_negative),
                aligned_exponent.eq(largest),
                total.eq(_tree(terms, lambda x, y: x + y)),
                total_exponent.eq(aligned_exponent),
                magnitude.eq(Mux(total < 0, -total, total)),
                negative.eq(total < 0),
                # bit k of the window has the biased exponent k - 40 above that of the terms
                exponent.eq(total_exponent - 1),
            ]

        m.submodules.round_nearest = round_nearest = RoundNearest(FP16, width=_WINDOW, exponent_bits=_EXPONENT_BITS + 1)
        m.d.comb += [
            waiting.en.eq(self.en),
            waiting.i.eq(special),
            round_nearest.en.eq(self.en),
            round_nearest.sign.eq(Mux(waiting.o.infinite, waiting.o.negative, negative)),
            round_nearest.magnitude.eq(magnitude),
            round_nearest.exponent.eq(exponent),
            round_nearest.infinite.eq(waiting.o.infinite),
            round_nearest.nan.eq(waiting.o.nan),
            # the tensor core knows no -0
            self.o.eq(Mux(round_nearest.o[:-1] == 0, 0, round_nearest.o)),
        ]
        return m

    def _multiply(self, m: Module) -> tuple[list[Signal], Signal, list[Signal], data.View]:
        """First stage: significands with ``_BELOW`` bits below 1, signs, exponents (0 for zero), and what is special.

        The accumulator is the last term. Exponents have the bias of two factors.
        """
        numbers = {"c": self.c}
        numbers |= {f"a{n}": self.a[n] for n in range(self.n)} | {f"b{n}": self.b[n] for n in range(self.n)}
        parts = {}
        for name, bits in numbers.items():
            m.submodules[f"unpack_{name}"] = unpack = Unpack(FP16)
            m.d.comb += unpack.i.eq(bits)
            parts[name] = unpack.o
        c = parts["c"]
        significands = [Signal(_TERM_BITS, name=f"significand_{n}") for n in range(self.n + 1)]
        exponents = [Signal(_EXPONENT_BITS, name=f"exponent_{n}") for n in range(self.n + 1)]
        negatives = Signal(self.n + 1)
        special = Signal(data.StructLayout({"infinite": 1, "negative": 1, "nan": 1}))

        above, below, nan = [c.infinite & ~c.sign], [c.infinite & c.sign], [c.nan]
        assert 2 * FP16.mantissa_bits <= _BELOW
        with m.If(self.en):
            for n in range(self.n):
                a, b = parts[f"a{n}"], parts[f"b{n}"]
                sign, infinite = a.sign ^ b.sign, a.infinite | b.infinite
                above.append(infinite & ~sign)
                below.append(infinite & sign)
                zero = (a.significand == 0) | (b.significand == 0)
                nan.append(a.nan | b.nan | infinite & zero)
                m.d.sync += [
                    significands[n].eq((a.significand * b.significand) << (_BELOW - 2 * FP16.mantissa_bits)),
                    exponents[n].eq(Mux(zero, 0, a.exponent + b.exponent)),
                    negatives[n].eq(sign),
                ]
            m.d.sync += [
                significands[-1].eq(c.significand << (_BELOW - FP16.mantissa_bits)),
                exponents[-1].eq(Mux(c.significand == 0, 0, c.exponent + FP16.bias)),
                negatives[-1].eq(c.sign),
                special.infinite.eq(Cat(above).any() | Cat(below).any()),
                special.negative.eq(Cat(below).any()),
                special.nan.eq(Cat(nan).any() | Cat(above).any() & Cat(below).any()),
            ]
        return significands, negatives, exponents, special


def _tree(values: list, combine: object) -> object:
    """Combine neighbours until one is left."""
    while len(values) > 1:
        pairs = [combine(*values[n : n + 2]) for n in range(0, len(values) - 1, 2)]
        values = pairs + values[len(pairs) * 2 :]
    return values[0]
