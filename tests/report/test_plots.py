"""Plots are well-formed SVG and show what they were given."""

from types import SimpleNamespace
from xml.etree import ElementTree

from report.plots import frame_rates, frame_speedups, schedule, token_throughput
from sim.machine.timeline import TimelineEntry

FRAMES = [
    SimpleNamespace(
        app=app, encoding="hashgrid", resolution=resolution, n_nfp=n, mode=mode, fps=10.0 * (n + 1), speedup=1 + n
    )
    for app in ("gia", "nerf")
    for resolution in ("fhd", "4k")
    for n, mode in ((0, "gpu_only"), (8, "ngpc_fused_rest"), (16, "ngpc_fused_rest"))
]  # fmt: skip
AVERAGES = [
    SimpleNamespace(encoding="hashgrid", resolution="fhd", n_nfp=n, speedup=n, published_speedup=2 * n) for n in (8, 16)
]


def texts(svg: bytes) -> str:
    """All text of an SVG picture; fails if it is not well-formed."""
    return " ".join(
        "".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")
    )


def test_frame_speedups_name_apps_and_sizes():
    shown = texts(frame_speedups(FRAMES, AVERAGES, "hashgrid", "fhd"))
    assert all(word in shown for word in ("gia", "nerf", "published mean", "NGPC-8", "NGPC-16"))


def test_frame_rates_show_each_app_and_resolution():
    shown = texts(frame_rates(FRAMES, "hashgrid", 16))
    assert all(word in shown for word in ("gia", "nerf", "fhd", "4k", "with NGPC-16"))


def test_frame_rates_of_one_app():
    assert "gia" in texts(frame_rates([row for row in FRAMES if row.app == "gia"], "hashgrid", 8))


def test_token_throughput_labels_the_share_of_the_optimum():
    rows = [
        SimpleNamespace(
            model="llama2_70b", device="a100", prompt=512, decode=512, execution=execution,
            tokens_per_s_per_gpu=1857 * share, fraction_of_optimal=share, source=source,
        )
        for execution, share, source in (
            ("sequential", 0.45, "calibrated"), ("overlapped", 0.66, "cycle_model"), ("overlapped", 0.69, "published")
        )
    ]  # fmt: skip
    shown = texts(token_throughput(rows))
    assert all(
        word in shown for word in ("sequential", "overlapped", "45.0 %", "66.0 %", "69.0 %", "llama2_70b", "published")
    )


def test_token_throughput_of_several_cases_names_each():
    rows = [
        SimpleNamespace(
            model=model, device="a100", prompt=512, decode=512, execution="sequential", tokens_per_s_per_gpu=1e3,
            fraction_of_optimal=0.5, source="calibrated",
        )
        for model in ("llama2_70b", "qwen2_72b")
    ]  # fmt: skip
    shown = texts(token_throughput(rows))
    assert "llama2_70b" in shown and "qwen2_72b" in shown


def test_schedule_draws_the_chosen_layer():
    entries = [
        TimelineEntry(
            nano_operation=f"{operation}0", operation=operation, unit=unit, layer=layer, start_us=start, end_us=end,
            shares={}, waited_for="unit",
        )
        for operation, unit, layer, start, end in (
            ("KQV", "gemm", 0, 0.0, 4.0),
            ("DecodeAttention", "gemv", 0, 4.0, 10.0),
            ("AllReduce", "network", 1, 10.0, 12.0),
        )
    ]  # fmt: skip
    shown = texts(schedule({"overlapped": entries, "sequential": entries}, layer=0))
    assert all(word in shown for word in ("overlapped: iteration 0 in flight for 10 us", "gemv", "DecodeAttention"))
    assert "iteration 1 in flight for 2 us" in texts(schedule({"overlapped": entries}, layer=1))


def test_the_same_input_gives_the_same_bytes():
    assert frame_rates(FRAMES, "hashgrid", 8) == frame_rates(FRAMES, "hashgrid", 8)
