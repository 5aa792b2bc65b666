"""The reproduction report: every published number is in it, with its mark, a ratio, and a reason where they differ."""

import tomllib
from importlib import resources
from math import isclose
from pathlib import Path

import pytest

from arch.errors import InputError
from arch.field import APPS
from arch.presets import FIELDS
from sim.machine.cluster_batch import ENCODINGS, cluster_clk
from sim.machine.frame import frame_pipeline, frame_row, frame_table
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.nfp_rate import lanes_clk_per_point, nfp_for
from sim.machine.reproduce import reproduce
from sim.machine.silicon import nfp_silicon

_4K = {"encoding": "hashgrid", "resolution": "4k", "n_nfp": 64, "mode": "ngpc_fused_rest"}


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


def test_the_largest_speed_up_is_that_of_any_frame(rows):
    fused = [row.speedup for row in frame_table() if row.mode == "ngpc_fused_rest"]
    assert named(rows, "largest speed-up", "end to end").ours == max(fused)


@pytest.mark.parametrize("app", ["nerf", "nsdf", "nvr"])
def test_more_processors_than_the_plateau_are_no_faster(rows, app):
    size = named(rows, "plateau", f"{app}, hashgrid").ours
    case = {"app": app, "encoding": "hashgrid", "resolution": "fhd", "mode": "ngpc_fused_rest", "n_nfp": 64}
    pipeline = frame_pipeline(FrameBaseline.named("rtx3090"), **case)
    others_us = max(pipeline.rest_us, pipeline.memory_us, pipeline.launch_us)
    too_few, enough = (cluster_clk(app, "hashgrid", n, pipeline.batch_points) * 1e-3 for n in (size - 1, size))
    assert too_few > others_us >= enough
    assert (size <= 64) == (pipeline.limiter != "ngpc")


def test_the_documented_figures_are_current(rows):
    text = (Path(__file__).resolve().parents[2] / "docs" / "frames.md").read_text(encoding="utf-8")
    text = " ".join(text.split())
    split = [named(rows, "average speed-up with fission", f"hashgrid, NGPC-{size}").ours for size in (8, 16, 32, 64)]
    assert f"becomes {split[0]:.1f}, {split[1]:.1f}, {split[2]:.1f} and {split[3]:.1f} at NGPC-8" in text
    assert f"| {named(rows, 'largest speed-up', 'end to end').ours:.1f} | 58 |" in text
    plateaus = [named(rows, "plateau", f"{app}, hashgrid").ours for app in ("nerf", "nsdf", "nvr")]
    assert f"by memory | {plateaus[0]} processors | 64 |" in text
    assert f"by launches | {plateaus[1]} and {plateaus[2]} processors | 32 and 16 |" in text
    for encoding in ENCODINGS:
        kernels = [named(rows, "kernel speed-up", f"{kernel}, {encoding}, NGPC-64") for kernel in ("encoding", "mlp")]
        ours, theirs = [row.ours for row in kernels], [row.published for row in kernels]
        assert f"| {ours[0]:.0f} and {ours[1]:.1f} times | {theirs[0]} and {theirs[1]} times |" in text
    nerf, nsdf = (
        frame_row(FrameBaseline.named("rtx3090"), app=app, **_4K, sm_memory_share=share).fps
        for app, share in (("nerf", 0.5), ("nsdf", 1.0))
    )
    assert f"| {nerf:.1f} | 17.0 |" in text and f"| 246 | {nsdf:.0f} |" in text


def test_reasons_say_what_limits_the_row(rows):
    largest = [row for row in rows if row.section == "speed-up of an application" and "hashgrid, NGPC-64" in row.case]
    limits = {"nerf": "points and results", "nsdf": "one layer a clock", "gia": "one layer", "nvr": "one layer"}
    assert all(limits[row.case.split(",")[0]] in row.reason for row in largest) and len(largest) == 4
    assert "level engines" in named(rows, "kernel speed-up", "encoding, lowres, NGPC-64").reason
    assert "multipliers" in named(rows, "kernel speed-up", "mlp, lowres, NGPC-64").reason
    assert named(rows, "frame rate", "gia, 8k, NGPC-64, at least").reason == "reached"
    assert named(rows, "frame rate", "nsdf, 8k, NGPC-64, at least").reason.startswith("not reached")
    split = named(rows, "average speed-up with fission", "hashgrid, NGPC-64").reason
    assert split.startswith("applications limited by memory 1, ")


def test_level_engines_share_out_the_points_of_few_levels():
    """16 of them: two points a clock of 8 levels, eight of 2."""
    for name, points in (("nsdf_hash", 1), ("nsdf_dense", 2), ("gia_lowres", 8)):
        field = FIELDS[name]
        assert lanes_clk_per_point(field, nfp_for(field), 16) == pytest.approx(1 / points, rel=0.02)


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
