"""The cluster behind its buses, generated Verilog under Verilator: the host driver against the golden model."""

import base64
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig
from arch.field import DIRECTION_DIMS, FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from arch.number_format import COORDINATE, integer_profile
from arch.presets import NFPS
from arch.random_field import random_field, random_float_field
from arch.scheduler import SchedulerConfig
from arch.trained import TRAINED, load_trained, trained_path
from cli.comparison import numpy_call
from reference.field import field_fp16, field_integer
from reference.spherical_harmonics import harmonics_fp16, harmonics_integer
from rtl.nfp_top import NfpTop

BENCH = Path(__file__).with_name("nfp_top_bench.py")
ONE = 1 << COORDINATE.fraction_bits
CONFIG = ClusterConfig(
    nfp=NfpConfig(
        encoding=EncodingEngineConfig(n_levels=2, table_rows=1024),
        mlp=MlpEngineConfig(
            rows=4, cols=4, nano_batch=24, max_width=24, weight_tiles=24, side_first=4, side_inputs=DIRECTION_DIMS
        ),
    ),
    n_nfps=2,
    scheduler=SchedulerConfig(n_descriptors=16, n_operations=4, n_units=2, n_chunks=16, check_load=True),
)
GRID_3D = GridConfig(n_pos_dims=3, n_levels=2, log2_hashmap_size=8, base_resolution=5, per_level_scale=1.7)
GRID_2D = GridConfig(n_pos_dims=2, n_levels=2, log2_hashmap_size=9, base_resolution=9, per_level_scale=1.5)
FIELDS_OF_BENCH = {
    "nerf": FieldConfig(
        app="nerf",
        grid=GRID_3D,
        network=MlpConfig(n_input_dims=4, n_neurons=8, n_hidden_layers=1, n_output_dims=4),
        rgb_network=MlpConfig(n_input_dims=4 + DIRECTION_DIMS, n_neurons=8, n_hidden_layers=1, n_output_dims=3),
    ),
    "nsdf": FieldConfig(app="nsdf", grid=GRID_3D, network=MlpConfig(n_input_dims=4, n_neurons=8, n_output_dims=1)),
    "gia": FieldConfig(app="gia", grid=GRID_2D, network=MlpConfig(n_input_dims=4, n_neurons=8, n_output_dims=3)),
    "nvr": FieldConfig(
        app="nvr",
        grid=GRID_3D,
        network=MlpConfig(n_input_dims=4, n_neurons=8, n_output_dims=4, output_activation="ReLU"),
    ),
}


def _case(app: str, folder: Path, seed: int, points: int) -> Path:
    field = random_field(FIELDS_OF_BENCH[app], seed=seed)
    checkpoint = folder / f"{app}.int8.npz"
    field.save(checkpoint)
    rng = np.random.default_rng(seed)
    coordinates = rng.integers(0, ONE, (points, field.config.grid.n_pos_dims), endpoint=True)
    positions, codes = torch.from_numpy(coordinates / ONE), np.zeros(0)
    if app == "nerf":
        rays = rng.normal(size=(points, 3))
        directions = torch.from_numpy((rays / np.linalg.norm(rays, axis=1, keepdims=True) + 1) / 2)
        codes = harmonics_integer(directions, field.direction_scale, integer_profile("int8")).numpy()
        golden = field_integer(field, positions, directions).numpy()
    else:
        golden = field_integer(field, positions).numpy()
    assert len(np.unique(golden, axis=0)) > points // 8, "results must vary, or the bench shows nothing"
    path = folder / f"{app}_case.npz"
    np.savez(path, checkpoint=str(checkpoint), coordinates=coordinates, codes=codes, golden=golden)
    return path


def _environment(config: ClusterConfig, paths: list[Path]) -> dict[str, str]:
    return {
        "NGPC_CASES": os.pathsep.join(map(str, paths)),
        "NGPC_CONFIG": base64.b64encode(pickle.dumps(config)).decode(),
    }


@pytest.mark.cocotb
@pytest.mark.parametrize("points_per_clock", [1, pytest.param(4, marks=pytest.mark.long)])
def test_nfp_top(cocotb_run, points_per_clock: int, seed: int, tmp_path: Path) -> None:
    # full nano-batches on both processors and a part of one
    config = replace(CONFIG, points_per_clock=points_per_clock)
    paths = [_case(app, tmp_path, seed, 5 * 24 + 7) for app in FIELDS_OF_BENCH]
    cocotb_run(NfpTop(config), "nfp_top", BENCH, environment=_environment(config, paths))


