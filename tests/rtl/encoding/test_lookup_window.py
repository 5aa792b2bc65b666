"""The window over single-port banks: oldest corner first, one a bank and clock, lookups out in order."""

from collections import deque

import numpy as np
import pytest
from amaranth.hdl import Fragment, unsigned
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.lookup_window import LookupWindow


@pytest.mark.parametrize(("dims", "three_dims"), [(2, 0), (3, 1), (3, 0)])
@pytest.mark.parametrize("gaps", [False, True])
def test_each_bank_serves_its_oldest_corner(dims, three_dims, gaps, seed):
    """Against queues in Python, clock by clock: who is taken, served, addressed, and who leaves with which tag."""
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig(n_pos_dims=dims, table_rows=1 << 10, bank_ports=1)
    corners = config.n_corners
    # Spread, crowded into a few banks, and all in one.
    banks = np.concatenate(
        [rng.integers(0, 16, (60, corners)), rng.integers(3, 7, (40, corners)), np.full((6, corners), 15)]
    )
    banks = rng.permutation(banks).tolist()
    rows = rng.integers(0, 32, (len(banks), corners)).tolist()
    first_rows = rng.integers(0, 32, len(banks)).tolist()
    reading = range(corners if three_dims else 4)
    dut = LookupWindow(config, unsigned(8))
    queues = [deque() for _ in range(16)]
    waiting, left, served_before = [], [], []

    async def bench(ctx):
        ctx.set(dut.three_dims, three_dims)
        clock = 0
        while len(left) < len(banks):
            assert clock < 4000
            # What a clock serves shows in the next one.
            take, addresses = ctx.get(dut.served)["take"], list(ctx.get(dut.address))
            expected_take, expected_addresses = 0, [0] * 16
            for number, corner in served_before:
                expected_take |= 1 << (number % config.lookup_window * corners + corner)
                expected_addresses[banks[number][corner]] = rows[number][corner] + first_rows[number]
            assert (take, addresses) == (expected_take, expected_addresses)

            number = len(waiting)
            offers = number < len(banks) and not (gaps and rng.random() < 0.3)
            ctx.set(dut.valid, int(offers))
            if offers:
                ctx.set(dut.bank, banks[number])
                ctx.set(dut.row, rows[number])
                ctx.set(dut.first_row, first_rows[number])
                ctx.set(dut.tag, number)
            room = number < config.lookup_window or waiting[number - config.lookup_window] == 0
            assert ctx.get(dut.advance) == (room or not offers)
            leaves = len(left) < len(waiting) and waiting[len(left)] == 0
            assert ctx.get(dut.leave) == leaves
            if leaves:
                assert ctx.get(dut.place) == len(left) % config.lookup_window
                assert ctx.get(dut.leave_tag) == len(left)
                left.append(clock)
            served_before.clear()
            for queue in queues:
                if queue:
                    served_before.append(queue.popleft())
                    waiting[served_before[-1][0]] -= 1
            if offers and room:
                waiting.append(len(reading))
                for corner in reading:
                    queues[banks[number][corner]].append((number, corner))
            await ctx.tick()
            clock += 1

    simulator = Simulator(Fragment.get(dut, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert not any(queues) and not any(waiting)
