"""Table and gather: written rows come back through both ports and stand in their corners."""

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.corner_gather import CornerGather
from rtl.encoding.feature_table import FeatureTable


@pytest.mark.parametrize(("n_features", "arithmetic", "bank_ports"), [(4, "int8", 2), (8, "int16", 2), (2, "int8", 1)])
def test_every_port_reads_what_was_written(n_features, arithmetic, bank_ports, seed):
    """Rows of one load word, and of two that are written apart, the upper one first."""
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig(
        table_rows=128, n_features_per_level=n_features, arithmetic=arithmetic, bank_ports=bank_ports
    )
    table = FeatureTable(config)
    part_bits = config.row_bits // config.row_words
    parts = rng.integers(0, 1 << min(part_bits, 62), (config.n_banks, config.bank_rows, config.row_words)).tolist()
    content = [[sum(part << i * part_bits for i, part in enumerate(row)) for row in bank] for bank in parts]

    async def bench(ctx):
        ctx.set(table.w_en, 1)
        for bank in range(config.n_banks):
            for row in range(config.bank_rows):
                ctx.set(table.w_bank, bank)
                ctx.set(table.w_row, row)
                for part in reversed(range(config.row_words)):
                    ctx.set(table.w_part, part)
                    ctx.set(table.w_data, parts[bank][row][part])
                    await ctx.tick()
        ctx.set(table.w_en, 0)
        # A write port at rest must not write.
        ctx.set(table.w_data, 0)
        expected = []
        for _ in range(60):
            rows = rng.integers(0, config.bank_rows, 16)
            ctx.set(table.address, rows.tolist())
            await ctx.tick()
            expected.append([content[port // bank_ports][row] for port, row in enumerate(rows)])
            if len(expected) >= config.feature_table_latency:
                assert list(ctx.get(table.word)) == expected[-config.feature_table_latency]

    simulator = Simulator(Fragment.get(table, None))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def test_gather_keeps_corners_of_earlier_clocks(run_pipeline, seed):
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig()
    inputs, expected, corners = [], [], [0] * 8
    for number in range(200):
        words = rng.integers(0, 1 << 16, 16).tolist()
        take = int(rng.integers(0, 256)) if number else 255
        ports = rng.integers(0, 16, 8).tolist()
        done = int(rng.integers(0, 2))
        corners = [words[ports[c]] if take >> c & 1 else corners[c] for c in range(8)]
        inputs.append({"word": words, "served": {"take": take, "port": ports, "done": done}})
        expected.append((corners, done))
    results = run_pipeline(CornerGather(config), inputs, ["corner", "valid"], config.corner_gather_latency)
    assert [(list(found["corner"]), found["valid"]) for found in results] == expected
