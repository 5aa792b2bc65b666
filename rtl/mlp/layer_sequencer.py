"""Which tile runs on which nano-batch, and when."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from arch.activation_table import LEAKY_SLOPE, LEAKY_SLOPE_BITS, NegativePart
from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.layer_program import LayerLayout

__all__ = ["LayerSequencer", "PassLayout"]

_SETTLED = 8
"""Steps of a pass behind which everything that hangs on the pass and the next one has gone through its registers."""


class PassLayout(data.StructLayout):
    """One pass: a tile over a nano-batch.

    ``row_tile``, ``col_tile``: the tiles of elements it reads and writes; ``starts_sum``, ``ends_sum``: first and last
    row tile; ``from_input``: of the first layer; ``to_output``: of a network's last layer; ``ends_layer``,
    ``ends_batch``: last pass of its layer, of its nano-batch; ``bank``: bank of the activation memory it writes, the
    other is read; ``input_bank``, ``output_bank``; ``n``: vectors; ``last``: the nano-batch ends a run;
    ``multiplier``, ``negative_multiplier``, ``shift``, ``table``: the layer's. With fission its ``split``; with routes
    its ``takes_side``, ``first_lane`` and ``last_lane``. In ``fp16`` its ``negative``.
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        layer = LayerLayout(config)
        halves = max(split.row_halves for split in config.splits)
        groups = max(split.column_groups for split in config.splits)
        copied = ["multiplier", "shift", "table"]
        if config.floating:
            copied += ["negative"]
        if config.has_routes:
            copied += ["takes_side", "first_lane", "last_lane"]
        if config.fission:
            copied += ["split"]
        super().__init__(
            {
                "row_tile": range(max(2, -(-halves * config.max_width // config.rows))),
                "col_tile": range(max(2, -(-groups * config.max_width // config.cols))),
                "starts_sum": 1,
                "ends_sum": 1,
                "from_input": 1,
                "to_output": 1,
                "ends_layer": 1,
                "ends_batch": 1,
                "bank": 1,
                "input_bank": 1,
                "output_bank": 1,
                "n": range(config.nano_batch + 1),
                "last": 1,
                **{name: layer[name].shape for name in copied},
                "negative_multiplier": layer["multiplier"].shape,
            }
        )


class LayerSequencer(Component):
    """Step through the passes of each nano-batch: column tile by column tile, row tiles inside, layer by layer.

    A pass lasts ``config.pass_cycles`` clocks and passes follow one another without a gap. It waits for a filled
    input bank before the first pass of a nano-batch, and for a free output bank before the first pass with
    results. Behind each swap it has the weights of the next pass loaded.

    *Timing*: the first address comes one clock after ``batch_full`` (and ``output_free``) if the array is idle.
    After any load word (``flush``) the weights of the first tile are loaded anew, which takes ``prime_cycles``
    from the word that sets ``n_layers``; ``primed`` is low until then. ``current`` holds for the whole pass, longer
    than any stage behind needs to take a copy of it.

    Parameters
    ----------
    config : the engine

    Members
    -------
    flush : In(1), a load word is taken; only while ``idle``
    n_layers, layer, entry : the layer program: number of layers, layer to look up, its register one clock later
    batch_full, batch_n, batch_last, batch_bank : In, the oldest nano-batch in the input buffer
    output_free, output_bank : In, whether the output bank to be filled next is free, and which it is
    primed, idle : Out(1)
    start : Out(1), a pass starts: ``current`` takes its value in the next clock
    release_input, take_output : Out(1), with ``start`` of the last pass over input vectors, the first with results
    current : Out(PassLayout)
    reads : Out(1), in every clock of ``r_en`` and one more, for the memories: a register drives it
    r_en, r_first, r_index : Out, row of vectors to read in this clock
    r_point : Out, the first vector of the row that is read
    w_en, w_row, w_addr : Out, weights to read in this clock: array row and weight row
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        count = range(config.nano_batch + 1)
        super().__init__(
            {
                "flush": In(1),
                "n_layers": In(range(config.max_layers + 1)),
                "layer": Out(range(max(2, config.max_layers))),
                "entry": In(LayerLayout(config)),
                "batch_full": In(1),
                "batch_n": In(count),
                "batch_last": In(1),
                "batch_bank": In(1),
                "output_free": In(1),
                "output_bank": In(1),
                "primed": Out(1),
                "idle": Out(1),
                "start": Out(1),
                "release_input": Out(1),
                "take_output": Out(1),
                "current": Out(PassLayout(config)),
                "reads": Out(1),
                "r_en": Out(1),
                "r_first": Out(1),
                "r_index": Out(range(config.nano_batch // config.point_banks)),
                "r_point": Out(range(max(2, config.point_banks))),
                "w_en": Out(1),
                "w_row": Out(range(config.rows)),
                "w_addr": Out(range(config.weight_rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        shortest = config.min_pass_cycles
        assert shortest > _SETTLED + 1
        most = config.nano_batch + shortest if config.fission else max(config.nano_batch, shortest)
        active, step, before_last, ends = Signal(), Signal(range(most)), Signal(range(most)), Signal()
        # tile of the next pass, counted from the layer's first
        self._row_tile, self._col_tile = Signal.like(self.current.row_tile), Signal.like(self.current.col_tile)
        new = self._next_pass(m)
        begins = self._begins  # the next pass is the first of a nano-batch
        enters_output, taken = Signal(), Signal()
        m.d.sync += enters_output.eq(new.to_output & self._begins_layer & ~taken)
        if config.has_routes:  # of two layers with results, the first takes the bank
            with m.If(self.start):
                m.d.sync += taken.eq((taken | new.to_output) & ~new.ends_batch)
        can_start = self.primed & (~begins | self.batch_full) & (~enters_output | self.output_free)
        frees_input = self.entry.frees_input if config.has_routes else new.from_input
        beats = self._beats(m, self.current.split, "beats") if config.fission else self.current.n
        m.d.comb += [
            self.start.eq(can_start & (~active | ends)),
            self.release_input.eq(self.start & frees_input & new.ends_layer),
            self.take_output.eq(self.start & enters_output),
            self.idle.eq(~active & begins),
            self.r_en.eq(active & ((step == 0) | (step < beats))),  # ``beats`` is a clock behind the first step
            self.r_first.eq(active & (step == 0)),
        ]
        if config.fission:
            with m.Switch(self.current.split):
                for number, split in enumerate(config.splits):
                    with m.Case(number):
                        point = step * split.points
                        m.d.comb += [
                            self.r_index.eq(point // config.point_banks),
                            self.r_point.eq(point % config.point_banks),
                        ]
        else:
            m.d.comb += self.r_index.eq(step)
        with m.If(self.start):
            m.d.sync += [active.eq(1), step.eq(0), self.current.eq(new)]
        with m.Elif(ends):
            m.d.sync += active.eq(0)
        with m.Elif(active):
            m.d.sync += step.eq(step + 1)
        # before_last settles in the first clocks of a pass, which is never so short
        m.d.sync += self.reads.eq(self.start | self.r_en)
        m.d.sync += ends.eq(active & (step >= _SETTLED) & (step == before_last))
        if config.fission:
            # the next pass may be faster: it must not overtake this one, which writes what it reads
            next_beats = self._beats(m, self.entry.split, "next_beats")
            following = Signal.like(beats)
            gap = Signal(range(shortest + 1))
            m.d.sync += [
                following.eq(Mux(begins | (next_beats > beats), beats, next_beats)),
                gap.eq(Mux(following < shortest, shortest - following, 0)),
                before_last.eq(beats + gap - 2),
            ]
        else:
            m.d.sync += before_last.eq(Mux(beats > shortest, beats, shortest) - 2)
        self._load_weights(m, before_swapped=active & (step == config.cols - 1))
        return m

    def _beats(self, m: Module, split: Signal, name: str) -> Signal:
        """Clocks in which a pass over the present nano-batch reads under a split, one clock behind both."""
        beats = Signal.like(self.current.n, name=name)
        with m.Switch(split):
            for number, each in enumerate(self.config.splits):
                with m.Case(number):
                    m.d.sync += beats.eq((self.current.n + (each.points - 1)) // each.points)
        return beats

    def _next_pass(self, m: Module) -> data.View:
        """The pass after the current one; settled five clocks after ``start``.

        What it is depends on counters and their comparisons, which have a register behind them.
        """
        new = Signal(PassLayout(self.config))
        row_tile, col_tile = self._row_tile, self._col_tile
        routed = self.config.has_routes
        self._begins, self._begins_layer = fresh, begins_layer = Signal(init=1), Signal(init=1)
        first_layer, to_output = Signal(init=1), Signal()
        ends_sum, ends_layer, ends_batch = Signal(), Signal(), Signal()
        on_last_row, last_layer = row_tile == self.entry.row_tiles - 1, self.layer == self.n_layers - 1
        on_last_tile = on_last_row & (col_tile == self.entry.col_tiles - 1)
        m.d.sync += [
            first_layer.eq(self.layer == 0),
            begins_layer.eq((row_tile == 0) & (col_tile == 0)),
            fresh.eq((self.layer == 0) & (row_tile == 0) & (col_tile == 0)),
            ends_sum.eq(on_last_row),
            ends_layer.eq(on_last_tile),
            ends_batch.eq(on_last_tile & last_layer),
            to_output.eq(self.entry.to_output if routed else last_layer),
        ]
        m.d.comb += [
            new.row_tile.eq(row_tile + (self.entry.first_row_tile if routed else 0)),
            new.col_tile.eq(col_tile + (self.entry.first_col_tile if routed else 0)),
            new.starts_sum.eq(row_tile == 0),
            new.ends_sum.eq(ends_sum),
            new.from_input.eq(first_layer),
            new.to_output.eq(to_output),
            new.ends_layer.eq(ends_layer),
            new.ends_batch.eq(ends_batch),
            new.bank.eq(self.layer[0]),
            new.input_bank.eq(Mux(fresh, self.batch_bank, self.current.input_bank)),
            new.output_bank.eq(Mux(fresh, self.output_bank, self.current.output_bank)),
            new.n.eq(Mux(fresh, self.batch_n, self.current.n)),
            new.last.eq(Mux(fresh, self.batch_last, self.current.last)),
            new.multiplier.eq(self.entry.multiplier),
            new.shift.eq(self.entry.shift),
            new.negative_multiplier.eq(self._negative_multiplier(m)),
            new.table.eq(self.entry.table),
        ]
        if self.config.floating:
            m.d.comb += new.negative.eq(self.entry.negative)
        if routed:
            m.d.comb += [new[name].eq(self.entry[name]) for name in ("takes_side", "first_lane", "last_lane")]
        if self.config.fission:
            m.d.comb += new.split.eq(self.entry.split)
        with m.If(self.start):
            m.d.sync += row_tile.eq(row_tile + 1)
            with m.If(new.ends_sum):
                m.d.sync += [row_tile.eq(0), col_tile.eq(col_tile + 1)]
            with m.If(new.ends_layer):
                m.d.sync += [col_tile.eq(0), self.layer.eq(Mux(new.ends_batch, 0, self.layer + 1))]
        return new

    def _negative_multiplier(self, m: Module) -> Signal:
        """Factor of the layer's negative accumulators, as ``arch.activation_table.negative_multiplier``.

        Two clocks behind ``entry``, so that the product of the slope has a register behind its multiplier: a pass is
        much longer, and so is ``primed`` low behind a load word.
        """
        multiplier = self.entry.multiplier
        product = Signal(len(multiplier) + LEAKY_SLOPE.bit_length())
        chosen = Signal.like(multiplier)
        m.d.sync += product.eq(multiplier * LEAKY_SLOPE)
        with m.Switch(self.entry.negative):
            with m.Case(NegativePart.KEPT):
                m.d.sync += chosen.eq(multiplier)
            with m.Case(NegativePart.LEAKY):
                m.d.sync += chosen.eq((product + (1 << (LEAKY_SLOPE_BITS - 1))) >> LEAKY_SLOPE_BITS)
            with m.Default():
                m.d.sync += chosen.eq(0)
        return chosen

    def _load_weights(self, m: Module, *, before_swapped: Value) -> None:
        """Read the next pass's weights, ``rows`` clocks from the second one after ``before_swapped``."""
        flushed, loads = Signal(), Signal()  # ``entry`` is the new one three clocks after a load word
        prime = ~self.primed & ~self.w_en & ~loads & ~self.flush & ~flushed & (self.n_layers != 0)
        m.d.sync += [flushed.eq(self.flush), loads.eq(before_swapped | prime)]
        with m.If(loads):
            m.d.sync += [self.w_en.eq(1), self.w_row.eq(0)]
            # tiles of a layer lie one behind the other, so only a layer's first one needs an address
            with m.If(self._begins_layer):
                m.d.sync += self.w_addr.eq(self.entry.first_row)
        with m.Elif(self.w_en):
            m.d.sync += [self.w_row.eq(self.w_row + 1), self.w_addr.eq(self.w_addr + 1)]
            with m.If(self.w_row == self.config.rows - 1):
                m.d.sync += [self.w_en.eq(0), self.primed.eq(1)]
        with m.If(self.flush):
            m.d.sync += [self.primed.eq(0), self.w_en.eq(0)]
