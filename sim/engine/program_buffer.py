"""Cycle model of how programs come into the tables of a scheduler unit, with or without a buffer before them."""

from collections.abc import Sequence

from arch.descriptor import PackedProgram
from sim.engine.load_checker import check_clocks

__all__ = ["ProgramFeed", "build_clocks"]


def build_clocks(packed: PackedProgram) -> int:
    """Clocks the first word after the descriptors waits, until ``rtl/scheduler/dependency_matrix.py`` knows who waits
    for whom."""
    lanes = 2 if packed.config.n_descriptors == 8 else 4
    return len(packed.descriptors) * packed.config.n_descriptors // lanes + 10


class ProgramFeed:
    """Words of programs as the unit takes them, and starts; ``rtl/scheduler/program_buffer.py`` is the buffer.

    Parameters
    ----------
    programs : loaded one after the other
    buffered : whether there is a buffer
    """

    def __init__(self, programs: Sequence[PackedProgram], *, buffered: bool) -> None:
        self._programs = programs
        self._buffered = buffered
        self._n_words = [sum(1 for _ in packed.load_words()) for packed in programs]
        self.n_loaded = 0
        self._words = 0
        self.asked = False
        # without a buffer: the tables hold a program
        self._held = False
        self._is_new, self._checked = False, False
        self._present, self._full = False, False
        self._check_clk: int | None = None
        self._begin_clk: int | None = None
        # without a buffer: clocks until the word at the port is taken; it has waited
        self._waits, self._waited = 0, False

    @property
    def loading(self) -> bool:
        """Words are left."""
        return self.n_loaded < len(self._programs)

    @property
    def rests(self) -> bool:
        """Whether nothing changes without an event; words that are taken, change something."""
        return not self.asked and self._check_clk is None

    def step(
        self, clock: int, *, offers: bool, start: bool, running: bool, done: bool, stops: bool, cancel: bool
    ) -> PackedProgram | None:
        """One clock; returns the program that begins in it.

        Parameters
        ----------
        offers : the host offers the next word
        start, cancel : of the host; an abort is complete
        running, done : a program runs; it ends
        stops : an abort is under way
        """
        if not self._buffered:
            return self._step_bare(offers=offers, start=start, running=running, stops=stops, cancel=cancel)
        takes = offers and self.loading and not start and not self.asked and self._check_clk is None
        begins, asked_before = self._pass_on(clock, running, done), self.asked
        if start and not asked_before and (self._full or (self._words == 0 and self._present)):
            self.asked, self._is_new = True, self._full
            if self._full and not self._checked and self._check_clk is None:
                packed = self._programs[self.n_loaded - 1]
                self._check_clk = clock + (check_clocks(packed).clocks if packed.config.check_load else 0)
        if clock == self._check_clk:
            self._checked, self._check_clk = True, None
        if takes:
            if self._full:
                self._words, self._full = 0, False
            self._checked = False
            self._words += 1
            if self._words == self._n_words[self.n_loaded]:
                self._full = True
                self.n_loaded += 1
        if cancel:
            self.asked, self._held, self._begin_clk = False, False, None
        return begins

    def _pass_on(self, clock: int, running: bool, done: bool) -> PackedProgram | None:
        """The words of the program asked for pass into the tables, and it begins."""
        if not self.asked:
            return None
        if self._begin_clk is None:
            if self._is_new and self._checked and (not running or done):
                self._current = self._programs[self.n_loaded - 1]
                self._begin_clk = clock + 1 + self._n_words[self.n_loaded - 1] + build_clocks(self._current)
                self._is_new, self._present, self._held = False, True, False
                self._words, self._full, self._checked = 0, False, False
            elif not self._is_new and not running and not self._held:
                n_words = sum(1 for _ in self._current.load_words())
                self._begin_clk = clock + 1 + n_words + build_clocks(self._current)
        again = self._begin_clk is None and self._held and not self._is_new and not running
        if not again and clock != self._begin_clk:
            return None
        self.asked, self._held, self._begin_clk = False, True, None
        return self._current

    def _step_bare(
        self, *, offers: bool, start: bool, running: bool, stops: bool, cancel: bool
    ) -> PackedProgram | None:
        begins = None
        if start and self._held and not running and not stops:
            begins = self._current
        if offers and self.loading and not running and not stops:
            packed = self._programs[self.n_loaded]
            if self._words == len(packed.descriptors) and not self._waited:
                self._waits, self._waited = build_clocks(packed), True
        if self._waits:
            self._waits -= 1
        elif offers and self.loading and not running and not stops:
            self._words += 1
            if self._words == self._n_words[self.n_loaded]:
                self._current, self._held, self._words = self._programs[self.n_loaded], True, 0
                self._waited = False
                self.n_loaded += 1
        if cancel:
            self._held = False
        return begins
