"""The load words of two programs: the one that runs, and the next."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import LoadTable, load_layout, load_signature

__all__ = ["ProgramBuffer", "word_bits"]


def word_bits(config: SchedulerConfig) -> int:
    """Width of the number of a program's words, and of one more: descriptors, operations, control word."""
    return (_most_words(config) + 1).bit_length()


def _most_words(config: SchedulerConfig) -> int:
    return config.n_descriptors + config.n_operations + 1


class ProgramBuffer(wiring.Component):
    """Take a program's words while another one runs, and pass them on when that one has ended.

    ``docs/engines/scheduler/chaining.md`` has the rules. Words beyond those of the largest program are taken and
    forgotten.

    Timing
    ------
    A program of n words is started n + 1 clocks after ``done``, n + 2 after the verdict, or after ``start`` while idle,
    and later by the clocks its words wait at ``o``; one that stands in the tables already 1 clock after.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load : In(stream), the host's words
    start : In(1)
    cancel : In(1), nothing is asked for any longer, and the tables hold no program
    check : Out(1), a new program is to be checked; if that is not done, ``accepted`` follows at once
    accepted, refused : In(1), the verdict
    o : Out(stream), words for the tables
    running, done : In(1), a program runs; it ends
    start_unit : Out(1), start the program in the tables
    asked : Out(1), a program is asked for
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__(
            {
                "load": In(load_signature(config)),
                "start": In(1),
                "cancel": In(1),
                "check": Out(1),
                "accepted": In(1),
                "refused": In(1),
                "o": Out(load_signature(config)),
                "running": In(1),
                "done": In(1),
                "start_unit": Out(1),
                "asked": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        bits = word_bits(self.config)
        m.submodules.words = words = memory.Memory(shape=load_layout(self.config), depth=2 << bits, init=[])
        write, read = words.write_port(), words.read_port()
        # of the program in the tables: which half, how many words, whether it is there and in the tables
        half, n_words, present, held = Signal(), Signal(bits), Signal(), Signal()
        # of the next one: words taken, the last of them too, the verdict
        n_next, full, checking, checked = Signal(bits), Signal(), Signal(), Signal()
        is_new, passing, position, among_descriptors = Signal(), Signal(), Signal(bits), Signal()

        taken, is_first, fits, word = Signal(), Signal(), Signal(), self.load.payload
        m.d.comb += [
            self.load.ready.eq(~self.start & ~self.asked & ~checking),
            taken.eq(self.load.valid & self.load.ready),
            is_first.eq(full | (word.table == LoadTable.DESCRIPTOR) & ~among_descriptors),
            fits.eq(is_first | (n_next != _most_words(self.config))),
            write.en.eq(taken & fits),
            write.addr.eq(Cat(Mux(is_first, 0, n_next)[:bits], ~half)),
            write.data.eq(word),
        ]
        with m.If(taken):
            m.d.sync += [among_descriptors.eq(word.table == LoadTable.DESCRIPTOR), checked.eq(0)]
            m.d.sync += full.eq((word.table == LoadTable.CONTROL) & fits)
        with m.If(taken & fits):
            m.d.sync += n_next.eq(Mux(is_first, 0, n_next) + 1)

        with m.If(self.start & ~self.asked & (full | ~n_next.any() & present)):
            m.d.sync += [self.asked.eq(1), is_new.eq(full)]
            m.d.comb += self.check.eq(full & ~checked & ~checking)
        m.d.sync += [
            checking.eq((checking | self.check) & ~self.accepted & ~self.refused),
            checked.eq((checked | self.accepted) & ~taken),
        ]
        with m.If(self.refused):
            m.d.sync += [self.asked.eq(0), n_next.eq(0), full.eq(0)]

        switches, passes, waits = Signal(), Signal(), Signal()
        m.d.comb += [
            # the tables take words from the clock after `done` on
            switches.eq(self.asked & is_new & checked & (~self.running | self.done)),
            passes.eq(switches | self.asked & ~is_new & ~held & ~self.running & ~passing),
            read.addr.eq(Cat(position, half ^ switches)),
            self.o.payload.eq(read.data),
            self.o.valid.eq(passing & (position <= n_words)),
            # a word that waits stays at the port
            waits.eq(self.o.valid & ~self.o.ready),
            read.en.eq(~waits),
            self.start_unit.eq(passing & (position > n_words) | self.asked & ~is_new & held & ~passing & ~self.running),
        ]
        with m.If(passes | passing & ~waits):
            m.d.sync += [position.eq(position + 1), passing.eq(1)]
        with m.If(switches):
            m.d.sync += [half.eq(~half), n_words.eq(n_next), n_next.eq(0), full.eq(0), checked.eq(0)]
            m.d.sync += [is_new.eq(0), present.eq(1), held.eq(0)]
        with m.If(self.start_unit):
            m.d.sync += [self.asked.eq(0), passing.eq(0), position.eq(0), held.eq(1)]
        with m.If(self.cancel):
            m.d.sync += [self.asked.eq(0), passing.eq(0), position.eq(0), held.eq(0)]
        return m
