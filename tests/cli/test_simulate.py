"""``ngpc simulate``: RTL, golden model and cycle model agree, and wrong input is one sentence and exit code 2."""

import json

import numpy as np
import pytest
import typer

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from cli.comparison import finish, point_stream
from cli.main import main

NSDF_ROWS = 133_023_800
"""133,023,704 entries at T = 2^24, each level rounded up to whole rows of its eight banks."""
NERF_ROWS = 6_537_456
"""6,537,456 entries at T = 2^19, already whole rows of the banks."""


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


@pytest.mark.cosim
@pytest.mark.parametrize(
    "arguments",
    [
        (
            "encoding",
            "--preset",
            "nsdf_hash",
            "--log2-hashmap-size",
            "12",
            "--points",
            "3000",
            "--pattern",
            "ray",
            "--level-parallel",
            "1",
            "--reuse-cells",
        ),
        ("encoding", "--preset", "gia_hash", "--points", "2500", "--pattern", "axis"),
        ("mlp", "--network", "nerf", "--array", "16x16", "--batch", "200", "--nano-batch", "200"),
        ("mlp", "--network", "nsdf", "--batch", "300", "--output-activation", "Sigmoid", "--array", "12x8"),
        ("gemm", "--m", "100", "--k", "60", "--n", "10", "--array", "8x8"),
        ("nfp", "--preset", "gia_dense", "--points", "300"),
        ("nfp", "--preset", "nerf_hash", "--log2-hashmap-size", "14", "--points", "600", "--pattern", "ray"),
        ("scheduler", "--layers", "4"),
    ],
    ids=["grid", "levels", "mlp", "table", "gemm", "nfp", "nerf", "scheduler"],
)
def test_the_rtl_equals_its_models(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, *arguments, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["mismatches"] == 0
    assert result["cycles_rtl"] == result["cycles_model"] > 0
    if "gia_hash" in arguments:
        assert result["latency_clk"] == EncodingEngineConfig(n_levels=1).latency  # 2-dimensional: no conflict
        assert [level["level"] for level in result["levels"]] == list(range(16))
        for level in result["levels"]:
            assert level["cycles_rtl"] == level["cycles_model"] and level["mismatches"] == 0
            assert level["points_per_clk"] == 2500 / level["cycles_rtl"] >= 0.98
            assert level["lookups"] == 2500 and level["counter_mismatches"] == 0
            stalls = [value for key, value in level.items() if key.startswith("stall_")]
            assert (
                level["reused_lookups"] == 0
                and len(stalls) == 5
                and level["lookups"] + sum(stalls) == level["cycles_rtl"]
            )
    if "nsdf_hash" in arguments:
        assert [level["kind"] for level in result["levels"]] == ["dense"] + ["hash"] * 15
        assert 16.0 <= result["clk_per_point"] < 16.3
        (engine,) = result["engines"]
        assert engine["stall_conflict_clk"] == result["held_clk"] and engine["lookups"] == 16 * 3000
        # A ray's 64 samples share the cells of the coarse levels.
        assert 3000 < engine["reused_lookups"] < 16 * 3000 / 2
    if arguments[0] in {"mlp", "gemm"}:
        assert result["clock_mismatches"] == 0
        assert result["cycles_rtl"] == sum(layer["cycles"] for layer in result["layers"]) < result["cycles_alone"]
        assert result["clk_per_point_alone"] == result["cycles_alone"] / result["batch"]
    if "Sigmoid" in arguments:
        assert result["nano_batch"] >= 8 + 12 + 17  # the shortest pass of an engine with tables
    if arguments[:3] == ("mlp", "--network", "nerf"):
        assert [layer["split"] for layer in result["layers"]] == ["1x1", "1x1", "1x1", "1x1", "1x4"]
        assert result["clk_per_point"] == 37
        assert result["mac_utilisation"] == pytest.approx(9408 / (37 * 256))
    if arguments[0] == "nfp":
        assert result["counter_mismatches"] == 0
        assert result["limiting_engine"] == "mlp"  # 28 and 40 passes beside at most 16 levels
        assert result["mlp_limits_clk"] > result["encoding_limits_clk"] > 0
    if arguments[0] == "gemm":
        # 8 x 2 tiles of 100 vectors
        assert result["clk_per_point"] == 16
        assert result["cycles_scale_sim"] == 16 * (2 * 8 + 8 + 100 - 2) - 1
    if arguments[0] == "scheduler":
        assert result["timeline_equal"] is True
        assert {nano["layer"] for nano in result["nano_operations"]} == {0, 1, 2, 3}


@pytest.mark.parametrize("differs", ["mismatches", "clock_mismatches", "cycles_model"])
def test_what_differs_is_exit_code_1(differs: str, capsys: pytest.CaptureFixture[str]) -> None:
    equal = {"mismatches": 0, "clock_mismatches": 0, "cycles_rtl": 7, "cycles_model": 7}
    finish(equal, True)
    with pytest.raises(typer.Exit) as end:
        finish({**equal, differs: 1}, True)
    assert end.value.exit_code == 1
    assert json.loads(capsys.readouterr().out.split("}\n")[0] + "}") == equal


@pytest.mark.cosim
@pytest.mark.long
def test_single_port_banks_with_queues(capsys: pytest.CaptureFixture[str]) -> None:
    """All levels of rays on one engine of 16 single-port banks that reuses cells; a build of its own."""
    grid = ("--preset", "nsdf_hash", "--log2-hashmap-size", "12", "--points", "3000", "--pattern", "ray")
    code, out, err = _run(
        capsys, "encoding", *grid, "--level-parallel", "1", "--bank-ports", "1", "--reuse-cells", "--json"
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["mismatches"] == result["counter_mismatches"] == 0
    assert result["cycles_rtl"] == result["cycles_model"] > 16 * 3000
    (engine,) = result["engines"]
    assert engine["stall_conflict_clk"] == result["held_clk"] > 0 and engine["reused_lookups"] > 3000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("encoding", "--log2-hashmap-size", "40"),
            "log2_hashmap_size must be an integer from 3 to 28, not 40",
        ),
        (
            ("encoding", "--preset", "nsdf_hash", "--log2-hashmap-size", "24", "--level-parallel", "1"),
            (
                f"table_rows of the encoding engine must be at least {NSDF_ROWS} for this grid, not {1 << 24}; "
                "take a larger engine, more level_parallel or a smaller log2_hashmap_size"
            ),
        ),
        (("encoding", "--level-parallel", "3"), "level_parallel must be one of 1, 2, 4, 8, 16, not 3"),
        (("encoding", "--points", "0"), "points must be an integer from 1 to 4194304, not 0"),
        (("encoding", "--pattern", "spiral"), "pattern must be one of random, ray, axis, not 'spiral'"),
        (("mlp", "--array", "16by16"), "array must be rows x columns such as 16x16, not '16by16'"),
        (("mlp", "--array", "6x6"), "rows must be a multiple of 4 from 4 to 128, not 6"),
        (("mlp", "--batch", "-1"), "batch must be an integer from 1 to 4194304, not -1"),
        (
            ("mlp", "--network", "mnist"),
            "network preset must be one of nerf, nerf_density, nerf_rgb, nsdf, gia, nvr, not 'mnist'",
        ),
        (
            ("nfp", "--preset", "nerf_hash"),
            (
                f"table_rows of the encoding engine must be at least {NERF_ROWS} for this grid, not {1 << 18}; "
                "take a larger engine, more level_parallel or a smaller log2_hashmap_size"
            ),
        ),
        (
            ("nfp", "--preset", "gia_lowres"),
            "n_features_per_level of the grid must be the engine's 2, not 8",
        ),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *arguments)
    assert (code, out, err) == (2, "", f"ngpc: {sentence}\n")


def test_points_lie_in_the_cube_and_rays_are_straight() -> None:
    points = point_stream("random", 5000, 3, 1)
    assert points.min() >= 0 and points.max() <= 1 << 23
    ray = point_stream("ray", 128, 2, 1)
    steps = np.diff(ray[:64], axis=0)
    assert np.abs(steps - steps.mean(axis=0)).max() <= 1
    axis = point_stream("axis", 192, 3, 1)
    for number in range(3):
        moved = np.ptp(axis[64 * number : 64 * number + 64], axis=0)
        assert moved.tolist() == [(1 << 23) if dim == number else 0 for dim in range(3)]
    with pytest.raises(InputError):
        point_stream("ray", (1 << 22) + 1, 2, 1)
