"""The cluster behind field-standard buses: what an FPGA or ASIC design instantiates."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import Component, Out

from arch.axis_format import load_format, points_format, results_format
from arch.nfp import NFP_COUNTERS, ClusterConfig
from arch.register_map import register_map
from rtl.bus.axi import AxiLiteSignature, AxisSignature
from rtl.bus.axi_lite_registers import AxiLiteRegisters
from rtl.bus.axis_adapter import FromAxis, ToAxis
from rtl.cluster.nfp_cluster import NfpCluster
from rtl.streams import connect_stream

__all__ = ["NfpTop"]

_FAILED_BITS = 32


class NfpTop(Component):
    """A cluster of neural fields processors with AXI4-Lite registers and AXI4-Stream data.

    One clock ``clk``, one synchronous reset ``rst``, active high. All outputs of the buses are registers.

    *Timing*: a register each way beside ``rtl.cluster.NfpCluster``: results come two clocks later.

    Parameters
    ----------
    config : the cluster

    Members
    -------
    s_axil_* : AXI4-Lite, 12-bit byte addresses, 32-bit data: the registers of ``arch/ngpc.rdl``
    s_axis_load_* : AXI4-Stream, load words (``arch.axis_format.load_format``)
    s_axis_points_* : AXI4-Stream, points (``points_format``); TLAST ends a run
    m_axis_results_* : AXI4-Stream, results (``results_format``); TLAST ends a run, TUSER marks an error
    irq : Out(1), level, high while an enabled bit of ``irq_status`` is set
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        buses = {
            "s_axil": AxiLiteSignature().flip(),
            "s_axis_load": AxisSignature(load_format().data_bytes).flip(),
            "s_axis_points": AxisSignature(points_format(config.nfp).data_bytes).flip(),
            "m_axis_results": AxisSignature(results_format(config.nfp).data_bytes, user_bits=1),
        }
        self._buses = buses
        ports = {
            f"{bus}_{name}": member for bus, signature in buses.items() for name, member in signature.members.items()
        }
        super().__init__({**ports, "irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.registers = registers = AxiLiteRegisters(register_map(config))
        m.submodules.cluster = cluster = NfpCluster(config)
        m.submodules.load = load = FromAxis(cluster.load.payload.shape(), load_format())
        m.submodules.points = points = FromAxis(cluster.points.payload.shape(), points_format(config.nfp))
        m.submodules.results = results = ToAxis(cluster.results.payload.shape(), results_format(config.nfp))
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
            registers.irq_status_keep_error_set.eq(load.keep_error | points.keep_error),
        ]
        self._report(m, registers, cluster)
        return m

    def _join(self, m: Module, bus: str, inner: object) -> None:
        for name, member in self._buses[bus].members.items():
            outer, signal = getattr(self, f"{bus}_{name}"), getattr(inner, name)
            m.d.comb += outer.eq(signal) if member.flow is Out else signal.eq(outer)

    def _report(self, m: Module, registers: AxiLiteRegisters, cluster: NfpCluster) -> None:
        """Watchdog, failures, the interrupt and the counters' copies."""
        failed_before = Signal.like(cluster.failed)
        m.d.sync += failed_before.eq(cluster.failed)
        m.d.comb += [
            cluster.watchdog.eq(registers.watchdog_clocks),
            registers.failed_mask.eq(cluster.failed[:_FAILED_BITS]),
            registers.irq_status_nfp_failed_set.eq((cluster.failed & ~failed_before).any()),
        ]
        events = ("run_done", "keep_error", "nfp_failed")
        pending = Cat(
            getattr(registers, f"irq_status_{event}") & getattr(registers, f"irq_enable_{event}") for event in events
        )
        m.d.sync += self.irq.eq(pending.any())
        for name in NFP_COUNTERS:
            copy = Signal.like(cluster.counters[name], name=f"{name}_copy")
            with m.If(registers.control_snapshot):
                m.d.sync += copy.eq(cluster.counters[name])
            m.d.comb += getattr(registers, f"{name}_count").eq(copy)
