"""``ngpc simulate nfp --arithmetic fp16 --vectors``: whole fields of the real tiny-cuda-nn, bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from arch.activation_table import STRAIGHT_ACTIVATIONS
from arch.checkpoint import FloatField
from arch.errors import InputError
from arch.field import FieldConfig
from arch.nfp import NfpConfig
from arch.nfp_image import n_results, nfp_image
from cli.comparison import differing, numpy_call, steps_apart
from cli.encoding_build import whole_engine
from cli.vector_runs import run_files, vector_array

__all__ = ["run_fp16_fields"]

_APP = {2: "gia", 3: "nsdf"}
"""A name for a field of one network by its dimensions; the files do not say what they are of."""
_ARRAYS = {"out_fp16": "scale_device", "out_fp16_jit": "scale_host"}
"""Outputs of a field, and the array of the scales they come from."""


def run_fp16_fields(folder: Path, processor: NfpConfig) -> dict:
    """Every field of a folder of reference vectors through a processor of ``fp16``.

    Parameters
    ----------
    folder : files of vectors; those of other types are passed over
    processor : the MLP engine to build; tables and features of the encoding engine are those of each file

    Returns
    -------
    what ``cli.simulate_mlp_fp16`` returns of networks, with ``points`` in place of ``vectors``

    Raises
    ------
    InputError
        If the folder holds no vectors, a file is damaged, or no case can run.
    """
    sums = ("points", "mismatches", "differing", "golden_mismatches", "cycles_rtl", "cycles_model")
    return run_files(
        folder,
        ("nwe", "nerf"),
        lambda file, _refused: _run_file(file, processor),
        wanted="a field that the processor runs",
        sums=sums,
    )


def _run_file(file: object, processor: NfpConfig) -> list[dict]:
    from reference.spherical_harmonics import harmonics_fp16
    from reference.vector_cases import compare_outputs, file_chunk
    from sim.cosim.engine import nfp_simulator

    present = {name: scales for name, scales in _ARRAYS.items() if name in file}
    if not present:
        raise InputError(f"{file.name} must hold {' or '.join(_ARRAYS)}, not only {', '.join(sorted(file.arrays))}")
    field, colours = _field(file)
    grid = field.config.grid
    positions = vector_array(file, "positions", (None, grid.n_pos_dims), np.float32)
    if not np.isfinite(positions).all():
        raise InputError(f"positions of {file.name} must be finite numbers, not NaN or infinity")
    directions = codes = None
    if field.config.app == "nerf":
        directions = vector_array(file, "directions01", (len(positions), 3), np.float32)
        codes = numpy_call(harmonics_fp16, directions).view(np.int16)
    chunk = file_chunk(file)
    build = _build(field, processor, chunk)
    cases, simulator = [], None
    try:
        for name, scale_name in present.items():
            library = vector_array(file, name, (len(positions), None), np.float16)
            scales = [float(level.scale) for level in grid.levels]
            if scale_name in file:
                scales = vector_array(file, scale_name, (grid.n_levels,), np.float32).tolist()
            if simulator is None:
                simulator = nfp_simulator(field, build, scales=scales)
            else:
                simulator.load(nfp_image(field, build, scales=scales))
            run = simulator.run(positions.view(np.uint32), side=codes)
            found = run.outputs.astype(np.int16).view(np.float16)
            golden = _golden(field, (positions, directions), scales, chunk)
            values = _as_stored(found, library.shape[1], colours if field.config.app == "nerf" else None)
            cases.append(
                {
                    "case": file.name,
                    "array": name,
                    "points": len(positions),
                    "values": library.size,
                    "mismatches": compare_outputs(file, name, values, field.config.networks).beyond,
                    "differing": differing(values, library),
                    "steps": steps_apart(values, library),
                    "golden_mismatches": differing(found, golden),
                    "cycles_rtl": run.cycles,
                    "cycles_model": _model_cycles(field, build, positions, scales),
                }
            )
    finally:
        if simulator is not None:
            simulator.__exit__()
    return cases


def _field(file: object) -> tuple[FloatField, int]:
    """The field of a file, its last network with the padded rows of the matrix as outputs; how many mean something."""
    from reference.vector_cases import file_networks

    grid, networks = file.grid(), file_networks(file)
    if len(networks) == 1 and grid.n_pos_dims not in _APP:
        raise InputError(f"n_pos_dims of the grid must be 2 or 3 in a processor, not {grid.n_pos_dims}")
    for _, matrices in networks:
        if any(matrix.dtype != np.float16 or matrix.ndim != 2 for matrix in matrices):
            raise InputError(f"weights of {file.name} must be matrices of float16, not other arrays")
    # the padded rows of the last matrices are compared, too
    configs = [replace(config, n_output_dims=matrices[-1].shape[0]) for config, matrices in networks]
    weights = [tuple(np.ascontiguousarray(matrix) for matrix in matrices) for _, matrices in networks]
    # the library pads features with zeros up to the network's inputs; no engine needs their weights
    weights[0] = (np.ascontiguousarray(weights[0][0][:, : grid.n_output_dims]), *weights[0][1:])
    configs[0] = replace(configs[0], n_input_dims=grid.n_output_dims)
    shape = FieldConfig(
        app="nerf" if len(networks) == 2 else _APP[grid.n_pos_dims],
        grid=grid,
        network=configs[0],
        rgb_network=configs[1] if len(networks) == 2 else None,
    )
    tables = vector_array(file, "grid_params", (grid.n_entries, grid.n_features_per_level), np.float16)
    field = FloatField(config=shape, tables=tables, weights=tuple(weights), source=file.name)
    return field, networks[-1][0].n_output_dims


def _build(field: FloatField, processor: NfpConfig, chunk: int) -> NfpConfig:
    networks = field.config.networks
    tables = {layer.activation for network in networks for layer in network.layers} - set(STRAIGHT_ACTIVATIONS)
    grid = field.config.grid
    mlp = replace(processor.mlp, chunk=chunk, activation_tables=len(tables), sine="Sine" in tables)
    encoding = replace(whole_engine(grid, 1, arithmetic="fp16"), counters=False)
    widest = mlp.side_first if mlp.side_inputs else mlp.max_width
    levels = min(encoding.n_levels, widest // grid.n_features_per_level)
    return NfpConfig(
        encoding=replace(encoding, n_levels=max(levels, 1)),
        mlp=mlp,
        max_outputs=max(processor.max_outputs, n_results(field)),
    )


def _golden(
    field: FloatField, points: tuple[np.ndarray, np.ndarray | None], scales: list[float], chunk: int
) -> np.ndarray:
    from reference.field import field_fp16

    given = tuple(array for array in points if array is not None)
    return numpy_call(lambda *tensors: field_fp16(field, *tensors, scales=scales, chunk=chunk), *given)


def _as_stored(found: np.ndarray, columns: int, colours: int | None) -> np.ndarray:
    """Results as the library stores them: so many columns, a radiance field's raw density behind its colours."""
    values = found[:, :columns].copy()
    if colours is not None and columns > colours:
        values[:, colours] = found[:, -1]
    return values


def _model_cycles(field: FloatField, build: NfpConfig, positions: np.ndarray, scales: list[float]) -> int:
    from sim.engine.nfp import nfp_cycles

    coordinates = positions.view(np.uint32)
    return nfp_cycles(field.config, build, coordinates, primed=build.prime_cycles, scales=scales).cycles
