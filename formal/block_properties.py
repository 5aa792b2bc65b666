"""Blocks of the scheduler unit, proved for ever by induction, each in an environment that keeps its contract."""

from abc import ABC, abstractmethod

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable, Module, Mux, ResetSignal, Signal, Value

from arch.scheduler import SchedulerConfig
from rtl.scheduler.credit_pools import CreditPools
from rtl.scheduler.issue_slot import IssueSlot
from rtl.scheduler.signature import shares_layout

__all__ = ["EventsProperties", "PoolsProperties", "SlotProperties"]

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=2, n_units=3, n_pools=2, n_chunks=2, share_bits=3)


class PoolsProperties(Elaboratable):
    """No oversubscription: free credits, held ones and those on their way back always add up to the capacity.

    Environment: a unit asks only while it holds nothing, and gives back what it took, not in the clock of the grant.
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
        for unit in range(n_units):
            holds, held = Signal(name=f"holds{unit}"), Signal(shares_layout(CONFIG), name=f"held{unit}")
            coming = Signal(shares_layout(CONFIG), name=f"coming{unit}")
            asked, counted = pools.asked[unit], pools.counted[unit].as_value()
            m.d.comb += [
                pools.asks[unit].eq(AnySeq(1)),
                pools.gives[unit].eq(AnySeq(1) & holds),
                pools.shares[unit].as_value().eq(AnySeq(pools.shares[unit].as_value().shape().width)),
                Assume(~pools.asks[unit] | filled & ~holds & ~pools.grant[unit]),
                Assert(~pools.grant[unit] | pools.asking[unit] & ~holds),
            ]
            m.d.sync += coming.as_value().eq(Mux(pools.gives[unit], held.as_value(), 0))
            with m.If(pools.gives[unit]):
                m.d.sync += holds.eq(0)
            with m.If(pools.grant[unit]):
                m.d.sync += [holds.eq(1), held.eq(asked)]
            for pool in range(n_pools):
                total[pool] = total[pool] + Mux(holds, held[pool], 0) + coming[pool]
            m.d.comb += [
                Assert(~(holds | pools.asking[unit] | coming.as_value().any()) | filled),
                # the block's own notes are the truth
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

    Environment: a grant answers a request; what is looked up of a nano-operation stays the same while the slot stands
    at it.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.slot = slot = IssueSlot(CONFIG)
        self.index, self.announces = Signal.like(slot.index), Signal()
        for port in (slot.choice_valid, slot.choice, slot.choice_parity, slot.base, slot.issue.ready,
                     slot.complete.valid, slot.complete.index):  # fmt: skip
            m.d.comb += port.eq(AnySeq(len(port)))
        m.d.comb += [
            Assume(~ResetSignal()),
            slot.index.eq(self.index),
            slot.announce_start.eq(self.announces),
            slot.grant.eq(AnySeq(1) & slot.request),
        ]
        with m.If(~slot.busy & ~slot.grant):
            m.d.sync += [self.index.eq(AnySeq(len(self.index))), self.announces.eq(AnySeq(1))]
        # accepted and not complete; complete and not counted, or counted in the clock before
        self.works, self.owed, self.closes, self.accepted = Signal(), Signal(), Signal(), Signal()
        self.waited = Signal()
        self.explained = self.works & slot.complete.valid & (slot.complete.index == self.index)
        m.d.sync += [
            self.accepted.eq(slot.issue.valid & slot.issue.ready),
            self.waited.eq(slot.issue.valid & ~slot.issue.ready),
            self.closes.eq(slot.ends),
            self.owed.eq((self.owed | self.explained) & ~slot.ends),
        ]
        with m.If(slot.issue.valid & slot.issue.ready):
            m.d.sync += self.works.eq(1)
        with m.Elif(self.explained):
            m.d.sync += self.works.eq(0)
        at_work = self.works | self.owed | self.closes
        m.d.comb += [
            # the slot's own notes are the truth
            Assert(slot.in_flight == self.works),
            Assert(slot.busy == (at_work | self.waited)),
            Assert(slot.offered == self.waited),
            Assert(slot.deferred == self.owed),
            Assert(slot.ended == self.closes),
            Assert(slot.accepted == self.accepted),
            Assert(~self.accepted | self.works),
            Assert(~self.works | (slot.index_held == self.index) & (slot.announces == self.announces)),
            Assert(~(self.works & (self.owed | self.closes)) & ~(self.owed & self.closes)),
            Assert(~(self.waited & at_work)),
            Assert(~slot.request | ~(at_work | self.waited)),
        ]
        self._claim(m, slot, at_work)
        return m

    @abstractmethod
    def _claim(self, m: Module, slot: IssueSlot, at_work: Value) -> None:
        """Add the property's assertions."""


class SlotProperties(_Slot):
    """No double issue and no lost completion at a unit's port.

    An offer stands until it is accepted; nothing is offered while the unit works or its completion is being applied;
    the completion of what is in flight is always seen, and no other.
    """

    def _claim(self, m: Module, slot: IssueSlot, at_work: Value) -> None:
        index = Signal.like(slot.index)
        m.d.sync += index.eq(slot.issue.payload.index)
        m.d.comb += [
            Assert(slot.started == (slot.issue.valid & slot.issue.ready)),
            Assert(~(slot.issue.valid & at_work)),
            Assert(slot.completed == self.explained),
            Assert(slot.unexpected == (slot.complete.valid & ~self.explained)),
            Assert(~self.waited | slot.issue.valid & (slot.issue.payload.index == index)),
        ]


class EventsProperties(_Slot):
    """No lost event: every awaited start counts once, in the clock after its handshake, every completion once, in its
    clock or, if that is the one of the start, in the next; and each finds the column shown that it needs."""

    def _claim(self, m: Module, slot: IssueSlot, at_work: Value) -> None:
        showed_start = Signal()
        m.d.sync += showed_start.eq(slot.shows_start)
        m.d.comb += [
            Assert(slot.starts == (self.accepted & self.announces)),
            Assert(~(slot.starts & slot.ends)),
            # one that is owed counts now; one that comes counts, or is owed
            Assert(~slot.ends | self.owed | self.explained),
            Assert(~(self.owed | self.explained & ~slot.starts) | slot.ends),
            Assert(~slot.starts | showed_start),
            Assert(~slot.ends | ~showed_start),
        ]
