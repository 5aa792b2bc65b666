"""The cluster behind field-standard buses: what an FPGA or ASIC design instantiates."""

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, Out

from arch.axis_format import complete_format, issue_format, load_format, points_format, results_format
from arch.nfp import NFP_COUNTERS, ClusterConfig, NfpConfig
from arch.register_map import register_map
from arch.supervision import DECISION_BITS, Cause, Decision
from rtl.bus.axi import AxiLiteSignature, AxisSignature
from rtl.bus.axi_lite_registers import AxiLiteRegisters
from rtl.bus.axis_adapter import FromAxis, ToAxis
from rtl.cluster.nfp_cluster import NfpCluster
from rtl.cluster.scheduled_cluster import ScheduledCluster
from rtl.nfp.nfp import Nfp
from rtl.scheduler.supervision_signature import status_layout
from rtl.streams import connect_stream

__all__ = ["NfpTop"]

_FAILED_BITS = 32


class NfpTop(Component):
    """A cluster of neural fields processors with AXI4-Lite registers and AXI4-Stream data.

    One clock ``clk``, one synchronous reset ``rst``, active high. All outputs of the buses are registers.

    *Timing*: a register each way beside ``rtl.cluster.NfpCluster``: results come two clocks later.

    Parameters
    ----------
    config : the cluster, with or without a scheduler unit
    make_nfp : makes a processor

    Members
    -------
    s_axil_* : AXI4-Lite, 12-bit byte addresses, 32-bit data: the registers of ``arch/ngpc.rdl``
    s_axis_load_* : AXI4-Stream, load words (``arch.axis_format.load_format``)
    s_axis_points_* : AXI4-Stream, points (``points_format``), ``config.beat_points`` a transfer; TLAST ends a run, and
        with it a transfer may have fewer: TKEEP tells
    m_axis_results_* : AXI4-Stream, results (``results_format``), likewise; TLAST ends a run, TUSER marks errors, a bit
        a result
    m_axis_issue<u>_*, s_axis_complete<u>_* : AXI4-Stream, only with a scheduler, for every unit u of it but the
        cluster: what it shall execute (``issue_format``), and what is complete (``complete_format``)
    irq : Out(1), level, high while an enabled bit of ``irq_status`` is set
    """

    def __init__(self, config: ClusterConfig, make_nfp: Callable[[NfpConfig], Component] = Nfp) -> None:
        self.config, self._make_nfp = config, make_nfp
        beat = config.beat_points
        buses = {
            "s_axil": AxiLiteSignature().flip(),
            "s_axis_load": AxisSignature(load_format().data_bytes).flip(),
            "s_axis_points": AxisSignature(beat * points_format(config.nfp).data_bytes).flip(),
            "m_axis_results": AxisSignature(beat * results_format(config.nfp).data_bytes, user_bits=beat),
        }
        scheduler = config.scheduler
        units = range(scheduler.n_units) if scheduler else ()
        self._outside = [unit for unit in units if unit != config.scheduler_unit]
        for unit in self._outside:
            buses[f"m_axis_issue{unit}"] = AxisSignature(issue_format(scheduler).data_bytes)
            buses[f"s_axis_complete{unit}"] = AxisSignature(complete_format(scheduler).data_bytes).flip()
        self._buses = buses
        ports = {
            f"{bus}_{name}": member for bus, signature in buses.items() for name, member in signature.members.items()
        }
        super().__init__({**ports, "irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.registers = registers = AxiLiteRegisters(register_map(config))
        m.submodules.cluster = cluster = (ScheduledCluster if config.scheduler else NfpCluster)(config, self._make_nfp)
        m.submodules.load = load = FromAxis(cluster.load.payload.shape(), load_format())
        m.submodules.points = points = FromAxis(
            cluster.points.payload.shape(), points_format(config.nfp), config.beat_points
        )
        m.submodules.results = results = ToAxis(
            cluster.results.payload.shape(), results_format(config.nfp), config.beat_points
        )
        connect_stream(m, load.o, cluster.load)
        connect_stream(m, points.o, cluster.points)
        connect_stream(m, cluster.results, results.i)
        for bus, inner in (
            ("s_axil", registers.bus),
            ("s_axis_load", load.axis),
            ("s_axis_points", points.axis),
            ("m_axis_results", results.axis),
        ):
            self._join(m, bus, inner)
        m.d.comb += [
            registers.status_busy.eq(cluster.busy | load.o.valid | points.o.valid | results.axis.tvalid),
            registers.irq_status_run_done_set.eq(results.axis.tvalid & results.axis.tready & results.axis.tlast),
        ]
        self._report(m, registers, cluster)
        sources = [load, points]
        if config.scheduler:
            sources += self._schedule(m, registers, cluster)
        m.d.comb += registers.irq_status_keep_error_set.eq(Cat(source.keep_error for source in sources).any())
        return m

    def _join(self, m: Module, bus: str, inner: object) -> None:
        for name, member in self._buses[bus].members.items():
            outer, signal = getattr(self, f"{bus}_{name}"), getattr(inner, name)
            m.d.comb += outer.eq(signal) if member.flow is Out else signal.eq(outer)

    def _report(self, m: Module, registers: AxiLiteRegisters, cluster: NfpCluster | ScheduledCluster) -> None:
        """Watchdog, failures, the interrupt and the counters' copies."""
        failed_before = Signal.like(cluster.failed)
        m.d.sync += failed_before.eq(cluster.failed)
        m.d.comb += [
            cluster.watchdog.eq(registers.watchdog_clocks),
            registers.failed_mask.eq(cluster.failed[:_FAILED_BITS]),
            registers.irq_status_nfp_failed_set.eq((cluster.failed & ~failed_before).any()),
        ]
        events = [field.name for field in register_map(self.config).register("irq_status").fields]
        pending = Cat(
            getattr(registers, f"irq_status_{event}") & getattr(registers, f"irq_enable_{event}") for event in events
        )
        m.d.sync += self.irq.eq(pending.any())
        for name in NFP_COUNTERS:
            copy = Signal.like(cluster.counters[name], name=f"{name}_copy")
            with m.If(registers.control_snapshot):
                m.d.sync += copy.eq(cluster.counters[name])
            m.d.comb += getattr(registers, f"{name}_count").eq(copy)

    def _schedule(self, m: Module, registers: AxiLiteRegisters, cluster: ScheduledCluster) -> list[FromAxis]:
        """The scheduler unit's registers, and the streams of the units outside; returns those that come in."""
        clocks, refused_before = Signal.like(cluster.cycle), Signal()
        m.d.sync += refused_before.eq(cluster.refused)
        with m.If(registers.control_snapshot):
            m.d.sync += clocks.eq(cluster.cycle)
        m.d.comb += [
            cluster.start.eq(registers.program_control_start),
            cluster.scheduled.eq(registers.program_control_scheduled),
            registers.program_status_run_index.eq(cluster.run_index),
            registers.program_status_run_active.eq(cluster.run_active),
            registers.program_status_busy.eq(cluster.program_busy),
            registers.program_status_protocol_error.eq(cluster.protocol_error),
            registers.program_status_refused.eq(cluster.refused),
            registers.program_status_fault.eq(cluster.fault),
            registers.program_status_fault_index.eq(cluster.fault_index),
            registers.program_clocks_low.eq(clocks[:32]),
            registers.program_clocks_high_high.eq(clocks[32:]),
            registers.irq_status_program_done_set.eq(cluster.done),
            registers.irq_status_run_error_set.eq(cluster.run_error),
            registers.irq_status_refused_set.eq(cluster.refused & ~refused_before),
        ]
        if self.config.scheduler.supervised:
            self._supervise(m, registers, cluster.supervision)
        completions = []
        for issue, complete, unit in zip(cluster.issue, cluster.complete, self._outside, strict=True):
            out = ToAxis(issue.payload.shape(), issue_format(self.config.scheduler))
            words = complete_format(self.config.scheduler)
            fields = {field.name: getattr(complete, field.name).shape() for field in words.fields}
            back = FromAxis(data.StructLayout(fields), words)
            m.submodules[f"issue{unit}"], m.submodules[f"complete{unit}"] = out, back
            connect_stream(m, issue, out.i)
            self._join(m, f"m_axis_issue{unit}", out.axis)
            self._join(m, f"s_axis_complete{unit}", back.axis)
            m.d.comb += [
                back.o.ready.eq(1),
                complete.valid.eq(back.o.valid),
                *(getattr(complete, name).eq(back.o.payload[name]) for name in fields),
            ]
            completions.append(back)
        return completions

    def _supervise(self, m: Module, registers: AxiLiteRegisters, ports: object) -> None:
        """What a host sees and decides of the scheduler's units."""
        status = Signal(status_layout(self.config.scheduler))
        with m.Switch(registers.unit_select_unit):
            for unit, its in enumerate(ports.status):
                with m.Case(unit):
                    m.d.comb += status.eq(its)
        decision = Signal(DECISION_BITS)
        for name in ("reissue", "done", "drop"):
            with m.If(getattr(registers, f"unit_decision_{name}")):
                m.d.comb += decision.eq(Decision[name.upper()])
        for unit, resolve in enumerate(ports.resolve):
            m.d.comb += resolve.eq(Mux(registers.unit_decision_unit == unit, decision, 0))
            if self.config.scheduler.watchdog_bits:
                m.d.comb += ports.watchdog_limit[unit].eq(getattr(registers, f"unit{unit}_limit_clocks"))
        causes = ports.events
        m.d.comb += [
            ports.probe.eq(registers.unit_select_place),
            ports.drop_failed.eq(registers.unit_policy_drop_failed),
            ports.abort.eq(registers.program_control_abort),
            ports.abort_discard.eq(registers.program_control_discard),
            registers.unit_status_state.eq(status.state),
            registers.unit_status_cause.eq(status.cause),
            registers.unit_status_attempt.eq(status.attempt),
            registers.unit_status_index.eq(status.index),
            registers.unit_status_iteration.eq(status.iteration),
            registers.unit_progress_issued.eq(ports.issued),
            registers.unit_progress_failed.eq(ports.failed),
            registers.dropped_count.eq(ports.dropped),
            registers.irq_status_unit_failed_set.eq(causes[Cause.FAILED] | causes[Cause.WATCHDOG]),
            registers.irq_status_late_set.eq(causes[Cause.LATE]),
            registers.irq_status_aborted_set.eq(causes[Cause.ABORTED]),
        ]
