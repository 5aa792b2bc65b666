"""Traces of random traffic under the independent checker, and the checker itself under broken traces."""

from dataclasses import replace

import numpy as np
import pytest

from arch.memory_preset import load_memory
from sim.memory.dram import Command, run_dram
from sim.memory.protocol_check import protocol_violations

PRESETS = ("rtx3090", "a100_80gb", "h200", "orin")


def traffic(dram, rng, requests):
    """Half in a few rows, half anywhere, two fifths writes."""
    near = rng.integers(0, 1 << 12, requests) * 32
    far = rng.integers(0, dram.capacity_bytes // 32, requests) * 32
    return np.where(rng.random(requests) < 0.5, near, far), rng.random(requests) < 0.4


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("refresh", ["per_bank", "all_bank"])
@pytest.mark.parametrize("loaded", [True, False])
def test_random_traffic_breaks_no_rule(name, refresh, loaded, seed):
    memory = load_memory(name)
    # refreshes more often than the device asks for, so that a short trace holds several
    timing = replace(
        memory.dram.timing, trefi_ns=memory.dram.timing.trefi_ns * (0.4 if refresh == "per_bank" else 0.25)
    )
    dram = replace(memory.dram, n_channels=1, refresh=refresh, timing=timing)
    rng = np.random.default_rng(seed)
    addresses, writes = traffic(dram, rng, 450 * dram.n_buses)
    arrival = None if loaded else np.sort(rng.random(len(addresses)) * 5_000)
    controller = replace(memory.controller, write_window=16)
    run = run_dram(dram, controller, addresses, writes=writes, arrival_ns=arrival, trace=True)
    assert list(protocol_violations(dram, run.trace)) == []
    assert run.refreshes >= dram.n_buses and run.turnarounds > 4
    assert {command.name for command in run.trace} == {"ACT", "PRE", "RD", "WR", "REF"}


FASTER = (
    "tcl_ns", "trcd_rd_ns", "trcd_wr_ns", "tras_ns", "trp_ns", "trtp_ns", "twr_ns", "trrd_s_ns", "trrd_l_ns",
    "tfaw_ns", "tccd_l_clk", "twtr_s_ns", "twtr_l_ns", "tppd_clk", "trfc_pb_ns", "trrefd_ns", "act_clk",
)  # fmt: skip


@pytest.mark.parametrize("name", FASTER)
def test_a_device_slower_than_the_model_is_noticed(name, seed):
    """One timing of the real device is longer than the one the model kept: the checker names commands that broke it."""
    memory = load_memory("h200")
    dram = replace(memory.dram, n_channels=1)
    rng = np.random.default_rng(seed)
    addresses, writes = traffic(dram, rng, 400)
    run = run_dram(dram, replace(memory.controller, write_window=16), addresses, writes=writes, trace=True)
    grown = {name: getattr(dram.timing, name) * 2 + 1}
    partner = {"trrd_s_ns": "trrd_l_ns", "twtr_s_ns": "twtr_l_ns"}.get(name)
    if partner:
        grown[partner] = max(getattr(dram.timing, partner), grown[name])
    slower = replace(dram, timing=replace(dram.timing, **grown))
    assert next(protocol_violations(slower, run.trace), None)


def command(tick, name, bank=0, row=1, bus=0):
    return Command(tick=tick, bus=bus, name=name, bank=bank, row=row)


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        ([command(0, "ACT"), command(5, "RD")], "broke tRCDRD of 62 ticks"),
        ([command(0, "ACT"), command(200, "ACT", row=2)], "found row 1 open"),
        ([command(0, "RD")], "wanted row 1 and found None"),
        ([command(0, "ACT"), command(99, "RD", row=2)], "wanted row 2 and found 1"),
        ([command(0, "PRE")], "found no row open"),
        ([command(0, "ACT"), command(400, "REF")], "found a row open"),
        ([command(100 + 8 * k, "ACT", bank=4 * (k % 4) + k // 4) for k in range(5)], "broke tFAW of 48 ticks"),
        ([command(0, "ACT"), command(1, "PRE", bank=1, bus=1)], "found its command bus busy until 3"),
        ([command(0, "ACT"), command(100_000, "PRE")], "had 0 refreshes where 131 were due"),
    ],
)
def test_the_checker_names_what_was_broken(trace, words):
    dram = replace(load_memory("h200").dram, n_channels=1)
    assert any(words in sentence for sentence in protocol_violations(dram, trace))
