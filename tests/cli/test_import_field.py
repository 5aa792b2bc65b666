"""``ngpc import`` from outside: the real library's parameters in, the real library's outputs out; refusals."""

import json
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch

from arch.checkpoint import FloatField, QuantizedField, load_field
from arch.flat_parameters import field_config, parameter_counts
from cli.main import main
from reference.mlp import mlp_fp16
from reference.vector_file import read_vector_file

VECTORS = Path(__file__).resolve().parents[1] / "reference" / "vectors"


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["import", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


GRID = {"otype": "HashGrid", "n_levels": 8, "n_features_per_level": 2, "log2_hashmap_size": 10, "per_level_scale": 1.5}


@pytest.fixture
def library(tmp_path: Path, seed: int):
    """A network of a real tiny-cuda-nn run behind a grid of random features, as one flat vector; its configuration."""
    case = read_vector_file(VECTORS / "mlp_16_64x2_1_none.npz")
    config = tmp_path / "config.json"
    blocks = {"encoding": GRID, "network": {**case.config["network"], "n_output_dims": 1}}
    config.write_text(json.dumps(blocks))
    table = np.random.default_rng(seed).uniform(-1, 1, parameter_counts(field_config("nsdf", blocks))[-1])
    flat = np.concatenate([*(matrix.ravel() for matrix in case.matrices()), table.astype(np.float16)])
    return case, flat, config


@pytest.mark.golden
@pytest.mark.parametrize("suffix", [".npy", ".pt", ".msgpack"])
def test_an_imported_network_gives_the_librarys_outputs(suffix, library, tmp_path, capsys):
    case, flat, config = library
    file, arguments = tmp_path / f"params{suffix}", ("--config", str(config), "--app", "nsdf")
    if suffix == ".npy":
        np.save(file, flat)
    elif suffix == ".pt":
        torch.save({"model.params": torch.from_numpy(flat.astype(np.float32)), "step": 3}, file)
    else:
        snapshot = {"version": 1, "mode": "sdf", "params_type": "__half", "params_binary": flat.tobytes()}
        blocks = {"base_resolution": 16, **json.loads(config.read_text())}
        file.write_bytes(msgpack.packb({**blocks, "snapshot": snapshot}))
        arguments = ()
    out = tmp_path / "field.npz"
    code, shown, error = _run(capsys, str(file), "--out", str(out), *arguments, "--json")
    assert (code, error) == (0, "")
    field = load_field(out)
    assert isinstance(field, FloatField)
    assert json.loads(shown)["table_entries"] == len(field.tables)
    assert np.array_equal(field.tables.ravel(), flat[-field.tables.size :])
    outputs = mlp_fp16(field.config.network, field.weights[0], torch.from_numpy(case.array("inputs")))
    assert np.array_equal(outputs.numpy()[:, 0], case.array("out")[:, 0])


def test_it_can_be_quantised_on_the_way(library, tmp_path, capsys):
    _, flat, config = library
    np.save(tmp_path / "params.npy", flat)
    out = tmp_path / "field.npz"
    arguments = ("--config", str(config), "--app", "nsdf", "--arithmetic", "int8", "--out", str(out))
    code, _, note = _run(capsys, str(tmp_path / "params.npy"), *arguments)
    assert code == 0 and note.startswith("largest output of 16384 random points: ")
    assert isinstance(load_field(out), QuantizedField)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a.txt",), "suffix of the file must be one of .msgpack, .ingp, .npy, .pt, .pth, .ckpt, not '.txt'"),
        (("none.ingp",), "the snapshot must be an existing file, not 'none.ingp'"),
        (("a.npy",), "flat parameters must come with --config and --app, not without; give both"),
        (("a.ingp", "--arithmetic", "int4"), "arithmetic must be one of fp16, int8, int16, not 'int4'"),
        (("a.ingp", "--output-limit", "nan"), "output limit must be a number above 0, not nan"),
    ],
)
def test_wrong_input_is_one_sentence(arguments, sentence, capsys):
    assert _run(capsys, *arguments) == (2, "", f"ngpc: {sentence}\n")


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_a_damaged_file_of_parameters_is_one_sentence(suffix, library, tmp_path, capsys):
    _, _, config = library
    file, out = tmp_path / f"a{suffix}", tmp_path / "field.npz"
    file.write_bytes(b"PK\x03\x04 not a file of parameters")
    code, shown, error = _run(capsys, str(file), "--config", str(config), "--app", "nsdf", "--out", str(out))
    assert (code, shown) == (2, "")
    assert error.startswith("ngpc: the parameters must be a whole .npy file or PyTorch state dictionary, not ")
    assert error.count("\n") == 1 and not out.exists()
