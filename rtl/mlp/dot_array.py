"""The weight-stationary array of the ``fp16`` profile: tensor-core dot units in place of multipliers."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import DOT_CYCLES, MlpEngineConfig
from arch.number_format import FP16
from rtl.delay_line import DelayLine
from rtl.floating.tensor_core_dot import TensorCoreDot
from rtl.mlp.delay_memory import DelayMemory
from rtl.mlp.dot_row import DotRow
from rtl.mlp.skew import Skew

__all__ = ["DotArray"]


class DotArray(Component):
    """Multiply a stream of vectors of ``rows`` values by a ``rows x cols`` tile of weights, as tensor cores do.

    ``chunk`` rows are one row of dot units. A column's units follow one another in the order of the inputs and hand on
    an fp16 accumulator; the first takes ``before``, the sums of the row tiles before. Skewed inside as
    ``SystolicArray`` is, by rows of units instead of rows; its swaps, splits and streams are the same.

    *Timing*: latency ``config.array_cycles = 8 rows / chunk + cols``, initiation interval 1, no stall. With ``swap`` in
    clock t, row r of the shadow weights must be written before clock t + 8 (r // chunk), and must hold through clock
    t + 8 (r // chunk) + cols - 1.

    *Numerics*: ``reference.tensor_core`` with its chunks: each output is the sum of one column's chunks, in order.

    Parameters
    ----------
    config : the engine, with ``fp16``

    Members
    -------
    a : In(16) of each row; with fission of each row of each of the four entries
    swap : In(1)
    enters, halves : In, with fission, the split of the coming tile: bit g - 1, group g takes its own entry; the row
        halves are apart. From the clock of ``swap`` they must hold until it has passed the array
    w_en, w_row, w_data : In, write one row of shadow weights
    before : In(16) of each column, what the vector of the same clock adds to
    upper_before : In(16) of each column, with fission: the same for the upper half where the halves are apart;
        ``before`` is then the lower half's
    apart : In(1), with fission: the vector of this clock has its halves apart
    o : Out(16) of each column
    upper_o : Out(16) of each column, with fission: sums of the upper row half
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        assert DOT_CYCLES == TensorCoreDot.LATENCY
        self.config = config
        sums = FP16.width
        fission = {
            "enters": In(config.entries - 1),
            "halves": In(1),
            "apart": In(1),
            "upper_before": In(sums).array(config.cols),
            "upper_o": Out(sums).array(config.cols),
        }
        super().__init__(
            {
                "a": In(FP16.width).array(config.entries * config.rows),
                "swap": In(1),
                "w_en": In(1),
                "w_row": In(range(config.rows)),
                "w_data": In(FP16.width).array(config.cols),
                "before": In(sums).array(config.cols),
                "o": Out(sums).array(config.cols),
                **(fission if config.fission else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        groups, cols = config.rows // config.chunk, config.cols
        entries = self._entries(m)
        splits = max(split.row_halves for split in config.splits) == 2
        swap, top = self.swap, Cat(*self.before)
        if splits:
            top = Mux(self.apart, Cat(*self.upper_before), top)
        sums = self._skewed(m, "top", top, 0)
        for g in range(groups):
            m.submodules[f"row_{g}"] = row = DotRow(config)
            if g:
                m.submodules[f"swap_{g}"] = late = DelayLine(1, DOT_CYCLES)
                m.d.comb += late.i.eq(swap)
                swap = late.o
            if splits and g == groups // 2:
                sums = self._halve(m, swap, sums)
            m.d.comb += row.swap.eq(swap)
            m.d.comb += [row.w_en[k].eq(self.w_en & (self.w_row == g * config.chunk + k)) for k in range(config.chunk)]
            m.d.comb += [a.as_value().eq(entry[g]) for a, entry in zip(row.a, entries, strict=True)]
            if config.fission:
                m.d.comb += row.enters.eq(self.enters)
            for c in range(cols):
                m.d.comb += [row.w_data[c].eq(self.w_data[c]), row.partial_i[c].eq(sums[c])]
            sums = list(row.partial_o)
        m.submodules.deskew = deskew = Skew(FP16.width, cols, reverse=True)
        for c in range(cols):
            m.d.comb += [deskew.i[c].eq(sums[c]), self.o[c].eq(deskew.o[c])]
        return m

    def _entries(self, m: Module) -> list[Sequence[Value]]:
        """Activations of each entry and row of units as its first column takes them."""
        config = self.config
        bits = config.chunk * FP16.width
        entries = []
        for number in range(config.entries):
            own = Cat(*self.a[number * config.rows : (number + 1) * config.rows])
            if number:
                m.submodules[f"late_{number}"] = late = DelayMemory(len(own), number * config.cols // config.entries)
                m.d.comb += late.i.eq(own)
                own = late.o
            rows = []
            for g in range(config.rows // config.chunk):
                m.submodules[f"skew_{number}_{g}"] = skew = DelayMemory(bits, g * DOT_CYCLES)
                m.d.comb += skew.i.eq(own.word_select(g, bits))
                rows.append(skew.o)
            entries.append(rows)
        return entries

    def _skewed(self, m: Module, name: str, sums: Value, clocks: int) -> list[Value]:
        """Sums beside the activations of each column's unit, for a row of units so many clocks behind the first."""
        m.submodules[f"{name}_late"] = late = DelayMemory(len(sums), clocks + 1)
        m.submodules[f"{name}_skew"] = skew = Skew(FP16.width, self.config.cols)
        m.d.comb += late.i.eq(sums)
        m.d.comb += [i.eq(late.o.word_select(c, FP16.width)) for c, i in enumerate(skew.i)]
        return list(skew.o)

    def _halve(self, m: Module, swap: Value, sums: list[Value]) -> list[Value]:
        """Hand out the upper half's sums, and give what the lower half adds to."""
        cols, bits = self.config.cols, FP16.width
        half = self.config.rows // self.config.chunk // 2 * DOT_CYCLES
        # bit c of ``passes``: next clock the lower half's first unit of column c takes the new tile's first sum
        passed, passes, apart = Signal(cols), Signal(cols), Signal(cols)
        m.d.comb += passes.eq(passed << 1 | swap)
        m.d.sync += [
            passed.eq(passes),
            apart.eq((apart & ~passes) | (passes & self.halves.replicate(cols))),
        ]
        m.submodules.upper_deskew = deskew = Skew(bits, cols, reverse=True)
        m.submodules.upper_late = late = DelayMemory(bits * cols, half)
        for c in range(cols):
            m.d.comb += [
                deskew.i[c].eq(sums[c]),
                late.i.word_select(c, bits).eq(deskew.o[c]),
                self.upper_o[c].eq(late.o.word_select(c, bits)),
            ]
        before = self._skewed(m, "lower", Cat(*self.before), half)
        return [Mux(apart[c], before[c], sums[c]) for c in range(cols)]
