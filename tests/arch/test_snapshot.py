"""instant-ngp snapshots and flat parameter vectors, made here after the documented layout, read back."""

import gzip
import zlib

import msgpack
import numpy as np
import pytest

from arch.errors import InputError
from arch.flat_parameters import field_config, field_from_vectors, parameter_counts
from arch.snapshot import load_snapshot, occupied_cells

GRID = {"otype": "HashGrid", "n_levels": 4, "n_features_per_level": 2, "log2_hashmap_size": 8, "base_resolution": 4}
NETWORK = {"otype": "FullyFusedMLP", "activation": "ReLU", "output_activation": "None", "n_neurons": 16}
CONFIG = {
    "encoding": {**GRID, "per_level_scale": 1.5},
    "network": {**NETWORK, "n_hidden_layers": 1},
    "dir_encoding": {
        "otype": "Composite",
        "nested": [
            {"n_dims_to_encode": 3, "otype": "SphericalHarmonics", "degree": 4},
            {"otype": "Identity", "n_bins": 4, "degree": 4},
        ],
    },
    "rgb_network": {**NETWORK, "n_hidden_layers": 2},
}
MODES = {"nerf": "nerf", "nsdf": "sdf", "gia": "image", "nvr": "volume"}


def document(app: str, rng: np.random.Generator, **changes: object) -> dict:
    """A snapshot of random parameters."""
    count = sum(parameter_counts(field_config(app, CONFIG)))
    parameters = rng.uniform(-1, 1, count).astype(np.float16)
    snapshot = {
        "version": 1,
        "mode": MODES[app],
        "n_params": count,
        "params_type": "__half",
        "params_binary": parameters.tobytes(),
        **changes,
    }
    return {**CONFIG, "snapshot": snapshot}


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def write(path, content: dict):
    path.write_bytes(msgpack.packb(content))
    return path


@pytest.mark.parametrize("app", MODES)
def test_matrices_and_tables_lie_where_the_library_puts_them(app, rng, tmp_path):
    made = document(app, rng)
    field = load_snapshot(write(tmp_path / "field.msgpack", made)).field
    flat = np.frombuffer(made["snapshot"]["params_binary"], np.float16)
    # 8 features in 16 columns, 16 hidden neurons, outputs in 16 rows
    outputs = {"nerf": 16, "nsdf": 1, "gia": 3, "nvr": 4}[app]
    assert np.array_equal(field.weights[0][0], flat[:256].reshape(16, 16)[:, :8])
    assert np.array_equal(field.weights[0][1], flat[256:512].reshape(16, 16)[:outputs])
    start = 512
    if app == "nerf":
        assert np.array_equal(field.weights[1][0], flat[512:1024].reshape(16, 32))
        assert np.array_equal(field.weights[1][2], flat[1280:1536].reshape(16, 16)[:3])
        start = 1536
    assert np.array_equal(field.tables, flat[start:].reshape(-1, 2))
    assert field.config.app == app and field.source == "instant-ngp snapshot field.msgpack"


def test_a_compressed_snapshot_and_fp32_parameters_say_the_same(rng, tmp_path):
    made = document("nsdf", rng)
    plain = load_snapshot(write(tmp_path / "a.msgpack", made)).field
    wide = np.frombuffer(made["snapshot"]["params_binary"], np.float16).astype(np.float32)
    made["snapshot"] |= {"params_binary": wide.tobytes(), "params_type": "float"}
    for name, pack in (("b.ingp", zlib.compress), ("c.ingp", gzip.compress)):
        (tmp_path / name).write_bytes(pack(msgpack.packb(made)))
        field = load_snapshot(tmp_path / name).field
        assert np.array_equal(field.tables, plain.tables) and field.config == plain.config


def test_the_scale_of_the_levels_follows_from_the_scene(rng, tmp_path):
    """2048 vertices for the finest of 4 levels from 4 on, times the scene's box."""
    counts = {}
    for scale in (1, 4):
        growth = (2048 * scale / 4) ** (1 / 3)
        config = {**CONFIG, "encoding": {**GRID, "per_level_scale": growth}}
        counts[scale] = sum(parameter_counts(field_config("nerf", config)))
        made = document("nerf", rng, n_params=counts[scale], nerf={"aabb_scale": scale})
        made["snapshot"]["params_binary"] = bytes(2 * counts[scale])
        made["encoding"] = GRID
        field = load_snapshot(write(tmp_path / "a.msgpack", made)).field
        assert field.config.grid.per_level_scale == pytest.approx(growth)


