"""Blocks of the scheduler unit, proved for ever by induction, each in an environment that keeps its contract."""

from abc import ABC, abstractmethod

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, ResetSignal, Signal, Value

from arch.scheduler import SchedulerConfig
from rtl.scheduler.credit_pools import CreditPools
from rtl.scheduler.issue_slot import IssueSlot
from rtl.scheduler.signature import shares_layout

__all__ = ["EventsProperties", "PoolsProperties", "SlotProperties"]

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=2, n_units=3, n_pools=2, n_chunks=2, share_bits=3)


class PoolsProperties(Elaboratable):
    """No oversubscription: free credits, held ones and those on their way back always add up to the capacity.

    Environment: a unit asks only while it holds nothing, is busy while it holds something and not in the clock after it
    asked, and gives back what it took, not in the clock of the grant.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.pools = pools = CreditPools(CONFIG)
        n_units, n_pools = CONFIG.n_units, CONFIG.n_pools
        filled = Signal()
        capacity = Signal.like(pools.capacities)
        m.d.comb += [
            Assume(~ResetSignal()),
            pools.idle.eq(~filled),
            pools.capacities.as_value().eq(AnySeq(pools.capacities.as_value().shape().width)),
        ]
        m.d.sync += filled.eq(1)
        with m.If(~filled):
            m.d.sync += capacity.eq(pools.capacities)
        total = [0] * n_pools
        grants = pools.certain | pools.hopeful & pools.fits
        for unit in range(n_units):
            grant, asked_before = grants[unit], Signal(name=f"asked_before{unit}")
            holds, held = Signal(name=f"holds{unit}"), Signal(shares_layout(CONFIG), name=f"held{unit}")
            coming = Signal(shares_layout(CONFIG), name=f"coming{unit}")
            asked, counted = pools.asked[unit], pools.counted[unit].as_value()
            m.d.comb += [
                pools.asks[unit].eq(AnySeq(1)),
                pools.gives[unit].eq(AnySeq(1) & holds),
                pools.shares[unit].as_value().eq(AnySeq(pools.shares[unit].as_value().shape().width)),
                pools.busy[unit].eq(holds | AnySeq(1) & ~asked_before),
                Assume(~pools.asks[unit] | filled & ~holds),
                Assert(~grant | pools.asking[unit] & ~holds),
            ]
            m.d.sync += asked_before.eq(pools.asks[unit] & ~grant)
            m.d.sync += coming.as_value().eq(Mux(pools.gives[unit], held.as_value(), 0))
            with m.If(pools.gives[unit]):
                m.d.sync += holds.eq(0)
            with m.If(grant):
                m.d.sync += [holds.eq(1), held.eq(asked)]
            for pool in range(n_pools):
                total[pool] = total[pool] + Mux(holds, held[pool], 0) + coming[pool]
            m.d.comb += [
                Assert(~(holds | pools.asking[unit] | coming.as_value().any()) | filled),
                # the block's own notes are the truth
                Assert(pools.asking[unit] == asked_before),
                Assert(~(holds & pools.asking[unit])),
                Assert(~holds | (pools.held[unit].as_value() == held.as_value())),
                Assert(pools.returning[unit].as_value() == coming.as_value()),
                Assert(counted == Mux(pools.asking[unit] & ~pools.passed_over[unit], asked.as_value(), 0)),
            ]
        for pool in range(n_pools):
            free = pools.kept[pool] + pools.back[pool]
            m.d.comb += [
                Assert(~filled | (free + total[pool] == capacity[pool])),
                Assert(~filled | (pools.free[pool] == free)),
            ]
        return m


class _Slot(Elaboratable, ABC):
    """A unit's slot in its environment.

    Environment: a grant answers a request; the choice of a busy unit is its pick; what is looked up of a nano-operation
    stays the same while the slot stands at it; its iteration is one of the two in flight, and does not end before it.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.slot = slot = IssueSlot(CONFIG)
        self.index, self.announces, self.base = Signal.like(slot.index), Signal(), Signal.like(slot.base)
        for port in (slot.choice_valid, slot.choice_parity, slot.fits, slot.retire, slot.issue.ready,
                     slot.complete.valid, slot.complete.index):  # fmt: skip
            m.d.comb += port.eq(AnySeq(len(port)))
        m.d.comb += [
            Assume(~ResetSignal()),
            slot.choice.eq(Mux(slot.busy, slot.pick, AnySeq(len(slot.choice)))),
            slot.index.eq(self.index),
            slot.announce_start.eq(self.announces),
            slot.certain.eq(AnySeq(1) & slot.request),
            slot.hopeful.eq(AnySeq(1) & slot.request),
            slot.base.eq(self.base),
            slot.old.eq(self.base[0]),
        ]
        m.d.sync += self.base.eq(self.base + slot.retire)
        with m.If(~slot.busy & ~slot.grant):
            m.d.sync += [self.index.eq(AnySeq(len(self.index))), self.announces.eq(AnySeq(1))]
        # accepted and not complete; complete, and that has yet to happen; happened in the clock before
        self.works, self.owed, self.closes = Signal(), Signal(), Signal()
        # accepted in the clock before, and in the one before that; offered in vain in the clock before
        self.accepted, self.was_accepted, self.waited = Signal(), Signal(), Signal()
        self.explained, self.granted, self.parity = Signal(), Signal(), Signal()
        m.d.comb += self.explained.eq(self.works & slot.complete.valid & (slot.complete.index == self.index))
        m.d.sync += [
            self.accepted.eq(slot.issue.valid & slot.issue.ready),
            self.was_accepted.eq(self.accepted),
            self.waited.eq(slot.issue.valid & ~slot.issue.ready),
            self.closes.eq(slot.ends),
            self.owed.eq((self.owed | self.explained) & ~slot.ends),
            self.granted.eq((self.granted | slot.grant) & ~slot.ends),
        ]
        with m.If(slot.issue.valid & slot.issue.ready):
            m.d.sync += self.works.eq(1)
        with m.Elif(self.explained):
            m.d.sync += self.works.eq(0)
        self.place = Signal.like(slot.pick)
        with m.If(slot.grant):
            m.d.sync += [self.place.eq(slot.pick), self.parity.eq(slot.parity)]
        at_work = self.works | self.owed | self.closes
        in_older = slot.parity == slot.old
        starts_late = self.announces & (self.accepted | self.was_accepted)
        m.d.comb += [
            Assume(~(slot.retire & in_older & (slot.request | self.granted & ~slot.ends))),
            Assume(~(slot.retire & slot.asks & (slot.choice_parity == slot.old))),
            # the slot's own notes are the truth
            Assert(slot.in_flight == self.works),
            Assert(slot.busy == (at_work | self.waited)),
            Assert(slot.offered == self.waited),
            Assert(slot.deferred == self.owed),
            Assert(slot.ended == self.closes),
            Assert(slot.accepted == self.accepted),
            Assert(slot.renews == (self.was_accepted & self.announces)),
            Assert(slot.may_end == (self.works & ~starts_late)),
            Assert(self.granted == (self.works | self.owed | self.waited)),
            Assert(~self.accepted | self.works),
            Assert(~self.was_accepted | self.works | self.owed | self.closes),
            Assert(~(self.accepted & self.was_accepted) & ~(self.accepted & self.waited)),
            Assert(~(self.was_accepted & self.announces & self.closes)),
            Assert(~self.owed | self.announces),
            Assert(~self.works | (slot.index_held == self.index)),
            Assert(~self.works | (slot.announces == self.announces)),
            Assert(~(self.works & (self.owed | self.closes)) & ~(self.owed & self.closes)),
            Assert(~(self.waited & at_work)),
            Assert(~slot.request | ~(at_work | self.waited)),
            Assert(~slot.busy | (slot.pick == self.place) & (slot.parity == self.parity)),
        ]
        self._claim(m, slot, at_work)
        return m

    @abstractmethod
    def _claim(self, m: Module, slot: IssueSlot, at_work: Value) -> None:
        """Add the property's assertions."""


