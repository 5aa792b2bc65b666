"""The L2 against a plain model of itself, and its books: bytes in are bytes served."""

from dataclasses import replace

import numpy as np
import pytest

from arch.errors import InputError
from arch.memory import L2Config
from arch.memory_preset import load_memory
from sim.memory.l2 import L2Cache
from sim.memory.patterns import pattern_requests
from sim.memory.system import MemorySystem

SMALL = L2Config(capacity_bytes=2 * 4 * 8 * 128, n_banks=2, n_ways=8)


def plain_lru(config, addresses, writes, bank_of):
    """Sets as ordered dictionaries of lines: {line: {sector: dirty}}."""
    sets, hits, out = {}, 0, []
    for address, write in zip(addresses.tolist(), writes.tolist(), strict=True):
        line, sector = address // config.line_bytes, address % config.line_bytes // config.sector_bytes
        lines = sets.setdefault((bank_of(line), line // config.n_banks % config.n_sets), {})
        hits += line in lines and sector in lines[line]
        if line not in lines:
            if len(lines) == config.n_ways:
                old = next(iter(lines))
                out += [(old * config.line_bytes + s * 32, 1) for s, dirty in sorted(lines.pop(old).items()) if dirty]
            lines[line] = {}
        if sector not in lines[line] and not write:
            out.append((address // 32 * 32, 0))
        lines[line][sector] = bool(write) or lines[line].get(sector, False)
        lines[line] = lines.pop(line)
    dirty = sum(sum(sectors.values()) for lines in sets.values() for sectors in lines.values())
    return hits, out, dirty * 32


def test_hits_fills_and_write_backs_equal_a_plain_model(seed):
    rng = np.random.default_rng(seed)
    addresses = rng.integers(0, 3 * SMALL.capacity_bytes // 32, 20_000) * 32
    writes = (rng.random(20_000) < 0.4).astype(np.uint8)
    cache = L2Cache(SMALL)
    run = cache.run(addresses, writes)

    def bank_of(line):
        return (line + ((line // 2 * 0x9E3779B1) >> 12 & 0xFFFF)) % 2

    hits, out, dirty = plain_lru(SMALL, addresses, writes, bank_of)
    assert run.hits == hits
    assert list(zip(run.dram_addresses.tolist(), run.dram_writes.tolist(), strict=True)) == out
    assert cache.dirty_bytes == dirty


def test_bytes_balance(seed):
    """The banks moved every request once; reads that missed are the fills; writes are written back or still there."""
    rng = np.random.default_rng(seed)
    addresses = rng.integers(0, 1 << 15, 30_000) * 32
    writes = rng.random(30_000) < 0.5
    cache = L2Cache(SMALL)
    run = cache.run(addresses, writes)
    assert run.bank_bytes.sum() == 32 * run.requests
    assert run.fills + run.write_backs == len(run.dram_addresses)
    assert 0 < cache.dirty_bytes + 32 * run.write_backs <= 32 * np.count_nonzero(writes)
    assert run.fills == run.reads - (run.hits - run.write_hits)
    assert run.reads == np.count_nonzero(~writes)


def test_bytes_out_of_balance_stop_a_run(seed):
    """What was asked for was served, and what missed or was written back came from or went to the DRAM."""
    memory = load_memory("orin")
    rng = np.random.default_rng(seed)
    addresses = rng.integers(0, 1 << 17, 20_000) * 32
    writes = rng.random(20_000) < 0.5
    run = MemorySystem(memory).run(addresses, writes)
    assert run.bytes_requested == 32 * 20_000 == run.l2.bank_bytes.sum()
    assert run.dram.bytes_served == 32 * (run.l2.fills + run.l2.write_backs) > 0
    run.check_balance()
    lost = replace(run, dram=replace(run.dram, bytes_per_bus=run.dram.bytes_per_bus - 32))
    with pytest.raises(RuntimeError, match=r"^bytes out of balance: 640000 asked for and 640000 served by the L2, "):
        lost.check_balance()
    with pytest.raises(RuntimeError, match=r"^bytes out of balance: 640000 asked for and 640032 served"):
        banks = run.l2.bank_bytes.copy()
        banks[0] += 32
        replace(run, l2=replace(run.l2, bank_bytes=banks)).check_balance()
    with pytest.raises(RuntimeError, match=r"^bytes out of balance: .* missed and \d+ read from the DRAM, "):
        written = run.dram.bytes_written + 32  # a fill that was served as a write
        replace(run, dram=replace(run.dram, bytes_written=written)).check_balance()


def test_a_table_that_fits_is_read_from_memory_once():
    memory = MemorySystem(load_memory("h200"))
    addresses, _ = pattern_requests("stream", memory.config.dram, 1 << 19, footprint_bytes=1 << 24)
    first, second = memory.run(addresses[: 1 << 19]), memory.run(addresses)
    assert first.l2.fills == 1 << 19 and first.l2.hits == 0
    assert second.l2.fills == 0 and second.l2.hit_rate == 1.0 and second.limiter == "l2"
    assert second.bytes_per_s == pytest.approx(memory.config.l2.peak_bytes_per_s, rel=0.02)
    assert second.mean_latency_ns == memory.config.l2.hit_ns
    assert first.limiter == "dram" and first.bytes_per_s == pytest.approx(first.dram.bytes_per_s)
    assert first.bytes_requested == first.dram.bytes_served == 1 << 24


def test_a_table_twice_as_large_misses_about_half(seed):
    config = replace(load_memory("rtx3090"), l2=replace(load_memory("rtx3090").l2, capacity_bytes=48 * 16 * 128 * 8))
    memory = MemorySystem(config)
    size = 2 * config.l2.capacity_bytes
    addresses, _ = pattern_requests("random", config.dram, 100_000, footprint_bytes=size, seed=seed)
    memory.run(addresses // 128 * 128)
    again, _ = pattern_requests("random", config.dram, 100_000, footprint_bytes=size, seed=seed + 1)
    run = memory.run(again // 128 * 128)
    assert run.l2.hit_rate == pytest.approx(0.5, abs=0.02)


def test_writes_come_back_when_their_lines_are_evicted():
    cache = L2Cache(SMALL)
    lines = np.arange(64) * 128
    assert cache.run(lines, np.ones(64)).write_backs == 0
    assert cache.dirty_bytes == 64 * 32
    run = cache.run(lines + (1 << 20))
    assert run.write_backs == 64 and cache.dirty_bytes == 0
    assert sorted(run.dram_addresses[run.dram_writes == 1]) == lines.tolist()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"capacity_bytes": 1000},
            "capacity_bytes of the L2 must be whole sets of 8 lines in each of 2 banks, not 1000",
        ),
        ({"line_bytes": 96}, "line_bytes must be a power of two, not 96"),
        ({"n_ways": 0}, "n_ways must be an integer from 1 to 64, not 0"),
        ({"sector_bytes": 256}, "line_bytes must be a multiple of sector_bytes, not 128"),
        ({"clock_hz": 0.0}, "clock_hz of the L2 must be a number above 0, not 0.0"),
    ],
)
def test_a_bad_cache_is_refused(changes, sentence):
    with pytest.raises(InputError) as refused:
        replace(SMALL, **changes)
    assert str(refused.value) == sentence


def test_bad_traffic_is_refused():
    with pytest.raises(InputError) as refused:
        L2Cache(SMALL).run(np.array([-1]))
    assert str(refused.value) == "addresses must be at least 0, not -1"
    with pytest.raises(InputError) as refused:
        L2Cache(SMALL).run(np.zeros(2), np.zeros(1))
    assert str(refused.value) == "writes must have the shape of addresses, (2,), not (1,)"
