"""The weight-stationary systolic array."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig
from rtl.delay_line import DelayLine
from rtl.mlp.array_row import ArrayRow
from rtl.mlp.delay_memory import DelayMemory
from rtl.mlp.skew import Skew

__all__ = ["SystolicArray"]


class SystolicArray(Component):
    """Multiply a stream of vectors of ``rows`` values by a ``rows x cols`` tile of weights.

    Inputs are skewed and outputs de-skewed inside: a vector goes in and its sums come out in one piece. The next
    tile's weights are written into shadow registers while the present tile streams; ``swap`` comes with the first
    vector of the next tile and travels with it, so tiles follow one another without a bubble.

    *Timing*: latency ``config.array_cycles = rows + cols + 1``, initiation interval 1, no stall. With ``swap`` in
    clock t, row r of the shadow weights must be written before clock t + r, and must hold through clock
    t + r + cols - 1 (a write in that clock is the earliest of the next tile).

    With fission the array takes up to four vectors a clock (``arch.mlp_engine.SPLITS``). Column groups have activations
    of their own: those of group g come in ``a[g * rows:]`` in the same clock as the others and wait inside until the
    wavefront has reached the group's first column. Row halves have sums of their own: those of the upper half leave in
    ``upper_o``, which waits inside for the lower half. So all splits have one latency, and a pass of another split
    follows without a bubble.

    *Numerics*: signed products and sums, exact at ``config.partial_sum_bits``.

    Parameters
    ----------
    config : the engine

    Members
    -------
    a : In(signed(value_bits)) of each row; with fission of each row of each of the four entries
    swap : In(1)
    enters, halves : In, with fission, the split of the coming tile: bit g - 1, group g takes its own entry; the row
        halves are apart. From the clock of ``swap`` they must hold for ``rows + cols`` clocks
    w_en, w_row, w_data : In, write one row of shadow weights
    o : Out(signed(partial_sum_bits)) of each column
    upper_o : Out(signed(partial_sum_bits)) of each column, with fission: sums of the upper row half
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        profile = config.profile
        super().__init__(
            {
                "a": In(signed(profile.value_bits)).array(config.entries * config.rows),
                "swap": In(1),
                "w_en": In(1),
                "w_row": In(range(config.rows)),
                "w_data": In(signed(profile.weight_bits)).array(config.cols),
                "o": Out(signed(config.partial_sum_bits)).array(config.cols),
                **(
                    {
                        "enters": In(config.entries - 1),
                        "halves": In(1),
                        "upper_o": Out(signed(config.partial_sum_bits)).array(config.cols),
                    }
                    if config.fission
                    else {}
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, cols = self.config.rows, self.config.cols
        partial = signed(self.config.partial_sum_bits)
        swap = Signal(rows)  # bit r: the swap enters row r
        passed = Signal(rows)
        m.d.comb += swap.eq(passed << 1 | self.swap)
        m.d.sync += passed.eq(swap)
        entries = self._entries(m)
        above = None
        for r in range(rows):
            m.submodules[f"row_{r}"] = row = ArrayRow(self.config)
            m.d.comb += [
                row.swap.eq(swap[r]),
                row.w_en.eq(self.w_en & (self.w_row == r)),
            ]
            m.d.comb += [a.eq(entry[r]) for a, entry in zip(row.a, entries, strict=True)]
            if self.config.fission:
                m.d.comb += row.enters.eq(self.enters)
            sums = None if above is None else list(above.partial_o)
            if self.config.fission and r == rows // 2:
                sums = self._halve(m, sums)
            for c in range(cols):
                m.d.comb += row.w_data[c].eq(self.w_data[c])
                if sums is not None:
                    m.d.comb += row.partial_i[c].eq(sums[c])
            above = row
        m.submodules.deskew = deskew = Skew(partial, cols, reverse=True)
        for c in range(cols):
            m.d.comb += [deskew.i[c].eq(above.partial_o[c]), self.o[c].eq(deskew.o[c])]
        return m

    def _entries(self, m: Module) -> list[Sequence[Value]]:
        """Activations of each entry as its first column takes them, so many clocks late as that column is far."""
        config, value = self.config, signed(self.config.profile.value_bits)
        entries = []
        for number in range(config.entries):
            own = self.a[number * config.rows : (number + 1) * config.rows]
            if number:
                late = DelayMemory(value.width * config.rows, number * config.cols // config.entries)
                m.submodules[f"late_{number}"] = late
                m.d.comb += late.i.eq(Cat(own))
                own = [late.o.word_select(r, value.width).as_signed() for r in range(config.rows)]
            m.submodules[f"skew_{number}"] = skew = Skew(value, config.rows)
            m.d.comb += [i.eq(a) for i, a in zip(skew.i, own, strict=True)]
            entries.append(skew.o)
        return entries

    def _halve(self, m: Module, sums: list[Signal]) -> list[Value]:
        """Hand out the upper half's sums, and give what the lower half adds to."""
        rows, cols = self.config.rows, self.config.cols
        bits = self.config.partial_sum_bits
        # bit c of ``passes``: next clock the lower half's first row adds the new tile's first product in column c
        m.submodules.halve = halve = DelayLine(1, rows // 2 + 1)
        passed, passes, apart = Signal(cols), Signal(cols), Signal(cols)
        m.d.comb += [halve.i.eq(self.swap), passes.eq(passed << 1 | halve.o)]
        m.d.sync += [
            passed.eq(passes),
            apart.eq((apart & ~passes) | (passes & self.halves.replicate(cols))),
        ]
        m.submodules.upper_late = late = DelayMemory(bits * cols, rows // 2)
        m.submodules.upper_deskew = deskew = Skew(signed(bits), cols, reverse=True)
        for c in range(cols):
            m.d.comb += [
                deskew.i[c].eq(sums[c]),
                late.i.word_select(c, bits).eq(deskew.o[c]),
                self.upper_o[c].eq(late.o.word_select(c, bits)),
            ]
        return [Mux(apart[c], 0, sums[c]) for c in range(cols)]
