"""Fields on disk: what loads is what was saved, activation tables included; older files have none."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from arch.checkpoint import load_field
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
