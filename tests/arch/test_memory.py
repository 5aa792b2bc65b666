"""Memory configurations: the presets hold together, and every impossible value is refused in one sentence."""

from dataclasses import replace

import pytest

from arch.errors import InputError
from arch.memory import MAPPINGS, AddressMapping, ControllerConfig
from arch.memory_preset import load_memory
from arch.workload import figures, load_gpu, preset_names

NAMES = ("a100_80gb", "h200", "orin", "rtx3090")


def test_every_memory_is_a_preset_and_every_figure_has_a_source():
    assert preset_names("memory") == NAMES
    for name in NAMES:
        assert load_memory(name).name == name
        assert all(len(figure.source) > 3 for figure in figures("memory", name).values())


@pytest.mark.parametrize("name", ["a100_80gb", "h200", "rtx3090"])
def test_memories_agree_with_the_devices_they_belong_to(name):
    """Published capacities and bandwidths: within 2 percent (the A100 stands as 2,000 GB/s among the devices)."""
    memory, device = load_memory(name), load_gpu(name).memory
    assert memory.dram.peak_bytes_per_s == pytest.approx(device.bandwidth_bytes_per_s, rel=0.02)
    assert memory.dram.capacity_bytes >= device.capacity_bytes
    if device.l2_bytes:
        assert memory.l2.capacity_bytes == pytest.approx(device.l2_bytes, rel=0.05)


def test_nanoseconds_round_up_to_clocks_and_clocks_are_kept():
    dram = load_memory("h200").dram
    assert dram.ticks("trcd_rd") == 2 * 31 and dram.ticks("tfaw") == 2 * 24
    assert (dram.ticks("act"), dram.ticks("pre"), dram.ticks("tccd_l")) == (3, 1, 8)
    assert dram.tick_ns == pytest.approx(0.32)
    assert (dram.burst_clk, dram.n_buses, dram.n_banks) == (2, 192, 16)


@pytest.mark.parametrize(
    ("part", "changes", "sentence"),
    [
        ("timing", {"trp_ns": 0.0}, "trp_ns must be a number above 0, not 0.0"),
        ("timing", {"act_clk": 1.3}, "act_clk must be a multiple of 0.5, not 1.3"),
        ("timing", {"tccd_l_clk": 1}, "tccd_l_clk must be at least tccd_s_clk, not 1"),
        ("timing", {"trfc_ns": 3900}, "trfc_ns must leave 2 trc_ns of trefi_ns, at most 3810, not 3900"),
        ("dram", {"pins": 48}, "pins must be a power of two, not 48"),
        ("dram", {"n_pseudo_channels": 3}, "n_pseudo_channels must be an integer from 1 to 2, not 3"),
        ("dram", {"refresh": "never"}, "refresh must be one of per_bank, all_bank, not 'never'"),
        ("dram", {"n_banks_per_group": 8, "n_bank_groups": 8}, "banks of a channel must be at most 64, not 128"),
        ("dram", {"clock_hz": 1e9}, "burst_length must take whole clocks at the data rate, not 1.280"),
        ("dram", {"separate_row_bus": 1}, "separate_row_bus must be a bool, not 1"),
    ],
)
def test_a_bad_memory_is_refused(part, changes, sentence):
    dram = load_memory("h200").dram
    with pytest.raises(InputError) as refused:
        replace(dram, **changes) if part == "dram" else replace(dram.timing, **changes)
    assert str(refused.value) == sentence


def test_refreshes_that_do_not_fit_are_refused():
    dram = load_memory("orin").dram
    with pytest.raises(InputError) as refused:
        replace(dram, timing=replace(dram.timing, tpbr2pbr_ns=250.0))
    assert str(refused.value) == "tpbr2pbr_ns must leave time for 16 refreshes in 3906 ns, not 250.0"


def test_controllers_mappings_and_systems_are_checked():
    with pytest.raises(InputError, match=r"^write_low must be an integer from 0 to 127, not 128$"):
        ControllerConfig(write_low=128)
    with pytest.raises(InputError, match=r"^order must name line, channel, group, column, bank, row once each, not "):
        AddressMapping(order=("line", "row"))
    memory = load_memory("h200")
    with pytest.raises(InputError, match=r"^sector_bytes must be the DRAM's burst of 32 bytes, not 64$"):
        replace(memory, l2=replace(memory.l2, sector_bytes=64))
    assert set(MAPPINGS) == {"line", "row", "group_high", "channel_high"}
