"""The grid encoding engine, generated Verilog under Verilator, against the golden model and the cycle model."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import encoding_image
from arch.grid import GridConfig
from arch.load import LoadTarget
from reference.grid_encoding import encode_integer
from rtl.encoding.grid_encoding import GridEncoding
from rtl.streams import LoadLayout, PointLayout, VectorLayout
from sim.engine.encoding import encoding_cycles

BENCH = Path(__file__).with_name("grid_encoding_bench.py")
ONE = 1 << 23


def _points(rng: np.random.Generator, grid: GridConfig, count: int) -> np.ndarray:
    """Random points, the corners of the unit cube, exact vertices and cell borders of every level, the wrap border."""
    dims = grid.n_pos_dims
    parts = [rng.integers(0, ONE, (count, dims), endpoint=True), rng.choice([0, 1, ONE - 1, ONE], (24, dims))]
    for level in grid.levels:
        cells = rng.integers(0, level.resolution, (8, dims))
        for offset in (0.0, -0.5, 0.5):
            parts.append(np.clip(np.rint((cells + offset) / float(level.scale) * ONE), 0, ONE).astype(np.int64))
        border = rng.integers(0, ONE, (8, dims), endpoint=True)
        border[:, -1] = ONE - rng.integers(0, 2 * ONE // level.resolution, 8)
        parts.append(np.maximum(border, 0))
    # A short walk along a ray: neighbours share cells and banks.
    parts.append(np.clip(rng.integers(0, ONE, (1, dims)) + np.arange(64)[:, None] * (ONE // 512), 0, ONE))
    points = np.concatenate(parts)
    return points[rng.permutation(len(points))]


def _clocks(rng: np.random.Generator, stall: bool, count: int, pause: int) -> np.ndarray:
    """Clock from which each item is offered or wanted: 0, or bursts with gaps."""
    if not stall:
        return np.zeros(count, dtype=np.int64)
    return np.cumsum(rng.integers(0, pause, count) * (rng.random(count) < 0.5))


def _features_word(engine: EncodingEngineConfig, features: np.ndarray, last: np.ndarray) -> list[int]:
    layout = VectorLayout(engine.n_levels * engine.n_features_per_level, engine.profile.value_bits)
    padded = np.zeros((len(features), layout["values"].shape.length), dtype=int)
    padded[:, : features.shape[1]] = features
    return [
        layout.const({"values": row.tolist(), "last": int(end)}).as_value().value
        for row, end in zip(padded, last, strict=True)
    ]


def _case(path: Path, rng: np.random.Generator, grid: GridConfig, engine: EncodingEngineConfig, count: int) -> Path:
    value = engine.profile.value
    tables = rng.integers(value.minimum, value.maximum, (grid.n_entries, grid.n_features_per_level), endpoint=True)
    shifts = rng.integers(0, 8, grid.n_levels).tolist()
    image = encoding_image(grid, engine, tables, shifts)
    points = _points(rng, grid, count)
    last = rng.random(len(points)) < 0.1
    golden = encode_integer(grid, torch.from_numpy(tables), shifts, torch.from_numpy(points), engine.profile).numpy()

    # Another value for table row 0 of level 0, for the load word in the middle of a run.
    patch_at = int(np.flatnonzero(image.target == LoadTarget.TABLE)[0])
    patched = tables.copy()
    patched[0] = np.where(tables[0] < 0, value.maximum, value.minimum)
    patched_image = encoding_image(grid, engine, patched, shifts)
    patched_golden = encode_integer(
        grid, torch.from_numpy(patched), shifts, torch.from_numpy(points), engine.profile
    ).numpy()
    # Points that read row 0 come after the 30th, where the bench looks.
    same = (golden == patched_golden).all(axis=1)
    order = np.concatenate([np.flatnonzero(same)[:30], np.flatnonzero(~same), np.flatnonzero(same)[30:]])
    points, golden, patched_golden = points[order], golden[order], patched_golden[order]

    layout, load_layout = PointLayout(engine.n_pos_dims), LoadLayout()
    position = np.zeros((len(points), engine.n_pos_dims), dtype=int)
    position[:, : grid.n_pos_dims] = points
    # Dimensions past the grid's own are ignored, whatever they hold.
    position[:, grid.n_pos_dims :] = rng.integers(0, ONE, (len(points), engine.n_pos_dims - grid.n_pos_dims))
    words = [
        load_layout.const({"target": int(t), "address": int(a), "data": int(d)}).as_value().value
        for t, a, d in zip(patched_image.target, patched_image.address, patched_image.data, strict=True)
    ]
    patch = words[patch_at]
    words[patch_at] = (
        load_layout.const({"target": 2, "address": int(image.address[patch_at]), "data": int(image.data[patch_at])})
        .as_value()
        .value
    )
    stalls = [(source, sink) for source in (False, True) for sink in (False, True)]
    offered = np.stack([_clocks(rng, source, len(points), 4 * grid.n_levels) for source, _ in stalls])
    wanted = np.stack([_clocks(rng, sink, len(points), 4 * grid.n_levels) for _, sink in stalls])
    timings = [encoding_cycles(grid, engine, points, offered=o, wanted=w) for o, w in zip(offered, wanted, strict=True)]
    np.savez(
        path,
        load=np.array([str(word) for word in words]),
        patch=str(patch),
        points=np.array(
            [
                str(layout.const({"position": p.tolist(), "last": int(end)}).as_value().value)
                for p, end in zip(position, last, strict=True)
            ]
        ),
        features=np.array([str(word) for word in _features_word(engine, golden, last)]),
        patched_features=np.array([str(word) for word in _features_word(engine, patched_golden, last)]),
        offered=offered,
        wanted=wanted,
        accepted=np.stack([timing.accepted for timing in timings]),
        given=np.stack([timing.features for timing in timings]),
    )
    return path


SERIAL = EncodingEngineConfig(n_levels=4, table_rows=4096, level_parallel=1)
# A 2-dimensional build: four engines of eight corners would take minutes of C++ compilation.
PARALLEL = EncodingEngineConfig(
    n_pos_dims=2, n_levels=7, table_rows=4096, level_parallel=4, n_features_per_level=1, arithmetic="int16"
)
CASES = {
    "serial": (
        SERIAL,
        [
            # dense 5^3 and 9^3, then two hashed levels of 2^10 rows
            GridConfig(n_pos_dims=3, n_levels=4, log2_hashmap_size=10, base_resolution=5, per_level_scale=1.8),
            GridConfig(n_pos_dims=2, n_levels=3, log2_hashmap_size=9, base_resolution=11, per_level_scale=1.7,
                       interpolation="Nearest"),
            GridConfig(n_pos_dims=3, n_levels=1, log2_hashmap_size=12, base_resolution=2000),
            GridConfig(n_pos_dims=3, grid_type="Dense", n_levels=2, base_resolution=8, per_level_scale=1.405),
            # tiles of 8^3 rows under levels of 8^3 to 63^3 vertices
            GridConfig(n_pos_dims=3, grid_type="Tiled", n_levels=4, base_resolution=8, interpolation="Smoothstep"),
        ],
    ),
    "parallel": (
        PARALLEL,
        [
            GridConfig(
                n_pos_dims=2, n_levels=7, n_features_per_level=1, log2_hashmap_size=11, base_resolution=9,
                per_level_scale=1.6,
            ),
            # fewer levels than engines
            GridConfig(
                n_pos_dims=2, n_levels=3, n_features_per_level=1, log2_hashmap_size=8, base_resolution=16,
                per_level_scale=2.0, interpolation="Smoothstep",
            ),
        ],
    ),
}  # fmt: skip


@pytest.mark.cocotb
@pytest.mark.parametrize("name", CASES)
def test_grid_encoding(name, cocotb_run, seed, tmp_path):
    engine, grids = CASES[name]
    rng = np.random.default_rng(seed)
    paths = [_case(tmp_path / f"{number}.npz", rng, grid, engine, 300) for number, grid in enumerate(grids)]
    environment = {"NGPC_CASES": os.pathsep.join(str(path) for path in paths)}
    cocotb_run(GridEncoding(engine), "grid_encoding", BENCH, environment=environment)
