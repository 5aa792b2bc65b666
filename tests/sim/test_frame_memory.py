"""Frames and memory: traffic of points and results, tables that do not fit, GPUs other than the published one."""

from dataclasses import replace
from math import ceil, isclose

import pytest

from arch.errors import InputError
from arch.field import APPS
from arch.load import LoadTarget
from arch.memory_preset import load_memory
from arch.nfp_image import nfp_image
from arch.presets import FIELDS, NFPS
from arch.random_field import random_field
from sim.machine import frame_traffic
from sim.machine.cluster_batch import ENCODINGS
from sim.machine.frame import (
    BATCH_POINTS,
    assumptions,
    average_speedups,
    frame_pipeline,
    frame_row,
    frame_table,
)
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_columns import cluster_columns
from sim.machine.frame_pipeline import FramePipeline
from sim.machine.frame_traffic import PointTraffic, memory_rate, point_traffic
from sim.machine.nfp_rate import NfpRate, nfp_for, table_reload, table_words
from sim.machine.scene_frame import scene_row
from sim.memory.system import MemorySystem

FHD = {"encoding": "hashgrid", "resolution": "fhd"}
FUSED = {"mode": "ngpc_fused_rest"}


@pytest.mark.parametrize(
    ("app", "bytes_in", "bytes_out"), [("nerf", 28, 4), ("nsdf", 12, 1), ("gia", 8, 3), ("nvr", 12, 4)]
)
def test_a_point_is_four_bytes_a_coordinate_and_one_an_output(app, bytes_in, bytes_out):
    traffic = point_traffic(FIELDS[f"{app}_hash"])
    assert (traffic.bytes_in, traffic.bytes_out) == (bytes_in, bytes_out)
    assert point_traffic(FIELDS[f"{app}_hash"], value_bits=16).bytes_out == 2 * bytes_out


def test_batches_in_the_l2_never_reach_the_dram():
    """Two buffers of a batch take 1.1 MB: they fit 6 MB and 60 MB, so the L2's banks are the limit."""
    traffic = PointTraffic(bytes_in=12, bytes_out=4)
    for name in ("rtx3090", "h200"):
        points_per_s, dram_bytes = memory_rate(name, traffic, 1 << 15)
        assert dram_bytes == 0
        l2 = load_memory(name).l2.peak_bytes_per_s
        # every byte passes twice: written by one side and read by the other
        assert points_per_s * 2 * traffic.total == pytest.approx(l2, rel=0.05)


def test_batches_beyond_the_l2_pass_the_dram_twice():
    """What the SMs wrote goes out to memory and comes back, and the same for results: twice each byte."""
    traffic = PointTraffic(bytes_in=28, bytes_out=4)
    points_per_s, dram_bytes = memory_rate("rtx3090", traffic, 1 << 18)
    assert dram_bytes == pytest.approx(2 * traffic.total, rel=0.01)
    assert 0.6 < points_per_s * dram_bytes / load_memory("rtx3090").dram.peak_bytes_per_s < 1.0


def test_the_memory_can_limit_the_cluster():
    fast = NfpRate(encoding_clk_per_point=0.1, mlp_clk_per_point=0.1, latency=0, table_bytes=1)
    row = frame_row(FrameBaseline.named("rtx3090"), app="nerf", **FHD, **FUSED, n_nfp=64, rate=fast)
    traffic = point_traffic(FIELDS["nerf_hash"])
    points_per_s, dram_bytes = memory_rate("rtx3090", traffic, 1 << 18)
    assert row.limiter == "memory" and row.source == "cycle_model"
    assert row.traffic_gbytes_per_s == pytest.approx(points_per_s * traffic.total / 1e9, rel=0.02)
    assert row.dram_share == pytest.approx(points_per_s * dram_bytes / 936e9, rel=0.02)


@pytest.mark.parametrize(("gpu", "spilled"), [("h200", 0), ("orin", 2 * 13)])
def test_bytes_in_are_bytes_served(gpu, spilled, monkeypatch):
    """A frame's traffic, from its row, is its points times the bytes that the memory served for one of them: the L2's
    banks all of it twice, and the DRAM what the L2 cannot keep, written and read."""
    runs = []

    def run(system, *traffic, whole=MemorySystem.run):
        runs.append(whole(system, *traffic))
        return runs[-1]

    monkeypatch.setattr(MemorySystem, "run", run)
    frame_traffic._memory_rate.cache_clear()
    row = frame_row(FrameBaseline.named(gpu), app="nsdf", **FHD, **FUSED, n_nfp=8)
    steady = runs[2:]
    assert len(steady) == 2
    served = sum(int(one.l2.bank_bytes.sum()) for one in steady) / 2 / (2 * BATCH_POINTS)
    assert row.traffic_gbytes_per_s * row.frame_ms * 1e6 == pytest.approx(row.points * served)
    assert served == point_traffic(FIELDS["nsdf_hash"]).total == 13
    moved = sum(one.dram.bytes_served for one in steady) / (2 * BATCH_POINTS)
    assert moved == pytest.approx(spilled, rel=0.01)
    peak = load_memory(gpu).dram.peak_bytes_per_s
    assert row.dram_share * peak == pytest.approx(moved / served * row.traffic_gbytes_per_s * 1e9)


