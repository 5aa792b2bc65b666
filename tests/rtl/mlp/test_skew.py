"""Skewed and de-skewed vectors: every element by its own number of clocks."""

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator

from rtl.mlp.skew import Skew


@pytest.mark.parametrize("reverse", [False, True], ids=["skew", "deskew"])
@pytest.mark.parametrize("size", [2, 5])
def test_every_element_waits_its_clocks(size: int, reverse: bool, seed: int) -> None:
    dut = Skew(signed(5), size, reverse=reverse)
    vectors = np.random.default_rng(seed).integers(-16, 16, (20, size))
    seen = []

    async def bench(ctx) -> None:
        for vector in vectors.tolist():
            for element in range(size):
                ctx.set(dut.i[element], vector[element])
            seen.append([ctx.get(o) for o in dut.o])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    for element in range(size):
        clocks = size - 1 - element if reverse else element
        expected = [0] * clocks + vectors[: len(vectors) - clocks, element].tolist()
        assert [vector[element] for vector in seen] == expected
