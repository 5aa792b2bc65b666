"""The reproduction report: every published number is in it, with its mark, a ratio, and a reason where they differ."""

import tomllib
from importlib import resources
from math import isclose

import pytest

from arch.errors import InputError
from arch.field import APPS
from arch.presets import FIELDS
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.nfp_rate import nfp_for
from sim.machine.reproduce import reproduce
from sim.machine.silicon import nfp_silicon


@pytest.fixture(scope="module")
def rows():
    return reproduce()


def named(rows, section, case):
    (found,) = (row for row in rows if (row.section, row.case) == (section, case))
    return found


def published_values(table):
    """(value, mark) of every published figure of a TOML table but the GPU's own and the shares that enter ours."""
    for name, entry in table.items():
        if isinstance(entry, dict) and "mark" in entry:
            yield entry["value"], entry["mark"]
        elif isinstance(entry, dict) and name not in ("gpu", "encoding_share", "mlp_share"):
            yield from published_values(entry)


def test_every_published_number_has_a_row_with_its_mark(rows):
    text = tomllib.loads((resources.files("workloads") / "reproduce" / "ngpc.toml").read_text("utf-8"))
    shown = [(row.published, row.mark) for row in rows]
    figures = list(published_values(text))
    averages = FrameBaseline.named("rtx3090").average_speedup.values()
    figures += [(figure.value, figure.mark) for sizes in averages for figure in sizes.values()]
    assert len(figures) > 60
    assert [figure for figure in figures if figure not in shown] == []


def test_ratios_are_ours_over_published_and_differences_have_reasons(rows):
    for row in rows:
        if row.published is None:
            assert row.ratio is None and row.mark is None and not row.reason
        else:
            assert isclose(row.ratio, row.ours / row.published)
            assert bool(row.reason) == (abs(row.ratio - 1) > 0.1), row
        assert row.source in ("cycle_model", "calibrated", "modelled") and row.ours > 0


def test_cases_are_named_once(rows):
    names = [(row.section, row.case) for row in rows]
    assert len(names) == len(set(names))


def test_what_agrees_and_what_does_not(rows):
    """NeRF's 4K at 30 and the bounds come out; the small clusters and the kernel speed-ups do not."""
    assert named(rows, "frame rate", "nerf, 4k, NGPC-64, at least").ratio == pytest.approx(1.0, abs=0.02)
    assert named(rows, "Amdahl bound", "hashgrid, fused").ratio == pytest.approx(1.0, abs=0.001)
    assert named(rows, "average speed-up", "hashgrid, NGPC-8").ratio < 0.3
    assert named(rows, "average speed-up", "hashgrid, NGPC-64").ratio > 0.6
    plain, split = (
        named(rows, section, "hashgrid, NGPC-16").ours
        for section in ("average speed-up", "average speed-up with fission")
    )
    assert 1.3 < split / plain < 1.55
    for app in APPS:
        assert named(rows, "speed-up of an application", f"{app}, hashgrid, NGPC-64").published == 39.04


def test_area_and_power_are_linear_and_the_tables_dominate(rows):
    for section in ("area", "power"):
        for banks in ("single-port", "dual-port"):
            values = [row.ours for row in rows if row.section == section and banks in row.case]
            assert [value / values[0] for value in values] == pytest.approx([1, 2, 4, 8])
    field = FIELDS["nerf_hash"]
    silicon = nfp_silicon(nfp_for(field, bank_ports=1), field, 1 << 20)
    # 16 MiB at 0.027 um2 a bit and 65 percent
    assert silicon.sram_mm2 == pytest.approx(16 * 2**23 * 0.027e-6 / 0.65, rel=0.02)
    assert silicon.logic_mm2 < 0.1 * silicon.sram_mm2
    assert named(rows, "area", "NGPC-64, single-port banks, of the RTX 3090's die").ours == pytest.approx(
        100 * 64 * silicon.mm2 / 628.4
    )


def test_what_follows_from_published_numbers_by_arithmetic(rows):
    section = "speed-up needed for 8K at 120 frames a second"
    for app in ("nsdf", "nvr", "gia"):
        assert named(rows, section, app).ratio == pytest.approx(1.0, abs=0.02)
    assert named(rows, "rest of a frame", "largest speed-up, hashgrid").ratio == pytest.approx(1.0, abs=0.01)
    assert named(rows, "clocks a query, every multiplier busy", "gia").ours == 6336 / 4096
    assert {row.case for row in rows if row.section == "fit, cap"} == set(APPS)


def test_an_unknown_study_is_refused():
    with pytest.raises(InputError) as refused:
        reproduce("nanoflow")
    assert str(refused.value) == "study must be one of ngpc, not 'nanoflow'"
