"""The weight-stationary systolic array."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig
from rtl.delay_line import DelayLine
from rtl.mlp.array_row import ArrayRow

__all__ = ["SystolicArray"]


class SystolicArray(Component):
    """Multiply a stream of vectors of ``rows`` values by a ``rows x cols`` tile of weights.

    Inputs are skewed and outputs de-skewed inside: a vector goes in and its sums come out in one piece. The next
    tile's weights are written into shadow registers while the present tile streams; ``swap`` comes with the first
    vector of the next tile and travels with it, so tiles follow one another without a bubble.

    *Timing*: latency ``config.array_cycles = rows + cols + 1``, initiation interval 1, no stall. With ``swap`` in
    clock t, row r of the shadow weights must be written before clock t + r, and must hold through clock
    t + r + cols - 1 (a write in that clock is the earliest of the next tile).

    *Numerics*: signed products and sums, exact at ``config.partial_sum_bits``.

    Parameters
    ----------
    config : the engine

    Members
    -------
    a : In(signed(value_bits)) of each row
    swap : In(1)
    w_en, w_row, w_data : In, write one row of shadow weights
    o : Out(signed(partial_sum_bits)) of each column
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        profile = config.profile
        super().__init__(
            {
                "a": In(signed(profile.value_bits)).array(config.rows),
                "swap": In(1),
                "w_en": In(1),
                "w_row": In(range(config.rows)),
                "w_data": In(signed(profile.weight_bits)).array(config.cols),
                "o": Out(signed(config.partial_sum_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, cols = self.config.rows, self.config.cols
        value, partial = signed(self.config.profile.value_bits), signed(self.config.partial_sum_bits)
        swap = Signal(rows)  # bit r: the swap enters row r
        passed = Signal(rows)
        m.d.comb += swap.eq(passed << 1 | self.swap)
        m.d.sync += passed.eq(swap)
        above = None
        for r in range(rows):
            m.submodules[f"skew_{r}"] = skew = DelayLine(value, r)
            m.submodules[f"row_{r}"] = row = ArrayRow(self.config)
            m.d.comb += [
                skew.i.eq(self.a[r]),
                row.a.eq(skew.o),
                row.swap.eq(swap[r]),
                row.w_en.eq(self.w_en & (self.w_row == r)),
            ]
            for c in range(cols):
                m.d.comb += row.w_data[c].eq(self.w_data[c])
                if above is not None:
                    m.d.comb += row.partial_i[c].eq(above.partial_o[c])
            above = row
        for c in range(cols):
            m.submodules[f"deskew_{c}"] = deskew = DelayLine(partial, cols - 1 - c)
            m.d.comb += [deskew.i.eq(above.partial_o[c]), self.o[c].eq(deskew.o)]
        return m
