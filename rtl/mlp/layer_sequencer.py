"""Which tile runs on which nano-batch, and when."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from arch.activation_table import LEAKY_SLOPE, LEAKY_SLOPE_BITS, NegativePart
from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.layer_program import LayerLayout

__all__ = ["LayerSequencer", "PassLayout"]


class PassLayout(data.StructLayout):
    """One pass: a tile over a nano-batch.

    ``row_tile``, ``col_tile``: the tile; ``starts_sum``, ``ends_sum``: first and last row tile; ``from_input``,
    ``to_output``: first and last layer; ``ends_layer``: last tile of its layer; ``bank``: bank of the activation
    memory it writes, the other is read; ``input_bank``, ``output_bank``; ``n``: vectors; ``last``: the nano-batch
    ends a run; ``multiplier``, ``negative_multiplier``, ``shift``, ``table``: the layer's.
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        layer = LayerLayout()
        super().__init__(
            {
                "row_tile": range(max(2, config.max_width // config.rows)),
                "col_tile": range(max(2, config.max_width // config.cols)),
                "starts_sum": 1,
                "ends_sum": 1,
                "from_input": 1,
                "to_output": 1,
                "ends_layer": 1,
                "bank": 1,
                "input_bank": 1,
                "output_bank": 1,
                "n": range(config.nano_batch + 1),
                "last": 1,
                **{name: layer[name].shape for name in ("multiplier", "shift", "table")},
                "negative_multiplier": layer["multiplier"].shape,
            }
        )


class LayerSequencer(Component):
    """Step through the passes of each nano-batch: column tile by column tile, row tiles inside, layer by layer.

    A pass lasts ``config.pass_cycles(n)`` clocks and passes follow one another without a gap. It waits for a filled
    input bank before the first pass of a nano-batch, and for a free output bank before the first pass of the last
    layer. Behind each swap it has the weights of the next pass loaded.

    *Timing*: the first address comes one clock after ``batch_full`` (and ``output_free``) if the array is idle.
    After any load word (``flush``) the weights of the first tile are loaded anew, which takes ``rows + 2`` clocks
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
    release_input, take_output : Out(1), with ``start`` of the last pass of the first layer, the first of the last
    current : Out(PassLayout)
    r_en, r_first, r_index : Out, vector to read in this clock
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
                "entry": In(LayerLayout()),
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
                "r_en": Out(1),
                "r_first": Out(1),
                "r_index": Out(range(config.nano_batch)),
                "w_en": Out(1),
                "w_row": Out(range(config.rows)),
                "w_addr": Out(range(config.weight_rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        most = max(config.nano_batch, config.min_pass_cycles)
        active, step, last_step = Signal(), Signal(range(most)), Signal(range(most))
        new = self._next_pass(m)
        begins = Signal()  # the next pass is the first of a nano-batch
        m.d.comb += begins.eq(new.from_input & (new.row_tile == 0) & (new.col_tile == 0))
        enters_output = new.to_output & (new.row_tile == 0) & (new.col_tile == 0)
        can_start = self.primed & (~begins | self.batch_full) & (~enters_output | self.output_free)
        m.d.comb += [
            self.start.eq(can_start & (~active | (step == last_step))),
            self.release_input.eq(self.start & new.from_input & new.ends_layer),
            self.take_output.eq(self.start & enters_output),
            self.idle.eq(~active & begins),
            self.r_en.eq(active & (step < self.current.n)),
            self.r_first.eq(active & (step == 0)),
            self.r_index.eq(step),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(1), step.eq(0), self.current.eq(new)]
            with m.If(begins):
                shortest = config.min_pass_cycles
                m.d.sync += last_step.eq(Mux(self.batch_n > shortest, self.batch_n, shortest) - 1)
        with m.Elif(step == last_step):
            m.d.sync += active.eq(0)
        with m.Else():
            m.d.sync += step.eq(step + 1)
        self._load_weights(m, behind_swap=active & (step == config.cols), new=new)
        return m

    def _next_pass(self, m: Module) -> data.View:
        """The pass after the current one; settled two clocks after ``start``."""
        new = Signal(PassLayout(self.config))
        row_tile, col_tile = Signal.like(new.row_tile), Signal.like(new.col_tile)
        begins_batch = self.layer == 0
        fresh = begins_batch & (row_tile == 0) & (col_tile == 0)
        m.d.comb += [
            new.row_tile.eq(row_tile),
            new.col_tile.eq(col_tile),
            new.starts_sum.eq(row_tile == 0),
            new.ends_sum.eq(row_tile == self.entry.row_tiles - 1),
            new.from_input.eq(begins_batch),
            new.to_output.eq(self.layer == self.n_layers - 1),
            new.ends_layer.eq(new.ends_sum & (col_tile == self.entry.col_tiles - 1)),
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
        with m.If(self.start):
            m.d.sync += row_tile.eq(row_tile + 1)
            with m.If(new.ends_sum):
                m.d.sync += [row_tile.eq(0), col_tile.eq(col_tile + 1)]
            with m.If(new.ends_layer):
                m.d.sync += [col_tile.eq(0), self.layer.eq(Mux(new.to_output, 0, self.layer + 1))]
        return new

    def _negative_multiplier(self, m: Module) -> Signal:
        """Factor of the layer's negative accumulators, as ``arch.activation_table.negative_multiplier``."""
        multiplier = self.entry.multiplier
        chosen = Signal.like(multiplier)
        with m.Switch(self.entry.negative):
            with m.Case(NegativePart.KEPT):
                m.d.comb += chosen.eq(multiplier)
            with m.Case(NegativePart.LEAKY):
                m.d.comb += chosen.eq((multiplier * LEAKY_SLOPE + (1 << (LEAKY_SLOPE_BITS - 1))) >> LEAKY_SLOPE_BITS)
        return chosen

    def _load_weights(self, m: Module, *, behind_swap: object, new: data.View) -> None:
        """Read the next pass's weights, ``rows`` clocks from the one after ``behind_swap``."""
        flushed = Signal()  # the clock after a load word, in which ``entry`` may still be the old one
        m.d.sync += flushed.eq(self.flush)
        prime = ~self.primed & ~self.w_en & ~flushed & (self.n_layers != 0)
        with m.If(self.flush):
            m.d.sync += [self.primed.eq(0), self.w_en.eq(0)]
        with m.Elif(behind_swap | prime):
            m.d.sync += [self.w_en.eq(1), self.w_row.eq(0)]
            # tiles of a layer lie one behind the other, so only a layer's first one needs an address
            with m.If((new.row_tile == 0) & (new.col_tile == 0)):
                m.d.sync += self.w_addr.eq(self.entry.first_row)
        with m.Elif(self.w_en):
            m.d.sync += [self.w_row.eq(self.w_row + 1), self.w_addr.eq(self.w_addr + 1)]
            with m.If(self.w_row == self.config.rows - 1):
                m.d.sync += [self.w_en.eq(0), self.primed.eq(1)]
