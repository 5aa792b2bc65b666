"""The DRAM model against closed formulas: latency, peak, row hits, row misses, bank groups, random reads, mappings."""

from collections import Counter
from dataclasses import replace
from math import prod

import numpy as np
import pytest

from arch.errors import InputError
from arch.memory import MAPPINGS
from arch.memory_preset import load_memory
from sim.memory import dram as dram_module
from sim.memory import dram_fields as f
from sim.memory.address_map import sort_requests
from sim.memory.bounds import bank_group_fraction, one_bank_fraction, random_bound, unloaded_read_ns
from sim.memory.dram import run_dram
from sim.memory.dram_state import new_state
from sim.memory.patterns import pattern_requests

PRESETS = {"rtx3090": 936, "a100_80gb": 2039, "h200": 4800, "orin": 204.8}


def one_bus(name: str, **changes):
    """A preset's DRAM with one channel, and a mapping in which addresses are easy to aim."""
    memory = load_memory(name)
    dram = replace(memory.dram, n_channels=1, n_pseudo_channels=1, **changes)
    mapping = replace(MAPPINGS["line"], order=("line", "column", "group", "bank", "row", "channel"), hashed=False)
    return dram, replace(memory.controller, mapping=mapping)


def without_refresh(name: str):
    dram, controller = one_bus(name)
    return replace(dram, timing=replace(dram.timing, trefi_ns=1e7)), controller


def test_a_stride_turns_at_the_end_of_the_footprint():
    """Up to half of the footprint; a longer one would read burst after burst."""
    dram = load_memory("orin").dram
    addresses, _ = pattern_requests("strided", dram, 6, stride_bytes=512, footprint_bytes=1024)
    assert addresses.tolist() == [0, 512, 32, 544, 64, 576]
    with pytest.raises(InputError, match=r"^stride_bytes must be at most half of the footprint, 512, not 513; "):
        pattern_requests("strided", dram, 6, stride_bytes=513, footprint_bytes=1024)


@pytest.mark.parametrize(("name", "gbytes"), PRESETS.items())
def test_peaks_are_those_of_the_data_sheets(name, gbytes):
    dram = load_memory(name).dram
    assert dram.peak_bytes_per_s == pytest.approx(gbytes * 1e9, rel=1e-6)
    assert dram.burst_bytes == 32


@pytest.mark.parametrize("name", PRESETS)
def test_a_lone_read_takes_the_unloaded_latency(name):
    """A miss (bank closed), a hit and a conflict, each long after the one before it: to the tick."""
    dram, controller = without_refresh(name)
    row = dram.row_bytes * dram.n_banks
    run = run_dram(dram, controller, np.array([0, 32, row]), arrival_ns=np.array([1e3, 2e3, 3e3]), finished=True)
    assert (run.row_misses, run.row_hits, run.row_conflicts) == (1, 1, 1)
    expected = [unloaded_read_ns(dram, kind) for kind in ("miss", "hit", "conflict")]
    # an arrival between two clocks waits for the next one
    waits = run.finished_ns - np.array([1e3, 2e3, 3e3]) - expected
    assert np.all(waits >= -1e-6) and np.all(waits < 2 * dram.tick_ns)
    assert expected[0] - expected[1] == pytest.approx(dram.ticks("trcd_rd") * dram.tick_ns)
    assert expected[2] - expected[0] == pytest.approx(dram.ticks("trp") * dram.tick_ns)


