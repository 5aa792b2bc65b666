"""``ngpc simulate encoding --vectors``: the real library's grids through the RTL."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("files", "options", "sentence"),
    [
        ((), (), "the directory of vectors must hold .npz files, not none: {folder!r}"),
        (("sh4",), (), "the vectors must hold a grid that the encoding engine runs, not none"),
        ((CASE,), ("--arithmetic", "int4"), "arithmetic must be one of int8, int16, not 'int4'"),
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
