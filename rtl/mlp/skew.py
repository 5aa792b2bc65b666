"""Elements of a vector, each some clocks later than the one before it."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib.wiring import Component, In, Out

__all__ = ["Skew"]


class Skew(Component):
    """Delay element e of a vector by e clocks, or by as many as there are elements behind it.

    The first turns a vector into the slanted front that a systolic array takes, the second turns such a front back.
    A triangle of ``size * (size - 1) / 2`` registers. Registers of the same age are one wide register with the
    elements that go furthest lowest, so that a step to the next age moves no bit to another place.

    *Timing*: latency e clocks for element e, with ``reverse`` ``size - 1 - e``; initiation interval 1, no stall.

    Parameters
    ----------
    shape : shape of an element
    size : elements of a vector
    reverse : the first element waits longest

    Members
    -------
    i : In(shape) of each element
    o : Out(shape) of each element
    """

    def __init__(self, shape: ShapeLike, size: int, *, reverse: bool = False) -> None:
        self.size = size
        self.reverse = reverse
        super().__init__({"i": In(shape).array(size), "o": Out(shape).array(size)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, width = self.size, len(self.i[0])
        # elements by their delay, the longest first
        order = range(size) if self.reverse else range(size - 1, -1, -1)
        age = Signal(size * width, name="age_0")
        m.d.comb += [age.word_select(place, width).eq(self.i[element]) for place, element in enumerate(order)]
        for clocks in range(size):
            last = size - 1 - clocks  # this element's delay ends here
            m.d.comb += self.o[order[last]].eq(age.word_select(last, width))
            if last:
                # data registers need no reset: what enters the array is marked valid beside it
                older = Signal(last * width, name=f"age_{clocks + 1}", reset_less=True)
                m.d.sync += older.eq(age)
                age = older
        return m
