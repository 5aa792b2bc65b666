"""Bitmaps against sets of chunks."""

import random
from collections.abc import Callable

from arch.scheduler import SchedulerConfig
from rtl.scheduler.chunk_scoreboard import ChunkScoreboard

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=4, n_chunks=6)
"""As many operations as the memory has rows for, so that its last row is used too."""


def test_bitmaps_collect_chunks_until_cleared(simulate_block: Callable[..., None], seed: int) -> None:
    dut = ChunkScoreboard(CONFIG)
    rng = random.Random(seed)
    expected = [rng.randrange(1, 64) for _ in range(CONFIG.n_operations)]

    async def testbench(ctx: object) -> None:
        ctx.set(dut.load_valid, 1)
        for operation, chunks in enumerate(expected):
            ctx.set(dut.load_operation, operation)
            ctx.set(dut.load_chunks, chunks)
            await ctx.tick()
        ctx.set(dut.load_valid, 0)
        rows: dict[tuple[int, int, int], int] = {}
        n_full, event = 0, None
        for _ in range(3000):
            clear = 0
            if event is not None:
                key, chunks = event
                row = rows.get(key, 0) | chunks
                assert ctx.get(dut.row) == row
                assert ctx.get(dut.full) == (row == expected[key[0]])
                n_full += row == expected[key[0]]
                rows[key] = row
            # a parity is emptied when every bitmap of it has been written since it was emptied last
            for parity in range(2):
                if rng.random() < 0.1 and all((op, start, parity) in rows for op in range(4) for start in range(2)):
                    clear |= 1 << parity
            ctx.set(dut.valid, event is not None)
            ctx.set(dut.clear, clear)
            looked_up = []
            for unit in range(CONFIG.n_units):
                key = (rng.randrange(CONFIG.n_operations), rng.randrange(2), rng.randrange(2))
                chunks = expected[key[0]] & rng.randrange(64)
                for port, value in zip((dut.operation, dut.start, dut.parity), key, strict=True):
                    ctx.set(port[unit], value)
                ctx.set(dut.chunks[unit], chunks)
                looked_up.append((key, chunks))
            chosen = rng.randrange(CONFIG.n_units)
            # what is looked up in the clock of emptying is not of the parity that is emptied
            happens = rng.random() < 0.8 and not clear >> looked_up[chosen][0][2] & 1
            # of those that ask the lowest is meant
            above = rng.randrange(1 << CONFIG.n_units) << chosen + 1
            ctx.set(dut.asks, (1 << chosen | above) * happens)
            event = looked_up[chosen] if happens else None
            rows = {key: row for key, row in rows.items() if not clear >> key[2] & 1}
            await ctx.tick()
        assert n_full > 50

    simulate_block(dut, testbench)
