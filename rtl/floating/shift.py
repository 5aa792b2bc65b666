"""Shifts that lose nothing: what falls off the end stays visible as one sticky bit."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LeadingZeros", "StickyRightShift"]


class StickyRightShift(wiring.Component):
    """Shift right; the lowest bit of the outcome is the OR of all bits that fell off.

    Rounding the outcome to nearest at a place two bits further up, or higher, is then rounding of the exact value.

    Timing: combinational (latency 0), one multiplexer deep for each bit of ``amount``.

    Parameters
    ----------
    width : bits of the value
    amount_bits : bits of the amount; amounts beyond the width leave the sticky bit only

    Members
    -------
    i : In(width)
    amount : In(amount_bits)
    o : Out(width + 1), shifted value and below it the sticky bit
    """

    def __init__(self, width: int, amount_bits: int) -> None:
        self.width = width
        self.amount_bits = amount_bits
        super().__init__({"i": In(width), "amount": In(amount_bits), "o": Out(width + 1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value, sticky = self.i, 0
        for bit in reversed(range(self.amount_bits)):
            step = 1 << bit
            moved = Signal(self.width, name=f"moved_{step}")
            lost = Signal(name=f"lost_{step}")
            m.d.comb += [
                moved.eq(Mux(self.amount[bit], value >> step, value)),
                lost.eq(sticky | (self.amount[bit] & value[:step].any())),
            ]
            value, sticky = moved, lost
        m.d.comb += self.o.eq(Cat(sticky, value))
        return m


class LeadingZeros(wiring.Component):
    """Count the zeros above the highest set bit.

    Timing: combinational (latency 0); a tree, two levels of logic for each bit of the count.

    Parameters
    ----------
    width : bits of the value

    Members
    -------
    i : In(width)
    o : Out, 0 .. width; of no meaning if no bit is set and the width is no power of two
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"i": In(width), "o": Out(range(width + 1))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count_bits = (self.width - 1).bit_length()
        # the highest bit first, filled up with ones so that a count ends at the width
        filling = (1 << count_bits) - self.width
        value = Cat(Const((1 << filling) - 1, filling), self.i)
        count = []
        for bit in reversed(range(count_bits)):
            half = 1 << bit
            empty = Signal(name=f"empty_{half}")
            kept = Signal(half, name=f"kept_{half}")
            m.d.comb += [empty.eq(~value[half:].any()), kept.eq(Mux(empty, value[:half], value[half:]))]
            count.insert(0, empty)
            value = kept
        m.d.comb += self.o.eq(Cat(count))
        return m
