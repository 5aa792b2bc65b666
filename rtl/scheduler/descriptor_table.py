"""All descriptors of the loop body, and the best ready nano-operation for every unit."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.descriptor_entry import DescriptorEntry
from rtl.scheduler.oldest_first import OldestFirst
from rtl.scheduler.signature import descriptor_layout, pick_layout, window_layout

__all__ = ["DescriptorTable"]


class DescriptorTable(wiring.Component):
    """Hold the body, and show what each unit should execute next.

    Every descriptor has a :class:`DescriptorEntry` that watches the scoreboard; every unit has an :class:`OldestFirst`
    over the entries that are ready and its own. The fields that matter only once an entry is chosen are read from a
    memory with a port for every unit.

    Timing
    ------
    ``choice`` and ``picked`` are combinational. An event and a grant show in ``choice`` in the clock after.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_index, load_descriptor : In, writes a descriptor
    clear : In(1), a new run of the descriptors 0 .. ``last``
    last : In
    window, retire : In, of the loop
    event_valid, event_operation, event_start, event_parity, event_row, event_full : In, an event at the scoreboard
    choice_valid : Out(n_units), the unit has a ready nano-operation
    choice : Out(pick) of every unit, the best one
    picks : In(pick) of every unit, the one it stands at
    picked : Out(descriptor) of every unit, the descriptor of ``picks``
    granted : In(n_units), ``picks`` is taken
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        index = index_bits(config.n_descriptors)
        picks = data.ArrayLayout(pick_layout(config), config.n_units)
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
                "choice": Out(picks),
                "picks": In(picks),
                "picked": Out(data.ArrayLayout(descriptor_layout(config), config.n_units)),
                "granted": In(config.n_units),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        entries = [self._add_entry(m, index) for index in range(config.n_descriptors)]
        m.submodules.descriptors = descriptors = memory.Memory(
            shape=descriptor_layout(config), depth=config.n_descriptors, init=[]
        )
        write = descriptors.write_port()
        m.d.comb += [
            write.en.eq(self.load_valid),
            write.addr.eq(self.load_index),
            write.data.eq(self.load_descriptor),
        ]
        parities = Signal(config.n_descriptors)
        m.d.comb += [parities[index].eq(entry.parity) for index, entry in enumerate(entries)]
        for unit in range(config.n_units):
            m.submodules[f"oldest_first{unit}"] = best = OldestFirst(config.n_descriptors)
            read = descriptors.read_port(domain="comb")
            for index, entry in enumerate(entries):
                m.d.comb += [
                    best.candidates[index].eq(entry.ready & (entry.unit == unit)),
                    best.urgency[index].eq(entry.urgency),
                ]
            m.d.comb += [
                self.choice_valid[unit].eq(best.valid),
                self.choice[unit].index.eq(best.index),
                self.choice[unit].parity.eq(parities.bit_select(best.index, 1)),
                read.addr.eq(self.picks[unit].index),
                self.picked[unit].eq(read.data),
            ]
        return m

    def _add_entry(self, m: Module, index: int) -> DescriptorEntry:
        m.submodules[f"entry{index}"] = entry = DescriptorEntry(self.config)
        enabled = Signal(name=f"enabled{index}")
        with m.If(self.clear):
            m.d.sync += enabled.eq(self.last >= index)
        taken = [self.granted[unit] & (self.picks[unit].index == index) for unit in range(self.config.n_units)]
        m.d.comb += [
            entry.load.eq(self.load_valid & (self.load_index == index)),
            entry.descriptor.eq(self.load_descriptor),
            entry.enabled.eq(enabled),
            entry.taken.eq(Cat(taken).any()),
            entry.clear.eq(self.clear),
            entry.window.eq(self.window),
            entry.retire.eq(self.retire),
            entry.event_valid.eq(self.event_valid),
            entry.event_operation.eq(self.event_operation),
            entry.event_start.eq(self.event_start),
            entry.event_parity.eq(self.event_parity),
            entry.event_row.eq(self.event_row),
            entry.event_full.eq(self.event_full),
        ]
        return entry
