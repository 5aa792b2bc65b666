"""Partial sums of several row tiles, pass by pass."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from arch.mlp_engine import ACCUMULATE_CYCLES, MlpEngineConfig
from rtl.mlp.accumulator import ANNOUNCED, Accumulator


def passes(config: MlpEngineConfig, sums: np.ndarray, idle: int) -> tuple[np.ndarray, list[int]]:
    """Feed ``sums`` (passes, vectors, cols), ``idle`` clocks between passes; outputs, and their clocks.

    The first pass starts the sums, the last one ends them; clock 0 is that of the first vector.
    """
    dut = Accumulator(config)
    count, length = sums.shape[:2]
    out, clocks = [], []

    async def bench(ctx) -> None:
        for clock in range(-ANNOUNCED, count * (length + idle) + ACCUMULATE_CYCLES):
            number, step = divmod(clock + ANNOUNCED, length + idle)
            announced = number < count and step < length
            ctx.set(dut.valid, int(announced))
            ctx.set(dut.first, int(announced and step == 0))
            ctx.set(dut.starts_sum, int(number == 0))
            ctx.set(dut.ends_sum, int(number == count - 1))
            number, step = divmod(clock, length + idle)
            if 0 <= number < count and step < length:
                for column in range(config.cols):
                    ctx.set(dut.i[column], int(sums[number, step, column]))
            # passes that keep their sums show nothing behind the accumulator, not even where they begin
            assert ctx.get(dut.o_first) == (ctx.get(dut.o_valid) and not out)
            if ctx.get(dut.o_valid):
                out.append([ctx.get(o) for o in dut.o])
                clocks.append(clock)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(out), clocks


@pytest.mark.parametrize(("count", "length", "idle"), [(1, 6, 0), (3, 6, 0), (4, 4, 0), (2, 1, 3), (3, 5, 4)])
def test_sums_meet(count: int, length: int, idle: int, seed: int) -> None:
    """One pass alone, and several down to the shortest distance the datasheet allows."""
    config = MlpEngineConfig(rows=4, cols=4, max_width=16, nano_batch=6)
    half = 1 << (config.partial_sum_bits - 1)
    sums = np.random.default_rng(seed).integers(-half, half, (count, length, 4))
    out, clocks = passes(config, sums, idle)
    np.testing.assert_array_equal(out, sums.sum(axis=0))
    first = (count - 1) * (length + idle) + ACCUMULATE_CYCLES
    assert clocks == list(range(first, first + length))


def test_largest_sum_fits() -> None:
    """128 inputs of 16 bits, all operands at their most negative."""
    config = MlpEngineConfig(rows=64, cols=4, max_width=128, nano_batch=6, arithmetic="int16")
    largest = 64 * (1 << 15) * (1 << 7)
    out, _ = passes(config, np.full((2, 4, 4), largest), 0)
    assert (out == 2 * largest).all()
    assert out.shape == (4, 4)


def test_an_array_as_wide_as_its_layers_needs_no_memory() -> None:
    config = MlpEngineConfig(rows=8, cols=4, max_width=8, nano_batch=6)
    assert "$memrd" not in rtlil.convert(Accumulator(config))
    assert "$memrd" in rtlil.convert(Accumulator(replace(config, max_width=16)))
    sums = np.arange(24).reshape(1, 6, 4)
    out, _ = passes(config, sums, 0)
    np.testing.assert_array_equal(out, sums[0])
