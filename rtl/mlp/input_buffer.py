"""The two banks in which nano-batches gather."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.activation_memory import ActivationMemory, ActivationMemorySignature
from rtl.streams import VectorLayout

__all__ = ["InputBuffer"]


class InputBuffer(Component):
    """Gather vectors into nano-batches, one bank filling while the other is read.

    A bank closes with its vector number ``nano_batch`` or with ``last``, and is free again two clocks after
    ``release``; the reader, which begins one clock after it, may then still be on its way through the bank, one vector
    a clock, ahead of the writer.

    *Timing*: ``full`` one clock after the vector that closes the bank; ``r_data`` one clock after ``r_en``. One vector
    a clock while a bank is free.

    Parameters
    ----------
    config : the engine

    Members
    -------
    i : In(stream of VectorLayout(max_width, value_bits))
    enable : In(1), low refuses vectors
    full, n, last, bank : Out, the oldest bank: closed, its vectors, whether they end a run, its number
    release : In(1), the oldest bank is free from the clock after the next
    empty : Out(1), no vector since the last bank closed, and no bank closed
    r_en, r_bank, r_index, r_data : read port
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        memory = ActivationMemorySignature(config).members
        super().__init__(
            {
                "i": In(stream.Signature(VectorLayout(config.max_width, config.profile.value_bits))),
                "enable": In(1),
                "full": Out(1),
                "n": Out(range(config.nano_batch + 1)),
                "last": Out(1),
                "bank": Out(1),
                "release": In(1),
                "empty": Out(1),
                **{name: memory[name] for name in ("r_en", "r_bank", "r_index", "r_data")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = ActivationMemory(self.config)
        banks = self.config.point_banks
        full = Signal(2)
        n = Array(Signal.like(self.n, name=f"n_{bank}") for bank in range(2))
        last = Array(Signal(name=f"last_{bank}") for bank in range(2))
        w_bank, w_index, begun, release = Signal(), Signal(range(self.config.nano_batch)), Signal(), Signal()
        most = self.config.nano_batch
        fills = Signal(init=most == 1)  # the next vector is the bank's last
        take = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq(self.enable & ~full.bit_select(w_bank, 1)),
            memory.w_bank.eq(w_bank),
            memory.w_index.eq(w_index // banks),
            memory.w_data.eq(self.i.payload.values.as_value().replicate(banks)),
            memory.r_en.eq(self.r_en),
            memory.r_bank.eq(self.r_bank),
            memory.r_index.eq(self.r_index),
            self.r_data.eq(memory.r_data),
            self.full.eq(full.bit_select(self.bank, 1)),
            self.n.eq(n[self.bank]),
            self.last.eq(last[self.bank]),
            self.empty.eq((full == 0) & ~begun),
        ]
        for bank in range(banks):
            write = take & (w_index % banks == bank)
            m.d.comb += memory.w_en.word_select(bank, self.config.n_lanes).eq(write.replicate(self.config.n_lanes))
        with m.If(take):
            m.d.sync += [w_index.eq(w_index + 1), begun.eq(1), fills.eq(w_index == most - 2)]
            with m.If(self.i.payload.last | fills):
                m.d.sync += [
                    w_index.eq(0),
                    begun.eq(0),
                    fills.eq(most == 1),
                    w_bank.eq(~w_bank),
                    full.bit_select(w_bank, 1).eq(1),
                    n[w_bank].eq(w_index + 1),
                    last[w_bank].eq(self.i.payload.last),
                ]
        m.d.sync += release.eq(self.release)
        with m.If(release):
            m.d.sync += [full.bit_select(self.bank, 1).eq(0), self.bank.eq(~self.bank)]
        return m
