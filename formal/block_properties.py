"""Blocks of the scheduler unit, proved for ever by induction, each in an environment that keeps its contract."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, ResetSignal, Signal

from arch.scheduler import SchedulerConfig
from rtl.scheduler.credit_pools import CreditPools
from rtl.scheduler.event_arbiter import EventArbiter
from rtl.scheduler.issue_slot import IssueSlot
from rtl.scheduler.signature import shares_layout

__all__ = ["EventsProperties", "PoolsProperties", "SlotProperties"]

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=2, n_units=3, n_pools=2, n_chunks=2, share_bits=3)


class PoolsProperties(Elaboratable):
    """No oversubscription: free credits and held ones always add up to the capacity.

    Environment: a unit asks only while it holds nothing, gives back what it took, and one gives back in a clock.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.pools = pools = CreditPools(CONFIG)
        n_units, n_pools = CONFIG.n_units, CONFIG.n_pools
        filled, gives_back, giver = Signal(), Signal(), Signal(range(n_units))
        capacity = Signal.like(pools.capacities)
        m.d.comb += [
            Assume(~ResetSignal()),
            pools.fill.eq(~filled),
            pools.capacities.as_value().eq(AnySeq(pools.capacities.as_value().shape().width)),
            gives_back.eq(AnySeq(1)),
            giver.eq(AnySeq(len(giver))),
            pools.returned.eq(0),
            Assume(~gives_back | filled & (giver < n_units)),
        ]
        m.d.sync += filled.eq(1)
        with m.If(~filled):
            m.d.sync += capacity.eq(pools.capacities)
        total = [0] * n_pools
        for unit in range(n_units):
            wanted = pools.shares[unit][pools.bank[unit]]
            holds, held = Signal(name=f"holds{unit}"), Signal(shares_layout(CONFIG), name=f"held{unit}")
            gives = gives_back & (giver == unit)
            m.d.comb += [
                pools.request[unit].eq(AnySeq(1)),
                pools.shares[unit].as_value().eq(AnySeq(pools.shares[unit].as_value().shape().width)),
                pools.takes[unit].eq(wanted.as_value().any()),
                pools.bank[unit].eq(AnySeq(len(pools.bank[unit]))),
                Assume(~pools.request[unit] | filled & ~holds),
                Assume(~gives | holds),
                Assert(~pools.grant[unit] | pools.request[unit]),
            ]
            with m.If(gives):
                m.d.comb += pools.returned.eq(held)
                m.d.sync += holds.eq(0)
            with m.If(pools.grant[unit]):
                m.d.sync += [holds.eq(1), held.eq(wanted)]
            total = [total[pool] + Mux(holds, held[pool], 0) for pool in range(n_pools)]
            m.d.comb += Assert(~holds | filled)
        for pool in range(n_pools):
            m.d.comb += Assert(~filled | (pools.free[pool] + total[pool] == capacity[pool]))
        return m


class EventsProperties(Elaboratable):
    """No lost event: every start and completion passes exactly once, a start before its unit's completion.

    Environment: a unit raises no start while one of its own has not passed, nor a completion likewise.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.arbiter = arbiter = EventArbiter(CONFIG)
        n_units = CONFIG.n_units
        m.d.comb += Assume(~ResetSignal())
        owed = Signal(2 * n_units)
        raised = Cat(arbiter.starts, arbiter.completions)
        passes = Signal(2 * n_units)
        m.d.comb += [
            arbiter.starts.eq(AnySeq(n_units)),
            arbiter.completions.eq(AnySeq(n_units)),
            Assume(~(raised & owed).any()),
            passes.eq(arbiter.select << Mux(arbiter.start, 0, n_units)),
            Assert(arbiter.valid == arbiter.select.any()),
            Assert(~(arbiter.select & (arbiter.select - 1)).any()),
            # what passes was owed, and whatever is owed makes something pass
            Assert(~(passes & ~(owed | raised)).any()),
            Assert(arbiter.valid == (owed | raised).any()),
            Assert(~(passes[n_units:] & (owed | raised)[:n_units]).any()),
            # the arbiter's own note of what waits is the truth
            Assert(arbiter.waiting == owed),
        ]
        m.d.sync += owed.eq((owed | raised) & ~passes)
        return m


class SlotProperties(Elaboratable):
    """No double issue and no lost completion at a unit's port.

    An offer stands until it is accepted; nothing is offered while the unit works or its completion is being applied;
    the completion of what is in flight is always seen, and no other.

    Environment: a grant answers a request; a release follows the completion; what the ports call a nano-operation
    stays the same while the slot stands at it.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.slot = slot = IssueSlot(CONFIG)
        works, owed = Signal(), Signal()
        waited, payload = Signal(), Signal.like(slot.issue.payload.as_value())
        index = Signal.like(slot.index)
        m.d.comb += [
            Assume(~ResetSignal()),
            slot.choice_valid.eq(AnySeq(1)),
            slot.choice.eq(AnySeq(len(slot.choice))),
            slot.turn_parity.eq(AnySeq(1)),
            slot.base.eq(AnySeq(len(slot.base))),
            slot.index.eq(index),
            slot.grant.eq(AnySeq(1) & slot.request),
            slot.issue.ready.eq(AnySeq(1)),
            slot.complete.valid.eq(AnySeq(1)),
            slot.complete.index.eq(AnySeq(len(slot.complete.index))),
            slot.released.eq(AnySeq(1) & owed),
        ]
        explained = works & slot.complete.valid & (slot.complete.index == index)
        with m.If(~slot.busy & ~slot.grant):
            m.d.sync += index.eq(AnySeq(len(index)))
        with m.If(slot.started):
            m.d.sync += works.eq(1)
        with m.Elif(explained):
            m.d.sync += [works.eq(0), owed.eq(1)]
        with m.If(slot.released):
            m.d.sync += owed.eq(0)
        # the older iteration cannot end while an offer of it stands
        m.d.sync += [waited.eq(slot.issue.valid & ~slot.issue.ready), payload.eq(slot.issue.payload.as_value())]
        index_bits = len(slot.complete.index)
        m.d.comb += [
            Assert(slot.started == (slot.issue.valid & slot.issue.ready)),
            Assert(~(slot.issue.valid & (works | owed))),
            Assert(~(works & owed)),
            Assert(slot.completed == explained),
            Assert(slot.unexpected == (slot.complete.valid & ~explained)),
            Assert(~waited | slot.issue.valid & (slot.issue.payload.index == payload[:index_bits])),
            Assert(~slot.request | ~(works | owed | waited)),
            # the slot's own notes are the truth
            Assert(slot.in_flight == works),
            Assert(slot.busy == (works | owed | waited)),
            Assert(slot.offered == waited),
        ]
        return m
