"""Activations of fp16, every number through the RTL."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.activation_table import STRAIGHT_ACTIVATIONS, negative_part
from arch.float_activation import FLOAT_TABLE_ACTIVATIONS, SEGMENT_BITS, float_activation_table
from arch.float_sine import float_sine_table
from arch.load import LoadImage, LoadTarget
from arch.mlp_engine import MlpEngineConfig
from reference.activation import activate_fp16
from rtl.mlp.float_activate import FloatActivate
from rtl.streams import LoadLayout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator

COLS, TABLES = 4, 2
CONFIG = MlpEngineConfig(rows=16, cols=COLS, arithmetic="fp16", activation_tables=TABLES)
WITH_SINE = replace(CONFIG, sine=True)
SUMS = data.StructLayout({"negative": 2, "table": 2, "values": data.ArrayLayout(16, COLS)})


class OnStreams(wiring.Component):
    """The activations between two streams that never wait, and a load port."""

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "i": In(stream.Signature(SUMS)),
                "o": Out(stream.Signature(data.StructLayout({"values": data.ArrayLayout(16, COLS)}))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.activate = activate = FloatActivate(self.config)
        lost = Signal()  # a result that nobody took stops everything: the run ends in its hang guard
        with m.If(self.o.valid & ~self.o.ready):
            m.d.sync += lost.eq(1)
        m.d.comb += [
            self.load.ready.eq(1),
            activate.w_en.eq(self.load.valid & (self.load.payload.target == LoadTarget.ACTIVATION_TABLE)),
            activate.w_addr.eq(self.load.payload.address),
            activate.w_data.eq(self.load.payload.data),
            self.i.ready.eq(~lost),
            activate.valid.eq(self.i.valid & self.i.ready),
            activate.negative.eq(self.i.payload.negative),
            activate.table.eq(self.i.payload.table),
            self.o.valid.eq(activate.o_valid),
        ]
        for c in range(COLS):
            m.d.comb += [activate.i[c].eq(self.i.payload.values[c]), self.o.payload.values[c].eq(activate.o[c])]
        return m


@pytest.mark.cosim
@pytest.mark.parametrize(
    ("config", "names"),
    [
        (CONFIG, FLOAT_TABLE_ACTIVATIONS),
        # both tables are Sine's once; beside the one that has infinities and zeros of both signs
        (WITH_SINE, ("SiLU", "Sine", "Sine", "Tanh")),
    ],
    ids=["segments", "sine"],
)
def test_every_number(config: MlpEngineConfig, names: tuple[str, ...], seed: int) -> None:
    """Each column has all 65,536 numbers, in an order of its own; the activation changes from clock to clock."""
    rng = np.random.default_rng(seed)
    numbers = np.stack([rng.permutation(1 << 16) for _ in range(COLS)], axis=1)
    halves = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.float16).copy())
    with RtlSimulator(OnStreams(config), f"float_activate_{config.sine}", seed=seed) as simulator:
        for first in range(0, len(names), TABLES):
            tables = names[first : first + TABLES]
            made = [float_sine_table() if name == "Sine" else float_activation_table(name) for name in tables]
            words = np.concatenate([table.words for table in made])
            image = LoadImage.of(LoadTarget.ACTIVATION_TABLE, np.arange(TABLES << SEGMENT_BITS), words)
            load = {"target": image.target, "address": image.address, "data": image.data}
            simulator.run({"load": pack_payloads(LoadLayout(), load)}, {}, max_cycles=1 << 15)
            there = [*STRAIGHT_ACTIVATIONS, *tables]
            golden = np.stack([_bits(name, activate_fp16(name, halves)) for name in there])
            seen = np.zeros((len(there), COLS, 1 << 16), dtype=bool)
            for turn in range(len(there)):
                chosen = (np.arange(1 << 16) + turn) % len(there)
                table = np.maximum(chosen - len(STRAIGHT_ACTIVATIONS) + 1, 0)
                negative = np.array([int(negative_part(name)) for name in there])[chosen]
                sums = pack_payloads(SUMS, {"negative": negative, "table": table, "values": numbers})
                run = simulator.run({"i": sums}, {"o": len(sums)}, max_cycles=len(sums) + 100)
                assert run.cycles == len(sums) + config.activate_cycles
                layout = data.StructLayout({"values": data.ArrayLayout(16, COLS)})
                found = unpack_payloads(layout, run.outputs["o"])["values"]
                assert np.array_equal(found, golden[chosen[:, None], numbers])
                for c in range(COLS):
                    seen[chosen, c, numbers[:, c]] = True
            assert seen.all()


def _bits(name: str, values: torch.Tensor) -> np.ndarray:
    """Bits of fp16 numbers; those of NaN as the hardware writes them, but None's, which pass unchanged."""
    bits = values.numpy().view(np.uint16)
    return (bits if name == "None" else np.where(np.isnan(values.numpy()), 0x7FFF, bits)).astype(np.int64)
