"""``ngpc image`` from outside: the file is the driver's words behind a header, and what does not fit is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from arch.axis_format import load_format
from arch.nfp_image import n_results, nfp_image
from arch.register_map import config_hash
from arch.release import RELEASES
from arch.trained import load_trained, trained_path
from cli.main import main
from host.image_file import FIELD_HEADER

KV260 = RELEASES["kv260"].cluster


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["image", *map(str, arguments)])
    return end.value.code


def test_a_field_is_its_load_words_behind_a_header(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "field.ngpc"
    assert run("nerf", "--preset", "kv260", "--out", out, "--json") == 0
    told, field, content = json.loads(capsys.readouterr().out), load_trained("nerf"), out.read_bytes()
    image = nfp_image(field, KV260.nfp)
    header = FIELD_HEADER.unpack(content[: FIELD_HEADER.size])
    assert header[:9] == (
        b"NGPC", 1, FIELD_HEADER.size, config_hash(KV260), len(image), 3, n_results(field), 1, 8,
    )  # fmt: skip
    assert header[9:] == tuple(np.float32([field.networks[-1].output_scale, field.direction_scale]))
    words = np.frombuffer(content[FIELD_HEADER.size :], np.uint8).reshape(len(image), -1)
    sent = load_format().unpack(words)
    assert all(np.array_equal(sent[name], getattr(image, name)) for name in ("target", "address", "data"))
    assert told["bytes"] == len(content) and told["outputs"] == 4
    assert told["config_hash"] == f"{config_hash(KV260):#010x}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nsdf", "--preset", "ecp5-tiny"), "table_rows of the encoding engine must be at least "),
        (("nowhere.npz", "--preset", "kv260"), "the checkpoint must be an existing file, not 'nowhere.npz'\n"),
        (
            (trained_path("nerf", "fp16"), "--preset", "kv260"),
            "arithmetic of the checkpoint must be the processor's 'int8', not 'fp16'\n",
        ),
        (("nerf", "--preset", "kv261"), "release preset must be one of ecp5-tiny, "),
    ],
)
def test_what_does_not_fit_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "field.ngpc"
    assert run(*arguments, "--out", out) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"ngpc: {sentence}") and shown.count("\n") == 1
    assert not out.exists()
