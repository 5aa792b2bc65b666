"""The check against vectors: the library's own files, and files of every kind made by the slow models."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from arch.grid import GridConfig
from arch.mlp import ACTIVATIONS
from reference.check_vectors import main

VECTORS = Path(__file__).parent / "vectors"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "vectors"
FP16 = (11, -14, 65504.0)
FP32 = (24, -126, float(np.finfo(np.float32).max))


def write(folder, name, config, **arrays):
    """One file in the library's layout."""
    np.savez_compressed(folder / f"{name}.npz", config=np.array(json.dumps({"name": name, **config})), **arrays)


def tables_of(grid, rng):
    """Features of the library's test magnitude, a few subnormal."""
    values = rng.standard_normal((grid.n_entries, grid.n_features_per_level)) * 0.35
    return np.where(rng.random(values.shape) < 0.1, values * 2.0**-16, values).astype(np.float16)


def points_of(rng, count, dims):
    """Inside, outside, on cell boundaries, at 0, 1 and a subnormal."""
    points = rng.random((count, dims)) * 1.5 - 0.25
    points[: count // 3] = rng.integers(0, 17, (count // 3, dims)) / 16
    points[-1], points[-2], points[-3] = 1.0, 0.0, 2.0**-140
    return points.astype(np.float32)


def run(folder, capsys, *options):
    """Exit status, the lines of the table and the error text."""
    status = main([str(folder), *options])
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err


@pytest.mark.golden
@pytest.mark.parametrize(
    "folder", [path for path in (VECTORS, SHARED) if path.is_dir()], ids=lambda path: path.parts[-2]
)
def test_library_vectors_are_equal(folder, capsys):
    """Not one value of any case differs: grids, JIT, networks, harmonics, whole fields."""
    status, lines, _ = run(folder, capsys)
    assert status == 0
    assert len(lines) == 1 + len(list(folder.glob("*.npz")))
    for line in lines[1:]:
        _, _, mismatches, largest, verdict = line.split(maxsplit=4)
        assert (mismatches, largest, verdict) == ("0", "0", "equal")


GRIDS = [
    dict(D=4, otype="HashGrid", n_levels=2, n_features_per_level=8, log2_hashmap_size=10, base_resolution=4),
    dict(D=3, otype="HashGrid", n_levels=3, n_features_per_level=4, log2_hashmap_size=9, interpolation="Smoothstep"),
    dict(D=2, otype="HashGrid", n_levels=4, n_features_per_level=1, log2_hashmap_size=8, interpolation="Nearest"),
    dict(D=3, otype="HashGrid", n_levels=2, n_features_per_level=2, log2_hashmap_size=8, base_resolution=1500),
    dict(D=3, otype="TiledGrid", n_levels=2, n_features_per_level=2, base_resolution=9, per_level_scale=200.0),
    dict(D=2, otype="TiledGrid", n_levels=3, n_features_per_level=8, base_resolution=5, per_level_scale=1.7),
    dict(D=3, otype="DenseGrid", n_levels=2, n_features_per_level=4, base_resolution=5, per_level_scale=1.405),
    dict(
        D=4,
        otype="DenseGrid",
        n_levels=2,
        n_features_per_level=1,
        base_resolution=3,
        per_level_scale=1.5,
        interpolation="Smoothstep",
    ),
    dict(D=2, otype="Grid", type="Dense", n_features=8, n_features_per_level=4, base_resolution=7),
]


@pytest.mark.parametrize("encoding", GRIDS, ids=lambda e: f"{e['otype']}-D{e['D']}-F{e['n_features_per_level']}")
def test_grid_cases(slow, seed, tmp_path, capsys, encoding):
    """fp16 and fp32 outputs with a device scale one ulp off, a JIT output with the host's, and probes."""
    rng = np.random.default_rng(seed)
    encoding = dict(encoding)
    dims = encoding.pop("D")
    grid = GridConfig.from_tcnn(encoding, n_pos_dims=dims)
    tables, points = tables_of(grid, rng), points_of(rng, 16, dims)
    host = np.array([level.scale for level in grid.levels], dtype=np.float32)
    device = np.nextafter(host, np.float32(0))
    encode = {
        "out_fp16": (device, FP16, np.float16),
        "out_fp32": (device, FP32, np.float32),
        "out_fp16_jit": (host, FP16, np.float16),
    }
    arrays = {
        name: np.array([slow.encode_fp(grid, tables, p, scales, form) for p in points.tolist()], dtype=dtype)
        for name, (scales, form, dtype) in encode.items()
    }
    probe = np.arange(0, 16, 3).astype(np.uint32)
    cells = [[[slow.cell(x, s) for x in points[p].tolist()] for s in device] for p in probe]
    arrays["probe_frac"] = np.array([[[t for _, t in d] for d in level] for level in cells], dtype=np.float32)
    arrays["probe_index"] = np.array(
        [
            [
                [
                    slow.row(
                        [(g + (c >> i & 1)) % 2**32 for i, (g, _) in enumerate(point)],
                        level.resolution,
                        level.entries,
                        grid.grid_type,
                    )
                    for c in range(1 << dims)
                ]
                for level, point in zip(grid.levels, levels, strict=True)
            ]
            for levels in cells
        ],
        dtype=np.uint32,
    )
    offsets = np.cumsum([0] + [level.entries for level in grid.levels]).astype(np.uint32)
    write(
        tmp_path, "grid", {"type": "grid", "D": dims, "encoding": encoding, "jit": True}, positions=points,
        params=tables, scale_host=host, scale_device=device, level_offsets=offsets, probe_point=probe, **arrays,
    )  # fmt: skip
    status, lines, _ = run(tmp_path, capsys)
    assert (status, lines[1].split()[2], lines[1].split()[-1]) == (0, "0", "equal")


NETWORKS = {
    "leaky128": dict(inputs=32, n_neurons=128, n_hidden_layers=2, outputs=16, activation="LeakyReLU", scale=0.25),
    "overflow": dict(inputs=16, n_neurons=32, n_hidden_layers=2, outputs=3, activation="ReLU", scale=60.0),
    "wide": dict(inputs=16, n_neurons=16, n_hidden_layers=1, outputs=40, activation="None", scale=0.5),
    "three": dict(inputs=48, n_neurons=64, n_hidden_layers=3, outputs=1, activation="ReLU", scale=0.3),
    "single": dict(inputs=32, n_neurons=64, n_hidden_layers=0, outputs=4, activation="ReLU", scale=0.3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_mlp_cases(slow, seed, tmp_path, capsys, name):
    """FullyFusedMLP (chunks of 16, a wide last layer in chunks of 8) and CutlassMLP (chunks of 8)."""
    rng = np.random.default_rng(seed)
    network = dict(NETWORKS[name])
    inputs, outputs, scale = (network.pop(key) for key in ("inputs", "outputs", "scale"))
    depth, width = network["n_hidden_layers"], network["n_neurons"]
    padded = -(-outputs // 16) * 16
    widths = [inputs, *[width] * depth, padded]
    weights = [(rng.standard_normal((o, i)) * scale).astype(np.float16) for i, o in pairwise(widths)]
    x = rng.standard_normal((4, inputs)).astype(np.float16)
    hidden = {"LeakyReLU": slow.leaky_relu, "ReLU": slow.relu, "None": slow.identity}[network["activation"]]
    steps = [hidden] * depth + [slow.identity]
    results = {}
    for array, chunks in (("out", [16] * depth + [8 if outputs > 16 else 16]), ("out_cutlass", [8] * (depth + 1))):
        rows = [slow.network(weights, point, steps, chunks) for point in x.astype(float).tolist()]
        results[array] = np.array(rows).astype(np.float16)
    if name == "overflow":
        assert np.isinf(results["out"]).any() or np.isnan(results["out"]).any()
    results["out_cutlass"] = results["out_cutlass"][:, :outputs]
    network |= {"n_output_dims": outputs, "output_activation": "None"}
    write(
        tmp_path, "mlp", {"type": "mlp", "network": network}, inputs=x, **results,
        **{f"W{k}": matrix for k, matrix in enumerate(weights)},
    )  # fmt: skip
    status, lines, _ = run(tmp_path, capsys)
    assert (status, lines[1].split()[2], lines[1].split()[-1]) == (0, "0", "equal")


def all_activations(slow, rng):
    """The arrays of the case with one output an activation, exact functions in float64."""
    w0 = (rng.standard_normal((16, 16)) * 0.4).astype(np.float16)
    w1 = (rng.standard_normal((16, 16)) * 0.4).astype(np.float16)
    x = rng.standard_normal((32, 16)).astype(np.float16)
    steps, chunks = [slow.relu, slow.identity], [16, 16]
    sums = np.array([slow.network([w0, w1], p, steps, chunks) for p in x.astype(float).tolist()])
    exact = {
        "None": sums, "ReLU": np.maximum(sums, 0), "SiLU": sums / (1 + np.exp(-sums)), "Exponential": np.exp(sums),
        "LeakyReLU": np.where(sums > 0, sums, sums * float(np.float16(0.01))), "Sine": np.sin(sums),
        "Sigmoid": 1 / (1 + np.exp(-sums)), "Squareplus": (sums + np.sqrt(sums**2 + 0.04)) / 2,
        "Softplus": np.log1p(np.exp(10 * sums)) / 10, "Tanh": np.tanh(sums),
    }  # fmt: skip
    return {"inputs": x, "W0": w0, "W1": w1, **{f"out_{name}": v.astype(np.float16) for name, v in exact.items()}}


ALL_ACTIVATIONS = {"type": "mlp", "network": {"n_output_dims": 16, "n_neurons": 16, "n_hidden_layers": 1}}


def test_all_activations(slow, seed, tmp_path, capsys):
    """Every output activation is compared, the approximate ones within their tolerance."""
    arrays = all_activations(slow, np.random.default_rng(seed))
    write(tmp_path, "mlp_16_16x1_16_allacts", ALL_ACTIVATIONS, **arrays)
    status, lines, _ = run(tmp_path, capsys, "--arrays")
    assert status == 0
    assert [line.split()[0] for line in lines[2:]] == [f"out_{name}" for name in ACTIVATIONS]


@pytest.mark.parametrize("wrong", [("LeakyReLU", 1), ("None", 1), ("Sigmoid", 4), ("Exponential", 4)], ids=str)
def test_one_wrong_value_is_found(slow, seed, tmp_path, capsys, wrong):
    """One value moved by a few fp16 steps."""
    name, change = wrong
    arrays = all_activations(slow, np.random.default_rng(seed))
    row, column = np.unravel_index(np.argmax(arrays[f"out_{name}"]), (32, 16))
    arrays[f"out_{name}"].view(np.uint16)[row, column] -= change
    write(tmp_path, "wrong", ALL_ACTIVATIONS, **arrays)
    status, lines, _ = run(tmp_path, capsys)
    assert status == 1
    assert f"DIFFERS in out_{name} (1)" in lines[1]
    assert lines[2] == "1 of 1 cases differ from the library"


def field_arrays(slow, rng, grid, *, outputs, pad):
    """A grid, a network 16 wide behind it, and their outputs."""
    tables, points = tables_of(grid, rng), points_of(rng, 8, grid.n_pos_dims)
    scales = [float(level.scale) for level in grid.levels]
    encoded = np.zeros((8, pad), dtype=np.float16)
    encoded[:, : grid.n_output_dims] = [slow.encode_fp(grid, tables, p, scales, FP16) for p in points.tolist()]
    w0 = (rng.standard_normal((16, pad)) * 0.5).astype(np.float16)
    w1 = (rng.standard_normal((16, 16)) * 0.5).astype(np.float16)
    steps = [slow.relu, slow.identity]
    result = np.array([slow.network([w0, w1], p, steps, [16, 16]) for p in encoded.astype(float).tolist()])
    config = {
        "n_output_dims": outputs,
        "network": {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 1},
    }
    arrays = dict(positions=points, grid_params=tables, W0=w0, W1=w1, encoded_fp16=encoded)
    return config, arrays, result.astype(np.float16)


@pytest.mark.parametrize("sizes", [(3, 1), (4, 16)], ids=["pad24", "nerf density"])
def test_field_cases(slow, seed, tmp_path, capsys, sizes):
    """A grid padded from 24 to 32 features, and a density network; JIT outputs without the padded columns."""
    levels, outputs = sizes
    encoding = dict(otype="HashGrid", n_levels=levels, n_features_per_level=8, log2_hashmap_size=8, base_resolution=6)
    grid = GridConfig.from_tcnn(encoding, n_pos_dims=3)
    config, arrays, result = field_arrays(slow, np.random.default_rng(seed), grid, outputs=outputs, pad=32)
    config |= {"type": "nwe", "encoding": encoding}
    write(tmp_path, "e2e", config, **arrays, out_fp16=result, out_fp16_jit=result[:, :outputs])
    status, lines, _ = run(tmp_path, capsys)
    assert (status, lines[1].split()[1:3], lines[1].split()[-1]) == (0, [str(8 * 48 + 8 * outputs), "0"], "equal")


def radiance_field(slow, seed):
    """A density and a colour network with the direction code between them."""
    rng = np.random.default_rng(seed)
    encoding = dict(otype="TiledGrid", n_levels=2, n_features_per_level=8, base_resolution=6, per_level_scale=1.0)
    grid = GridConfig.from_tcnn(encoding, n_pos_dims=3)
    config, arrays, density = field_arrays(slow, rng, grid, outputs=16, pad=16)
    with np.load(VECTORS / "sh4.npz") as archive:
        directions, codes = archive["directions01"][:8], archive["out_fp16"][:8]
    rgb = [(rng.standard_normal((16, width)) * 0.4).astype(np.float16) for width in (32, 16)]
    points = np.concatenate((density, codes), axis=1).astype(float).tolist()
    colours = np.array([slow.network(rgb, p, [slow.relu, slow.identity], [16, 16]) for p in points])
    outputs = np.concatenate((colours[:, :3], density[:, :1]), axis=1).astype(np.float16)
    network = {"n_neurons": 16, "n_hidden_layers": 1, "n_output_dims": 3}
    config |= {"type": "nerf", "encoding": encoding, "rgb_network": network}
    arrays |= {"directions01": directions, "out_fp16": outputs, "rgb_W0": rgb[0], "rgb_W1": rgb[1]}
    return config, arrays


def test_radiance_field_case(slow, seed, tmp_path, capsys):
    """Colours, and behind them the density."""
    config, arrays = radiance_field(slow, seed)
    write(tmp_path, "e2e_nerf_tiled", config, **arrays)
    status, lines, _ = run(tmp_path, capsys)
    assert (status, lines[1].split()[2], lines[1].split()[-1]) == (0, "0", "equal")


@pytest.mark.parametrize("missing", ["rgb_W0", "directions01", "W0", "positions", "grid_params"])
def test_a_missing_array_is_named(slow, seed, tmp_path, capsys, missing):
    """One sentence, exit status 2."""
    config, arrays = radiance_field(slow, seed)
    del arrays[missing]
    write(tmp_path, "e2e_nerf_tiled", config, **arrays)
    status, _, error = run(tmp_path, capsys)
    assert status == 2
    assert error.startswith(f"e2e_nerf_tiled must hold the array '{missing}', not only ")


def test_unusable_directories_and_files(tmp_path, capsys):
    """A missing and an empty directory, a truncated file, one without config, an unknown kind."""
    assert run(tmp_path / "none", capsys)[::2] == (
        2, f"the vectors must be an existing directory, not {str(tmp_path / 'none')!r}\n",
    )  # fmt: skip
    assert run(tmp_path, capsys)[::2] == (
        2, f"the directory of vectors must hold .npz files, not none: {str(tmp_path)!r}\n",
    )  # fmt: skip
    whole = (VECTORS / "sh4.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    status, _, error = run(tmp_path, capsys)
    assert status == 2
    assert error.startswith("cut.npz must be a whole .npz file with a JSON config, not a damaged one")
    np.savez(tmp_path / "cut.npz", positions=np.zeros(3))
    assert run(tmp_path, capsys)[0] == 2
    write(tmp_path, "cut", {"type": "frequency"})
    assert run(tmp_path, capsys)[2] == "type of cut must be one of grid, mlp, sh, nwe, nerf, not 'frequency'\n"
    shutil.copy(VECTORS / "sh4.npz", tmp_path / "cut.npz")
    assert run(tmp_path, capsys)[0] == 0


def test_a_damaged_file_does_not_hide_the_others(tmp_path, capsys):
    whole = (VECTORS / "sh4.npz").read_bytes()
    (tmp_path / "a_cut.npz").write_bytes(whole[:3000])
    (tmp_path / "sh4.npz").write_bytes(whole)
    status, lines, error = run(tmp_path, capsys)
    assert status == 2
    assert [line.split()[0] for line in lines[1:]] == ["a_cut", "sh4"]
    assert lines[1].split()[1] == "refused" and lines[2].endswith("equal")
    cause = "not a damaged one (BadZipFile); fetch it again"
    assert error == f"a_cut.npz must be a whole .npz file with a JSON config, {cause}\n"