def test_a_pipeline_names_the_memory_as_its_limit():
    stages = {"name": "x", "batches": 8, "batch_points": 1, "launch_us": 1.0, "rest_us": 2.0}
    assert FramePipeline(**stages, ngpc_us=3.0, memory_us=4.0).limiter == "memory"
    assert FramePipeline(**stages, ngpc_us=4.0, memory_us=3.0).limiter == "ngpc"
    assert FramePipeline(**stages, ngpc_us=1.0, memory_us=1.5).limiter == "rest"
    waiting = FramePipeline(**stages, ngpc_us=3.0, memory_us=4.0)
    assert waiting.frame_us == 1 + 4 + 2 + 7 * 4
    assert waiting.timeline().makespan_us == pytest.approx(waiting.frame_us, abs=0.1)
    # what the rest moves besides points and results is served between them
    shared = FramePipeline(**stages, ngpc_us=3.0, memory_us=2.5, rest_memory_us=1.5)
    assert shared.limiter == "memory" and shared.stages_us["ngpc"] == 4.0
    assert FramePipeline(**stages, ngpc_us=4.1, memory_us=2.5, rest_memory_us=1.5).limiter == "ngpc"


@pytest.mark.parametrize("row_of", [frame_row, scene_row])
def test_kernels_around_the_field_contend_for_the_memory(row_of):
    """A cluster that waits for the memory waits longer by what they keep from it; one far from that does not."""
    baseline = FrameBaseline.named("rtx3090")
    case = {"app": "nerf", "encoding": "hashgrid", "resolution": "4k", **FUSED}
    large = [row_of(baseline, **case, n_nfp=64, sm_memory_share=share) for share in (0.0, 0.5, 1.0)]
    assert all(row.limiter == "memory" for row in large)
    alone, half, whole = (row.frame_ms for row in large)
    assert alone < half < whole
    rest_ms = large[0].points * baseline.rest_ms("nerf", 1) / baseline.points_per_pixel("nerf") / 9.94
    assert whole - alone == pytest.approx(rest_ms, rel=0.15)
    small = [row_of(baseline, **case, n_nfp=8, sm_memory_share=share).frame_ms for share in (0.0, 1.0)]
    assert small[0] == small[1]


def test_a_frame_beyond_its_processors_or_its_memory_is_a_defect():
    baseline = FrameBaseline.named("rtx3090")
    frame = {"points": 1 << 22, "limiter": "ngpc", "batch_points": 1 << 18, "gpu_ms": 1.0}
    enough = cluster_columns(baseline, "nerf", "hashgrid", 8, frame_us=3000.0, **frame)
    assert enough["dram_share"] < 1
    with pytest.raises(RuntimeError, match=r"^frame out of balance: 1\.3\d+ of the processors' clocks"):
        cluster_columns(baseline, "nerf", "hashgrid", 8, frame_us=2000.0, **frame)
    with pytest.raises(RuntimeError, match=r"1\.\d+ of the memory$"):
        cluster_columns(baseline, "nerf", "hashgrid", 64, frame_us=280.0, **frame)


def test_tables_that_do_not_fit_are_reloaded_in_parts():
    """173^3 rows of two bytes are 9.9 MiB: ten parts; five levels of that grid fit, three are loaded for each batch."""
    field = FIELDS["nsdf_dense"]
    reload = table_reload(field, nfp_for(field), 1 << 20)
    rows = [level.entries for level in field.grid.levels]
    assert reload.parts == ceil(max(rows) * 2 / 2**20) == 10
    assert reload.load_clk == sum(count for count in rows if count * 2 > 2**20)
    baseline = FrameBaseline.named("rtx3090")
    case = {"app": "nsdf", "encoding": "densegrid", "resolution": "fhd", "n_nfp": 64, **FUSED}
    sized, loaded = (frame_row(baseline, **case, tables=tables) for tables in ("sized", "reload"))
    assert (sized.tables, loaded.tables, loaded.limiter) == ("sized", "reload", "ngpc")
    pipeline = frame_pipeline(baseline, **case, tables="reload")
    assert pipeline.ngpc_us >= reload.load_clk * 1e-3
    assert loaded.frame_ms > 100 * sized.frame_ms
    # points pass once for each part, encoding at a point a clock; what is loaded for each batch is not loaded before
    assert sized.clk_per_point == pytest.approx(3.0, abs=0.01) and loaded.clk_per_point == pytest.approx(10, rel=0.01)
    assert sized.traffic_gbytes_per_s * sized.frame_ms * 1e6 == pytest.approx(sized.points * 13)
    assert loaded.traffic_gbytes_per_s * loaded.frame_ms * 1e6 == pytest.approx(loaded.points * (10 * 12 + 1))
    assert sized.scene_load_ms - loaded.scene_load_ms == pytest.approx(reload.load_clk * 1e-6)
    assert sized.field_energy_mj > 0 and loaded.field_energy_mj is None


