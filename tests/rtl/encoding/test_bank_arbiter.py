"""The arbiter: every corner once, two a bank and clock, in as many clocks as the layout search counts."""

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from arch.bank_layout import conflict_clocks
from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.bank_arbiter import BankArbiter


def _lookups(rng: np.random.Generator, corners: int) -> np.ndarray:
    """Banks of lookups: without conflict, all in one bank, and everything between."""
    directed = [np.arange(8)[:corners], np.zeros(corners), np.arange(8)[:corners] // 2, np.full(corners, 7)]
    return np.concatenate([np.array(directed), rng.integers(0, 8, (60, corners)), rng.integers(0, 2, (20, corners))])


@pytest.mark.parametrize(("dims", "grid_dims"), [(2, 2), (3, 3), (3, 2)])
@pytest.mark.parametrize("gaps", [False, True])
def test_serves_every_corner_once(dims, grid_dims, gaps, seed):
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig(n_pos_dims=dims, table_rows=1 << 10)
    banks = _lookups(rng, config.n_corners).astype(int)
    rows = rng.integers(0, config.bank_rows // 2, banks.shape)
    first_rows = rng.integers(0, config.bank_rows // 2, len(banks))
    wanted = range(1 << grid_dims)
    clocks = conflict_clocks(banks[:, : 1 << grid_dims])
    arbiter = BankArbiter(config)
    taken, done = [], []
    served = [{} for _ in banks]

    async def bench(ctx):
        ctx.set(arbiter.three_dims, int(grid_dims == 3))
        clock = 0
        while len(done) < len(banks):
            assert clock < 1000
            if len(taken) < len(banks) and not (gaps and rng.random() < 0.4):
                ctx.set(arbiter.valid, 1)
                ctx.set(arbiter.bank, banks[len(taken)].tolist())
                ctx.set(arbiter.row, rows[len(taken)].tolist())
                ctx.set(arbiter.first_row, int(first_rows[len(taken)]))
            else:
                ctx.set(arbiter.valid, 0)
            if ctx.get(arbiter.valid) and ctx.get(arbiter.advance):
                taken.append(clock)
            now = ctx.get(arbiter.served)
            for corner in range(config.n_corners):
                if now["take"] >> corner & 1:
                    port = now["port"][corner]
                    assert corner not in served[len(done)], "a corner was served twice"
                    served[len(done)][corner] = (port >> 1, ctx.get(arbiter.address[port]))
            if now["done"]:
                done.append(clock)
            await ctx.tick()
            clock += 1

    simulator = Simulator(Fragment.get(arbiter, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()

    for number, corners in enumerate(served):
        assert corners == {
            corner: (banks[number, corner], rows[number, corner] + first_rows[number]) for corner in wanted
        }
    # The last addresses come ``clocks - 1`` after the first; lookups follow one another without a gap.
    expected = np.array(taken) + config.bank_arbiter_latency + clocks - 1
    assert done == expected.tolist()
    if not gaps:
        assert np.diff(taken).tolist() == clocks[:-1].tolist()
