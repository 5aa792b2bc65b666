"""Fields on disk: what loads is what was saved, activation tables included; older files have none."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arch.checkpoint import load_field
from arch.errors import InputError
from arch.presets import FIELDS
from arch.random_field import random_field


def test_curves_are_saved_with_a_field(tmp_path: Path) -> None:
    config = FIELDS["gia_hash"]
    network = replace(config.network, activation="Softplus", output_activation="Sigmoid")
    field = random_field(replace(config, network=network))
    field.save(tmp_path / "field.npz")
    loaded = load_field(tmp_path / "field.npz").networks[0]
    assert [curve.activation for curve in loaded.curves] == ["Softplus", "Softplus", "Sigmoid"]
    assert loaded.curves == field.networks[0].curves


def test_files_from_before_the_tables_load(tmp_path: Path) -> None:
    """A header without curves, as the first trained fields have it."""
    field = random_field(FIELDS["gia_hash"])
    path = tmp_path / "field.npz"
    field.save(path)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays["config"]))
    for network in header["networks"]:
        del network["curves"]
    stream = io.BytesIO()
    np.savez_compressed(stream, **{**arrays, "config": np.array(json.dumps(header))})
    path.write_bytes(stream.getvalue())
    loaded = load_field(path).networks[0]
    assert loaded.layer_curves == (None, None, None)
    for mine, theirs in zip(loaded.weights, field.networks[0].weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        load_field(path)
    return str(refused.value)


def test_every_cut_and_altered_file_is_refused_in_one_sentence(tmp_path: Path, seed: int) -> None:
    """A flipped bit may leave the file readable (padding, times), but whatever it raises is one sentence."""
    path = tmp_path / "field.npz"
    random_field(replace(FIELDS["gia_lowres"], grid=replace(FIELDS["gia_lowres"].grid, base_resolution=4))).save(path)
    whole = path.read_bytes()
    start = "the checkpoint field.npz must be a whole open-ngpc field file, not one cut short or damaged ("
    cuts = [0, 1, 10, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1]
    assert all(_refusal(path, whole[:length]).startswith(start) for length in cuts)
    rng = np.random.default_rng(seed)
    refused = 0
    # the directory at the end says how each array is packed and whether it is encrypted
    for place in (*rng.integers(0, len(whole), 100), *range(len(whole) - 400, len(whole))):
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(altered)
        try:
            load_field(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 200
    password = bytearray(whole)
    password[whole.index(b"PK\x01\x02") + 8] |= 1
    assert _refusal(path, bytes(password)) == f"{start}RuntimeError); fetch or train it again"


def test_headers_that_are_no_headers_are_refused(tmp_path: Path) -> None:
    for text, cause in (("[1]", "TypeError"), ("{}", "KeyError"), ("[" * 100_000, "RecursionError"), ("x", "JSON")):
        stream = io.BytesIO()
        np.savez(stream, config=np.array(text))
        assert f"({cause}" in _refusal(tmp_path / "field.npz", stream.getvalue())
