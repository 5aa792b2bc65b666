"""The dependency matrix of any small program: what is built is who waits for whom."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Elaboratable, Module, Mux, ResetSignal, Signal

from arch.scheduler import SchedulerConfig
from formal.symbolic_program import OFFSETS, SymbolicProgram
from rtl.scheduler.dependency_matrix import DependencyMatrix

__all__ = ["MatrixProperties"]

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=2, n_units=2, n_pools=1, n_chunks=2, share_bits=2)


class MatrixProperties(Elaboratable):
    """Columns and totals of a build of 8 descriptors, 2 operations and 2 chunks once it says they are there.

    The program is any; one place, event and unit, chosen freely, are looked at. Counters like those of the unit are
    lent to the matrix.

    Parameters
    ----------
    n_nanos : nano-operations of the program
    n_predecessors : bound
    """

    def __init__(self, *, n_nanos: int, n_predecessors: int) -> None:
        self.n_nanos, self.n_predecessors = n_nanos, n_predecessors

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.matrix = matrix = DependencyMatrix(CONFIG)
        program = SymbolicProgram(CONFIG, n_nanos=self.n_nanos, n_predecessors=self.n_predecessors, max_count=1)
        m.d.comb += [Assume(~ResetSignal()), Assume(program.connect(m) & (program.control.last == self.n_nanos - 1))]
        step, loaded = Signal(range(self.n_nanos + 1)), Signal()
        m.d.comb += loaded.eq(step == self.n_nanos)
        with m.Switch(step):
            for number, nano in enumerate(program.descriptors):
                with m.Case(number):
                    m.d.comb += [matrix.load_valid.eq(~loaded), matrix.load_descriptor.eq(nano)]
        with m.If(~loaded):
            m.d.sync += step.eq(step + 1)
        m.d.comb += matrix.load_last.eq(loaded)
        self._lend(m, matrix)

        place, second, unit = Signal(range(CONFIG.n_descriptors)), Signal(), Signal()
        m.d.comb += [place.eq(AnyConst(len(place))), second.eq(AnyConst(1)), unit.eq(AnyConst(1))]
        for number in range(CONFIG.n_units):
            m.d.comb += [matrix.places[number].eq(place), matrix.second[number].eq(second)]
        with m.If(matrix.lent):
            m.d.comb += [matrix.places[0].eq(matrix.lent_place), matrix.second[0].eq(matrix.lent_second)]
        # a column is there a clock after it was asked for
        built, was_built = Signal(), Signal()
        m.d.comb += built.eq(loaded & ~matrix.building)
        m.d.sync += was_built.eq(built)
        broken = Signal()
        m.d.comb += Assert(~broken)
        for offset, code in OFFSETS.items():
            for index in range(self.n_nanos):
                wrong, total = 0, 0
                for awaited, other in enumerate(program.descriptors):
                    for of_start in range(2):
                        waits = program.waits(index, awaited, code, of_start)
                        # the first event is the start if that is awaited, else the end
                        looked_at = (place == awaited) & (second == (other.announce_start ^ of_start))
                        shown = Mux(unit, matrix.columns[1][offset][index], matrix.columns[0][offset][index])
                        wrong = wrong | looked_at & (shown != waits)
                        total = total + waits
                miscounted = matrix.totals[offset][index] != total
                with m.If(was_built & wrong | built & miscounted):
                    m.d.sync += broken.eq(1)
        return m

    def _lend(self, m: Module, matrix: DependencyMatrix) -> None:
        """Counters as the unit's: they keep a column, count it in the next clock and forget while they are not lent."""
        counts = Signal()
        m.d.sync += counts.eq(matrix.counts)
        for offset in OFFSETS:
            column = Signal(CONFIG.n_descriptors, name=f"{offset}_column")
            with m.If(matrix.counts):
                m.d.sync += column.eq(matrix.columns[0][offset])
            for index in range(CONFIG.n_descriptors):
                count = matrix.counted[offset][index]
                m.d.sync += count.eq(Mux(matrix.lent, count + (counts & column[index]), 0))
