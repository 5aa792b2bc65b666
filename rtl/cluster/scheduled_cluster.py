"""A cluster that runs programs: the scheduler unit beside it, the cluster as one of its units."""

from collections.abc import Callable

from amaranth.hdl import Module, Mux
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, Signature, connect, flipped

from arch.load import LoadTarget
from arch.load_check import FAULT_BITS
from arch.nfp import COUNTER_BITS, ClusterConfig, NfpConfig
from rtl.cluster.beats import point_beats, result_beats
from rtl.cluster.nfp_cluster import NfpCluster
from rtl.cluster.program_loader import ProgramLoader
from rtl.cluster.run_unit import RunUnit
from rtl.nfp.nfp import Nfp
from rtl.nfp.nfp_counters import CountersLayout
from rtl.scheduler.scheduler_unit import CYCLE_BITS
from rtl.scheduler.supervised_scheduler import scheduler_of
from rtl.scheduler.supervision_signature import completion_signature, offer_layout, supervision_members
from rtl.streams import LoadLayout

__all__ = ["ScheduledCluster"]


class ScheduledCluster(Component):
    """Run frame programs: operations of the cluster are runs of points, those of the other units are done outside.

    A loaded program starts with ``start``. While ``scheduled`` is high every run of points (up to ``last``) waits for a
    nano-operation of the cluster, and that one is complete when the run's last result has left; ``run_index`` tells the
    host which one is in work. Nano-operations of the other units are issued on ``issue`` and completed by the host on
    ``complete``. While ``scheduled`` is low points run as on a bare cluster.

    *Timing*: ``rtl.scheduler.SchedulerUnit`` and ``rtl.cluster.NfpCluster``, with nothing between them.

    *Loading*: ``arch.program_image`` besides what the cluster takes; program words wait while a program runs.

    Parameters
    ----------
    config : the cluster, with its scheduler
    make_nfp : makes a processor

    Members
    -------
    load, points, results, watchdog, failed, busy, counters : as ``NfpCluster``'s
    scheduled : In(1); changes while no point is inside and no program runs
    start, program_busy, done, protocol_error, cycle : ``start``, ``busy`` and so on of the scheduler unit
    refused, fault, fault_index : Out, the verdict on the last program started, until the next start; 0 in builds
        without ``check_load``
    issue : Out(stream).array(n_units - 1), of the units outside, by number
    complete : In(completion).array(n_units - 1)
    run_active, run_index : Out, a nano-operation of the cluster is in work, and its descriptor
    run_error : Out(1), one clock: it completes and a result of it was an error
    supervision : with ``supervised``, the ports of ``rtl.scheduler.SupervisedScheduler`` that are for the host
    """

    def __init__(self, config: ClusterConfig, make_nfp: Callable[[NfpConfig], Component] = Nfp) -> None:
        self.config = config
        scheduler = config.scheduler
        self._cluster = NfpCluster(config, make_nfp)
        self._scheduler = scheduler_of(scheduler)
        self._outside = [unit for unit in range(scheduler.n_units) if unit != config.scheduler_unit]
        issue, outside = offer_layout(scheduler), len(self._outside)
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "points": In(stream.Signature(point_beats(config))),
                "results": Out(stream.Signature(result_beats(config))),
                "watchdog": In(COUNTER_BITS),
                "failed": Out(config.n_nfps),
                "busy": Out(1),
                "counters": Out(CountersLayout()),
                "scheduled": In(1),
                "start": In(1),
                "program_busy": Out(1),
                "done": Out(1),
                "protocol_error": Out(1),
                "cycle": Out(CYCLE_BITS),
                "refused": Out(1),
                "fault": Out(FAULT_BITS),
                "fault_index": Out(issue["index"].shape),
                "issue": Out(stream.Signature(issue)).array(outside),
                "complete": In(completion_signature(scheduler)).array(outside),
                "run_active": Out(1),
                "run_index": Out(issue["index"].shape),
                "run_error": Out(1),
                **({"supervision": Out(Signature(supervision_members(scheduler)))} if scheduler.supervised else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.cluster = cluster = self._cluster
        m.submodules.scheduler = scheduler = self._scheduler
        m.submodules.run_unit = run = RunUnit(self.config)
        connect(m, flipped(self.points), run.i)
        connect(m, run.o, cluster.points)
        connect(m, cluster.results, flipped(self.results))
        connect(m, scheduler.issue[self.config.scheduler_unit], run.issue)
        connect(m, run.complete, scheduler.complete[self.config.scheduler_unit])
        for place, unit in enumerate(self._outside):
            connect(m, scheduler.issue[unit], flipped(self.issue[place]))
            connect(m, flipped(self.complete[place]), scheduler.complete[unit])
        errors = self.results.payload.error
        m.d.comb += [
            cluster.watchdog.eq(self.watchdog),
            self.failed.eq(cluster.failed),
            self.busy.eq(cluster.busy),
            self.counters.eq(cluster.counters),
            scheduler.start.eq(self.start),
            self.program_busy.eq(scheduler.busy),
            self.done.eq(scheduler.done),
            self.protocol_error.eq(scheduler.protocol_error),
            self.cycle.eq(scheduler.cycle),
            run.scheduled.eq(self.scheduled),
            run.result_moves.eq(self.results.valid & self.results.ready),
            run.result_last.eq(self.results.payload.last),
            run.result_error.eq(errors.any() if self.config.beat_points > 1 else errors),
            self.run_active.eq(run.active),
            self.run_index.eq(run.index),
            self.run_error.eq(run.error),
        ]
        if self.config.scheduler.check_load:
            with m.If(self.start & ~scheduler.busy):
                m.d.sync += [self.refused.eq(0), self.fault.eq(0), self.fault_index.eq(0)]
            with m.Elif(scheduler.refused):
                m.d.sync += [
                    self.refused.eq(1),
                    self.fault.eq(scheduler.fault),
                    self.fault_index.eq(scheduler.fault_index),
                ]
        if self.config.scheduler.supervised:
            self._supervise(m)
        self._load(m)
        return m

    def _supervise(self, m: Module) -> None:
        for name, member in supervision_members(self.config.scheduler).items():
            outer, inner = getattr(self.supervision, name), getattr(self._scheduler, name)
            pairs = zip(outer, inner, strict=True) if member.dimensions else [(outer, inner)]
            m.d.comb += [ours.eq(its) if member.flow is Out else its.eq(ours) for ours, its in pairs]

    def _load(self, m: Module) -> None:
        m.submodules.program_loader = loader = ProgramLoader(self.config.scheduler)
        connect(m, loader.o, self._scheduler.load)
        for_scheduler = self.load.payload.target == LoadTarget.SCHEDULER
        cluster = self._cluster.load
        m.d.comb += [
            loader.i.payload.eq(self.load.payload),
            loader.i.valid.eq(self.load.valid & for_scheduler),
            cluster.payload.eq(self.load.payload),
            cluster.valid.eq(self.load.valid & ~for_scheduler),
            self.load.ready.eq(Mux(for_scheduler, loader.i.ready, cluster.ready)),
        ]