@pytest.mark.cocotb
@pytest.mark.long
def test_a_gpus_bits_come_through_the_buses(cocotb_run, seed: int, tmp_path: Path) -> None:
    """Two processors of ``fp16``: fp32 coordinates, some of them outside the cube, in; the library's fp16 bits out."""
    nfp = NfpConfig(
        encoding=EncodingEngineConfig(n_levels=2, table_rows=512, arithmetic="fp16"),
        mlp=MlpEngineConfig(
            rows=16, cols=4, nano_batch=24, max_width=48, max_layers=4, weight_tiles=48, arithmetic="fp16",
            side_first=32, side_inputs=DIRECTION_DIMS,
        ),
    )  # fmt: skip
    wide = {"n_neurons": 16, "n_hidden_layers": 1}
    shapes = {
        "nerf": FieldConfig(
            app="nerf",
            grid=GRID_3D,
            network=MlpConfig(n_input_dims=4, n_output_dims=16, **wide),
            rgb_network=MlpConfig(n_input_dims=16 + DIRECTION_DIMS, n_output_dims=3, **wide),
        ),
        "gia": FieldConfig(app="gia", grid=GRID_2D, network=MlpConfig(n_input_dims=4, n_output_dims=3, **wide)),
    }
    rng, paths = np.random.default_rng(seed), []
    for app, shape in shapes.items():
        field = random_float_field(shape, seed=seed)
        field.save(tmp_path / f"{app}.fp16.npz")
        positions = rng.uniform(-0.1, 1.1, (5 * 24 + 7, shape.grid.n_pos_dims)).astype(np.float32)
        directions = rng.random((len(positions), 3)).astype(np.float32)
        inputs = (positions, directions) if app == "nerf" else (positions,)
        golden = numpy_call(field_fp16, field, *inputs).view(np.int16)
        assert len(np.unique(golden)) > len(positions)
        paths.append(tmp_path / f"{app}_case.npz")
        np.savez(
            paths[-1],
            checkpoint=str(tmp_path / f"{app}.fp16.npz"),
            coordinates=positions.view(np.uint32),
            codes=numpy_call(harmonics_fp16, directions).view(np.int16),
            golden=golden,
        )
    config = ClusterConfig(nfp=nfp, n_nfps=2)
    bench = Path(__file__).with_name("trained_fields_bench.py")
    cocotb_run(NfpTop(config), "nfp_top", bench, environment=_environment(config, paths))


@pytest.mark.cocotb
@pytest.mark.long
def test_trained_fields(cocotb_run, tmp_path: Path) -> None:
    """All four trained fields, 16 x 16 pixels of each, through registers and streams.

    The photograph as it is, of the others the plane in the middle of the cube; the radiance field with a direction of
    its own for every pixel.
    """
    config = ClusterConfig(nfp=NFPS["nfp-16x16"], n_nfps=1)
    pixels, paths = (np.arange(16) + 0.5) / 16, []
    rays = np.random.default_rng(1).normal(size=(256, 3))
    directions = torch.from_numpy((rays / np.linalg.norm(rays, axis=1, keepdims=True) + 1) / 2)
    for app in TRAINED:
        field = load_trained(app)
        across, down = np.meshgrid(pixels, pixels)
        depth = [np.full(256, 0.5)] if field.config.grid.n_pos_dims == 3 else []
        positions = np.column_stack([across.ravel(), down.ravel(), *depth])
        codes = np.zeros(0)
        if app == "nerf":
            codes = harmonics_integer(directions, field.direction_scale, integer_profile("int8")).numpy()
            golden = field_integer(field, torch.from_numpy(positions), directions).numpy()
        else:
            golden = field_integer(field, torch.from_numpy(positions)).numpy()
        assert len(np.unique(golden, axis=0)) > 16, f"{app} is flat here, the bench would show nothing"
        paths.append(tmp_path / f"{app}.npz")
        np.savez(
            paths[-1],
            checkpoint=str(trained_path(app, "int8")),
            coordinates=COORDINATE.quantize(positions),
            codes=codes,
            golden=golden,
        )
    bench = Path(__file__).with_name("trained_fields_bench.py")
    cocotb_run(NfpTop(config), "nfp_top", bench, environment=_environment(config, paths))