def test_points_read_again_for_each_part_come_from_memory_again():
    """A batch of 2^18 points of 28 bytes does not stay in the RTX 3090's L2: each pass brings it from DRAM."""
    once, thrice = (memory_rate("rtx3090", PointTraffic(bytes_in=28, bytes_out=4, passes=n), 1 << 18) for n in (1, 3))
    assert thrice[1] - once[1] == pytest.approx(2 * 28, rel=0.05)
    assert thrice[0] < 0.6 * once[0]


def test_a_scene_loads_in_the_words_of_its_load_image():
    """The words counted are the table words of the image the RTL takes, one a clock."""
    field, nfp = FIELDS["gia_dense"], NFPS["nfp-16x16"]
    image = nfp_image(random_field(field, arithmetic="int8", seed=0), nfp)
    counted = table_words(field, nfp)
    assert counted == int((image.target == LoadTarget.TABLE).sum()) == sum(level.entries for level in field.grid.levels)
    assert len(image) - counted < 3000
    row = frame_row(FrameBaseline.named("rtx3090"), app="nerf", **FHD, **FUSED, n_nfp=8)
    rows = sum(level.entries for level in FIELDS["nerf_hash"].grid.levels)
    assert row.scene_load_ms == pytest.approx(rows * 1e-6)


def test_tables_that_do_not_fit_can_be_refused():
    baseline = FrameBaseline.named("rtx3090")
    case = {"app": "nerf", "resolution": "fhd", "n_nfp": 8, **FUSED, "tables": "refuse"}
    assert frame_row(baseline, encoding="hashgrid", **case).tables == "fit"
    with pytest.raises(InputError) as refused:
        frame_row(baseline, encoding="lowres", **case)
    assert str(refused.value) == (
        "table of a level engine must be at most 1024 KiB, not 16384 as nerf lowres needs; enlarge the engines (sized) "
        "or load them in parts (reload)"
    )


def test_the_h200s_kernels_are_the_measured_ones():
    """Points times measured nanoseconds; the rest as on the RTX 3090, times 936 / 4,800."""
    h200, published = FrameBaseline.named("h200"), FrameBaseline.named("rtx3090")
    pixels = 1920 * 1080
    for encoding in ENCODINGS:
        for app in APPS:
            kernel = published.points_per_pixel(app) * pixels * h200.kernel_ns_per_point[encoding][app].value * 1e-6
            assert isclose(h200.kernel_ms(app, encoding, pixels), kernel)
            rest = published.rest_ms(app, pixels) * 936 / 4800
            assert isclose(h200.frame_ms(app, encoding, pixels), kernel + rest, rel_tol=1e-9)
            assert h200.frame_mark(app, encoding, pixels) == "D"


def test_the_edge_gpu_is_the_published_one_by_bandwidth():
    orin, published = FrameBaseline.named("orin"), FrameBaseline.named("rtx3090")
    for app in APPS:
        for encoding in ENCODINGS:
            ratio = orin.frame_ms(app, encoding, 1000) / published.frame_ms(app, encoding, 1000)
            assert isclose(ratio, 936 / 204.8, rel_tol=1e-4)


@pytest.mark.parametrize("gpu", ["h200", "orin"])
def test_other_gpus_have_rows_and_no_published_averages(gpu):
    rows = frame_table(gpu=gpu, encodings=["hashgrid"], resolutions=["fhd"], n_nfps=[1, 64])
    assert len(rows) == 4 * 6 and all(row.gpu == gpu and row.source != "published" for row in rows)
    assert average_speedups(rows, gpu) == []
    alone = {row.app: row.frame_ms for row in rows if row.mode == "gpu_only"}
    for row in rows:
        assert isclose(row.speedup * row.frame_ms, alone[row.app])
    assert len(assumptions(gpu)) > len(assumptions()) and any(sentence.startswith(gpu) for sentence in assumptions(gpu))


def test_a_gpu_with_other_measurements_differs_by_them():
    baseline = FrameBaseline.named("orin")
    faster = replace(baseline, rest_scale=replace(baseline.rest_scale, value=1.0))
    assert faster.rest_ms("gia", 1000) < baseline.rest_ms("gia", 1000)
    assert isclose(faster.kernel_ms("gia", "hashgrid", 1000), baseline.kernel_ms("gia", "hashgrid", 1000))
