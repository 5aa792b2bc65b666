"""What the scheduler unit did and what its units waited for, as records and counters."""

from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.scheduler import SchedulerConfig

__all__ = ["STAMP_BITS", "TraceStream", "record_layout", "stalls_layout", "trace_members"]

STAMP_BITS = 32
COUNTER_BITS = 48


def record_layout(config: SchedulerConfig) -> data.StructLayout:
    """One nano-operation: descriptor, iteration and four clocks since ``start``, modulo 2^32."""
    return data.StructLayout(
        {
            "index": index_bits(config.n_descriptors),
            "iteration": COUNT_BITS,
            "ready": STAMP_BITS,
            "issued": STAMP_BITS,
            "started": STAMP_BITS,
            "completed": STAMP_BITS,
        }
    )


def stalls_layout() -> data.StructLayout:
    """Clocks of one unit: waits of its nano-operations by cause, and clocks it worked."""
    return data.StructLayout(dict.fromkeys(("dependency", "unit", "share", "busy"), COUNTER_BITS))


def trace_members(config: SchedulerConfig) -> dict[str, wiring.Member]:
    """What a unit with a trace has besides."""
    return {
        "trace": Out(stream.Signature(record_layout(config))),
        "trace_lost": Out(1),
        "stalls": Out(stalls_layout()).array(config.n_units),
        "credits": Out(COUNTER_BITS).array(config.n_pools),
    }


