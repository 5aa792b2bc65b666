"""What is between the choice for a unit and the end of its work."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import Completion, issue_layout

__all__ = ["IssueSlot"]


class IssueSlot(wiring.Component):
    """Keep one unit's nano-operation from choice to release: chosen, granted, offered, in flight, complete, released.

    While the slot is free it takes the choice of every clock anew, so that the best one is asked for. Once granted, the
    choice stands until its completion has been applied.

    Timing
    ------
    A choice is asked for in the clock after; ``issue.valid`` rises in the clock of the grant (latency 0) and holds
    until ``issue.ready``. A completion counts from the clock after the handshake on.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    choice_valid, choice : In, the best nano-operation for this unit in this clock
    base : In(16), the older iteration in flight
    request : Out(1), a nano-operation is chosen and asks for its shares
    pick : Out, place of the one chosen or in flight
    turn_parity : In(1), parity of the iteration it is next issued in
    parity : Out(1), register: parity of the iteration it was granted in
    index : In, what the ports call it
    grant : In(1), its shares are taken; only with ``request``
    issue : Out(stream), descriptor and iteration for the unit
    complete : In(completion) from the unit
    started : Out(1), the handshake
    accepted : Out(1), register: the handshake was in the clock before
    completed : Out(1), a completion of what is in flight
    unexpected : Out(1), any other completion
    released : In(1), the completion has been applied

    Attributes
    ----------
    busy, offered, in_flight : from grant to release, granted and not accepted, accepted and not complete
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.busy, self.offered, self.in_flight = Signal(), Signal(), Signal()
        super().__init__(
            {
                "choice_valid": In(1),
                "choice": In(index_bits(config.n_descriptors)),
                "base": In(COUNT_BITS),
                "request": Out(1),
                "pick": Out(index_bits(config.n_descriptors)),
                "turn_parity": In(1),
                "parity": Out(1),
                "index": In(index_bits(config.n_descriptors)),
                "grant": In(1),
                "issue": Out(stream.Signature(issue_layout(config))),
                "complete": In(Completion(config)),
                "started": Out(1),
                "accepted": Out(1),
                "completed": Out(1),
                "unexpected": Out(1),
                "released": In(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        busy, offered, in_flight = self.busy, self.offered, self.in_flight
        free = Signal()
        # looked up by the pick, and looked at only while the pick stands
        index = Signal.like(self.index)
        m.d.sync += index.eq(self.index)
        m.d.comb += [
            free.eq(~busy & ~self.grant),
            self.issue.valid.eq(self.grant | offered),
            self.issue.payload.index.eq(self.index),
            # parity tells the iteration, since two are in flight at most
            self.issue.payload.iteration.eq(self.base + (Mux(busy, self.parity, self.turn_parity) ^ self.base[0])),
            self.started.eq(self.issue.valid & self.issue.ready),
            self.completed.eq(self.complete.valid & in_flight & (self.complete.index == index)),
            self.unexpected.eq(self.complete.valid & ~self.completed),
        ]
        m.d.sync += [
            self.request.eq(self.choice_valid & free),
            offered.eq(self.issue.valid & ~self.issue.ready),
        ]
        with m.If(free):
            m.d.sync += self.pick.eq(self.choice)
        # looked up by the pick as well, but only till the grant
        with m.If(~busy):
            m.d.sync += self.parity.eq(self.turn_parity)
        with m.If(self.grant):
            m.d.sync += busy.eq(1)
        with m.Elif(self.released):
            m.d.sync += busy.eq(0)
        # the handshake comes late in its clock: nothing but a register hears it
        working = Signal()
        m.d.comb += in_flight.eq(self.accepted | working)
        m.d.sync += [self.accepted.eq(self.started), working.eq(in_flight & ~self.completed)]
        return m
