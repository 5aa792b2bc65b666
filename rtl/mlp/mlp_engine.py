"""The systolic MLP engine: vectors in, a whole network, vectors out."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from arch.load import LoadTarget
from arch.mlp_engine import READ_CYCLES, MlpEngineConfig
from rtl.delay_line import DelayLine
from rtl.mlp.accumulator import ANNOUNCED, Accumulator
from rtl.mlp.activate import Activate
from rtl.mlp.activation_memory import ActivationMemory
from rtl.mlp.dot_array import DotArray
from rtl.mlp.float_accumulator import FloatAccumulator
from rtl.mlp.float_activate import FloatActivate
from rtl.mlp.input_buffer import InputBuffer
from rtl.mlp.layer_program import LayerProgram
from rtl.mlp.layer_sequencer import LayerSequencer
from rtl.mlp.output_buffer import OutputBuffer
from rtl.mlp.systolic_array import SystolicArray
from rtl.mlp.tile_select import TileSelect
from rtl.mlp.weight_memory import WeightMemory
from rtl.mlp.write_back import WriteBack
from rtl.streams import LoadLayout, VectorLayout

__all__ = ["MlpEngine"]

_LAYER_PARAMETERS = ("multiplier", "negative_multiplier", "shift", "table")


class MlpEngine(Component):
    """Run every vector of a stream through the loaded network, in order.

    Vectors gather into nano-batches (``nano_batch`` of them, or fewer up to a ``last``); a nano-batch passes the
    array once for each tile of each layer; its results leave while the next one computes. ``last`` leaves with the
    result of its vector. Elements of an input past the network's inputs are ignored; elements of an output past its
    last column tile are 0; those past its outputs inside that tile are the activation of 0 (their weights are 0).

    *Timing*: a nano-batch of n vectors takes ``passes * config.pass_cycles(n)`` clocks of the array, with nothing in
    between while inputs and outputs keep up. From the transfer of its last input to the transfer of its first output
    on an idle engine: ``START_CYCLES + (passes - 1) * config.pass_cycles(n) + config.latency_cycles``.
    ``sim.engine.mlp`` predicts every transfer.

    *Loading*: ``load.ready`` is low from the first vector taken until two clocks behind the last result, and in the
    first clock of a word behind a pause; ``inputs.ready`` is low while no network is loaded, with ``load.ready`` and
    for ``prime_cycles`` behind a load word. Words for other targets are taken and change nothing.

    *Numerics*: docs/numerics.md, "Networks" and "Activations".

    Parameters
    ----------
    config : the engine

    Members
    -------
    load : In(stream of LoadLayout), ``arch.mlp_image``
    inputs, outputs : In, Out(stream of VectorLayout(max_width, value_bits))
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        vectors = stream.Signature(VectorLayout(config.max_width, config.profile.value_bits))
        super().__init__({"load": In(stream.Signature(LoadLayout())), "inputs": In(vectors), "outputs": Out(vectors)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.program = program = LayerProgram(config)
        m.submodules.sequencer = sequencer = LayerSequencer(config)
        m.submodules.weights = weights = WeightMemory(config)
        m.submodules.input_buffer = inputs = InputBuffer(config)
        m.submodules.activations = activations = ActivationMemory(config)
        m.submodules.array = array = (DotArray if config.floating else SystolicArray)(config)
        m.submodules.output_buffer = outputs = OutputBuffer(config)

        # an engine that was empty and took no vector still is; so no buffer's state is on the way of a load word, which
        # is taken from the clock after its offer on, so that vectors hear of it from a register
        quiet, offered = Signal(init=1), Signal()
        takes = self.inputs.valid & self.inputs.ready
        m.d.sync += quiet.eq(sequencer.idle & inputs.empty & outputs.empty & ~takes)
        m.d.sync += offered.eq(self.load.valid)
        load_en = self.load.valid & self.load.ready
        self._word_en, self._word = Signal(name="word_en"), Signal(LoadLayout(), name="word")
        m.d.sync += [self._word_en.eq(load_en), self._word.eq(self.load.payload)]
        connect(m, flipped(self.inputs), inputs.i)
        connect(m, outputs.o, flipped(self.outputs))
        m.d.comb += [
            self.load.ready.eq(quiet & offered),
            inputs.enable.eq(sequencer.primed & ~self.load.ready),
            program.load_en.eq(self._word_en),
            program.load.eq(self._word),
            weights.w_en.eq(self._word_en & (self._word.target == LoadTarget.WEIGHT)),
            weights.w_addr.eq(self._word.address),
            weights.w_data.eq(self._word.data),
            sequencer.flush.eq(load_en),
            sequencer.n_layers.eq(program.n_layers),
            program.layer.eq(sequencer.layer),
            sequencer.entry.eq(program.o),
            sequencer.batch_full.eq(inputs.full),
            sequencer.batch_n.eq(inputs.n),
            sequencer.batch_last.eq(inputs.last),
            sequencer.batch_bank.eq(inputs.bank),
            inputs.release.eq(sequencer.release_input),
            sequencer.output_free.eq(outputs.free),
            sequencer.output_bank.eq(outputs.bank),
            outputs.take.eq(sequencer.take_output),
            weights.r_en.eq(sequencer.w_en),
            weights.r_addr.eq(sequencer.w_addr),
            weights.i_row.eq(sequencer.w_row),
            array.w_en.eq(weights.r_valid),
            array.w_row.eq(weights.r_row),
        ]
        m.d.comb += [array.w_data[c].eq(weights.r_data[c]) for c in range(config.cols)]
        self._read(m, sequencer, inputs, activations, array)
        m.submodules.write_back = write_back = WriteBack(config)
        done = (self._float_stages if config.floating else self._stages)(m, sequencer, array, write_back)
        m.d.comb += write_back.current.eq(sequencer.current)
        self._write(m, write_back, done, activations, outputs)
        return m

    def _read(
        self,
        m: Module,
        sequencer: LayerSequencer,
        inputs: InputBuffer,
        activations: ActivationMemory,
        array: SystolicArray,
    ) -> None:
        """From the sequencer's address to the array's inputs, ``READ_CYCLES``."""
        config, current = self.config, sequencer.current
        m.submodules.swap = swap = DelayLine(1, READ_CYCLES)
        m.d.comb += [
            swap.i.eq(sequencer.r_first),
            array.swap.eq(swap.o),
            inputs.r_en.eq(sequencer.reads & current.from_input),
            inputs.r_bank.eq(current.input_bank),
            inputs.r_index.eq(sequencer.r_index),
            activations.r_en.eq(sequencer.reads & ~current.from_input),
            activations.r_bank.eq(~current.bank),
            activations.r_index.eq(sequencer.r_index),
        ]
        if config.side_inputs:
            m.d.comb += inputs.r_en.eq(sequencer.reads & (current.from_input | current.takes_side))
        m.submodules.tile_select = select = TileSelect(config)
        m.d.comb += [
            select.en.eq(sequencer.r_en),
            select.point.eq(sequencer.r_point),
            select.current.eq(current),
            select.input_row.eq(inputs.r_data),
            select.activation_row.eq(activations.r_data),
        ]
        m.d.comb += [i.eq(o) for i, o in zip(array.a, select.a, strict=True)]
        if config.fission:
            with m.Switch(current.split):
                for number, split in enumerate(config.splits):
                    with m.Case(number):
                        step = config.entries // split.column_groups
                        own = sum(1 << entry - 1 for entry in range(step, config.entries, step))
                        m.d.comb += [array.enters.eq(own), array.halves.eq(split.row_halves == 2)]

    def _stages(
        self, m: Module, sequencer: LayerSequencer, array: SystolicArray, write_back: WriteBack
    ) -> tuple[Value, Value]:
        """From the array's outputs to the activations; each stage copies what it needs of ``current`` in its time.

        Returns: the first complete sums of a pass stand behind the accumulator; activations are there.
        """
        config, current = self.config, sequencer.current
        m.submodules.accumulator = accumulator = Accumulator(config)
        m.submodules.activate = activate = Activate(config)
        arrives = READ_CYCLES + config.array_cycles - ANNOUNCED
        m.submodules.valid = valid = DelayLine(1, arrives)
        m.submodules.first = first = DelayLine(1, arrives)
        paths = [(array.o, accumulator, activate, write_back.i)]
        if config.fission:  # the upper row half's sums have accumulators and activations of their own
            m.submodules.upper_accumulator = upper_accumulator = Accumulator(config)
            m.submodules.upper_activate = upper_activate = Activate(config)
            paths.append((array.upper_o, upper_accumulator, upper_activate, write_back.upper_i))
        m.submodules.first_sum = first_sum = DelayLine(1, ANNOUNCED)
        m.d.comb += first_sum.i.eq(first.o)
        load = self._word
        for sums, accumulate, stage, activations_o in paths:
            with m.If(first_sum.o):
                m.d.sync += [getattr(stage, name).eq(current[name]) for name in _LAYER_PARAMETERS]
            m.d.comb += [
                stage.w_en.eq(self._word_en & (load.target == LoadTarget.ACTIVATION_TABLE)),
                stage.w_addr.eq(load.address),
                stage.w_data.eq(load.data),
                accumulate.valid.eq(valid.o),
                accumulate.first.eq(first.o),
                accumulate.starts_sum.eq(current.starts_sum),
                accumulate.ends_sum.eq(current.ends_sum),
                stage.valid.eq(accumulate.o_valid),
            ]
            for c in range(config.cols):
                m.d.comb += [
                    accumulate.i[c].eq(sums[c]),
                    stage.i[c].eq(accumulate.o[c]),
                    activations_o[c].eq(stage.o[c]),
                ]
        if config.fission:  # idle in a pass without row halves
            halves, upper = array.halves, Signal()
            m.d.sync += upper.eq(Mux(first.o, halves, upper))
            m.d.comb += upper_accumulator.valid.eq(valid.o & Mux(first.o, halves, upper))
        m.d.comb += [valid.i.eq(sequencer.r_en), first.i.eq(sequencer.r_first)]
        return accumulator.o_first, activate.o_valid

    def _float_stages(
        self, m: Module, sequencer: LayerSequencer, array: DotArray, write_back: WriteBack
    ) -> tuple[Value, Value]:
        """The same in ``fp16``, where the sums of the row tiles before enter the array with the vectors."""
        config, current = self.config, sequencer.current
        m.submodules.accumulator = accumulator = FloatAccumulator(config)
        m.submodules.activate = activate = FloatActivate(config)
        m.submodules.valid = valid = DelayLine(1, READ_CYCLES + config.array_cycles)
        m.submodules.first = first = DelayLine(1, READ_CYCLES + config.array_cycles)
        m.d.comb += [valid.i.eq(sequencer.r_en), first.i.eq(sequencer.r_first)]
        paths = [(array.o, array.before, accumulator, activate, write_back.i, valid.o)]
        if config.fission:
            m.submodules.upper_accumulator = upper_accumulator = FloatAccumulator(config)
            m.submodules.upper_activate = upper_activate = FloatActivate(config)
            m.submodules.apart = apart = DelayLine(1, READ_CYCLES)
            upper = Signal()
            now = Mux(first.o, array.halves, upper)
            m.d.sync += upper.eq(now)
            m.d.comb += [apart.i.eq(array.halves), array.apart.eq(apart.o)]
            paths.append(
                (
                    array.upper_o,
                    array.upper_before,
                    upper_accumulator,
                    upper_activate,
                    write_back.upper_i,
                    valid.o & now,
                )
            )
        for sums, before, accumulate, stage, activations_o, there in paths:
            with m.If(first.o):
                m.d.sync += stage.negative.eq(current.negative)
            if config.activation_tables:
                load = self._word
                with m.If(first.o):
                    m.d.sync += stage.table.eq(current.table)
                m.d.comb += [
                    stage.w_en.eq(self._word_en & (load.target == LoadTarget.ACTIVATION_TABLE)),
                    stage.w_addr.eq(load.address),
                    stage.w_data.eq(load.data),
                ]
            m.d.comb += [
                accumulate.r_en.eq(sequencer.r_en),
                accumulate.r_first.eq(sequencer.r_first),
                accumulate.starts_sum.eq(current.starts_sum),
                accumulate.valid.eq(there),
                accumulate.first.eq(first.o),
                accumulate.ends_sum.eq(current.ends_sum),
                stage.valid.eq(accumulate.o_valid),
            ]
            for c in range(config.cols):
                m.d.comb += [
                    before[c].eq(accumulate.before[c]),
                    accumulate.i[c].eq(sums[c]),
                    stage.i[c].eq(accumulate.o[c]),
                    activations_o[c].eq(stage.o[c]),
                ]
        return accumulator.o_first, activate.o_valid

    def _write(
        self,
        m: Module,
        write_back: WriteBack,
        done: tuple[Value, Value],
        activations: ActivationMemory,
        outputs: OutputBuffer,
    ) -> None:
        """Activations into the memories."""
        m.submodules.written = written = DelayLine(1, self.config.activate_cycles - 1)
        m.d.comb += [
            written.i.eq(done[0]),
            write_back.first.eq(written.o),
            write_back.valid.eq(done[1]),
            activations.w_en.eq(write_back.activation_en),
            activations.w_bank.eq(write_back.written.bank),
            outputs.w_en.eq(write_back.output_en),
            outputs.w_bank.eq(write_back.written.output_bank),
            outputs.opens.eq(write_back.opens),
        ]
        m.d.comb += [getattr(outputs, name).eq(write_back.written[name]) for name in ("n", "last")]
        for memory in (activations, outputs):
            m.d.comb += [memory.w_index.eq(write_back.w_index), memory.w_data.eq(write_back.w_data)]