class SlotProperties(_Slot):
    """No double issue and no lost completion at a unit's port.

    An offer stands until it is accepted, whatever iteration ends meanwhile; nothing is offered while the unit works or
    its completion is being applied; the completion of what is in flight is always seen, and no other. The loop is told
    of what has been granted and is not complete.
    """

    def _claim(self, m: Module, slot: IssueSlot, at_work: Value) -> None:
        payload = Signal.like(slot.issue.payload.as_value())
        m.d.sync += payload.eq(slot.issue.payload.as_value())
        m.d.comb += [
            Assert(slot.started == (slot.issue.valid & slot.issue.ready)),
            Assert(~(slot.issue.valid & at_work)),
            Assert(~slot.grant | slot.issue.valid),
            Assert(slot.completed == self.explained),
            Assert(slot.unexpected == (slot.complete.valid & ~self.explained)),
            Assert(~self.waited | slot.issue.valid & (slot.issue.payload.as_value() == payload)),
            Assert(~slot.issue.valid | (slot.issue.payload.iteration[0] == slot.parity)),
            Assert(slot.works_even == (self.granted & ~self.parity)),
            Assert(slot.works_odd == (self.granted & self.parity)),
        ]


class EventsProperties(_Slot):
    """No lost event, and none that frees anybody before it happens.

    An awaited start happens once, in the clock after its handshake; a completion once, in its clock or, after an
    awaited start, in the third clock after the handshake if it came before. Each is counted once, before it happens, in
    the iteration it happens in, and pends from the clock the count shows until it happens. Its column is kept when it
    is counted, and stands until then.
    """

    def _claim(self, m: Module, slot: IssueSlot, at_work: Value) -> None:
        # a column's descriptor and event: shown by the matrix a clock after it is asked for, and kept by the wake-up
        shown, kept = (Signal(len(self.place) + 1, name=name) for name in ("shown", "kept"))
        m.d.sync += shown.eq(Cat(slot.choice, slot.busy))
        with m.If(slot.shows):
            m.d.sync += kept.eq(shown)
        # counted and yet to happen; counted in the clock before; that is the second event
        due, fresh, second = Signal(), Signal(), Signal()
        counts, happens, newer = slot.even | slot.odd, slot.starts | slot.ends, slot.parity ^ slot.old
        m.d.sync += [due.eq(counts | due & ~happens), fresh.eq(counts)]
        with m.If(counts):
            m.d.sync += second.eq(slot.busy)
        early = self.announces & (self.accepted | self.was_accepted)
        renews = self.was_accepted & self.announces
        before_start = self.announces & (self.waited | self.accepted)
        m.d.comb += [
            Assert(slot.starts == (self.accepted & self.announces)),
            Assert(slot.ends == ((self.owed | self.explained) & ~early)),
            # counted at the grant and, once a start has happened, again
            Assert(counts == (slot.grant | renews)),
            Assert(~(slot.grant & renews)),
            Assert(slot.even == (counts & ~slot.parity)),
            Assert(slot.odd == (counts & slot.parity)),
            Assert(slot.newest == (counts & newer)),
            # one at a time, and not before it is counted
            Assert(~(slot.starts & slot.ends)),
            Assert(~(counts & (due | happens))),
            Assert(~happens | due),
            Assert(slot.pends_older == (due & ~fresh & ~newer)),
            Assert(slot.pends_newer == (due & ~fresh & newer)),
            # the right one
            Assert(due == (self.granted & ~renews)),
            Assert(~due | (second == (self.announces & ~before_start))),
            Assert(~due | (kept == Cat(self.place, second))),
            Assert(~slot.starts | ~second),
            Assert(~slot.ends | (second == self.announces)),
            # what is kept is what was asked for
            Assert(~slot.request | (shown == Cat(slot.pick, 0))),
            Assert(~renews | (shown == Cat(self.place, 1))),
        ]