@pytest.mark.parametrize("name", PRESETS)
def test_row_hits_fill_the_pins(name):
    """Reads of open rows in all bank groups, refresh aside: a burst whenever the last one ends."""
    dram, controller = without_refresh(name)
    groups = np.arange(dram.n_bank_groups) * dram.row_bytes
    columns = np.arange(dram.row_bytes // 32) * 32
    addresses = (columns[:, None] + groups).reshape(-1)
    run = run_dram(dram, controller, np.tile(addresses, 20), finished=True)
    ends = np.sort(run.finished_ns)
    gaps = np.diff(ends[len(ends) // 4 :])
    assert np.all(np.isclose(gaps, dram.burst_clk * 2 * dram.tick_ns))


@pytest.mark.parametrize("name", PRESETS)
def test_one_bank_group_is_bound_by_tccd_l(name):
    dram, controller = without_refresh(name)
    columns = np.tile(np.arange(dram.row_bytes // 32) * 32, 40)
    run = run_dram(dram, controller, columns)
    assert run.fraction_of_peak == pytest.approx(bank_group_fraction(dram), rel=0.05)
    assert run.fraction_of_peak <= bank_group_fraction(dram)


@pytest.mark.parametrize("name", PRESETS)
def test_row_misses_in_one_bank_are_bound_by_trc(name):
    dram, controller = without_refresh(name)
    run = run_dram(dram, controller, np.arange(200) * dram.row_bytes * dram.n_banks)
    assert run.row_conflicts == 199
    assert run.fraction_of_peak == pytest.approx(one_bank_fraction(dram), rel=0.05)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("refresh", ["per_bank", "all_bank"])
def test_random_reads_meet_their_closed_bound(name, refresh, seed):
    """A third to a sixth of the peak (half on LPDDR5): bound by tFAW, tRRD or the command bus, less refresh."""
    memory = load_memory(name)
    dram = replace(memory.dram, n_channels=4, refresh=refresh)
    addresses, _ = pattern_requests("random", dram, 8000 * dram.n_buses, seed=seed)
    run = run_dram(dram, memory.controller, addresses)
    bound = random_bound(dram)
    assert 0.9 * bound.fraction <= run.fraction_of_peak <= bound.fraction
    assert bound.fraction == min(bound.candidates.values()) < (0.5 if name == "orin" else 0.34)
    assert run.row_conflicts > 0.9 * run.requests


@pytest.mark.parametrize("name", PRESETS)
def test_a_stream_reaches_most_of_the_peak_in_every_channel(name):
    memory = load_memory(name)
    dram = replace(memory.dram, n_channels=4)
    addresses, _ = pattern_requests("stream", dram, 6000 * dram.n_buses)
    run = run_dram(dram, memory.controller, addresses)
    assert 0.95 < run.fraction_of_peak <= 1.0
    assert run.bytes_per_bus.max() - run.bytes_per_bus.min() <= 0.02 * run.bytes_per_bus.mean()
    assert run.bytes_served == 32 * run.requests


def test_two_mappings_differ_by_tccd_l_over_tccd_s():
    """A stream kept in one bank group of each channel gets tCCD_S / tCCD_L of one that changes groups, half here."""
    memory = load_memory("h200")
    dram = replace(memory.dram, n_channels=2)
    addresses, _ = pattern_requests("stream", dram, 40_000)
    fraction = {
        name: run_dram(dram, replace(memory.controller, mapping=MAPPINGS[name]), addresses).fraction_of_peak
        for name in ("line", "row", "group_high")
    }
    assert fraction["line"] > 0.95 and fraction["row"] > 0.95
    assert 0.9 < fraction["group_high"] / bank_group_fraction(dram) <= 1.0


def test_a_stream_in_one_channel_gets_one_channels_share():
    memory = load_memory("rtx3090")
    controller = replace(memory.controller, mapping=MAPPINGS["channel_high"])
    addresses, _ = pattern_requests("stream", memory.dram, 20_000)
    run = run_dram(memory.dram, controller, addresses)
    assert np.count_nonzero(run.bytes_per_bus) == 1
    assert run.fraction_of_peak == pytest.approx(1 / 24, rel=0.05)


def test_hashing_spreads_strides_over_channels():
    memory = load_memory("orin")
    plain = replace(memory.controller, mapping=replace(MAPPINGS["line"], hashed=False))
    addresses, _ = pattern_requests("strided", memory.dram, 20_000, stride_bytes=2048)
    assert np.count_nonzero(run_dram(memory.dram, plain, addresses).bytes_per_bus) == 1
    spread = run_dram(memory.dram, memory.controller, addresses).bytes_per_bus
    assert spread.min() > 0.8 * spread.mean()


def test_refresh_takes_its_share_of_a_stream():
    """All-bank refresh stops a pseudo-channel for tRFC every tREFI; per-bank refresh hides behind other banks."""
    memory = load_memory("h200")
    dram = replace(memory.dram, n_channels=2)
    addresses, _ = pattern_requests("stream", dram, 60_000)
    at_once = run_dram(replace(dram, refresh="all_bank"), memory.controller, addresses)
    in_turn = run_dram(dram, memory.controller, addresses)
    assert at_once.fraction_of_peak <= 1 - 450 / 3900
    assert at_once.fraction_of_peak == pytest.approx(in_turn.fraction_of_peak * (1 - 450 / 3900), rel=0.03)
    ticks = in_turn.last_ns / dram.tick_ns
    assert in_turn.refreshes == pytest.approx(4 * 16 * ticks / dram.ticks("trefi"), abs=8)


def test_longer_write_drains_pay_fewer_turnarounds():
    """A copy: what is lost to turning between reads and writes halves with twice the writes a drain."""
    memory = load_memory("h200")
    dram = replace(memory.dram, n_channels=2, timing=replace(memory.dram.timing, trefi_ns=1e7))
    addresses, writes = pattern_requests("copy", dram, 60_000, footprint_bytes=1 << 24)
    runs = [
        run_dram(dram, replace(memory.controller, write_window=size), addresses, writes=writes)
        for size in (32, 64, 128)
    ]
    fractions = [run.fraction_of_peak for run in runs]
    assert fractions == sorted(fractions) and 0.5 < fractions[0] < 0.8 < fractions[2]
    for run, size in zip(runs, (32, 64, 128), strict=True):
        assert run.turnarounds == pytest.approx(2 * (30_000 / size), rel=0.1)


def test_requests_that_miss_a_refresh_are_not_conflicts():
    """Rows closed by an all-bank refresh count as misses: one per bank and refresh."""
    dram, controller = one_bus("orin", refresh="all_bank")
    columns = np.tile(np.arange(32) * 32, 400)
    run = run_dram(dram, controller, columns)
    assert run.row_conflicts == 0 and run.refreshes > 3
    assert run.row_misses in (run.refreshes, run.refreshes + 1)


def test_an_old_request_is_not_overtaken_for_ever():
    """Row hits that keep coming let a conflicting request wait for at most ``max_bypass`` of them."""
    dram, controller = without_refresh("h200")
    controller = replace(controller, max_bypass=16, read_window=8)
    hits = np.tile(np.arange(32) * 32, 10)
    addresses = np.insert(hits, 8, dram.row_bytes * dram.n_banks)
    run = run_dram(dram, controller, addresses, finished=True)
    order = np.argsort(run.finished_ns, kind="stable")
    assert int(np.flatnonzero(order == 8)[0]) <= 8 + 16 + 8


def test_every_request_is_served_once_and_in_order_of_its_kind(seed):
    """With a trace: as many column commands per bank, row and kind as the mapping, decoded by hand, says."""
    dram, controller = one_bus("h200")
    rng = np.random.default_rng(seed)
    addresses = rng.integers(0, 1 << 20, 3000) * 32
    writes = rng.random(3000) < 0.3
    run = run_dram(dram, controller, addresses, writes=writes, trace=True)
    per_row = dram.row_bytes // 32
    expected = Counter()
    for address, write in zip(addresses.tolist(), writes.tolist(), strict=True):
        rest = address // 32 // per_row
        group, rest = rest % 4, rest // 4
        bank, row = rest % 4, rest // 4
        expected["WR" if write else "RD", group * 4 + bank, row] += 1
    served = Counter((c.name, c.bank, c.row) for c in run.trace if c.name in ("RD", "WR"))
    assert served == expected
    assert run.row_hits + run.row_misses + run.row_conflicts == run.requests == 3000
    assert run.commands == len(run.trace)


def _forge(change):
    """Run the loop, then alter what it says that it served."""

    def run_channels(*arguments, run=dram_module.run_channels):
        run(*arguments)
        change(arguments[-4], arguments[-3])

    return run_channels


def _twice(sums, served):
    served[0, 0, 0] += 1


def _anothers(sums, served):
    sums[f.REQUEST_SUM] += 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_twice, r"32000 bytes asked for and 32032 served by the DRAM, whose .* up to 499500 instead of 499500$"),
        (_anothers, r"32000 bytes asked for and 32000 served by the DRAM, whose .* up to 499501 instead of 499500$"),
    ],
)
def test_a_request_served_twice_stops_a_run(change, sentence, monkeypatch):
    memory = load_memory("orin")
    monkeypatch.setattr(dram_module, "run_channels", _forge(change))
    with pytest.raises(RuntimeError, match=f"^requests out of balance: {sentence}"):
        run_dram(memory.dram, memory.controller, np.arange(1000) * 32)


def test_a_request_the_loop_never_sees_stops_a_run(monkeypatch):
    """Bytes served are counted where commands are issued, not from the list of what is to be served."""
    memory = load_memory("orin")
    whole = dram_module.run_channels

    def lossy(*arguments):
        (start, packed, position), others = arguments[5], arguments[6:]
        lost = start.copy()
        lost[-1] -= 1
        whole(*arguments[:5], (lost, packed[:-1].copy(), position), *others)

    monkeypatch.setattr(dram_module, "run_channels", lossy)
    with pytest.raises(RuntimeError, match=r"^requests out of balance: 32000 bytes asked for and 31968 served"):
        run_dram(memory.dram, memory.controller, np.arange(1000) * 32)


@pytest.mark.parametrize("name", PRESETS)
def test_a_read_takes_as_long_after_a_long_pause(name):
    """The loop counts its ticks anew every 2**28 of them; nothing may be seen of that."""
    dram, controller = without_refresh(name)
    row = dram.row_bytes * dram.n_banks
    pauses = np.array([0.0, 1e8, 2e8, 4.5e8])
    arrival = (pauses[:, None] + np.array([1e3, 2e3, 3e3])).reshape(-1)
    addresses = np.tile([0, 32, row], 4) + np.repeat(np.arange(4) * 2 * row, 3)
    run = run_dram(dram, controller, addresses, arrival_ns=arrival, finished=True)
    for k, kind in ((1, "hit"), (2, "conflict")):
        waits = (run.finished_ns - arrival)[k::3] - unloaded_read_ns(dram, kind)
        assert np.all(waits >= -1e-5) and np.all(waits < 2 * dram.tick_ns + 1e-5)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_channels_are_those_of_a_division(name, mapping, seed):
    """The mapping divides by the number of channels with a product and a shift; here with Python's integers."""
    dram = load_memory(name).dram
    chosen = replace(MAPPINGS[mapping], hashed=False)
    rng = np.random.default_rng(seed)
    last = dram.capacity_bytes // 32 - 1 - np.arange(1000)
    addresses = np.concatenate([rng.integers(0, dram.capacity_bytes // 32, 3000), last]) * 32
    sizes = {
        "line": 4, "group": dram.n_bank_groups, "column": dram.row_bytes // 128, "bank": dram.n_banks_per_group,
        "row": dram.n_rows, "channel": dram.n_buses,
    }  # fmt: skip
    below = prod(sizes[field] for field in chosen.order[: chosen.order.index("channel")])
    expected = [address // 32 // below % dram.n_buses for address in addresses.tolist()]
    start, _, position = sort_requests(dram, chosen, addresses, np.zeros(len(addresses), dtype=np.uint8))
    found = np.empty(len(addresses), dtype=np.int64)
    found[position] = np.repeat(np.arange(dram.n_buses), np.diff(start))
    assert found.tolist() == expected


def test_timings_beyond_the_loops_ticks_are_refused():
    dram, controller = one_bus("orin")
    dram = replace(dram, timing=replace(dram.timing, trtw_ns=1e8))
    with pytest.raises(InputError, match=r"^timings must be at most 67108864 half clocks, not 160000000$"):
        run_dram(dram, controller, np.zeros(4))


def test_no_requests_take_no_time():
    memory = load_memory("orin")
    run = run_dram(memory.dram, memory.controller, np.zeros(0, dtype=np.int64))
    assert (run.requests, run.last_ns, run.bytes_per_s) == (0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"addresses": np.array([0, -32, 0])}, "addresses must lie from 0 to 68719476735, not at -32"),
        ({"addresses": np.array([0, 1 << 36, 0])}, "addresses must lie from 0 to 68719476735, not at 68719476736"),
        ({"addresses": np.zeros((2, 2))}, "addresses must be a vector of up to 2**27, not of shape (2, 2)"),
        (
            {"addresses": np.zeros(2), "writes": np.zeros(3)},
            "writes must have the shape of addresses, (2,), not (3,)",
        ),
        (
            {"addresses": np.zeros(2), "arrival_ns": np.array([2.0, 1.0])},
            "arrival_ns must rise from 0 or more to 1e+09 at most, not fall or pass that",
        ),
        (
            {"addresses": np.zeros(2), "arrival_ns": np.zeros(1)},
            "arrival_ns must have the shape of addresses, (2,), not (1,)",
        ),
    ],
)
def test_bad_traffic_is_refused(arguments, sentence):
    memory = load_memory("orin")
    with pytest.raises(InputError) as refused:
        run_dram(memory.dram, memory.controller, **arguments)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("level", "before", "after"),
    [(f.PC_LEVEL, f.ACT, f.RD), (f.PC_LEVEL, f.WR, f.PRE), (f.GROUP_LEVEL, f.PRE, f.ACT), (f.GROUP_LEVEL, f.ACT, f.WR)],
)
def test_a_rule_that_the_loop_would_overlook_is_refused(level, before, after):
    """The loop looks again only at what the rules of today's memories can have put off."""
    memory = load_memory("h200")
    latencies = np.full((3, 5, 5), -f.BIG)
    new_state(memory.dram, memory.controller, latencies)
    latencies[level, before, after] = 1
    with pytest.raises(RuntimeError, match=f"put off {f.COMMANDS[after]} after {f.COMMANDS[before]} across banks"):
        new_state(memory.dram, memory.controller, latencies)
