"""The dependency matrix of a symbolic program, there without being built."""

from amaranth.hdl import Elaboratable, Module, Mux
from amaranth.lib import wiring

from formal.symbolic_program import OFFSETS, SymbolicProgram
from rtl.scheduler.dependency_matrix import matrix_members

__all__ = ["SymbolicMatrix"]


class SymbolicMatrix(wiring.Component):
    """Show what :class:`rtl.scheduler.dependency_matrix.DependencyMatrix` shows once it is built, which is proved apart
    (``formal.matrix_properties``): so runs of the unit need not begin with the clocks that takes.

    Descriptors lie at the places of their indices: they must come in order of choice.

    Parameters
    ----------
    program : the program that is loaded
    """

    def __init__(self, program: SymbolicProgram) -> None:
        self._program, self.config = program, program.config
        super().__init__(matrix_members(program.config))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        program = self._program
        for offset, code in OFFSETS.items():
            for unit, column in enumerate(self.columns):
                for awaited in range(program.n_nanos):
                    for start in range(2):
                        # the first event is the start if that is awaited, else the end
                        second = program.descriptors[awaited].announce_start ^ start
                        shown = (self.places[unit] == awaited) & (self.second[unit] == second)
                        with m.If(shown):
                            for index in range(program.n_nanos):
                                m.d.sync += column[offset][index].eq(program.waits(index, awaited, code, start))
            for index in range(program.n_nanos):
                m.d.comb += self.totals[offset][index].eq(
                    sum(
                        Mux(program.exists(awaited) & program.waits(index, awaited, code, start), 1, 0)
                        for awaited in range(program.n_nanos)
                        for start in range(2)
                    )
                )
        return m
