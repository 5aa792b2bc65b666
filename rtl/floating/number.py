"""A floating-point number taken apart."""

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.number_format import FloatFormat

__all__ = ["Unpack", "number_layout"]


def number_layout(number_format: FloatFormat) -> data.StructLayout:
    """Payload of a number taken apart.

    ``exponent`` is 1 for subnormals and zero, ``significand`` has the hidden bit; both mean nothing for infinity and
    NaN, which have a flag each.
    """
    return data.StructLayout(
        {
            "significand": number_format.significand_bits,
            "exponent": number_format.exponent_bits,
            "sign": 1,
            "infinite": 1,
            "nan": 1,
        }
    )


class Unpack(wiring.Component):
    """Take a number apart.

    Timing: combinational (latency 0).

    Parameters
    ----------
    number_format : its format

    Members
    -------
    i : In(width), the number's bits
    o : Out(number_layout)
    """

    def __init__(self, number_format: FloatFormat) -> None:
        self.number_format = number_format
        super().__init__({"i": In(number_format.width), "o": Out(number_layout(number_format))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number_format, o = self.number_format, self.o
        mantissa = self.i[: number_format.mantissa_bits]
        field: Value = self.i[number_format.mantissa_bits : -1]
        special = field == number_format.special
        m.d.comb += [
            o.sign.eq(self.i[-1]),
            o.exponent.eq(Mux(field == 0, 1, field)),
            o.significand.eq(Cat(mantissa, field != 0)),
            o.infinite.eq(special & (mantissa == 0)),
            o.nan.eq(special & (mantissa != 0)),
        ]
        return m
