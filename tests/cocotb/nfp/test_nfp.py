"""The neural fields processor, generated Verilog under Verilator, against the golden model and the cycle model."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.checkpoint import QuantizedField
from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.field import DIRECTION_DIMS, FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NfpConfig
from arch.nfp_image import nfp_image
from arch.number_format import COORDINATE, integer_profile
from arch.random_field import random_field
from reference.field import field_integer
from reference.spherical_harmonics import harmonics_integer
from rtl.nfp.nfp import Nfp
from rtl.streams import LoadLayout, PointLayout, VectorLayout
from sim.engine.nfp import nfp_cycles

BENCH = Path(__file__).with_name("nfp_bench.py")
ONE = 1 << COORDINATE.fraction_bits
CONFIG = NfpConfig(
    encoding=EncodingEngineConfig(n_levels=4, table_rows=4096),
    mlp=MlpEngineConfig(rows=8, cols=8, nano_batch=32, max_width=16, weight_tiles=16),
    max_outputs=3,
)
TWO_NETWORKS = NfpConfig(
    encoding=EncodingEngineConfig(n_levels=4, level_parallel=2, table_rows=2048, arithmetic="int16"),
    mlp=MlpEngineConfig(
        rows=8, cols=4, nano_batch=36, max_width=32, weight_tiles=64, arithmetic="int16",
        side_first=8, side_inputs=DIRECTION_DIMS,
    ),
)  # fmt: skip
GRID_3D = GridConfig(n_pos_dims=3, n_levels=4, log2_hashmap_size=9, base_resolution=5, per_level_scale=1.7)
GRID_2D = GridConfig(n_pos_dims=2, n_levels=3, log2_hashmap_size=10, base_resolution=9, per_level_scale=1.5)
FIELDS_OF_BENCH = {
    # 8 features, 3 + 1 layers, and nano-batches that fill: the MLP engine is the slower one
    "nsdf": FieldConfig(
        app="nsdf", grid=GRID_3D, network=MlpConfig(n_input_dims=8, n_neurons=16, n_hidden_layers=3, n_output_dims=1)
    ),
    # two dimensions, fewer levels, one layer: the encoding engine is the slower one
    "gia": FieldConfig(
        app="gia",
        grid=GRID_2D,
        network=MlpConfig(n_input_dims=6, n_neurons=16, n_hidden_layers=0, n_output_dims=3, output_activation="ReLU"),
    ),
    # colours from three layers behind a density network of two
    "nerf": FieldConfig(
        app="nerf",
        grid=GRID_3D,
        network=MlpConfig(n_input_dims=8, n_neurons=16, n_hidden_layers=1, n_output_dims=8),
        rgb_network=MlpConfig(n_input_dims=8 + DIRECTION_DIMS, n_neurons=16, n_hidden_layers=2, n_output_dims=3),
    ),
}


def _texts(layout, rows: list[dict]) -> np.ndarray:
    return np.array([str(layout.const(row).as_value().value) for row in rows])


def _points(field: QuantizedField, points: int, seed: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Raw coordinates, raw direction codes of a nerf field, and the golden results; the cube's corners come first."""
    rng, dims = np.random.default_rng(seed), field.config.grid.n_pos_dims
    coordinates = rng.integers(0, ONE, (points, dims), endpoint=True)
    corners = np.indices((2,) * dims).reshape(dims, -1).T * ONE
    coordinates[: len(corners)] = corners[:points]
    positions = torch.from_numpy(coordinates / ONE)
    if field.config.app != "nerf":
        return coordinates, None, field_integer(field, positions).numpy()
    ray = rng.normal(size=(points, 3))
    directions = torch.from_numpy((ray / np.linalg.norm(ray, axis=1, keepdims=True) + 1) / 2)
    codes = harmonics_integer(directions, field.direction_scale, integer_profile(field.arithmetic)).numpy()
    return coordinates, codes, field_integer(field, positions, directions).numpy()


