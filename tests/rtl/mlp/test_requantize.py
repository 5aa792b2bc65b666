"""Requantisation: every rounding and saturation case, against the arithmetic of docs/numerics.md."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from arch.mlp_engine import REQUANTIZE_CYCLES, MlpEngineConfig
from arch.number_format import round_shift
from rtl.mlp.requantize import Requantize

INT32 = (-(1 << 31), (1 << 31) - 1)


def golden(acc: np.ndarray, relu: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, config) -> np.ndarray:
    acc = np.where(relu[:, None] & (acc < 0), 0, acc)
    scaled = [round_shift(row * int(m), int(s)) for row, m, s in zip(acc, multiplier, shift, strict=True)]
    return np.clip(scaled, config.profile.value.minimum, config.profile.value.maximum)


def run(config: MlpEngineConfig, acc, parameters, gaps) -> tuple[np.ndarray, list[int], list[int]]:
    """Outputs, and the clocks of inputs and outputs; a new vector with its own parameters every clock but in gaps."""
    dut = Requantize(config)
    sent, out, out_clocks = [], [], []

    async def bench(ctx) -> None:
        position = 0
        for clock in range(len(acc) + int(gaps.sum()) + REQUANTIZE_CYCLES + 1):
            offered = position < len(acc) and not gaps[clock % len(gaps)]
            ctx.set(dut.valid, int(offered))
            if offered:
                for name, values in zip(("relu", "multiplier", "shift"), parameters, strict=True):
                    ctx.set(getattr(dut, name), int(values[position]))
                for column, value in enumerate(acc[position]):
                    ctx.set(dut.i[column], int(value))
                sent.append(clock)
                position += 1
            if ctx.get(dut.o_valid):
                out.append([ctx.get(o) for o in dut.o])
                out_clocks.append(clock)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(out), sent, out_clocks


def directed(config: MlpEngineConfig) -> list[tuple[int, int, int, int]]:
    """(acc, relu, multiplier, shift): ties both ways, both saturation edges, the extremes of every operand."""
    top = config.profile.value.maximum
    cases = []
    for sign in (1, -1):
        for whole in (0, 1, 2, 3, top - 1, top, top + 1, top + 2):
            for shift in (1, 7, 8, 9, 16):
                exact = whole << shift
                half = 1 << (shift - 1)
                cases += [(sign * (exact + nudge), 0, 1, shift) for nudge in (half - 1, half, half + 1, 0)]
    for acc in (*INT32, 0, 1, -1):
        for multiplier in (1, 65535):
            for shift in (1, 8, 9, 24, 46, 47):
                cases += [(acc, 0, multiplier, shift), (acc, 1, multiplier, shift)]
    return [case for case in cases if INT32[0] <= case[0] <= INT32[1]]


@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_directed(arithmetic: str) -> None:
    config = MlpEngineConfig(rows=4, cols=4, max_width=4, arithmetic=arithmetic)
    cases = np.array(directed(config), dtype=np.int64)
    acc = np.stack([cases[:, 0], -1 - cases[:, 0], cases[:, 0] // 2, np.zeros(len(cases))], axis=1).astype(np.int64)
    relu, multiplier, shift = cases[:, 1].astype(bool), cases[:, 2], cases[:, 3]
    out, sent, clocks = run(config, acc, (relu, multiplier, shift), np.zeros(1, bool))
    np.testing.assert_array_equal(out, golden(acc, relu, multiplier, shift, config))
    assert [after - before for before, after in zip(sent, clocks, strict=True)] == [REQUANTIZE_CYCLES] * len(cases)
    assert np.diff(sent).max() == 1


@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_random_with_gaps(arithmetic: str, seed: int) -> None:
    config = MlpEngineConfig(rows=4, cols=4, max_width=4, arithmetic=arithmetic)
    rng = np.random.default_rng(seed)
    n = 400
    magnitude = rng.integers(0, 32, (n, 4))
    acc = rng.integers(*INT32, (n, 4), endpoint=True) >> magnitude
    # shifts around the one that brings the first column into the range of a value, so that most results are inside
    multiplier = rng.integers(1, 1 << 16, n)
    bits = np.array([int(abs(a) * m).bit_length() for a, m in zip(acc[:, 0], multiplier, strict=True)])
    shift = np.clip(bits - config.profile.value_bits + rng.integers(-2, 8, n), 1, 47)
    relu = rng.integers(0, 2, n).astype(bool)
    out, _, _ = run(config, acc, (relu, multiplier, shift), rng.integers(0, 2, 997).astype(bool))
    expected = golden(acc, relu, multiplier, shift, config)
    np.testing.assert_array_equal(out, expected)
    inside = np.abs(expected) < config.profile.value.maximum
    assert inside.mean() > 0.25
    assert (expected == config.profile.value.maximum).any()
    assert (expected == config.profile.value.minimum).any()
