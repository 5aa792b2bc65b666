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
        n_full = 0
        for _ in range(2000):
            key = (rng.randrange(CONFIG.n_operations), rng.randrange(2), rng.randrange(2))
            chunks = expected[key[0]] & rng.randrange(64)
            clear = rng.choice((0, 0, 0, 0, 0, 0, 0, 0b01, 0b10, 0b11)) if rng.random() < 0.3 else 0
            valid = rng.random() < 0.8
            for port, value in zip((dut.operation, dut.start, dut.parity), key, strict=True):
                ctx.set(port, value)
            ctx.set(dut.chunks, chunks)
            ctx.set(dut.valid, valid)
            ctx.set(dut.clear, clear)
            row = rows.get(key, 0) | chunks
            assert ctx.get(dut.row) == row
            assert ctx.get(dut.full) == (row == expected[key[0]])
            n_full += row == expected[key[0]]
            if valid:
                rows[key] = row
            rows = {key: row for key, row in rows.items() if not clear >> key[2] & 1}
            await ctx.tick()
        assert n_full > 50

    simulate_block(dut, testbench)
