"""``ngpc render``: pictures through the RTL equal the golden model, and a field that cannot run is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from arch.presets import FIELDS
from arch.random_field import random_field
from arch.trained import trained_path
from cli.main import main


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["render", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


@pytest.mark.cosim
@pytest.mark.parametrize("app", ["gia", "nsdf"])
def test_every_value_equals_the_golden_model(app: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    code, out, err = _run(capsys, "--app", app, "--size", "64", "--out", str(tmp_path), "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["app"], result["width"], result["height"]) == (app, 64, 64)
    assert result["mismatches"] == 0
    assert result["cycles"] == result["cycles_model"]
    # 28 passes a nano-batch of 64 on 16 x 16, plus filling and draining
    assert 28.0 < result["clk_per_point"] < 29.5
    assert result["psnr_vs_float_db"] >= 38.0
    with Image.open(result["picture"]) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (64, 64, 3) and pixels.std() > 20


def test_a_checkpoint_cut_short_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = trained_path("gia", "int8").read_bytes()
    cut = tmp_path / "cut.npz"
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:length])
        code, out, err = _run(capsys, "--checkpoint", str(cut), "--out", str(tmp_path / "out"))
        assert (code, out) == (2, "")
        assert err.startswith("ngpc: the checkpoint cut.npz must be a whole open-ngpc field file, not one cut short")
        assert err.endswith("fetch or train it again\n") and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_does_not_fit_the_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "large.npz"
    random_field(FIELDS["gia_hash"]).save(path)
    code, out, err = _run(capsys, "--checkpoint", str(path), "--out", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert err == (
        "ngpc: table_rows of the encoding engine must be at least 709696 for this grid, not 262144; "
        "take a larger engine, more level_parallel or a smaller log2_hashmap_size\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--app", "nerf"), "app must be one of gia, nsdf, not 'nerf'"),
        (("--size", "100"), "size must be a divisor of 512, not 100"),
        (("--size", "0"), "size must be a divisor of 512, not 0"),
        (("--processor", "nfp"), "processor preset must be one of nfp-16x16, nfp-32x32, ngpc, not 'nfp'"),
        (("--checkpoint", "none.npz"), "the checkpoint must be an existing file, not 'none.npz'"),
        (
            ("--checkpoint", str(trained_path("gia", "fp16"))),
            "the checkpoint gia_astronaut.fp16.npz must be quantised, not fp16; quantise it with scripts/train",
        ),
        (("--checkpoint", str(trained_path("nsdf", "int8"))), "app of the checkpoint must be 'gia', not 'nsdf'"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _run(capsys, *arguments, "--out", str(out)) == (2, "", f"ngpc: {sentence}\n")
    assert not out.exists()


def test_a_file_where_the_pictures_go_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.render.render_app", None)
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "below"
    sentence = f"the output directory must be writable, not {str(out)!r} (Not a directory)"
    assert _run(capsys, "--out", str(out)) == (2, "", f"ngpc: {sentence}\n")
