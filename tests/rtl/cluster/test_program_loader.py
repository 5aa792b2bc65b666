"""The words of the scheduler unit's tables, put together from their parts, whatever pauses."""

import random
from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from arch.descriptor import pack_program
from arch.program_image import program_image, word_parts
from arch.scheduler import SchedulerConfig
from arch.workload import load_program
from rtl.cluster.program_loader import ProgramLoader

PROGRAM = load_program("nerf_frame_ngpc8")
SMALL = SchedulerConfig.for_program(PROGRAM)
WIDE = replace(SMALL, n_descriptors=64, n_operations=64, n_units=8, n_pools=4, n_chunks=64, share_bits=8)


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize(("config", "parts"), [(SMALL, 2), (WIDE, 3)])
def test_words_are_whole_and_in_order(config: SchedulerConfig, parts: int, stall: float, seed: int) -> None:
    assert word_parts(config) == parts
    dut, rng, image, found = ProgramLoader(config), random.Random(seed), program_image(PROGRAM, config), []

    async def bench(ctx):
        for address, data in zip(image.address.tolist(), image.data.tolist(), strict=True):
            ctx.set(dut.i.payload, {"target": 8, "address": address, "data": data})
            ctx.set(dut.i.valid, 1)
            for _ in range(60):
                ctx.set(dut.o.ready, int(rng.random() >= stall))
                if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                    word = ctx.get(dut.o.payload)
                    found.append((word.table.value, word.address, word.data))
                taken = ctx.get(dut.i.ready)
                await ctx.tick()
                if taken:
                    break
            else:
                raise AssertionError("a part was not taken")
        ctx.set(dut.i.valid, 0)
        assert ctx.get(dut.o.valid) == 0

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [(int(table), address, word) for table, address, word in pack_program(PROGRAM, config).load_words()]
