"""One descriptor of the loop body, and whether its next iteration may be issued."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import PRIORITY_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import descriptor_layout, window_layout

__all__ = ["DescriptorEntry"]


class DescriptorEntry(wiring.Component):
    """Hold a descriptor and watch the scoreboard for it.

    For every predecessor and iteration parity a *met* bit says whether the awaited bitmap holds the chunks waited for:
    one's own (``mask & ~bitmap == 0``) or all of the operation. It is set by the event that makes it so, and cleared
    when the iteration of that parity retires; clearing wins. The nano-operation of the older iteration comes first,
    then that of the newer; each is ready iff the met bit of the iteration ``layer_offset`` points to is set, or that
    iteration is outside the loop or retired. What lies past the two iterations in flight is not met.

    Timing
    ------
    ``ready``, ``parity`` and ``urgency`` are combinational from the registers. An event and a ``taken`` show in the
    clock after.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load : In(1), takes ``descriptor``
    descriptor : In(descriptor)
    clear : In(1), forget all met bits and issues
    enabled : In(1), the descriptor belongs to the program
    window : In(window), the iterations in flight
    retire : In(1), the older iteration ends
    event_valid, event_operation, event_start, event_parity : In, an event at the scoreboard
    event_row, event_full : In, the bitmap after it, and whether it holds every chunk of the operation
    taken : In(1), the nano-operation of parity ``parity`` is granted
    ready : Out(1), the nano-operation may be issued
    parity : Out(1), of its iteration
    urgency : Out(3), priority, and in the lowest bit whether the iteration is the newer one
    unit : Out, who is to execute it
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__(
            {
                "load": In(1),
                "descriptor": In(descriptor_layout(config)),
                "clear": In(1),
                "enabled": In(1),
                "window": In(window_layout()),
                "retire": In(1),
                "event_valid": In(1),
                "event_operation": In(index_bits(config.n_operations)),
                "event_start": In(1),
                "event_parity": In(1),
                "event_row": In(config.n_chunks),
                "event_full": In(1),
                "taken": In(1),
                "ready": Out(1),
                "parity": Out(1),
                "urgency": Out(PRIORITY_BITS + 1),
                "unit": Out(index_bits(config.n_units)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        window = self.window
        held = Signal(descriptor_layout(self.config))
        with m.If(self.load):
            m.d.sync += held.eq(self.descriptor)

        issued = Signal(2)
        newer = Signal()
        open_ = Signal()
        m.d.comb += [
            newer.eq(issued.bit_select(window.old, 1)),
            open_.eq(~issued.all() & ~(newer & window.old_is_last)),
            self.parity.eq(window.old ^ newer),
            self.urgency.eq((held.priority << 1) | newer),
            self.unit.eq(held.unit),
        ]

        covered = Signal()
        m.d.comb += covered.eq((held.chunks & ~self.event_row) == 0)
        satisfied = Signal(self.config.n_predecessors)
        for number in range(self.config.n_predecessors):
            valid, operation, layer_offset, start, every = (
                held[f"predecessor{number}_{name}"] for name in ("valid", "operation", "layer_offset", "start", "all")
            )
            met = Signal(2, name=f"met{number}")
            hit = Signal(name=f"hit{number}")
            m.d.comb += hit.eq(
                self.event_valid
                & (operation == self.event_operation)
                & (start == self.event_start)
                & Mux(every, self.event_full, covered)
            )
            with m.If(hit):
                m.d.sync += met.bit_select(self.event_parity, 1).eq(1)
            with m.If(self.retire):
                m.d.sync += met.bit_select(window.old, 1).eq(0)
            with m.If(self.clear):
                m.d.sync += met.eq(0)
            met_old, met_new = met.bit_select(window.old, 1), met.bit_select(~window.old, 1)
            with m.If(~valid):
                m.d.comb += satisfied[number].eq(1)
            with m.Elif(~layer_offset[0]):  # the same iteration
                m.d.comb += satisfied[number].eq(Mux(newer, met_new, met_old))
            with m.Elif(layer_offset[1]):  # the one before; that of the older one has retired or is outside the loop
                m.d.comb += satisfied[number].eq(Mux(newer, met_old, 1))
            with m.Else():  # the one after
                m.d.comb += satisfied[number].eq(Mux(newer, window.new_is_last, window.old_is_last | met_new))
        m.d.comb += self.ready.eq(self.enabled & window.running & open_ & satisfied.all())

        with m.If(self.taken):
            m.d.sync += issued.bit_select(self.parity, 1).eq(1)
        with m.If(self.retire):
            m.d.sync += issued.bit_select(window.old, 1).eq(0)
        with m.If(self.clear):
            m.d.sync += issued.eq(0)
        return m
