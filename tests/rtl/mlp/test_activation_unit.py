"""Activation tables in RTL: every pre-activation of every table, against the reference."""

import numpy as np
import pytest
import torch
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from arch.activation_table import TABLE_ACTIVATIONS, activation_curve, activation_table
from arch.mlp_engine import ACTIVATION_CYCLES, MlpEngineConfig
from reference.activation_table import activate_integer
from rtl.mlp.activation_unit import ActivationUnit
from rtl.streams import LoadLayout, VectorLayout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator

PRE = np.arange(-(1 << 15), 1 << 15)
COLS = 16


def run(config: MlpEngineConfig, words: np.ndarray, tables: np.ndarray, pre: np.ndarray, valid: np.ndarray):
    """Load ``words``, then send ``pre`` where ``valid``: the outputs."""
    dut = ActivationUnit(config)
    out = []

    async def bench(ctx) -> None:
        ctx.set(dut.w_en, 1)
        for address, word in enumerate(words.tolist()):
            ctx.set(dut.w_addr, address)
            ctx.set(dut.w_data, word)
            await ctx.tick()
        ctx.set(dut.w_en, 0)
        position = 0
        clock = 0
        while len(out) < len(pre):
            assert clock < 2 * len(valid) + ACTIVATION_CYCLES
            offered = position < len(pre) and valid[clock % len(valid)]
            ctx.set(dut.valid, int(offered))
            if offered:
                ctx.set(dut.table, int(tables[position]))
                for port, value in zip(dut.i, pre[position].tolist(), strict=True):
                    ctx.set(port, value)
                position += 1
            if ctx.get(dut.o_valid):
                out.append([ctx.get(o) for o in dut.o])
            await ctx.tick()
            clock += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(out)


class StreamedUnit(Component):
    """An ActivationUnit between streams, for the block simulator: it never stalls, so it is always ready."""

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        inputs = {"table": unsigned(3), "values": data.ArrayLayout(signed(16), config.cols)}
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout())),
                "inputs": In(stream.Signature(data.StructLayout(inputs))),
                "outputs": Out(stream.Signature(VectorLayout(config.cols, config.profile.value_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = ActivationUnit(self.config)
        m.d.comb += [
            self.load.ready.eq(1),
            self.inputs.ready.eq(1),
            unit.w_en.eq(self.load.valid),
            unit.w_addr.eq(self.load.payload.address),
            unit.w_data.eq(self.load.payload.data),
            unit.valid.eq(self.inputs.valid),
            unit.table.eq(self.inputs.payload.table),
            self.outputs.valid.eq(unit.o_valid),
        ]
        for c in range(self.config.cols):
            m.d.comb += [
                unit.i[c].eq(self.inputs.payload.values[c]),
                self.outputs.payload.values[c].eq(unit.o[c]),
            ]
        return m


@pytest.mark.cosim
@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_every_input_of_every_table(arithmetic: str) -> None:
    """All 65,536 pre-activations through each table and through none, one vector a clock; latency as stated."""
    tables = len(TABLE_ACTIVATIONS)
    config = MlpEngineConfig(rows=4, cols=COLS, max_width=COLS, arithmetic=arithmetic, activation_tables=tables)
    profile = config.profile
    curves = [activation_curve(activation, profile) for activation in TABLE_ACTIVATIONS]
    words = np.concatenate([activation_table(curve, profile).words for curve in curves])
    straight = np.clip(PRE, profile.value.minimum, profile.value.maximum)
    expected = [straight, *[activate_integer(curve, torch.from_numpy(PRE), profile).numpy() for curve in curves]]
    pre = np.tile(PRE.reshape(-1, COLS), (len(expected), 1))
    table = np.repeat(np.arange(len(expected)), len(PRE) // COLS)
    unit = StreamedUnit(config)
    load = {"target": np.zeros(len(words), int), "address": np.arange(len(words)), "data": words.view(np.uint64)}
    with RtlSimulator(unit, "activation_unit") as simulator:
        simulator.run({"load": pack_payloads(LoadLayout(), load)}, {}, max_cycles=10_000)
        vectors = pack_payloads(unit.inputs.payload.shape(), {"table": table, "values": pre})
        block = simulator.run({"inputs": vectors}, {"outputs": len(pre)}, max_cycles=len(pre) + 100)
    outputs = unpack_payloads(unit.outputs.payload.shape(), block.outputs["outputs"])["values"]
    np.testing.assert_array_equal(outputs, np.concatenate(expected).reshape(-1, COLS))
    np.testing.assert_array_equal(block.taken["outputs"] - block.sent["inputs"], ACTIVATION_CYCLES)
    assert np.all(np.diff(block.taken["outputs"]) == 1)


@pytest.mark.parametrize("n_tables", [1, 3, 7])
def test_random_segments_with_gaps(n_tables: int, seed: int) -> None:
    """Random coefficients of the whole range, tables changing from vector to vector: both saturations, and ties."""
    rng = np.random.default_rng(seed)
    config = MlpEngineConfig(rows=4, cols=4, max_width=4, activation_tables=n_tables)
    segments, width = 128, 512
    offsets = rng.integers(-(1 << 19), 1 << 19, (n_tables, segments))
    slopes = rng.integers(-(1 << 15), 1 << 15, (n_tables, segments)) >> rng.integers(0, 12, (n_tables, segments))
    slopes[:, ::4] = 0
    offsets[:, ::4] = offsets[:, ::4] & ~1023 | 1024  # halves of an output step: ties
    words = (slopes & 0xFFFF) | (offsets & 0xFFFFF) << 16
    pre = rng.integers(-(1 << 15), 1 << 15, (600, 4))
    tables = rng.integers(0, n_tables + 1, len(pre))
    out = run(config, words.ravel(), tables, pre, rng.integers(0, 2, 2 * len(pre)).astype(bool))
    segment, low = (pre >> 9) & (segments - 1), pre % width - width // 2
    chosen = np.maximum(tables - 1, 0)[:, None]
    # float64 holds the 29-bit sum exactly; rint is half to even
    looked_up = np.rint((offsets[chosen, segment] * 256 + slopes[chosen, segment] * low) / 2**19)
    expected = np.clip(np.where(tables[:, None] > 0, looked_up, pre), -128, 127)
    np.testing.assert_array_equal(out, expected)
    inside = looked_up[tables > 0]
    assert (inside > 127).any() and (inside < -128).any() and (np.abs(inside) < 127).any()
