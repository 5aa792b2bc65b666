"""Plots are well-formed SVG and show what they were given."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np

from report.plots import frame_rates, frame_speedups, schedule, token_throughput
from report.reproduction_plots import bars, heat_map, latency_curves, layer_utilisation
from sim.machine.timeline import TimelineEntry
from sim.machine.utilisation import Utilisation

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


def test_figures_of_a_reproduction():
    rows = [
        SimpleNamespace(what=f"offline throughput, {name}, tokens/s/GPU", ours=ours, reference=1200.0)
        for name, ours in (("sharegpt", 1282.0), ("512-512", 1275.0))
    ]
    assert all(word in texts(bars(rows, "Title", "tokens/s/GPU")) for word in ("sharegpt", "512-512", "1282", "Title"))
    curve = [
        SimpleNamespace(what=f"normalised latency, lmsys, {rate} requests/s, s", ours=0.1, reference=0.12)
        for rate in (5, 10)
    ]
    assert "lmsys, published" in texts(latency_curves(curve))
    shown = texts(heat_map([{"model": "llama3_8b", "h100": 1.008, "v100": 0.382}], "A map"))
    assert all(word in shown for word in ("llama3_8b", "h100", "1.01", "0.382", "A map"))
    used = Utilisation(edges_us=np.array([0.0, 1.0, 4.0]), parts={"compute": np.array([1.0, 0.2])})
    assert "compute, 40% on the mean" in texts(layer_utilisation({"overlapped": used}))
