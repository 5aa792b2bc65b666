"""From the results of one processor to beats of them."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from arch.nfp import ClusterConfig
from rtl.streams import VectorLayout

__all__ = ["BeatGatherer", "GatheredLayout"]


class GatheredLayout(data.StructLayout):
    """Results of a beat: ``values``, result after result, and ``n``, how many there are less one; others are 0."""

    def __init__(self, config: ClusterConfig) -> None:
        points, bits = config.beat_points, config.nfp.mlp.profile.value_bits
        values = data.ArrayLayout(data.ArrayLayout(bits, config.nfp.max_outputs), points)
        super().__init__({"values": values, "n": range(points)})


class BeatGatherer(Component):
    """Put the results of a nano-batch together in beats; the last one may have fewer, and begins no other.

    *Timing*: a beat is given in the clock of its last result. ``flush`` gives what there is of a beat in its clock, if
    there is anything; there is no result in that clock, and none comes behind it.

    Parameters
    ----------
    config : the cluster, of several points a beat

    Members
    -------
    valid, result : In, a result; it is always taken
    flush : In(1)
    w_en : Out(1), a beat
    w_data : Out(GatheredLayout)
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "result": In(VectorLayout(config.nfp.max_outputs, config.nfp.mlp.profile.value_bits)),
                "flush": In(1),
                "w_en": Out(1),
                "w_data": Out(GatheredLayout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last = self.config.beat_points - 1
        place, held = Signal(range(last + 1)), [Signal(len(self.result.values.as_value())) for _ in range(last)]
        ends = (place == last) | self.result.last
        value = Mux(self.valid, self.result.values.as_value(), 0)
        seen = [Mux(place == number, value, old) for number, old in enumerate(held)]
        m.d.comb += [
            self.w_en.eq(Mux(self.flush, place != 0, self.valid & ends)),
            self.w_data.n.eq(place - self.flush),
            self.w_data.values.as_value().eq(Cat(*seen, Mux(place == last, value, 0))),
        ]
        with m.If(self.valid):
            m.d.sync += place.eq(Mux(ends, 0, place + 1))
            for number, old in enumerate(held):
                with m.If(ends):
                    m.d.sync += old.eq(0)
                with m.Elif(place == number):
                    m.d.sync += old.eq(value)
        return m
