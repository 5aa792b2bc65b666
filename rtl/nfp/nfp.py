"""The neural fields processor: grid encoding feeding the MLP engine, with no memory trip between them."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from arch.load import LoadTarget
from arch.nfp import NfpConfig
from rtl.encoding.grid_encoding import GridEncoding
from rtl.mlp.mlp_engine import MlpEngine
from rtl.streams import LoadLayout, PointLayout, VectorLayout, connect_stream

__all__ = ["Nfp"]


class Nfp(wiring.Component):
    """A grid encoding engine fused with an MLP engine.

    Guarantee: one result a point, in the order of the points; equal to ``reference.field.field_integer`` bit for bit.

    Timing: the engines overlap, so the initiation interval is that of the slower one; ``sim.engine.nfp`` gives every
    clock. A result comes one encoding latency, one full nano-batch and one pass through all layers after its point.

    Numerics: docs/numerics.md. Features past the grid's levels reach the first layer as 0.

    Parameters
    ----------
    config : both engines' build-time parameters

    Members
    -------
    load : In(stream.Signature(LoadLayout())); taken while no point is in flight in the engine it is for
    points : In(stream.Signature(PointLayout(config.encoding.n_pos_dims))); ``last`` closes a nano-batch early
    results : Out(stream.Signature(VectorLayout(config.mlp.max_width, value_bits))); element j is output j
    """

    def __init__(self, config: NfpConfig) -> None:
        self.config = config
        bits = config.mlp.profile.value_bits
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "points": In(stream.Signature(PointLayout(config.encoding.n_pos_dims))),
                "results": Out(stream.Signature(VectorLayout(config.mlp.max_width, bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.encoding = encoding = GridEncoding(self.config.encoding)
        m.submodules.mlp = mlp = MlpEngine(self.config.mlp)
        connect_stream(m, wiring.flipped(self.points), encoding.points)
        connect_stream(m, mlp.outputs, wiring.flipped(self.results))

        features = encoding.features
        m.d.comb += [
            mlp.inputs.valid.eq(features.valid),
            features.ready.eq(mlp.inputs.ready),
            mlp.inputs.payload.last.eq(features.payload.last),
        ]
        for index in range(self.config.encoding.n_levels * self.config.encoding.n_features_per_level):
            m.d.comb += mlp.inputs.payload.values[index].eq(features.payload.values[index])

        for_mlp = self.load.payload.target >= int(LoadTarget.MLP_CONTROL)
        m.d.comb += [
            encoding.load.payload.eq(self.load.payload),
            encoding.load.valid.eq(self.load.valid & ~for_mlp),
            mlp.load.payload.eq(self.load.payload),
            mlp.load.valid.eq(self.load.valid & for_mlp),
        ]
        with m.If(for_mlp):
            m.d.comb += self.load.ready.eq(mlp.load.ready)
        with m.Else():
            m.d.comb += self.load.ready.eq(encoding.load.ready)
        return m