def test_occupied_cells_are_in_morton_order_and_pooled(rng):
    densities = np.zeros((2, 128**3), dtype=np.float16)
    cells = {(0, 3, 5, 127): 1.0, (1, 0, 0, 1): 0.02, (1, 90, 1, 2): 0.0}
    for (cascade, x, y, z), value in cells.items():
        index = sum((p >> bit & 1) << (3 * bit + dim) for dim, p in enumerate((x, y, z)) for bit in range(7))
        densities[cascade, index] = value
    occupied = occupied_cells(densities.ravel())
    assert occupied.shape == (2, 128, 128, 128)
    assert np.argwhere(occupied[0]).tolist() == [[3, 5, 127]]
    # a cell of the finer cascade lies in the middle half of the coarser one
    assert np.argwhere(occupied[1]).tolist() == [[0, 0, 1], [33, 34, 95]]


def test_the_threshold_of_an_empty_scene_is_its_mean():
    densities = np.full(128**3, -1.0, dtype=np.float16)
    densities[:8] = 1e-4
    assert occupied_cells(densities).sum() == 8
    assert occupied_cells(np.full(128**3, 0.0101, dtype=np.float16)).all()
    assert not occupied_cells(np.full(128**3, 0.5, dtype=np.float16) * 0).any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mode": "mesh"}, "mode of a.msgpack must be one of nerf, sdf, image, volume, not 'mesh'"),
        ({"version": 2}, "version of a.msgpack must be an integer from 1 to 1, not 2"),
        ({"params_type": "int8"}, "params_type must be one of __half, float, not 'int8'"),
        ({"params_binary": b"123"}, "params_binary must be binary, a multiple of 2 bytes, not 3 bytes"),
        ({"params_binary": None}, "params_binary must be binary, a multiple of 2 bytes, not NoneType"),
        ({"params_binary": b"12"}, "parameters must number 512 + 1584 (networks, then grid), not 1"),
        ({"n_params": 7}, "n_params of a.msgpack must be 2096, not 7"),
    ],
)
def test_a_snapshot_that_is_not_one_is_refused(change, sentence, rng, tmp_path):
    path = write(tmp_path / "a.msgpack", document("nsdf", rng, **change))
    with pytest.raises(InputError) as refused:
        load_snapshot(path)
    assert str(refused.value) == sentence


def test_files_that_are_no_snapshot_are_refused(rng, tmp_path):
    whole = msgpack.packb(document("nsdf", rng))
    packed = zlib.compress(whole)
    unversioned = document("nsdf", rng)
    del unversioned["snapshot"]["version"]
    broken = {
        "cut": whole[:-1],
        "cut_stream": packed[:-5],
        "list": msgpack.packb([1, 2]),
        "text": b"no snapshot",
        "empty": b"",
        "no_map": msgpack.packb({"encoding": {}}),
        "old": msgpack.packb(unversioned),
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"^(the version of )?{name} must "):
            load_snapshot(tmp_path / name)
    with pytest.raises(InputError, match="must be an existing file"):
        load_snapshot(tmp_path / "none")


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"encoding": None}, "a configuration must have a block 'encoding', not None"),
        (
            {"encoding": {"otype": "Frequency"}},
            "encoding otype must be one of HashGrid, DenseGrid, TiledGrid, Grid, not 'Frequency'",
        ),
        (
            {"dir_encoding": {"otype": "SphericalHarmonics", "degree": 3}},
            "degree of dir_encoding must be one of 4, not 3",
        ),
        ({"dir_encoding": {"otype": "Identity"}}, "dir_encoding must have one SphericalHarmonics encoding, not 0"),
    ],
)
def test_what_this_project_does_not_compute_is_refused(block, sentence):
    with pytest.raises(InputError) as refused:
        field_config("nerf", {**CONFIG, **block})
    assert str(refused.value) == sentence


def test_parts_in_several_vectors_are_told_apart_by_their_length(rng):
    config = field_config("nerf", CONFIG)
    density, colour, grid = (rng.uniform(-1, 1, n).astype(np.float32) for n in parameter_counts(config))
    whole = field_from_vectors(config, {"params": np.concatenate([density, colour, grid])})
    for vectors in (
        {"a": density, "b": colour, "c": grid, "other": np.zeros(5, np.float32)},
        {"a": np.concatenate([density, colour]), "c": grid},
    ):
        field = field_from_vectors(config, vectors)
        assert np.array_equal(field.tables, whole.tables)
        assert all(np.array_equal(x, y) for x, y in zip(field.weights[1], whole.weights[1], strict=True))
    with pytest.raises(InputError, match="must be told apart by their number, not be 2 vectors of"):
        field_from_vectors(config, {"a": grid, "b": grid, "c": density, "d": colour})
