"""``ngpc simulate encoding --arithmetic fp16 --vectors``: grids of the real tiny-cuda-nn, bit for bit."""

from pathlib import Path

import numpy as np

from arch.errors import InputError
from cli.comparison import differing, numpy_call
from cli.encoding_build import whole_engine
from cli.vector_runs import run_files, vector_array

__all__ = ["run_fp16_vectors"]

_ARRAYS = {
    "grid": ("params", {"out_fp16": "scale_device", "out_fp16_jit": "scale_host"}),
    "nwe": ("grid_params", {"encoded_fp16": "scale_device"}),
    "nerf": ("grid_params", {"encoded_fp16": "scale_device"}),
}
"""Per type of case, the array of its table, and its encoded features with the array of the scales they come from."""


def run_fp16_vectors(folder: Path) -> dict:
    """Every grid of a folder of reference vectors through one level engine of ``fp16``, at all points.

    Returns
    -------
    sums over the cases, ``cases`` (one a file and array) and ``refused``. Of a case: features that differ from the
    library's in any bit (``mismatches``; NaN equals NaN), from the golden model's (``golden_mismatches``), clocks of
    the RTL and of the cycle model, lookups a clock.

    Raises
    ------
    InputError
        If the folder holds no vectors, a file is damaged, or no case can run.
    """
    sums = ("points", "mismatches", "golden_mismatches", "cycles_rtl", "cycles_model")
    return run_files(folder, _ARRAYS, _run_file, wanted="a grid that the encoding engine runs", sums=sums)


def _run_file(file: object, _refused: list[dict]) -> list[dict]:
    from arch.encoding_image import encoding_image
    from sim.cosim.engine import encoding_simulator

    table, outputs = _ARRAYS[file.config["type"]]
    present = {name: scales for name, scales in outputs.items() if name in file}
    if not present:
        raise InputError(f"{file.name} must hold {' or '.join(outputs)}, not only {', '.join(sorted(file.arrays))}")
    grid = file.grid()
    positions = vector_array(file, "positions", (None, grid.n_pos_dims), np.float32)
    if not np.isfinite(positions).all():
        raise InputError(f"positions of {file.name} must be finite numbers, not NaN or infinity")
    tables = vector_array(file, table, (grid.n_entries, grid.n_features_per_level), np.float16)
    engine = whole_engine(grid, 1, arithmetic="fp16")
    shifts = [0] * grid.n_levels
    cases, simulator = [], None
    try:
        for name, scale_name in present.items():
            library = vector_array(file, name, (len(positions), None), np.float16)[:, : grid.n_output_dims]
            if library.shape[1] != grid.n_output_dims:
                raise InputError(f"columns of {name} must be at least {grid.n_output_dims}, not {library.shape[1]}")
            scales = [level.scale for level in grid.levels]
            if scale_name in file:
                scales = vector_array(file, scale_name, (grid.n_levels,), np.float32)
            raw = tables.view(np.int16)
            if simulator is None:
                simulator = encoding_simulator(grid, engine, raw, shifts, scales=scales)
            else:
                simulator.load(encoding_image(grid, engine, raw, shifts, scales=scales))
            found = _run_case(simulator, (grid, engine, scales), tables, positions, library)
            cases.append({"case": file.name, "array": name, **found})
    finally:
        if simulator is not None:
            simulator.__exit__()
    return cases


def _run_case(simulator: object, build: tuple, tables: np.ndarray, positions: np.ndarray, library: np.ndarray) -> dict:
    from reference.grid_encoding import encode_fp16
    from sim.engine.encoding import encoding_cycles

    grid, engine, scales = build
    coordinates = positions.view(np.uint32)
    run = simulator.run(coordinates)
    features = run.outputs.astype(np.int16).view(np.float16)
    golden = numpy_call(lambda *tensors: encode_fp16(grid, *tensors, scales=list(scales)), tables, positions)
    return {
        "points": len(positions),
        "levels": grid.n_levels,
        "values": library.size,
        "mismatches": differing(features, library),
        "golden_mismatches": differing(features, golden),
        "cycles_rtl": run.cycles,
        "cycles_model": encoding_cycles(grid, engine, coordinates, scales=scales).cycles,
        "lookups_per_clk": len(positions) * grid.n_levels / run.cycles,
    }
