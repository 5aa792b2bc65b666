"""What is between the choice for a unit and the end of its work."""

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import Completion, issue_layout

__all__ = ["IssueSlot"]


class IssueSlot(wiring.Component):
    """Keep one unit's nano-operation from choice to release: chosen, granted, offered, in flight, complete, released.

    While the slot is free it takes the choice of every clock anew, so that the best one is asked for. Once granted, the
    choice stands until the clock after its completion has counted.

    Timing
    ------
    A choice is asked for in the clock after; ``issue.valid`` rises in the clock of the grant (latency 0) and holds
    until ``issue.ready``. A completion counts in its clock, from the clock after the handshake on; but an awaited start
    counts in the clock after the handshake, and a completion in that clock then counts in the one after.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    choice_valid, choice, choice_parity : In, the best nano-operation for this unit in this clock, and the parity of its
        iteration
    base : In(16), the older iteration in flight
    asks : Out(1), without a grant in this clock a nano-operation asks for its shares in the next
    pick, parity : Out, registers: place of the one chosen or in flight, and parity of its iteration
    index, announce_start : In, what the ports call what ``pick`` points to, and whether its start is awaited
    grant : In(1), the one chosen is given its shares
    issue : Out(stream), descriptor and iteration for the unit
    complete : In(completion) from the unit
    started : Out(1), the handshake
    completed : Out(1), a completion of what is in flight
    unexpected : Out(1), any other completion
    shows_start : Out(1), its next event is an awaited start
    starts, ends : Out(1), an awaited start or a completion counts

    Attributes
    ----------
    request : register, one is chosen and asks
    busy, offered, in_flight : from grant to release, granted and not accepted, accepted and not complete
    accepted, ended : registers, the handshake was, or the completion counted, in the clock before
    deferred : register, a completion counts a clock later
    index_held, announces : registers, ``index`` and ``announce_start``
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.request, self.busy, self.offered, self.in_flight = Signal(), Signal(), Signal(), Signal()
        self.accepted, self.deferred, self.ended, self.announces = Signal(), Signal(), Signal(), Signal()
        self.index_held = Signal(index_bits(config.n_descriptors))
        super().__init__(
            {
                "choice_valid": In(1),
                "choice": In(index_bits(config.n_descriptors)),
                "choice_parity": In(1),
                "base": In(COUNT_BITS),
                "asks": Out(1),
                "pick": Out(index_bits(config.n_descriptors)),
                "parity": Out(1),
                "index": In(index_bits(config.n_descriptors)),
                "announce_start": In(1),
                "grant": In(1),
                "issue": Out(stream.Signature(issue_layout(config))),
                "complete": In(Completion(config)),
                "started": Out(1),
                "completed": Out(1),
                "unexpected": Out(1),
                "shows_start": Out(1),
                "starts": Out(1),
                "ends": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        busy, offered, in_flight = self.busy, self.offered, self.in_flight
        accepted, deferred, ended = self.accepted, self.deferred, self.ended
        free, working = Signal(), Signal()
        # looked up by the pick, and looked at only while the pick stands
        m.d.sync += [self.index_held.eq(self.index), self.announces.eq(self.announce_start)]
        m.d.comb += [
            free.eq(~busy & ~self.grant),
            self.asks.eq(self.choice_valid & ~busy),
            self.issue.valid.eq(self.grant | offered),
            self.issue.payload.index.eq(self.index),
            # parity tells the iteration, since two are in flight at most
            self.issue.payload.iteration.eq(self.base + (self.parity ^ self.base[0])),
            self.started.eq(self.issue.valid & self.issue.ready),
            # the handshake comes late in its clock: nothing but a register hears it
            in_flight.eq(accepted | working),
            self.completed.eq(self.complete.valid & in_flight & (self.complete.index == self.index_held)),
            self.unexpected.eq(self.complete.valid & ~self.completed),
            self.shows_start.eq(self.announce_start & ~in_flight),
            self.starts.eq(accepted & self.announces),
            self.ends.eq(self.completed & ~self.starts | deferred),
        ]
        m.d.sync += [
            self.request.eq(self.choice_valid & free),
            offered.eq(self.issue.valid & ~self.issue.ready),
            accepted.eq(self.started),
            working.eq(in_flight & ~self.completed),
            deferred.eq(self.completed & self.starts),
            ended.eq(self.ends),
        ]
        with m.If(free):
            m.d.sync += [self.pick.eq(self.choice), self.parity.eq(self.choice_parity)]
        with m.If(self.grant):
            m.d.sync += busy.eq(1)
        with m.Elif(ended):
            m.d.sync += busy.eq(0)
        return m
