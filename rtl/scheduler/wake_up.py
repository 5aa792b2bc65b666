"""Which descriptors are ready: what they wait for, and what of it has happened."""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import wait_layout, window_layout

__all__ = ["WakeUp"]


class WakeUp(wiring.Component):
    """Watch the scoreboard for every descriptor and keep a bit that says whether its next nano-operation is ready.

    A descriptor goes through the iterations in order; the next one it has not been issued in is its *turn*: the older
    or the newer of the two in flight, or the one after them, for which it is *parked*. For every predecessor and
    parity a *met* bit says whether the awaited bitmap of an iteration of that parity holds the chunks waited for: one's
    own (``chunks & ~bitmap == 0``) or all of the operation. The event that makes it so sets it.

    A nano-operation is ready iff for every predecessor the met bit of the iteration that ``layer_offset`` points to is
    set, or that iteration is outside the loop or has retired. That of an iteration past the two in flight is not.

    Timing
    ------
    ``ready`` is a register: an event, a retirement and ``start`` show in it in the clock after; that a nano-operation
    was ``taken`` two clocks after, which is soon enough, since its unit then works for two more clocks at least.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    waits : In(wait) of every place
    enabled : In(n_descriptors), the places in use
    start : In(1), the first two iterations open
    clear : In(1), back to the state before the start; ``start`` wins
    window : In(window), the iterations in flight
    retire : In(1), the older one ends with the event of this clock
    taken : In(n_descriptors), the places issued in the clock before
    event_started, event_completed, event_operation, event_parity : In, an event at the scoreboard, and which
    event_row, event_full : In, the bitmap after it, and whether it holds every chunk of the operation
    ready : Out(n_descriptors)
    older : Out(n_descriptors), its turn is in the older iteration
    parity : Out(n_descriptors), parity of its turn
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        n = config.n_descriptors
        super().__init__(
            {
                "waits": In(wait_layout(config)).array(n),
                "enabled": In(n),
                "start": In(1),
                "clear": In(1),
                "window": In(window_layout()),
                "retire": In(1),
                "taken": In(n),
                "event_operation": In(index_bits(config.n_operations)),
                "event_started": In(1),
                "event_completed": In(1),
                "event_parity": In(1),
                "event_row": In(config.n_chunks),
                "event_full": In(1),
                "ready": Out(n),
                "older": Out(n, init=(1 << n) - 1),
                "parity": Out(n),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n = self.config.n_descriptors
        waits = [self.waits[place] for place in range(n)]
        parked = self._take_turns(m)
        covered, turn_is_last = Signal(n), Signal(n)
        m.d.comb += [
            covered.eq(Cat((wait.chunks & ~self.event_row) == 0 for wait in waits)),
            turn_is_last.eq(
                _select(
                    self.older,
                    self.window.old_is_last.replicate(n),
                    _select(parked, self.window.next_is_last.replicate(n), self.window.new_is_last.replicate(n)),
                )
            ),
        ]
        ready, waits_for_own = Const(-1, n), 0
        for number in range(self.config.n_predecessors):
            before, same, after, free = self._offsets(waits, number)
            other = before | after
            everything = Cat(wait[f"all{number}"] for wait in waits)
            hit = Signal(n, name=f"hit{number}")
            m.d.comb += hit.eq(
                Cat(
                    (wait[f"operation{number}"] == self.event_operation)
                    & Mux(wait[f"start{number}"], self.event_started, self.event_completed)
                    for wait in waits
                )
                & _select(everything, self.event_full.replicate(n), covered)
            )
            met = self._note(m, number, hit)
            # nothing is awaited of iterations outside the loop or retired, and nothing can come of one not yet open
            settled, open_ = Signal(n, name=f"settled{number}"), Signal(n, name=f"open{number}")
            wanted, met_before = Signal(n, name=f"wanted{number}"), Signal(n, name=f"met_before{number}")
            m.d.comb += [
                settled.eq(free | before & self.older | after & turn_is_last),
                open_.eq(~(after & ~self.older)),
                met_before.eq(settled | open_ & _select(self.parity ^ other, met[1], met[0])),
                wanted.eq(open_ & ~(self.event_parity.replicate(n) ^ self.parity ^ other)),
            ]
            ready &= met_before | wanted & hit
            waits_for_own |= same
        # bitmaps of the parked ones' own iteration are still those of the retiring one
        may_open, opening = self.enabled & ~waits_for_own, self.retire & self.window.has_next
        open_now = ~parked | self.enabled & self.start.replicate(n)
        m.d.sync += self.ready.eq(ready & (open_now | may_open & opening.replicate(n)))
        return m

    def _offsets(self, waits: list, number: int) -> tuple[Value, Value, Value, Value]:
        """Which places wait for the iteration before, the same, the one after, or for nothing."""
        offsets = [wait[f"offset{number}"] for wait in waits]
        return tuple(Cat(offset == code for offset in offsets) for code in (0b11, 0b00, 0b01, 0b10))

    def _note(self, m: Module, number: int, hit: Value) -> list[Signal]:
        """The met bits of a predecessor number, by parity of the awaited iteration."""
        met = []
        for parity in range(2):
            bits = Signal(len(hit), name=f"met{number}_{parity}")
            emptied = self.clear | self.retire & (self.window.old == parity)
            now = hit & (self.event_parity == parity).replicate(len(hit))
            m.d.sync += bits.eq((bits | now) & ~emptied.replicate(len(hit)))
            met.append(bits)
        return met

    def _take_turns(self, m: Module) -> Signal:
        """Whose turn is in which iteration; returns those that are parked, among them the ones that have ended."""
        n = len(self.enabled)
        parked, later = Signal(n, init=(1 << n) - 1), Signal(n)
        m.d.comb += later.eq(parked | self.taken)
        m.d.sync += self.parity.eq(self.parity ^ self.taken)
        with m.If(self.retire):
            # what is not parked was issued in the older iteration and waits its turn in the newer, now the older
            m.d.sync += [
                self.older.eq(~later),
                parked.eq(later & ~(self.enabled & self.window.has_next.replicate(n))),
            ]
        with m.Else():
            m.d.sync += [
                self.older.eq(self.older & ~self.taken),
                parked.eq(parked | self.taken & (~self.older | self.window.old_is_last.replicate(n))),
            ]
        with m.If(self.clear):
            m.d.sync += [self.older.eq(Const(-1, n)), parked.eq(Const(-1, n)), self.parity.eq(0)]
        with m.If(self.start):
            m.d.sync += parked.eq(~self.enabled)
        return parked


def _select(which: Value, yes: Value, no: Value) -> Value:
    """Bit by bit a choice of two."""
    return which & yes | ~which & no
