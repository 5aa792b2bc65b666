"""``ngpc simulate nfp --arithmetic fp16 --vectors``: whole fields through the RTL, from files like the library's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.random_field import random_mlp_fp16, random_table_fp16
from cli.main import main
from reference.grid_encoding import encode_fp16
from reference.mlp import mlp_fp16
from reference.spherical_harmonics import harmonics_fp16

ENCODING = {"otype": "HashGrid", "n_levels": 4, "n_features_per_level": 2, "log2_hashmap_size": 9, "base_resolution": 6}
POINTS = 200


def _run(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as end:
        main(["simulate", "nfp", "--arithmetic", "fp16", "--vectors", str(folder), "--json"])
    shown = capsys.readouterr()
    assert shown.out, shown.err
    return end.value.code, json.loads(shown.out)


def _write(path: Path, config: dict, **arrays: np.ndarray) -> None:
    np.savez(path, config=np.array(json.dumps(config)), **arrays)


def _networks(rng: np.random.Generator, *shapes: MlpConfig) -> list[tuple[np.ndarray, ...]]:
    return [random_mlp_fp16(shape, rng).weights for shape in shapes]


@pytest.mark.cosim
@pytest.mark.long
def test_fields_of_one_and_two_networks(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(seed)
    grid = GridConfig.from_tcnn(ENCODING, n_pos_dims=3)
    tables = random_table_fp16(grid, rng)
    points, directions = (rng.random((POINTS, 3)).astype(np.float32) for _ in range(2))
    features = encode_fp16(grid, tables, torch.from_numpy(points))
    padded = torch.nn.functional.pad(features, (0, 8))
    single = MlpConfig(n_input_dims=16, n_neurons=16, n_hidden_layers=1, n_output_dims=16, activation="LeakyReLU")
    colour = MlpConfig(n_input_dims=32, n_neurons=16, n_hidden_layers=1, n_output_dims=16)
    density_weights, colour_weights = _networks(rng, single, colour)
    density = mlp_fp16(single, density_weights, padded)
    arrays = {"positions": points, "grid_params": tables, "W0": density_weights[0], "W1": density_weights[1]}
    network = {"n_neurons": 16, "n_hidden_layers": 1, "activation": "LeakyReLU", "n_output_dims": 5}
    outputs = density.numpy().copy()
    outputs.view(np.uint16)[7, 2] ^= 1  # one bit that the hardware does not give
    _write(tmp_path / "e2e_one", {"type": "nwe", "encoding": ENCODING, "network": network}, **arrays, out_fp16=outputs)

    codes = harmonics_fp16(torch.from_numpy(directions))
    colours = mlp_fp16(colour, colour_weights, torch.cat((density, codes), dim=1)).numpy()
    config = {"type": "nerf", "encoding": ENCODING, "network": {**network, "n_output_dims": 16}}
    config["rgb_network"] = {"n_neurons": 16, "n_hidden_layers": 1, "n_output_dims": 3}
    stored = np.concatenate((colours[:, :3], density.numpy()[:, :1]), axis=1)
    arrays |= {"directions01": directions, "rgb_W0": colour_weights[0], "rgb_W1": colour_weights[1]}
    _write(tmp_path / "e2e_two", config, **arrays, out_fp16=stored)

    code, result = _run(capsys, tmp_path)
    found = [(case["case"], case["values"], case["mismatches"], case["steps"]) for case in result["cases"]]
    assert found == [("e2e_one", 16 * POINTS, 1, 1), ("e2e_two", 4 * POINTS, 0, 0)]
    assert (code, result["golden_mismatches"], result["refused"]) == (1, 0, [])
    assert all(case["cycles_rtl"] == case["cycles_model"] for case in result["cases"])
