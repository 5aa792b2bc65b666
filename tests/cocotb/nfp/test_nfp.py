"""The neural fields processor, generated Verilog under Verilator, against the golden model and the cycle model."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NfpConfig
from arch.nfp_image import nfp_image
from arch.presets import FIELDS
from arch.random_field import random_field
from reference.grid_encoding import encode_integer
from reference.mlp import mlp_integer
from rtl.nfp.nfp import Nfp
from rtl.streams import LoadLayout, PointLayout, VectorLayout
from sim.engine.nfp import nfp_cycles

BENCH = Path(__file__).with_name("nfp_bench.py")
ONE = 1 << 23
CONFIG = NfpConfig(
    encoding=EncodingEngineConfig(n_levels=4, table_rows=4096),
    mlp=MlpEngineConfig(rows=8, cols=8, nano_batch=32, max_width=16, weight_tiles=16),
)
FIELDS_OF_BENCH = {
    # 8 features, 3 + 1 layers, and nano-batches that fill: the MLP engine is the slower one
    "nsdf": FieldConfig(
        app="nsdf",
        grid=GridConfig(n_pos_dims=3, n_levels=4, log2_hashmap_size=9, base_resolution=5, per_level_scale=1.7),
        network=MlpConfig(n_input_dims=8, n_neurons=16, n_hidden_layers=3, n_output_dims=1),
    ),
    # two dimensions, fewer levels, one layer: the encoding engine is the slower one
    "gia": FieldConfig(
        app="gia",
        grid=GridConfig(n_pos_dims=2, n_levels=3, log2_hashmap_size=10, base_resolution=9, per_level_scale=1.5),
        network=MlpConfig(n_input_dims=6, n_neurons=16, n_hidden_layers=0, n_output_dims=3, output_activation="ReLU"),
    ),
}


def _texts(layout, rows: list[dict]) -> np.ndarray:
    return np.array([str(layout.const(row).as_value().value) for row in rows])


def _case(path: Path, config: FieldConfig, points: int, seed: int) -> Path:
    field = random_field(config, seed=seed)
    rng = np.random.default_rng(seed)
    coordinates = rng.integers(0, ONE, (points, config.grid.n_pos_dims), endpoint=True)
    corners = np.indices((2,) * config.grid.n_pos_dims).reshape(config.grid.n_pos_dims, -1).T * ONE
    coordinates[: len(corners)] = corners[:points]
    image = nfp_image(field, CONFIG)
    features = encode_integer(
        config.grid,
        torch.from_numpy(field.tables),
        field.level_shifts,
        torch.from_numpy(coordinates),
        CONFIG.mlp.profile,
    )
    golden = mlp_integer(field.networks[0], features, CONFIG.mlp.profile).numpy()
    assert np.unique(golden, axis=0).shape[0] > points // 4, "results must vary, or the bench shows nothing"
    timing = nfp_cycles(config, CONFIG, coordinates)
    width = CONFIG.mlp.max_width
    np.savez(
        path,
        load=_texts(
            LoadLayout(),
            [
                {"target": int(target), "address": int(address), "data": int(word)}
                for target, address, word in zip(image.target, image.address, image.data, strict=True)
            ],
        ),
        points=_texts(
            PointLayout(3),
            [
                {"position": [*map(int, row), *[0] * (3 - len(row))], "last": int(number == points - 1)}
                for number, row in enumerate(coordinates)
            ],
        ),
        results=_texts(
            VectorLayout(width, 8),
            [
                {"values": [*map(int, row), *[0] * (width - len(row))], "last": int(number == points - 1)}
                for number, row in enumerate(golden)
            ],
        ),
        accepted=timing.accepted,
        given=timing.results,
    )
    return path


@pytest.mark.cocotb
def test_nfp(cocotb_run, seed: int, tmp_path: Path) -> None:
    # 5 full nano-batches and a part of one; then fewer points than the pipeline holds
    paths = [
        _case(tmp_path / f"{name}_{points}.npz", config, points, seed + points)
        for name, config in FIELDS_OF_BENCH.items()
        for points in (5 * 32 + 7, 3)
    ]
    cocotb_run(Nfp(CONFIG), "nfp", BENCH, environment={"NGPC_CASES": os.pathsep.join(map(str, paths))})


def test_a_field_of_two_networks_is_refused() -> None:
    field = random_field(FIELDS["nerf_dense"])
    with pytest.raises(InputError) as caught:
        nfp_image(field, CONFIG)
    assert str(caught.value) == (
        "networks of a field on this processor must be 1, not 2; it does not run nerf's two networks yet"
    )


def test_another_arithmetic_is_refused() -> None:
    field = random_field(FIELDS_OF_BENCH["gia"], arithmetic="int16")
    with pytest.raises(InputError) as caught:
        nfp_image(field, CONFIG)
    assert str(caught.value) == "arithmetic of the checkpoint must be the processor's 'int8', not 'int16'"
