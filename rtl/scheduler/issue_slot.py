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
    choice stands until the clock after its completion has counted.

    A nano-operation has an event, its completion, or two, its start too if that is awaited. Each is first *counted*, in
    the clock after the grant or, the completion after an awaited start, in the second clock after the start, and pends
    until it happens.

    Timing
    ------
    A choice is asked for in the clock after; ``issue.valid`` rises in the clock of the grant (latency 0) and holds
    until ``issue.ready``. A completion happens in its clock, from the clock after the handshake on; an awaited start
    happens in the clock after the handshake, and the completion in the third clock after the handshake at the earliest:
    one that comes earlier is kept until then.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    choice_valid, choice, choice_parity : In, the best nano-operation for this unit in this clock, and the parity of its
        iteration; while ``busy``, ``choice`` is ``pick``
    base : In(16), the older iteration in flight
    old, retire : In(1), its parity; it ends in this clock
    asks : Out(1), without a grant in this clock a nano-operation asks for its shares in the next
    pick, parity : Out, place of the one chosen or in flight, and parity of its iteration
    stands : Out, register: place of the one that was granted last
    busy : Out(1), register: from the clock after the grant to the release
    index, announce_start : In, what the ports call what ``pick`` points to, and whether its start is awaited
    certain, hopeful, fits : In(1), the one chosen is granted for certain, or if it fits
    grant : Out(1), it is given its shares
    issue : Out(stream), descriptor and iteration for the unit
    complete : In(completion) from the unit
    started : Out(1), the handshake
    completed : Out(1), a completion of what is in flight
    unexpected : Out(1), any other completion
    shows : Out(1), the column of its next event is to be kept: from the next clock on it stands
    even, odd, newest : Out(1), an event is counted, in an iteration of that parity, in the newer one
    works_even, works_odd : Out(1), registers: it has been granted, and its completion has not happened
    pends_older, pends_newer : Out(1), registers: what was counted has yet to happen, in the older or newer iteration
    starts, ends : Out(1), an awaited start or a completion happens

    Attributes
    ----------
    request : register, one is chosen and asks
    offered, in_flight : granted and not accepted, accepted and not complete
    accepted, ended : registers, the handshake was, or the completion happened, in the clock before
    renews : register, the completion after an awaited start is counted
    deferred : register, a completion is kept
    may_end : register, a completion would not be kept
    index_held, announces : registers, ``index`` and ``announce_start``
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.request, self.offered, self.in_flight = Signal(), Signal(), Signal()
        self.accepted, self.deferred, self.ended, self.announces = Signal(), Signal(), Signal(), Signal()
        self.renews, self.may_end = Signal(), Signal()
        self.index_held = Signal(index_bits(config.n_descriptors))
        place = index_bits(config.n_descriptors)
        outputs = (
            "asks", "busy", "grant", "started", "completed", "unexpected", "shows", "even", "odd", "newest",
            "works_even", "works_odd", "pends_older", "pends_newer", "starts", "ends",
        )  # fmt: skip
        inputs = ("choice_valid", "choice_parity", "old", "retire", "announce_start", "certain", "hopeful", "fits")
        super().__init__(
            {
                "choice": In(place),
                "base": In(COUNT_BITS),
                "pick": Out(place),
                "stands": Out(place),
                "parity": Out(1),
                "index": In(place),
                "issue": Out(stream.Signature(issue_layout(config))),
                "complete": In(Completion(config)),
                **{name: In(1) for name in inputs},
                **{name: Out(1) for name in outputs},
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        busy, offered = self.busy, self.offered
        # a choice stands from the clock after its grant on
        chosen, stands = Signal.like(self.pick), self.stands
        chosen_parity, stands_parity = Signal(), Signal()
        m.d.sync += [
            chosen.eq(self.choice),
            chosen_parity.eq(self.choice_parity),
            self.request.eq(self.asks & ~self.grant),
        ]
        with m.If(~busy):
            m.d.sync += [stands.eq(chosen), stands_parity.eq(chosen_parity)]
        m.d.comb += [
            self.pick.eq(Mux(busy, stands, chosen)),
            self.parity.eq(Mux(busy, stands_parity, chosen_parity)),
            self.asks.eq(self.choice_valid & ~busy),
            self.grant.eq(self.certain | self.hopeful & self.fits),
            # as every sum of a grant and something else: all but ``fits`` first
            self.issue.valid.eq((self.certain | offered) | self.hopeful & self.fits),
            self.issue.payload.index.eq(self.index),
            # parity tells the iteration, since two are in flight at most
            self.issue.payload.iteration.eq(self.base + (self.parity ^ self.base[0])),
            self.started.eq(self.issue.valid & self.issue.ready),
        ]
        m.d.sync += [offered.eq(self.issue.valid & ~self.issue.ready), self.accepted.eq(self.started)]
        m.d.sync += busy.eq((self.certain | busy & ~self.ended) | self.hopeful & self.fits)
        self._complete(m)
        self._count(m)
        return m

    def _complete(self, m: Module) -> None:
        """From the handshake to the end."""
        in_flight, working, early, heard = self.in_flight, Signal(), Signal(), Signal()
        half = len(self.index_held) // 2
        # looked up by the pick, and looked at only while the pick stands
        m.d.sync += [self.index_held.eq(self.index), self.announces.eq(self.announce_start)]
        accepts = self.issue.ready & ~self.announce_start
        same_low = self.complete.index[:half] == self.index_held[:half]
        same_high = self.complete.index[half:] == self.index_held[half:]
        m.d.comb += [
            # the handshake comes late in its clock: nothing but a register hears it
            in_flight.eq(self.accepted | working),
            heard.eq(self.complete.valid & same_high),
            self.completed.eq(heard & in_flight & same_low),
            self.unexpected.eq(self.complete.valid & ~self.completed),
            self.starts.eq(self.accepted & self.announces),
            early.eq(self.starts | self.renews),
            self.ends.eq(same_low & (self.may_end & heard) | self.deferred & ~early),
        ]
        m.d.sync += [
            working.eq(in_flight & ~self.completed),
            self.renews.eq(self.starts),
            self.deferred.eq((self.completed | self.deferred) & early),
            self.may_end.eq(
                (self.certain | self.offered) & accepts
                | in_flight & ~self.completed & ~self.starts
                | (self.hopeful & accepts) & self.fits
            ),
            self.ended.eq(self.ends),
        ]

    def _count(self, m: Module) -> None:
        """Events as they are counted, and as they pend."""
        # a grant comes late in its clock, and what happens and what ends, too
        certain, counted, happens, newer = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            certain.eq(self.certain | self.renews),
            happens.eq(self.starts | self.ends),
            newer.eq(self.parity ^ self.old),
            self.shows.eq(~self.busy | self.renews),
            self.even.eq(certain & ~self.parity | (self.hopeful & ~self.parity) & self.fits),
            self.odd.eq(certain & self.parity | (self.hopeful & self.parity) & self.fits),
            self.newest.eq(certain & newer | (self.hopeful & newer) & self.fits),
        ]
        pends_older, pends_newer = counted & ~newer | self.pends_older, counted & newer | self.pends_newer
        m.d.sync += [
            self.works_even.eq(
                (certain & ~self.parity | self.works_even & ~self.ends) | (self.hopeful & ~self.parity) & self.fits
            ),
            self.works_odd.eq(
                (certain & self.parity | self.works_odd & ~self.ends) | (self.hopeful & self.parity) & self.fits
            ),
            counted.eq(certain | self.hopeful & self.fits),
            # nothing pends in an iteration that ends
            self.pends_older.eq((pends_older | pends_newer & self.retire) & ~happens),
            self.pends_newer.eq(pends_newer & ~self.retire & ~happens),
        ]
