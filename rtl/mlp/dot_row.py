"""One row of tensor-core dot units."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import NO_WEIGHT, MlpEngineConfig
from arch.number_format import FP16
from rtl.floating.tensor_core_dot import TensorCoreDot
from rtl.shared_module import SharedModule

__all__ = ["DotRow"]


class DotRow(Component):
    """``cols`` weight-stationary dot units of ``chunk`` products; activations are handed from column to column.

    Unit c multiplies the activations with its active weights and adds what comes from the row above, all in one step
    of a tensor core. Its other weights, the shadow, are written row by row with ``w_en``; they become active when
    ``swap`` passes with activations, and those are the first to see them.

    *Timing*: activations at ``a`` in clock t are in unit c's registers in t + c + 1, when ``partial_i[c]`` is taken,
    and in ``partial_o[c]`` in t + c + 1 + ``TensorCoreDot.LATENCY``. Initiation interval 1, no stall.

    *Numerics*: ``TensorCoreDot``. A weight of ``NO_WEIGHT`` takes its product out of the sum, whatever the activation:
    an infinite one times 0 would be NaN.

    With fission, column groups of a quarter or a half of the row can have activations of their own: group g's enter at
    its first column, unit ``g * cols / 4``, ``g * cols / 4`` clocks later than the row's.

    Parameters
    ----------
    config : the engine, with ``fp16``

    Members
    -------
    a : In(chunk x 16 bits) of each entry: the row's activations; with fission, those of groups 1 to 3 behind them
    enters : In(3), with fission: bit g - 1, group g takes its own entry from the coming ``swap`` on; must hold while
        that swap passes
    swap : In(1), with the first activations of a pass
    w_en : In(chunk), bit k: write the shadow weights of product k
    w_data : In(16) of each column
    partial_i, partial_o : sums from the row above and to the row below, one a column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        operands = data.ArrayLayout(FP16.width, config.chunk)
        super().__init__(
            {
                "a": In(operands).array(config.entries),
                **({"enters": In(config.entries - 1)} if config.fission else {}),
                "swap": In(1),
                "w_en": In(config.chunk),
                "w_data": In(FP16.width).array(config.cols),
                "partial_i": In(FP16.width).array(config.cols),
                "partial_o": Out(FP16.width).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cols, chunk, width = self.config.cols, self.config.chunk, FP16.width
        activations, swap = self.a[0].as_value(), self.swap  # as they enter unit c
        group = cols // self.config.entries
        for c in range(cols):
            if c and c % group == 0 and self.config.fission:
                entry = c // group
                held = Signal(name=f"enters_{entry}")
                own = Mux(swap, self.enters[entry - 1], held)
                m.d.sync += held.eq(own)
                activations = Mux(own, self.a[entry].as_value(), activations)
            # data registers need no reset: every sum that counts is made of loaded weights and valid vectors
            a = Signal(chunk * width, name=f"a_{c}", reset_less=True)
            shadow = [Signal(width, name=f"shadow_{c}_{k}", reset_less=True) for k in range(chunk)]
            active = Signal(chunk * width, name=f"active_{c}", reset_less=True)
            used = Signal(chunk, name=f"used_{c}", reset_less=True)
            passed = Signal(name=f"swap_{c}")
            m.submodules[f"dot_{c}"] = dot = SharedModule(TensorCoreDot(chunk), f"tensor_core_dot_{chunk}")
            m.d.comb += [
                dot.b.as_value().eq(active),
                dot.c.eq(self.partial_i[c]),
                self.partial_o[c].eq(dot.o),
            ]
            m.d.comb += [dot.a[k].eq(Mux(used[k], a.word_select(k, width), 0)) for k in range(chunk)]
            m.d.sync += [a.eq(activations), passed.eq(swap)]
            with m.If(swap):
                m.d.sync += [active.eq(Cat(*shadow)), used.eq(Cat(weight != NO_WEIGHT for weight in shadow))]
            for k in range(chunk):
                with m.If(self.w_en[k]):
                    m.d.sync += shadow[k].eq(self.w_data[c])
            activations, swap = a, passed
        return m
