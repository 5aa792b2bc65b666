"""The descriptors of the loop body: which are ready, and which is the best for every unit."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import PRIORITY_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.oldest_first import OldestFirst
from rtl.scheduler.signature import descriptor_layout, footprint_layout, pick_layout, window_layout

__all__ = ["DescriptorTable"]


class DescriptorTable(wiring.Component):
    """Hold the body, watch the scoreboard for it and show what each unit should execute next.

    For every predecessor of every descriptor and each of the two iterations in flight a *met* bit says whether the
    awaited bitmap holds the chunks waited for: one's own (``chunks & ~bitmap == 0``) or all of the operation. The event
    that makes it so sets it; the bits of the newer iteration become those of the older when that one retires.

    A descriptor's nano-operation of the older iteration comes before that of the newer. It is ready iff for every
    predecessor the met bit of the iteration that ``layer_offset`` points to is set, or that iteration is outside the
    loop or has retired. An iteration past the two in flight has met nothing.

    Timing
    ------
    ``choice`` and ``footprint`` are combinational from the registers (latency 0). An event and a grant show in the
    clock after.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_index, load_descriptor : In, writes a descriptor
    clear : In(1), begins a new run of the descriptors 0 .. ``last``
    last : In
    window : In(window), the iterations in flight
    retire : In(1), the older one ends with the event of this clock
    event_valid, event_operation, event_start, event_parity : In, an event at the scoreboard
    event_row, event_full : In, the bitmap after it, and whether it holds every chunk of the operation
    choice_valid : Out(n_units), the unit has a ready nano-operation
    choice : Out(pick) of every unit, the best one
    picks : In(pick) of every unit, the one it stands at
    footprint : Out(footprint) of every unit, what ``picks`` holds and marks
    ready : Out(n_descriptors), with ``trace``: whose next nano-operation has met all it waits for
    granted : In(n_units), ``picks`` is taken
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        index = index_bits(config.n_descriptors)
        super().__init__(
            {
                "load_valid": In(1),
                "load_index": In(index),
                "load_descriptor": In(descriptor_layout(config)),
                "clear": In(1),
                "last": In(index),
                "window": In(window_layout()),
                "retire": In(1),
                "event_valid": In(1),
                "event_operation": In(index_bits(config.n_operations)),
                "event_start": In(1),
                "event_parity": In(1),
                "event_row": In(config.n_chunks),
                "event_full": In(1),
                "choice_valid": Out(config.n_units),
                "choice": Out(pick_layout(config)).array(config.n_units),
                "picks": In(pick_layout(config)).array(config.n_units),
                "footprint": Out(footprint_layout(config)).array(config.n_units),
                "granted": In(config.n_units),
                **({"ready": Out(config.n_descriptors)} if config.trace else {}),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        self._add_footprints(m)
        held = self._hold(m)
        ready, newer = self._find_ready(m, held, self._watch(m, held))
        if self.config.trace:
            m.d.comb += self.ready.eq(ready)
        self._choose(m, held, ready, newer)
        return m

    def _add_footprints(self, m: Module) -> None:
        """What matters only once a nano-operation is chosen lies in a memory with a port for every unit."""
        config = self.config
        m.submodules.footprints = footprints = memory.Memory(
            shape=footprint_layout(config).size, depth=config.n_descriptors, init=[]
        )
        write = footprints.write_port()
        loaded = data.View(footprint_layout(config), write.data)
        m.d.comb += [
            write.en.eq(self.load_valid),
            write.addr.eq(self.load_index),
            loaded.chunks.eq(self.load_descriptor.chunks),
            loaded.operation.eq(self.load_descriptor.operation),
            loaded.announce_start.eq(self.load_descriptor.announce_start),
        ]
        m.d.comb += [loaded.shares[n].eq(self.load_descriptor[f"share{n}"]) for n in range(config.n_pools)]
        for unit in range(config.n_units):
            read = footprints.read_port(domain="comb")
            m.d.comb += [
                read.addr.eq(self.picks[unit].index),
                self.footprint[unit].as_value().eq(read.data),
            ]

    def _hold(self, m: Module) -> list[data.View]:
        """What is compared in every clock lies in registers."""
        layout = descriptor_layout(self.config)
        held = [Signal(layout.size, name=f"descriptor{n}") for n in range(self.config.n_descriptors)]
        written = Signal(self.config.n_descriptors)
        m.d.comb += written.eq(self.load_valid << self.load_index)
        for index, descriptor in enumerate(held):
            with m.If(written[index]):
                m.d.sync += descriptor.eq(self.load_descriptor.as_value())
        return [data.View(layout, descriptor) for descriptor in held]

    def _watch(self, m: Module, held: list[data.View]) -> list[tuple[Signal, Signal]]:
        """The met bits by predecessor number, of the older and of the newer iteration, a bit a descriptor."""
        n = self.config.n_descriptors
        covered = Signal(n)
        of_newer = Signal()
        m.d.comb += covered.eq(Cat((descriptor.chunks & ~self.event_row) == 0 for descriptor in held))
        m.d.comb += of_newer.eq(self.event_parity ^ self.window.old)
        met = []
        for number in range(self.config.n_predecessors):
            names = [f"predecessor{number}_{name}" for name in ("operation", "start", "all")]
            fields = [[descriptor[name] for name in names] for descriptor in held]
            hit = Signal(n, name=f"hit{number}")
            m.d.comb += hit.eq(
                Cat(
                    self.event_valid
                    & (operation == self.event_operation)
                    & (start == self.event_start)
                    & Mux(everything, self.event_full, covered[index])
                    for index, (operation, start, everything) in enumerate(fields)
                )
            )
            old, new = Signal(n, name=f"met_old{number}"), Signal(n, name=f"met_new{number}")
            with m.If(of_newer):
                m.d.sync += new.eq(new | hit)
            with m.Else():
                m.d.sync += old.eq(old | hit)
            self._move_window(m, old, new)
            met.append((old, new))
        return met

    def _move_window(self, m: Module, old: Signal, new: Signal) -> None:
        """When the older iteration retires, what is known of the newer one becomes what is known of the older.

        The event of that clock is the one that retires it, so nothing new comes in.
        """
        with m.If(self.retire):
            m.d.sync += [old.eq(new), new.eq(0)]
        with m.If(self.clear):
            m.d.sync += [old.eq(0), new.eq(0)]

    def _find_ready(self, m: Module, held: list[data.View], met: list[tuple[Signal, Signal]]) -> tuple[Value, Value]:
        """Which descriptors are ready, and whose turn is that of the newer iteration, a bit a descriptor each.

        A descriptor goes through the iterations in order, so only one of its nano-operations can be ready.
        """
        n, window = self.config.n_descriptors, self.window
        enabled = Signal(n)
        with m.If(self.clear):
            m.d.sync += enabled.eq((2 << self.last) - 1)
        newer, issued_new = self._count_issues(m)
        ready = Signal(n)
        waits = enabled & (window.running.replicate(n)) & ~(newer & (issued_new | window.old_is_last.replicate(n)))
        for number, (met_old, met_new) in enumerate(met):
            valid = Cat(descriptor[f"predecessor{number}_valid"] for descriptor in held)
            offsets = [descriptor[f"predecessor{number}_layer_offset"] for descriptor in held]
            before, same, after = (Cat(offset == code for offset in offsets) for code in (0b11, 0b00, 0b01))
            outside = newer & window.new_is_last.replicate(n) | ~newer & window.old_is_last.replicate(n)
            waits &= (
                ~valid
                | before & ~newer
                | after & outside
                | (before & newer | same & ~newer) & met_old
                | (same & newer | after & ~newer) & met_new
            )
        m.d.comb += ready.eq(waits)
        return ready, newer

    def _count_issues(self, m: Module) -> tuple[Signal, Signal]:
        """Which descriptors have been granted in the older and in the newer iteration."""
        n = self.config.n_descriptors
        old, new, taken = Signal(n, name="issued_old"), Signal(n, name="issued_new"), Signal(n)
        granted = 0
        for unit in range(self.config.n_units):
            granted |= self.granted[unit] << self.picks[unit].index
        m.d.comb += taken.eq(granted)
        # a descriptor goes through the iterations in order, so the older one is taken first
        m.d.sync += [old.eq(old | taken), new.eq(new | taken & old)]
        with m.If(self.retire):
            m.d.sync += [old.eq(new | taken), new.eq(0)]
        with m.If(self.clear):
            m.d.sync += [old.eq(0), new.eq(0)]
        return old, new

    def _choose(self, m: Module, held: list[data.View], ready: Value, newer: Value) -> None:
        n = self.config.n_descriptors
        for unit in range(self.config.n_units):
            m.submodules[f"oldest_first{unit}"] = best = OldestFirst(n)
            m.d.comb += [
                best.priority[bit].eq(Cat(descriptor.priority[bit] for descriptor in held))
                for bit in range(PRIORITY_BITS)
            ]
            m.d.comb += [
                best.ready.eq(ready),
                best.newer.eq(newer),
                best.mine.eq(Cat(descriptor.unit == unit for descriptor in held)),
                self.choice_valid[unit].eq(best.valid),
                self.choice[unit].index.eq(best.index),
                self.choice[unit].parity.eq(self.window.old ^ best.chosen_newer),
            ]
