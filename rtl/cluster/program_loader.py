"""From load words to the words of the scheduler unit's tables."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from arch.load import DATA_BITS
from arch.program_image import ADDRESS_FIELDS, word_parts
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import load_signature
from rtl.streams import LoadLayout

__all__ = ["ProgramLoader"]


class ProgramLoader(Component):
    """Put the parts of a word together and hand it on with the last one.

    *Timing*: no clock of latency; the last part waits for the scheduler unit, the others are taken at once.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    i : In(stream of LoadLayout), words of target ``SCHEDULER``; ``arch.program_image``
    o : Out(load_signature(config))
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__({"i": In(stream.Signature(LoadLayout())), "o": Out(load_signature(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, o = self.i.payload, self.o.payload
        field = {name: word.address[low : low + width] for name, (low, width) in ADDRESS_FIELDS.items()}
        parts = [Signal(DATA_BITS, name=f"part_{number}") for number in range(word_parts(self.config) - 1)]
        m.d.comb += [
            self.o.valid.eq(self.i.valid & field["last"]),
            self.i.ready.eq(~field["last"] | self.o.ready),
            o.table.eq(field["table"]),
            o.address.eq(field["address"]),
            o.data.eq(Cat(*parts, word.data)),
        ]
        for number, part in enumerate(parts):
            with m.If(self.i.valid & (field["part"] == number)):
                m.d.sync += part.eq(word.data)
        return m
