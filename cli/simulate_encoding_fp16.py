"""``ngpc simulate encoding --arithmetic fp16 --vectors``: grids of the real tiny-cuda-nn, bit for bit."""

from pathlib import Path

import numpy as np

from arch.errors import InputError
from cli.comparison import numpy_call
from cli.encoding_build import whole_engine
from cli.output import progress

__all__ = ["differing", "float_array", "run_fp16_vectors"]

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
    from reference.vector_file import read_vector_file, vector_paths

    cases, refused = [], []
    paths = vector_paths(folder)
    with progress(f"simulating {len(paths)} files") as update:
        for number, path in enumerate(paths):
            file = read_vector_file(path)
            if file.config.get("type") in _ARRAYS:
                try:
                    cases += _run_file(file)
                except InputError as error:
                    refused.append({"case": file.name, "reason": str(error)})
            update(number + 1, len(paths))
    if not cases:
        reason = f"; {refused[0]['case']}: {refused[0]['reason']}" if refused else ""
        raise InputError(f"the vectors must hold a grid that the encoding engine runs, not none{reason}")
    keys = ("points", "mismatches", "golden_mismatches", "cycles_rtl", "cycles_model")
    return {key: sum(case[key] for case in cases) for key in keys} | {"cases": cases, "refused": refused}


def _run_file(file: object) -> list[dict]:
    from arch.encoding_image import encoding_image
    from sim.cosim.engine import encoding_simulator

    table, outputs = _ARRAYS[file.config["type"]]
    present = {name: scales for name, scales in outputs.items() if name in file}
    if not present:
        raise InputError(f"{file.name} must hold {' or '.join(outputs)}, not only {', '.join(sorted(file.arrays))}")
    grid = file.grid()
    positions = float_array(file, "positions", np.float32, (None, grid.n_pos_dims))
    if not np.isfinite(positions).all():
        raise InputError(f"positions of {file.name} must be finite numbers, not NaN or infinity")
    tables = float_array(file, table, np.float16, (grid.n_entries, grid.n_features_per_level))
    engine = whole_engine(grid, 1, arithmetic="fp16")
    shifts = [0] * grid.n_levels
    cases, simulator = [], None
    try:
        for name, scale_name in present.items():
            library = float_array(file, name, np.float16, (len(positions), None))[:, : grid.n_output_dims]
            if library.shape[1] != grid.n_output_dims:
                raise InputError(f"columns of {name} must be at least {grid.n_output_dims}, not {library.shape[1]}")
            scales = [level.scale for level in grid.levels]
            if scale_name in file:
                scales = float_array(file, scale_name, np.float32, (grid.n_levels,))
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


def differing(features: np.ndarray, wanted: np.ndarray) -> int:
    """How many fp16 numbers differ in any bit; NaN equals NaN."""
    unequal = np.ascontiguousarray(features).view(np.uint16) != np.ascontiguousarray(wanted).view(np.uint16)
    return int(np.count_nonzero(unequal & ~(np.isnan(features) & np.isnan(wanted))))


def float_array(file: object, name: str, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of a file of vectors; raises InputError if it is not of the type and shape (None: any size)."""
    array = file.array(name)
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != dtype:
        wanted = " x ".join("any" if size is None else str(size) for size in shape)
        raise InputError(
            f"{name} of {file.name} must be {wanted} numbers of {np.dtype(dtype)}, "
            f"not of shape {array.shape} and {array.dtype}"
        )
    return np.ascontiguousarray(array)