def _case(path: Path, config: NfpConfig, field: QuantizedField, points: int, seed: int) -> Path:
    coordinates, codes, golden = _points(field, points, seed)
    assert np.unique(golden, axis=0).shape[0] > points // 4, "results must vary, or the bench shows nothing"
    image, bits = nfp_image(field, config), config.mlp.profile.value_bits
    timing = nfp_cycles(field.config, config, coordinates, primed=config.prime_cycles)
    sides = [{}] * points if codes is None else [{"side": [*map(int, code)]} for code in codes]
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
            PointLayout(3, config.mlp.side_inputs, bits),
            [
                {"position": [*map(int, row), *[0] * (3 - len(row))], **side, "last": int(number == points - 1)}
                for number, (row, side) in enumerate(zip(coordinates, sides, strict=True))
            ],
        ),
        # results past the field's are the activation of 0, a network without bias
        results=_texts(
            VectorLayout(config.max_outputs, bits),
            [
                {"values": [*map(int, row), *[0] * (config.max_outputs - len(row))], "last": int(number == points - 1)}
                for number, row in enumerate(golden)
            ],
        ),
        accepted=timing.accepted,
        given=timing.results,
        limits=(timing.encoding_limits, timing.mlp_limits),
    )
    return path


def _run(cocotb_run, config: NfpConfig, apps: tuple[str, ...], seed: int, folder: Path) -> None:
    paths = []
    for app in apps:
        # some full nano-batches and a part of one; then fewer points than the pipeline holds
        for points in (5 * config.mlp.nano_batch + 7, 3):
            field = random_field(FIELDS_OF_BENCH[app], arithmetic=config.mlp.arithmetic, seed=seed + points)
            paths.append(_case(folder / f"{app}_{points}.npz", config, field, points, seed + points))
    cocotb_run(Nfp(config), "nfp", BENCH, environment={"NGPC_CASES": os.pathsep.join(map(str, paths))})


@pytest.mark.cocotb
def test_nfp(cocotb_run, seed: int, tmp_path: Path) -> None:
    _run(cocotb_run, CONFIG, ("nsdf", "gia"), seed, tmp_path)


@pytest.mark.cocotb
def test_nfp_of_two_networks_also_runs_fields_of_one(cocotb_run, seed: int, tmp_path: Path) -> None:
    _run(cocotb_run, TWO_NETWORKS, ("nerf", "gia", "nerf"), seed, tmp_path)


def test_the_limiting_engine_is_the_slower_one() -> None:
    coordinates = np.random.default_rng(0).integers(0, ONE, (500, 3))
    slow_mlp = nfp_cycles(FIELDS_OF_BENCH["nsdf"], CONFIG, coordinates)
    slow_encoding = nfp_cycles(FIELDS_OF_BENCH["gia"], CONFIG, coordinates[:, :2])
    assert (slow_mlp.limiting_engine, slow_encoding.limiting_engine) == ("mlp", "encoding")
    assert slow_mlp.mlp_limits > slow_mlp.cycles // 2
    assert slow_encoding.mlp_limits == 0 and slow_encoding.encoding_limits > slow_encoding.cycles // 2


@pytest.mark.parametrize(
    ("app", "arithmetic", "config", "sentence"),
    [
        ("nerf", "int8", CONFIG, "max_outputs of the processor must be at least the field's 4, not 3"),
        (
            "nerf",
            "int8",
            replace(CONFIG, max_outputs=4, mlp=replace(CONFIG.mlp, max_width=32)),
            "networks a point must be at most 1 on this MLP engine, not 2",
        ),
        ("gia", "int16", CONFIG, "arithmetic of the checkpoint must be the processor's 'int8', not 'int16'"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(app: str, arithmetic: str, config: NfpConfig, sentence: str) -> None:
    field = random_field(FIELDS_OF_BENCH[app], arithmetic=arithmetic)
    with pytest.raises(InputError) as caught:
        nfp_image(field, config)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_outputs": 0}, "max_outputs must be an integer from 1 to 32, not 0"),
        ({"max_outputs": 33}, "max_outputs must be an integer from 1 to 32, not 33"),
        (
            {"mlp": replace(TWO_NETWORKS.mlp, side_first=4)},
            "side_first of the MLP engine must be at least the encoding's 8 features, not 4",
        ),
        (
            {"mlp": replace(TWO_NETWORKS.mlp, arithmetic="int8")},
            "arithmetic of the MLP engine must be the encoding engine's 'int16', not 'int8'",
        ),
    ],
)
def test_a_processor_that_does_not_fit_together_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(TWO_NETWORKS, **change)
    assert str(caught.value) == sentence
