"""The neural fields processor: grid encoding feeding the MLP engine, with no memory trip between them."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from arch.load import LoadTarget
from arch.mlp import FUSED_OUTPUTS
from arch.nfp import NfpConfig
from arch.nfp_image import DENSITY_RESULTS_ADDRESS
from rtl.encoding.grid_encoding import GridEncoding
from rtl.mlp.mlp_engine import MlpEngine
from rtl.nfp.nfp_counters import CountersLayout, NfpCounters
from rtl.streams import LoadLayout, VectorLayout, points_layout

__all__ = ["Nfp"]


class Nfp(Component):
    """A grid encoding engine fused with an MLP engine.

    Guarantee: one result a point, in the order of the points; equal to ``reference.field.field_integer`` bit for bit,
    in ``fp16`` to ``field_fp16``.
    Both networks of a nerf field run in one pass of a nano-batch: the direction code comes with the point, waits
    beside the encoding engine and enters the MLP engine as its side inputs.

    *Timing*: the engines overlap, so the initiation interval is that of the slower one; ``sim.engine.nfp`` gives every
    clock. A result comes one encoding latency, one full nano-batch and one pass through all layers after its point.
    ``counters`` tell which engine is the slower one (``arch.nfp.NFP_COUNTERS``).

    *Numerics*: docs/numerics.md. Features past the grid's levels reach the first layer as 0.

    Parameters
    ----------
    config : both engines' build-time parameters

    Members
    -------
    load : In(stream.Signature(LoadLayout())), ``arch.nfp_image``; taken while no point is in flight in the engine it is
        for. Unknown targets and addresses are taken and change nothing
    points : In(stream.Signature(PointLayout), with ``config.mlp.side_inputs`` raw values beside the position;
        ``last`` closes a nano-batch early
    results : Out(stream.Signature(VectorLayout(config.max_outputs, value_bits))); element j is output j of the last
        network, or where the control register says so the density
    counters : Out(CountersLayout())
    """

    def __init__(self, config: NfpConfig) -> None:
        self.config = config
        bits = config.mlp.profile.value_bits
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "points": In(stream.Signature(points_layout(config))),
                "results": Out(stream.Signature(VectorLayout(config.max_outputs, bits))),
                "counters": Out(CountersLayout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.encoding = encoding = GridEncoding(self.config.encoding)
        m.submodules.mlp = mlp = MlpEngine(self.config.mlp)
        m.submodules.counters = counters = NfpCounters(self.config)
        points, features, results = self.points, encoding.features, self.results
        m.d.comb += [
            encoding.points.valid.eq(points.valid),
            points.ready.eq(encoding.points.ready),
            encoding.points.payload.position.eq(points.payload.position),
            encoding.points.payload.last.eq(points.payload.last),
            mlp.inputs.valid.eq(features.valid),
            features.ready.eq(mlp.inputs.ready),
            mlp.inputs.payload.last.eq(features.payload.last),
            results.valid.eq(mlp.outputs.valid),
            mlp.outputs.ready.eq(results.ready),
            results.payload.last.eq(mlp.outputs.payload.last),
            counters.point_valid.eq(points.valid),
            counters.point_ready.eq(points.ready),
            counters.point_last.eq(points.payload.last),
            counters.feature_valid.eq(features.valid),
            counters.feature_ready.eq(features.ready),
            counters.result_valid.eq(results.valid),
            counters.result_ready.eq(results.ready),
            self.counters.eq(counters.o),
        ]
        for index in range(self.config.encoding.n_levels * self.config.encoding.n_features_per_level):
            m.d.comb += mlp.inputs.payload.values[index].eq(features.payload.values[index])
        self._load(m, encoding, mlp, counters)
        if self.config.mlp.side_inputs:
            self._carry_side(m, encoding, mlp)
        self._select_results(m, mlp)
        return m

    def _load(self, m: Module, encoding: GridEncoding, mlp: MlpEngine, counters: NfpCounters) -> None:
        """Each word to the engine it is for; the processor's own register changes while nothing is inside."""
        target = self.load.payload.target
        for_nfp = target == LoadTarget.NFP_CONTROL
        for_mlp = (target >= LoadTarget.MLP_CONTROL) & ~for_nfp
        m.d.comb += [
            encoding.load.payload.eq(self.load.payload),
            encoding.load.valid.eq(self.load.valid & ~for_mlp & ~for_nfp),
            mlp.load.payload.eq(self.load.payload),
            mlp.load.valid.eq(self.load.valid & for_mlp),
            self.load.ready.eq(Mux(for_nfp, counters.empty, Mux(for_mlp, mlp.load.ready, encoding.load.ready))),
        ]

    def _carry_side(self, m: Module, encoding: GridEncoding, mlp: MlpEngine) -> None:
        """Side inputs wait beside the encoding engine, which is slower than the FIFO and holds no more points."""
        side = self.points.payload.side
        depth = self.config.encoding.points_in_flight
        m.submodules.side_fifo = fifo = SyncFIFOBuffered(width=len(side.as_value()), depth=depth)
        m.d.comb += [
            fifo.w_data.eq(side),
            fifo.w_en.eq(self.points.valid & self.points.ready),
            fifo.r_en.eq(encoding.features.valid & encoding.features.ready),
        ]
        first, bits = self.config.mlp.side_first, self.config.mlp.profile.value_bits
        for index in range(self.config.mlp.side_inputs):
            m.d.comb += mlp.inputs.payload.values[first + index].eq(fifo.r_data.word_select(index, bits))

    def _select_results(self, m: Module, mlp: MlpEngine) -> None:
        """Results are the last network's outputs; with a second network some are the first one's output 0."""
        values, engine = mlp.outputs.payload.values, self.config.mlp
        # where ``arch.mlp_plan`` places the first network's outputs
        first = engine.side_first - FUSED_OUTPUTS if engine.floating else engine.side_first + engine.side_inputs
        density = Signal(self.config.max_outputs)
        if engine.side_inputs:
            word = self.load.payload
            chosen = (word.target == LoadTarget.NFP_CONTROL) & (word.address == DENSITY_RESULTS_ADDRESS)
            with m.If(self.load.valid & self.load.ready & chosen):
                m.d.sync += density.eq(word.data)
        for index in range(self.config.max_outputs):
            value = values[index]
            if engine.side_inputs and 0 <= first < engine.max_width:
                value = Mux(density[index], values[first], value)
            m.d.comb += self.results.payload.values[index].eq(value)
