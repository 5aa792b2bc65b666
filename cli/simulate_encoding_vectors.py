"""``ngpc simulate encoding --vectors``: grids and points of the real tiny-cuda-nn through the RTL."""

from pathlib import Path

import numpy as np

from arch.errors import InputError
from arch.number_format import integer_profile
from cli.comparison import numpy_call
from cli.encoding_build import whole_engine
from cli.vector_runs import run_files, vector_array

__all__ = ["run_vectors"]

_ARRAYS = {
    "grid": ("params", "out_fp16"),
    "nwe": ("grid_params", "encoded_fp16"),
    "nerf": ("grid_params", "encoded_fp16"),
}
"""Per type of case, the arrays of its table and of its encoded features."""


def run_vectors(folder: Path, arithmetic: str) -> dict:
    """Every grid of a folder of reference vectors: tables quantised, points looked up by one level engine.

    Returns
    -------
    sums over the cases, ``cases`` and ``refused``. Of a case: ``mismatches`` against ``encode_integer``, clocks of the
    RTL and of the cycle model, the largest ``distance`` from the library's fp16 features and the ``bound`` of it,
    both in steps of the encoded features (LSB), and how many features are ``beyond_bound``. Only points inside the
    unit cube are compared with the library (docs/numerics.md, "Grid encoding" step 1).

    Raises
    ------
    InputError
        If the folder holds no vectors, a file is damaged, or no case can run.
    """
    integer_profile(arithmetic)  # refuses a name that no case could run with
    return run_files(
        folder, _ARRAYS,
        lambda file, _refused: [_run_case(file, *_ARRAYS[file.config["type"]], arithmetic)],
        wanted="a grid that the encoding engine runs",
        sums=("points", "mismatches", "beyond_bound", "cycles_rtl", "cycles_model"),
    )  # fmt: skip


def _run_case(file: object, params: str, outputs: str, arithmetic: str) -> dict:
    from reference.grid_encoding import encode_integer, quantize_coordinates
    from reference.quantize_grid import quantize_grid
    from sim.cosim.engine import encoding_simulator
    from sim.engine.encoding import encoding_cycles

    grid, profile = file.grid(), integer_profile(arithmetic)
    positions = vector_array(file, "positions", (None, grid.n_pos_dims))
    library = vector_array(file, outputs, (len(positions), None))[:, : grid.n_output_dims]
    if library.shape[1] != grid.n_output_dims:
        raise InputError(f"columns of {outputs} must be at least {grid.n_output_dims}, not {library.shape[1]}")
    quantized = quantize_grid(grid, file.array(params), profile)
    coordinates = numpy_call(quantize_coordinates, positions)
    golden = numpy_call(encode_integer, grid, quantized.tables, quantized.level_shifts, coordinates, profile)
    engine = whole_engine(grid, 1, arithmetic=arithmetic)
    with encoding_simulator(grid, engine, quantized.tables, quantized.level_shifts) as simulator:
        run = simulator.run(coordinates)
    inside = ((positions >= 0) & (positions <= 1)).all(axis=1)
    shape = (len(positions), grid.n_levels, grid.n_features_per_level)
    bounds = quantized.bounds() / quantized.step
    distance = np.abs(run.outputs.reshape(shape) - library.astype(np.float64).reshape(shape) / quantized.step)
    compared = inside[:, None] & ~quantized.doubtful(positions)
    distance = np.where(compared[:, :, None], distance, 0.0)
    return {
        "case": file.name,
        "points": len(positions),
        "inside": int(inside.sum()),
        "levels": grid.n_levels,
        "mismatches": int(np.count_nonzero(run.outputs != golden)),
        "cycles_rtl": run.cycles,
        "cycles_model": encoding_cycles(grid, engine, coordinates).cycles,
        "distance_lsb": float(distance.max(initial=0.0)),
        "bound_lsb": float(bounds.max()),
        "beyond_bound": int((distance > bounds[:, None]).sum()),
    }