class TraceStream(wiring.Component):
    """Stamp every nano-operation four times and count what it waited for.

    ``ready`` is the first clock in which everything it waits for was met, though not before the third after its
    descriptor was issued in the iteration before; ``issued`` that in which it was first offered
    to its unit, ``started`` that of the handshake, ``completed`` that of the completion. A record leaves by the stream
    after the completion; the lowest unit's first. One that is not taken before its unit completes again is lost, and
    ``lost`` says so.

    Of each unit the counters say, summed over its nano-operations, how many clocks they waited for predecessors
    (``ready`` less the clock their iteration opened in), stood chosen without credits (``share``), and waited for the
    unit besides (``unit``), and how many clocks the unit worked (``busy``, from ``started`` to ``completed``). Of each
    pool ``credits`` sums the credits held by what works, a clock each. All are exact once the program has ended.

    Timing
    ------
    A record is offered from the clock after the completion. Counters count from ``clear`` on.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    clear : In(1), a program begins
    cycle : In(32), clocks since
    retire, old : In(1), the older iteration ends in this clock, and its parity
    ready : In(n_descriptors), places whose next nano-operation has met all it waits for
    place, parity : In of every unit, what it is chosen for or works at
    request, granted, started, completed, working : In(n_units)
    index, iteration : In of every unit, what is offered
    shares : In of every unit, credits of every pool it holds
    records : Out(stream)
    lost : Out(1), until ``clear``
    stalls : Out of every unit
    credits : Out(48) of every pool
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        n_units, place = config.n_units, index_bits(config.n_descriptors)
        super().__init__(
            {
                "clear": In(1),
                "cycle": In(STAMP_BITS),
                "retire": In(1),
                "old": In(1),
                "ready": In(config.n_descriptors),
                "place": In(place).array(n_units),
                "parity": In(n_units),
                "request": In(n_units),
                "granted": In(n_units),
                "started": In(n_units),
                "completed": In(n_units),
                "working": In(n_units),
                "index": In(place).array(n_units),
                "iteration": In(COUNT_BITS).array(n_units),
                "shares": In(data.ArrayLayout(config.share_bits, config.n_pools)).array(n_units),
                "records": Out(stream.Signature(record_layout(config))),
                "lost": Out(1),
                "stalls": Out(stalls_layout()).array(n_units),
                "credits": Out(COUNTER_BITS).array(config.n_pools),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n_units = self.config.n_units
        opened = self._note_openings(m)
        became_ready = self._note_ready(m)
        held = [Signal(record_layout(self.config), name=f"record{unit}") for unit in range(n_units)]
        waiting = Signal(n_units)
        sent = Signal(n_units)
        for unit in range(n_units):
            self._follow(m, unit, became_ready[self.place[unit]], opened, held[unit])
            # the lowest unit's record goes first
            m.d.comb += sent[unit].eq(waiting[unit] & ~waiting[:unit].any() & self.records.ready)
        for unit in reversed(range(n_units)):
            with m.If(waiting[unit]):
                m.d.comb += self.records.payload.eq(held[unit])
        m.d.comb += self.records.valid.eq(waiting.any())
        m.d.sync += waiting.eq(waiting & ~sent | self.completed)
        with m.If((waiting & ~sent & self.completed).any()):
            m.d.sync += self.lost.eq(1)
        with m.If(self.clear):
            m.d.sync += [waiting.eq(0), self.lost.eq(0)]
        self._count_credits(m)
        return m

    def _note_openings(self, m: Module) -> list[Signal]:
        """Clock in which the iteration of each parity opened; the first two open with the program."""
        opened = [Signal(STAMP_BITS, name=f"opened{parity}") for parity in range(2)]
        for parity, clock in enumerate(opened):
            with m.If(self.clear):
                m.d.sync += clock.eq(1)
            with m.Elif(self.retire & (self.old == parity)):
                m.d.sync += clock.eq(self.cycle + 1)
        return opened

    def _note_ready(self, m: Module) -> Array:
        """Clock in which each place's next nano-operation became ready."""
        n = self.config.n_descriptors
        noted, fresh = Signal(n), Signal(n)
        stamps = [Signal(STAMP_BITS, name=f"ready{place}") for place in range(n)]
        taken = Signal(n)
        m.d.comb += taken.eq(
            Cat(
                Cat(self.granted[unit] & (self.place[unit] == place) for unit in range(self.config.n_units)).any()
                for place in range(n)
            )
        )
        # what was taken may look ready for two clocks more
        was_taken = [taken]
        for age in (1, 2):
            later = Signal(n, name=f"taken{age}")
            m.d.sync += later.eq(was_taken[-1] & ~self.clear.replicate(n))
            was_taken.append(later)
        m.d.comb += fresh.eq(self.ready & ~noted & ~was_taken[1] & ~was_taken[2])
        m.d.sync += noted.eq((noted | fresh) & ~taken & ~self.clear.replicate(n))
        for place, stamp in enumerate(stamps):
            with m.If(fresh[place]):
                m.d.sync += stamp.eq(self.cycle)
        return Array(stamps)

    def _follow(self, m: Module, unit: int, became_ready: Value, opened: list[Signal], record: data.View) -> None:
        """One unit: the stamps of what it works at, its record, its counters."""
        stalls = self.stalls[unit]
        at = Signal(record_layout(self.config), name=f"at{unit}")
        waited = Signal(COUNTER_BITS, name=f"waited{unit}")
        of_opening = Mux(self.parity[unit], opened[1], opened[0])
        issued = Signal(STAMP_BITS, name=f"issued{unit}")
        m.d.comb += [issued.eq(Mux(self.granted[unit], self.cycle, at.issued)), stalls.unit.eq(waited - stalls.share)]
        with m.If(self.granted[unit]):
            m.d.sync += [
                at.index.eq(self.index[unit]),
                at.iteration.eq(self.iteration[unit]),
                at.ready.eq(became_ready),
                at.issued.eq(self.cycle),
                stalls.dependency.eq(stalls.dependency + (became_ready - of_opening)[:STAMP_BITS]),
                waited.eq(waited + (self.cycle - became_ready - 1)[:STAMP_BITS]),
            ]
        with m.Elif(self.request[unit]):
            m.d.sync += stalls.share.eq(stalls.share + 1)
        with m.If(self.started[unit]):
            m.d.sync += at.started.eq(self.cycle)
        with m.If(self.working[unit]):
            m.d.sync += stalls.busy.eq(stalls.busy + 1)
        with m.If(self.completed[unit]):
            m.d.sync += [record.eq(at), record.completed.eq(self.cycle)]
        with m.If(self.clear):
            m.d.sync += [stalls.dependency.eq(0), stalls.share.eq(0), stalls.busy.eq(0), waited.eq(0)]

    def _count_credits(self, m: Module) -> None:
        for pool in range(self.config.n_pools):
            held = sum(Mux(self.working[unit], self.shares[unit][pool], 0) for unit in range(self.config.n_units))
            m.d.sync += self.credits[pool].eq(Mux(self.clear, 0, self.credits[pool] + held))
