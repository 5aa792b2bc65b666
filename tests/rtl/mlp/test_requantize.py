"""Requantisation: every rounding and saturation case, against the arithmetic of docs/numerics.md."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from arch.mlp_engine import REQUANTIZE_CYCLES, MlpEngineConfig
from arch.number_format import round_shift
from rtl.mlp.requantize import Requantize

INT32 = (-(1 << 31), (1 << 31) - 1)


PARAMETERS = ("multiplier", "negative_multiplier", "shift")
CONFIGS = {
    "int8": MlpEngineConfig(rows=4, cols=4, max_width=4),
    "int8 to tables": MlpEngineConfig(rows=4, cols=4, max_width=4, activation_tables=1),
    "int16": MlpEngineConfig(rows=4, cols=4, max_width=4, arithmetic="int16"),
}


def golden(acc: np.ndarray, parameters: tuple[np.ndarray, ...], config: MlpEngineConfig) -> np.ndarray:
    scaled = [
        round_shift(np.where(row < 0, row * int(negative), row * int(multiplier)), int(shift))
        for row, multiplier, negative, shift in zip(acc, *parameters, strict=True)
    ]
    return np.clip(scaled, *limits(config))


def limits(config: MlpEngineConfig) -> tuple[int, int]:
    end = 1 << (config.requantize_bits - 1)
    return -end, end - 1


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
                for name, values in zip(PARAMETERS, parameters, strict=True):
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
    """(acc, multiplier, negative, shift): ties both ways, both saturation edges, the extremes of every operand."""
    top = limits(config)[1]
    cases = []
    for sign in (1, -1):
        for whole in (0, 1, 2, 3, top - 1, top, top + 1, top + 2):
            for shift in (1, 7, 8, 9, 16):
                exact = whole << shift
                half = 1 << (shift - 1)
                cases += [(sign * (exact + nudge), 1, 1, shift) for nudge in (half - 1, half, half + 1, 0)]
    for acc in (*INT32, 0, 1, -1):
        for multiplier in (1, 65535):
            for shift in (1, 8, 9, 24, 46, 47):
                cases += [(acc, multiplier, negative, shift) for negative in (0, 1, 655, 65535)]
    return [case for case in cases if INT32[0] <= case[0] <= INT32[1]]


@pytest.mark.parametrize("name", CONFIGS)
def test_directed(name: str) -> None:
    config = CONFIGS[name]
    cases = np.array(directed(config), dtype=np.int64)
    acc = np.stack([cases[:, 0], -1 - cases[:, 0], cases[:, 0] // 2, np.zeros(len(cases))], axis=1).astype(np.int64)
    parameters = tuple(cases[:, 1:].T)
    out, sent, clocks = run(config, acc, parameters, np.zeros(1, bool))
    np.testing.assert_array_equal(out, golden(acc, parameters, config))
    assert [after - before for before, after in zip(sent, clocks, strict=True)] == [REQUANTIZE_CYCLES] * len(cases)
    assert np.diff(sent).max() == 1


@pytest.mark.parametrize("name", CONFIGS)
def test_random_with_gaps(name: str, seed: int) -> None:
    """Factors of None, ReLU and LeakyReLU, and any other, by turns."""
    config = CONFIGS[name]
    rng = np.random.default_rng(seed)
    n = 400
    magnitude = rng.integers(0, 32, (n, 4))
    acc = rng.integers(*INT32, (n, 4), endpoint=True) >> magnitude
    # shifts around the one that brings the first column into the range of a value, so that most results are inside
    multiplier = rng.integers(1, 1 << 16, n)
    bits = np.array([int(abs(a) * m).bit_length() for a, m in zip(acc[:, 0], multiplier, strict=True)])
    shift = np.clip(bits - config.requantize_bits + rng.integers(-2, 8, n), 1, 47)
    factors = [multiplier, np.zeros(n, int), multiplier * 1311 >> 17, rng.integers(0, 1 << 16, n)]
    parameters = (multiplier, np.choose(rng.integers(0, 4, n), factors), shift)
    out, _, _ = run(config, acc, parameters, rng.integers(0, 2, 997).astype(bool))
    expected = golden(acc, parameters, config)
    np.testing.assert_array_equal(out, expected)
    lowest, highest = limits(config)
    assert ((expected > lowest) & (expected < highest)).mean() > 0.25
    assert (expected == highest).any()
    assert (expected == lowest).any()
