"""``ngpc simulate mlp --arithmetic fp16``: the real library's networks through the RTL."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cli.main import main

VECTORS = Path(__file__).parents[1] / "reference" / "vectors"
NETWORK = "mlp_density_32_64x1_16_none"


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


@pytest.mark.cosim
@pytest.mark.golden
@pytest.mark.long
def test_the_librarys_networks_through_the_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (NETWORK, "mlp_16_64x2_1_none"):
        shutil.copy(VECTORS / f"{name}.npz", tmp_path)
    options = ("mlp", "--arithmetic", "fp16", "--vectors", str(tmp_path), "--json")
    code, out, err = _run(capsys, *options)
    assert code == 0, err
    result = json.loads(out)
    assert (result["mismatches"], result["golden_mismatches"]) == (0, 0)
    assert [(case["case"], case["values"]) for case in result["cases"]] == [
        ("mlp_16_64x2_1_none", 12288),
        (NETWORK, 12288),
    ]
    assert all(case["cycles_rtl"] == case["cycles_model"] for case in result["cases"])
    # One bit that the library never gave is told by exit code 1.
    with np.load(VECTORS / f"{NETWORK}.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["out"].view(np.uint16)[700, 3] ^= 1
    np.savez(tmp_path / f"{NETWORK}.npz", **arrays)
    code, out, _ = _run(capsys, *options)
    assert (code, json.loads(out)["mismatches"]) == (1, 1)


@pytest.mark.cosim
@pytest.mark.long
def test_a_network_with_sine_through_the_rtl(capsys: pytest.CaptureFixture[str]) -> None:
    """In hidden layers and the last; every value the golden model's, every clock the cycle model's."""
    options = ("--network", "gia", "--batch", "600", "--activation", "Sine", "--output-activation", "Sine", "--json")
    code, out, err = _run(capsys, "mlp", "--arithmetic", "fp16", "--array", "16x4", *options)
    assert code == 0, err
    result = json.loads(out)
    assert (result["mismatches"], result["clock_mismatches"]) == (0, 0)
    assert result["cycles_rtl"] == result["cycles_model"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"W1": np.zeros((16, 63), np.float16)},
            "weights of layer 1 must be float16 of shape (16, 64), not float16 of (16, 63)",
        ),
        ({"W0": np.zeros((64, 32))}, "weights of {case} must be matrices of float16, not other arrays"),
        (
            {"inputs": np.zeros((5, 31), np.float16)},
            "inputs of {case} must be any x 32 numbers of float16, not of shape (5, 31) and float16",
        ),
    ],
    ids=["shape", "dtype", "inputs"],
)
def test_a_network_that_cannot_run_is_one_sentence(
    change: dict, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(VECTORS / f"{NETWORK}.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name != "out_cutlass"}
    np.savez(tmp_path / f"{NETWORK}.npz", **arrays | change)
    code, out, err = _run(capsys, "mlp", "--arithmetic", "fp16", "--vectors", str(tmp_path))
    start = f"ngpc: the vectors must hold a network that the MLP engine runs, not none; {NETWORK}: "
    assert (code, out, err) == (2, "", f"{start}{reason.format(case=NETWORK)}\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("mlp", "--vectors", "{folder}"),
            (
                "--vectors must come with --arithmetic fp16 and without --network, --batch, --activation, "
                "--output-activation, --chunk, --nano-batch and --waves; its files hold networks and inputs"
            ),
        ),
        (
            ("nfp", "--vectors", "{folder}"),
            (
                "--vectors must come with --arithmetic fp16 and without --preset, --points, --pattern, "
                "--log2-hashmap-size and --waves; its files hold fields and points"
            ),
        ),
        (
            ("nfp", "--arithmetic", "fp16", "--vectors", "{folder}"),
            "the vectors must hold a field that the processor runs, not none",
        ),
        (
            ("mlp", "--arithmetic", "fp16", "--array", "8x8"),
            "rows of an engine of fp16 must be a multiple of 16 from 16 to 128, not 8",
        ),
        (
            ("gemm", "--arithmetic", "fp16", "--n", "64"),
            (
                "n_output_dims of a network of one layer must be at most 16 in fp16, not 64; "
                "the library adds its products in steps of 8: take an engine of chunk 8"
            ),
        ),
        (
            ("encoding", "--arithmetic", "fp16", "--level-parallel", "16", "--points-per-clock", "2"),
            "arithmetic of a multi-point encoding must be int8 or int16, not fp16",
        ),
    ],
    ids=["mlp-int8", "nfp-int8", "no-field", "array", "outputs", "points-per-clock"],
)
def test_wrong_options_are_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(VECTORS / "sh4.npz", tmp_path)
    code, out, err = _run(capsys, *(argument.format(folder=tmp_path) for argument in arguments))
    assert (code, out, err) == (2, "", f"ngpc: {sentence}\n")
