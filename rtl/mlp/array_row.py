"""One row of processing elements."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig

__all__ = ["ArrayRow"]


class ArrayRow(Component):
    """``cols`` weight-stationary processing elements that share one activation, handed from column to column.

    Element c multiplies the activation with its active weight and adds what comes from the row above. Its other
    weight, the shadow, is written with ``w_en``; it becomes active when ``swap`` passes with an activation, and
    that activation is the first to see it.

    *Timing*: an activation at ``a`` in clock t is in element c's activation register in t + c + 1, in its product
    register in t + c + 2, and in ``partial_o[c]`` in t + c + 3, together with ``partial_i[c]`` of clock t + c + 2.
    Initiation interval 1, no stall. Registers on both sides of the multiplier, as DSP blocks want them.

    *Numerics*: signed products and sums, exact at ``config.partial_sum_bits``.

    With fission, column groups of a quarter or a half of the row can have activations of their own: group g's enter
    at its first column, element ``g * cols / 4``, ``g * cols / 4`` clocks later than the row's.

    Parameters
    ----------
    config : the engine

    Members
    -------
    a : In(signed(value_bits)) of each entry: the row's activation; with fission, those of groups 1 to 3 behind it
    enters : In(3), with fission: bit g - 1, group g takes its own entry from the coming ``swap`` on; must hold while
        that swap passes
    swap : In(1), with the first activation of a pass
    w_en, w_data : In, writes all shadow weights of the row
    partial_i, partial_o : sums from the row above and to the row below, one a column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        profile, cols = config.profile, config.cols
        partial = signed(config.partial_sum_bits)
        super().__init__(
            {
                "a": In(signed(profile.value_bits)).array(config.entries),
                **({"enters": In(config.entries - 1)} if config.fission else {}),
                "swap": In(1),
                "w_en": In(1),
                "w_data": In(signed(profile.weight_bits)).array(cols),
                "partial_i": In(partial).array(cols),
                "partial_o": Out(partial).array(cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        profile, cols = self.config.profile, self.config.cols
        value, weight = signed(profile.value_bits), signed(profile.weight_bits)
        activation, swap = self.a[0], self.swap  # as they enter element c
        group = cols // self.config.entries
        for c in range(cols):
            if c and c % group == 0 and self.config.fission:
                entry = c // group
                held = Signal(name=f"enters_{entry}")
                own = Mux(swap, self.enters[entry - 1], held)
                m.d.sync += held.eq(own)
                activation = Mux(own, self.a[entry], activation)
            # data registers need no reset: every sum that counts is made of loaded weights and valid vectors
            a = Signal(value, name=f"a_{c}", reset_less=True)
            shadow = Signal(weight, name=f"shadow_{c}", reset_less=True)
            active = Signal(weight, name=f"active_{c}", reset_less=True)
            product = Signal(signed(profile.value_bits + profile.weight_bits), name=f"product_{c}", reset_less=True)
            partial = Signal(signed(self.config.partial_sum_bits), name=f"partial_{c}", reset_less=True)
            m.d.sync += [
                a.eq(activation),
                product.eq(a * active),
                partial.eq(self.partial_i[c] + product),
            ]
            m.d.comb += self.partial_o[c].eq(partial)
            passed = Signal(name=f"swap_{c}")
            m.d.sync += passed.eq(swap)
            with m.If(swap):
                m.d.sync += active.eq(shadow)
            with m.If(self.w_en):
                m.d.sync += shadow.eq(self.w_data[c])
            activation, swap = a, passed
        return m
