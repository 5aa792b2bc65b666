"""``ngpc simulate encoding``: the real library's grids through the RTL, and several points a clock."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.grid import GridConfig
from arch.presets import FIELDS
from cli.main import main

VECTORS = Path(__file__).parents[1] / "reference" / "vectors"
CASE = "hash3d_F2_L4_T12_smooth"


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["simulate", "encoding", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


@pytest.mark.cosim
@pytest.mark.golden
def test_the_librarys_grids_through_the_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(VECTORS / f"{CASE}.npz", tmp_path)
    shutil.copy(VECTORS / "sh4.npz", tmp_path)
    code, out, err = _run(capsys, "--vectors", str(tmp_path), "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["mismatches"], result["beyond_bound"], result["refused"]) == (0, 0, [])
    (case,) = result["cases"]
    assert (case["case"], case["points"], case["levels"]) == (CASE, 1536, 4)
    assert case["cycles_rtl"] == case["cycles_model"] >= 4 * 1536
    assert 0.5 < case["distance_lsb"] < 1.6 and case["distance_lsb"] <= case["bound_lsb"] < 10
    # One feature that the library never gave is told by exit code 1.
    with np.load(VECTORS / f"{CASE}.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    inside = int(np.flatnonzero(arrays["inside"])[0])
    arrays["out_fp16"][inside, 5] += np.float16(8.0)
    np.savez(tmp_path / f"{CASE}.npz", **arrays)
    # A case without numbers is refused beside those that run.
    arrays["params"][7] = np.nan
    np.savez(tmp_path / "broken.npz", **arrays)
    code, out, err = _run(capsys, "--vectors", str(tmp_path), "--json")
    result = json.loads(out)
    assert (code, result["mismatches"], result["beyond_bound"]) == (1, 0, 1)
    reason = "the grid's parameters must be finite numbers, not NaN or infinity"
    assert result["refused"] == [{"case": "broken", "reason": reason}]


@pytest.mark.cosim
@pytest.mark.golden
@pytest.mark.long
def test_the_librarys_bits_through_the_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(VECTORS / f"{CASE}.npz", tmp_path)
    code, out, err = _run(capsys, "--arithmetic", "fp16", "--vectors", str(tmp_path), "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["mismatches"], result["golden_mismatches"], result["refused"]) == (0, 0, [])
    assert [(case["array"], case["values"]) for case in result["cases"]] == [("out_fp16", 12288)]
    assert result["cycles_rtl"] == result["cycles_model"] >= 4 * 1536
    # One bit that the library never gave is told by exit code 1.
    with np.load(VECTORS / f"{CASE}.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["out_fp16"].view(np.uint16)[700, 3] ^= 1
    np.savez(tmp_path / f"{CASE}.npz", **arrays)
    code, out, _ = _run(capsys, "--arithmetic", "fp16", "--vectors", str(tmp_path), "--json")
    assert (code, json.loads(out)["mismatches"]) == (1, 1)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"positions": np.full((8, 3), np.nan, np.float32)},
            "positions of {case} must be finite numbers, not NaN or infinity",
        ),
        ({"params": np.zeros((7, 2), np.float16)},
         "params of {case} must be 16384 x 2 numbers of float16, not of shape (7, 2) and float16"),
        (
            {"scale_device": np.zeros(4)},
            "scale_device of {case} must be 4 numbers of float32, not of shape (4,) and float64",
        ),
        ({"out_fp16": np.zeros((3, 8), np.float16)},
         "out_fp16 of {case} must be 1536 x any numbers of float16, not of shape (3, 8) and float16"),
        ({"out_fp16": None}, "{case} must hold out_fp16 or out_fp16_jit, not only "),
    ],
    ids=["positions", "table", "scales", "outputs", "no-outputs"],
)  # fmt: skip
def test_a_damaged_case_is_one_sentence(
    change: dict, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(VECTORS / f"{CASE}.npz") as archive:
        arrays = {name: archive[name] for name in archive.files} | change
    np.savez(tmp_path / f"{CASE}.npz", **{name: array for name, array in arrays.items() if array is not None})
    code, out, err = _run(capsys, "--arithmetic", "fp16", "--vectors", str(tmp_path))
    sentence = (
        f"the vectors must hold a grid that the encoding engine runs, not none; {CASE}: {reason.format(case=CASE)}"
    )
    assert (code, out, err.startswith(f"ngpc: {sentence}"), err.count("\n")) == (2, "", True, 1)


@pytest.mark.parametrize(
    ("files", "options", "sentence"),
    [
        ((), (), "the directory of vectors must hold .npz files, not none: {folder!r}"),
        (("sh4",), (), "the vectors must hold a grid that the encoding engine runs, not none"),
        ((CASE,), ("--arithmetic", "int4"), "arithmetic must be one of int8, int16, fp16, not 'int4'"),
        (
            (CASE,),
            ("--points", "5"),
            (
                "--vectors must come without --preset, --points, --pattern, --log2-hashmap-size, --level-parallel, "
                "--waves, --reuse-cells and --bank-ports, not with them; its files hold grids and points"
            ),
        ),
    ],
    ids=["empty", "no-grid", "arithmetic", "points"],
)
def test_wrong_input_is_one_sentence(
    files: tuple[str, ...], options: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in files:
        shutil.copy(VECTORS / f"{name}.npz", tmp_path)
    code, out, err = _run(capsys, "--vectors", str(tmp_path), *options)
    assert (code, out, err) == (2, "", f"ngpc: {sentence.format(folder=str(tmp_path))}\n")


@pytest.mark.cosim
def test_two_points_a_clock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two levels on four engines are two lanes; a small grid and build stand for a preset's."""
    engine = EncodingEngineConfig(
        n_pos_dims=2, n_levels=4, level_parallel=4, n_features_per_level=1, table_rows=512, arithmetic="int16"
    )
    grid = GridConfig(n_pos_dims=2, n_levels=2, n_features_per_level=1, log2_hashmap_size=7, base_resolution=9)
    field = FIELDS["gia_lowres"]
    small = replace(field, grid=grid, network=replace(field.network, n_input_dims=2))
    monkeypatch.setattr("cli.simulate_encoding.FIELDS", {"gia_lowres": small})
    monkeypatch.setattr("cli.simulate_encoding.whole_engine", lambda *_, **__: replace(engine, counters=True))
    arguments = ("--preset", "gia_lowres", "--arithmetic", "int16", "--level-parallel", "4", "--points", "5001")
    code, out, err = _run(capsys, *arguments, "--points-per-clock", "4", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["points_per_clock"], result["mismatches"], len(result["levels"])) == (2, 0, 2)
    assert 2501 < result["cycles_rtl"] == result["cycles_model"] < 2700
    assert result["latency_clk"] >= engine.latency


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--points-per-clock", "2"), "--points-per-clock must come with --level-parallel, not 2 without it"),
        (
            ("--points-per-clock", "3", "--level-parallel", "4"),
            "points_per_clock must be one of 2, 4, 8, 16, not 3",
        ),
        (
            ("--points-per-clock", "8", "--level-parallel", "4"),
            "points_per_clock must be at most level_parallel = 4, not 8",
        ),
    ],
)
def test_points_a_clock_are_checked(
    options: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *options)
    assert (code, out, err) == (2, "", f"ngpc: {sentence}\n")
