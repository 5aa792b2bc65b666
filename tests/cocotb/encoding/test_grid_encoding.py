"""The grid encoding engine, generated Verilog under Verilator, against the golden model and the cycle model."""

import os
from pathlib import Path

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.grid import GridConfig
from rtl.encoding.grid_encoding import GridEncoding

BENCH = Path(__file__).with_name("grid_encoding_bench.py")
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
def test_grid_encoding(name, encoding_case, cocotb_run, seed, tmp_path):
    engine, grids = CASES[name]
    rng = np.random.default_rng(seed)
    paths = []
    for number, grid in enumerate(grids):
        case = encoding_case(rng, grid, engine, 300, reset_after=20 * number)
        paths.append(case.write(tmp_path / f"{number}.npz", **(case.patch() if number == 0 else {})))
    environment = {"NGPC_CASES": os.pathsep.join(str(path) for path in paths)}
    cocotb_run(GridEncoding(engine), "grid_encoding", BENCH, environment=environment)
