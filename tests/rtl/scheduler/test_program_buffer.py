"""The buffer of load words: what goes in comes out, whatever waits."""

import random
from collections.abc import Callable

from arch.descriptor import pack_program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.program_buffer import ProgramBuffer
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=4, n_units=2, n_chunks=4, share_bits=4, buffered=True)


def test_words_pass_in_order_and_stay_while_they_wait(simulate_block: Callable[..., None], seed: int) -> None:
    rng = random.Random(seed)
    dut = ProgramBuffer(CONFIG)

    async def testbench(ctx: object) -> None:
        for _ in range(6):
            packed = pack_program(random_program(rng, CONFIG), CONFIG)
            words = [(int(table), address, data) for table, address, data in packed.load_words()]
            ctx.set(dut.load.valid, 1)
            for table, address, data in words:
                ctx.set(dut.load.payload, {"table": table, "address": address, "data": data})
                assert ctx.get(dut.load.ready)
                await ctx.tick()
            ctx.set(dut.load.valid, 0)
            ctx.set(dut.start, 1)
            assert ctx.get(dut.check)
            ctx.set(dut.accepted, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.accepted, 0)
            passed, waited = [], None
            while not ctx.get(dut.start_unit):
                ready = rng.random() < 0.5
                ctx.set(dut.o.ready, ready)
                if ctx.get(dut.o.valid):
                    word = ctx.get(dut.o.payload)
                    word = (word.table.value, word.address, word.data)
                    assert waited in (None, word)
                    waited = None if ready else word
                    passed += [word] * ready
                else:
                    assert waited is None
                await ctx.tick()
            assert passed == words
            await ctx.tick()

    simulate_block(dut, testbench)
