"""From rows of the activation memories to the array's inputs."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import READ_CYCLES, MlpEngineConfig, Split
from rtl.delay_line import DelayLine
from rtl.mlp.activation_memory import ActivationMemorySignature
from rtl.mlp.layer_sequencer import PassLayout

__all__ = ["TileSelect"]


class TileSelect(Component):
    """Take a pass's tile of elements, of one point or of several, out of the row that was read.

    Without a split every array row has its element of one point. With row halves both halves have the same elements,
    the upper half of one point, the lower half of the next one; with column groups each group has points of its own.

    *Timing*: ``en``, ``point`` and ``current`` come with the read; the rows one clock later; ``a`` two clocks behind
    those: a register takes the row, input vectors or activations, and the tile is chosen behind it. Initiation interval
    1, no stall. Entries of groups that the split does not have hold what they had.

    Parameters
    ----------
    config : the engine

    Members
    -------
    en, point : In, a row is read; its first point that is wanted
    current : In(PassLayout)
    input_row, activation_row : In, the row of each memory
    a : Out(signed(value_bits)) of each row of each entry
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        assert READ_CYCLES == 3
        self.config = config
        row = ActivationMemorySignature(config).members["r_data"].shape
        super().__init__(
            {
                "en": In(1),
                "point": In(range(max(2, config.point_banks))),
                "current": In(PassLayout(config)),
                "input_row": In(row),
                "activation_row": In(row),
                "a": Out(signed(config.profile.value_bits)).array(config.entries * config.rows),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, current = self.config, self.current
        valid, from_input = Signal(2), Signal()  # bit 0: the rows are there; bit 1: one of them is in ``row``
        m.submodules.row_tile = row_tile = DelayLine(current.row_tile.shape(), 2)
        m.d.comb += row_tile.i.eq(current.row_tile)
        m.d.sync += [valid.eq(valid << 1 | self.en), from_input.eq(current.from_input)]
        width = config.max_width * config.profile.value_bits
        inputs = self.input_row.as_value()
        chosen = Signal(config.point_banks * width)
        m.d.comb += chosen.eq(Mux(from_input, inputs, self.activation_row.as_value()))
        if config.side_inputs:
            takes_side = Signal()
            m.d.sync += takes_side.eq(current.takes_side)
            low = config.side_first * config.profile.value_bits
            size = config.side_inputs * config.profile.value_bits
            with m.If(takes_side):
                for bank in range(config.point_banks):
                    m.d.comb += chosen[bank * width + low :][:size].eq(inputs[bank * width + low :][:size])
        row = Signal.like(chosen, reset_less=True)
        with m.If(valid[0]):
            m.d.sync += row.eq(chosen)
        if not config.fission:
            tile = self._tile(m, row, row_tile.o, config.splits[0], "tile")
            with m.If(valid[1]):
                self._enter(m, 0, tile)
            return m
        m.submodules.split = split = DelayLine(current.split.shape(), 2)
        m.submodules.point = point = DelayLine(self.point.shape(), 2)
        m.d.comb += [split.i.eq(current.split), point.i.eq(self.point)]
        # every choice has a signal of its own: an expression would be built anew for each bit field taken of it
        points = []
        for number in range(config.point_banks):
            vector = Signal(width, name=f"point_{number}")
            m.d.comb += vector.eq(row.word_select((point.o + number)[: len(point.o)], width))
            points.append(vector)
        entered = [Signal(config.rows * config.profile.value_bits, name=f"entered_{e}") for e in range(config.entries)]
        used = Signal(config.entries)
        with m.Switch(split.o):
            for number, each in enumerate(config.splits):
                with m.Case(number):
                    for group in range(each.column_groups):
                        entry = group * config.entries // each.column_groups
                        own = points[group * each.row_halves :][: each.row_halves]
                        tiles = [
                            self._tile(m, vector, row_tile.o, each, f"tile_{each}_{group}_{half}")
                            for half, vector in enumerate(own)
                        ]
                        m.d.comb += [used[entry].eq(valid[1]), entered[entry].eq(Cat(*tiles))]
        for entry in range(config.entries):
            with m.If(used[entry]):
                self._enter(m, entry, entered[entry])
        return m

    def _tile(self, m: Module, vector: Value, row_tile: Value, split: Split, name: str) -> Signal:
        """The elements of tile ``row_tile`` of a vector."""
        size = self.config.rows // split.row_halves * self.config.profile.value_bits
        width = self.config.max_width * self.config.profile.value_bits
        beyond = Const(0, -width % size)  # of a last tile that reaches past the vector
        tile = Signal(size, name=name)
        m.d.comb += tile.eq(Cat(vector[:width], beyond).word_select(row_tile, size))
        return tile

    def _enter(self, m: Module, entry: int, values: Signal) -> None:
        """Give the array its values at one entry."""
        rows, bits = self.config.rows, self.config.profile.value_bits
        m.d.sync += [self.a[entry * rows + r].eq(values.word_select(r, bits)) for r in range(rows)]
