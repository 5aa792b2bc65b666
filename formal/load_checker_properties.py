"""The load checker on any words of a small build: what it accepts is legal, and what is legal it accepts."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, ResetSignal, Signal, Value

from arch.scheduler import SchedulerConfig
from formal.symbolic_program import SymbolicProgram
from rtl.scheduler.load_checker import LoadChecker
from rtl.scheduler.signature import load_layout

__all__ = ["PROPERTIES", "LoadCheckerProperties"]

PROPERTIES = ("accepted_is_legal", "accepted_is_acyclic", "legal_is_accepted")
CONFIG = SchedulerConfig(n_descriptors=8, n_operations=2, n_units=2, n_pools=1, n_chunks=2, share_bits=2)


class LoadCheckerProperties(Elaboratable):
    """One property of the checker, on a build of 8 descriptors, 2 operations, 2 units, 1 pool and 2 chunks.

    Parameters
    ----------
    name : one of ``PROPERTIES``
        ``accepted_is_legal``: chunks, shares and awaited operations of an accepted program are as ``arch.program``
        wants them, and its descriptors came in order of choice.
        ``accepted_is_acyclic``: no way along the waits of an accepted program, over at most ``n_nanos + 1`` of its
        nano-operations and the end of an iteration, comes back to where it began with offsets that sum to 0 or more.
        ``legal_is_accepted``: a program that ``arch.program`` accepts is not refused.
    n_nanos, n_predecessors : bounds of the program
    """

    def __init__(self, name: str, *, n_nanos: int, n_predecessors: int) -> None:
        self.name, self.n_nanos, self.n_predecessors = name, n_nanos, n_predecessors

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.checker = checker = LoadChecker(CONFIG)
        program = SymbolicProgram(CONFIG, n_nanos=self.n_nanos, n_predecessors=self.n_predecessors, max_count=3)
        m.d.comb += [Assume(~ResetSignal()), Assume(program.connect(m))]
        port, asked = _LoadPort(), Signal()
        m.d.comb += port.ready.eq(1)
        loaded = program.load(m, port)
        m.d.comb += [
            checker.load_valid.eq(port.valid),
            checker.load.eq(port.payload),
            checker.check.eq(loaded & ~asked),
        ]
        with m.If(loaded):
            m.d.sync += asked.eq(1)
        # what went wrong once stays wrong, so that one look at the last clock is enough
        broken = Signal()
        m.d.comb += Assert(~broken)
        with m.If(getattr(self, f"_{self.name}")(m, checker, program)):
            m.d.sync += broken.eq(1)
        return m

    def _accepted_is_legal(self, m: Module, checker: LoadChecker, program: SymbolicProgram) -> Value:
        for index, nano in enumerate(program.descriptors):
            awaited = self._is_awaited(program, nano.operation)
            # who announces a start that nobody awaits does no harm, and is none of the checker's business
            m.d.comb += Assume(~nano.announce_start | awaited)
            # nor are descriptors past the last, of which ``legal`` asks something too
            shares = [nano[f"share{pool}"] <= program.control[f"capacity{pool}"] for pool in range(CONFIG.n_pools)]
            harmless = nano.chunks.any() & Cat(shares).all() & (nano.announce_start == awaited)
            m.d.comb += Assume(program.exists(index) | harmless)
        return checker.accepted & ~(program.legal() & program.in_order_of_choice())

    def _is_awaited(self, program: SymbolicProgram, operation: Value) -> Value:
        awaited = []
        for index in range(self.n_nanos):
            for number in range(self.n_predecessors):
                valid, other, _, start, _ = program.predecessor(index, number)
                awaited.append(program.exists(index) & valid & start & (other == operation))
        return Cat(awaited).any()

    def _accepted_is_acyclic(self, m: Module, checker: LoadChecker, program: SymbolicProgram) -> Value:
        """The way is a sequence of nano-operations of the solver's choice; one more number stands for the end."""
        steps = self.n_nanos + 1
        way = [AnyConst(range(steps + 1)) for _ in range(steps)]
        slots = [AnyConst(range(max(2, self.n_predecessors))) for _ in range(steps)]
        length = AnyConst(range(steps + 1))
        m.d.comb += Assume(program.legal() & (length >= 1))
        total: Value | int = 0
        rules = []
        for step in range(steps):
            here = way[step]
            there = Mux(length == step + 1, way[0], way[(step + 1) % steps])
            waits, offset = self._wait(program, here, there, slots[step])
            rules.append((step >= length) | waits)
            total = total + Mux(step < length, offset, 0)
        m.d.comb += Assume(Cat(rules).all() & (total >= 0))
        return checker.accepted

    def _wait(self, program: SymbolicProgram, here: Value, there: Value, slot: Value) -> tuple[Value, Value]:
        """Whether ``here`` waits for ``there``, by that slot, and in which iteration."""
        end = self.n_nanos
        to_end = self._exists(program, here) & (there == end)
        waits, offset = (here == end) & self._exists(program, there) | to_end, Mux(to_end, -2, 0)
        for index, nano in enumerate(program.descriptors):
            for number in range(self.n_predecessors):
                valid, operation, layer_offset, _, everything = program.predecessor(index, number)
                for other_index, other in enumerate(program.descriptors):
                    meets = (operation == other.operation) & (everything | (other.chunks & nano.chunks).any())
                    found = (here == index) & (there == other_index) & (slot == number) & valid & meets
                    found = found & program.exists(index) & program.exists(other_index)
                    waits, offset = waits | found, Mux(found, layer_offset, offset)
        return waits, offset

    def _exists(self, program: SymbolicProgram, node: Value) -> Value:
        return Cat((node == index) & program.exists(index) for index in range(self.n_nanos)).any()

    def _legal_is_accepted(self, m: Module, checker: LoadChecker, program: SymbolicProgram) -> Value:
        m.d.comb += Assume(program.legal() & program.in_order_of_choice() & program.free_of_circles(m))
        return checker.refused


class _LoadPort:
    """The signals ``SymbolicProgram.load`` drives, without a unit behind them."""

    def __init__(self) -> None:
        self.valid, self.ready = Signal(), Signal()
        self.payload = Signal(load_layout(CONFIG))
