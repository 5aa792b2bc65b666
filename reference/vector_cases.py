"""Evaluate the golden models on reference vectors and compare, array by array.

What may differ, and by how much, is stated once, in :data:`TOLERANCES`. Everything else must be equal: NaN equals NaN,
+0 equals -0, and no other difference is overlooked.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from arch.errors import InputError
from arch.mlp import ACTIVATIONS, MlpConfig
from reference.activation import EXACT_ACTIVATIONS
from reference.grid_encoding import encode_fp16, encode_fp32, level_cells
from reference.grid_lookup import corner_rows
from reference.mlp import mlp_fp16
from reference.spherical_harmonics import harmonics_fp16, harmonics_fp32
from reference.tensor_core import CUTLASS_CHUNK, FULLY_FUSED_CHUNK
from reference.vector_file import VectorFile

__all__ = ["TOLERANCES", "Comparison", "Tolerance", "compare_file"]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What a comparison may differ by: at most ``ulps`` fp16 steps or ``absolute``, whichever is more.

    Parameters
    ----------
    ulps : steps of the fp16 format at the library's value
    absolute : in the output's own unit
    relative : additional, in parts of the array's largest finite value (at least 1)
    source : where the numbers come from
    """

    ulps: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    source: str


EXACT = Tolerance(source="the model is bit-exact")
TOLERANCES: Mapping[str, Tolerance] = {
    # The GPU's approximate functions against exact ones: "at most 1 fp16 ulp nearly everywhere, Tanh up to 5e-4
    # absolute" (measured on an H200 over all ten activations). Twice the ulp, for "nearly".
    "output activation": Tolerance(ulps=2, absolute=5e-4, source="the GPU's approximate exp, log, sin, sqrt and tanh"),
    # An approximate hidden activation disturbs the fp16 sums behind it. A plain wide-accumulator MLP, which rounds
    # those sums differently throughout, is 1e-3 to 2e-3 off at output rms 0.3 to 0.6 (measured on an H200).
    "hidden activation": Tolerance(absolute=2e-3, relative=2e-3, source="approximate functions before the last layer"),
    # The vectors' README: fp32 max 1.2e-07 (one ulp at 1), fp16 3 of 12288 values off by one ulp.
    "sh fp32": Tolerance(absolute=1.2e-7, source="fusing of multiply-adds is the compiler's choice"),
    "sh fp16": Tolerance(ulps=1, source="fusing of multiply-adds is the compiler's choice"),
}
"""Allowed differences by cause; what is not named here must be equal."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One compared array.

    Parameters
    ----------
    array : its name in the file
    values : numbers compared
    mismatches : numbers that differ
    max_difference : largest absolute difference; infinity if a NaN stands against a number
    beyond : numbers that differ by more than the tolerance
    tolerance : what was allowed
    """

    array: str
    values: int
    mismatches: int
    max_difference: float
    beyond: int
    tolerance: Tolerance


def compare_file(case: VectorFile) -> list[Comparison]:
    """Evaluate one case and compare every output array it holds; raises InputError if it is not of a known kind."""
    kind = case.config.get("type")
    if kind not in _KINDS:
        raise InputError(f"type of {case.name} must be one of {', '.join(_KINDS)}, not {kind!r}")
    comparisons = list(_KINDS[kind](case))
    if not comparisons:
        raise InputError(f"{case.name} must hold at least one output array, not only {', '.join(sorted(case.arrays))}")
    return comparisons


def _grid_case(case: VectorFile) -> Iterator[Comparison]:
    config = case.grid()
    positions, params = _tensor(case.array("positions")), case.array("params")
    scales = {kind: case.arrays.get(f"scale_{kind}") for kind in ("host", "device")}
    for name, expected in (
        ("level_offsets", config.level_offsets),
        ("resolution", [level.resolution for level in config.levels]),
        ("scale_host", [level.scale for level in config.levels]),
    ):
        if name in case:
            yield _compare(case, name, np.asarray(expected))
    if "out_fp16" in case:
        yield _compare(case, "out_fp16", encode_fp16(config, params, positions, scales=scales["device"]))
    if "out_fp32" in case:
        yield _compare(case, "out_fp32", encode_fp32(config, params, positions, scales=scales["device"]))
    if "out_fp16_jit" in case:
        yield _compare(case, "out_fp16_jit", encode_fp16(config, params, positions, scales=scales["host"]))
    if "probe_point" in case:
        device = case.array("scale_device")
        probes = positions[_tensor(case.array("probe_point").astype(np.int64))]
        cells = [level_cells(probes, scale=float(scale)) for scale in device]
        rows = [corner_rows(level, cell) for level, (cell, _) in zip(config.levels, cells, strict=True)]
        yield _compare(case, "probe_index", torch.stack(rows, dim=1))
        yield _compare(case, "probe_frac", torch.stack([fraction for _, fraction in cells], dim=1))


def _mlp_case(case: VectorFile) -> Iterator[Comparison]:
    matrices = case.matrices()
    inputs = _tensor(case.array("inputs"))
    single = [name for name in ("out", "out_cutlass") if name in case]
    for name in single:
        chunk = CUTLASS_CHUNK if name == "out_cutlass" else _chunk(case)
        yield _compare_network(case, name, case.network(matrices), matrices, inputs, chunk)
    for activation in ACTIVATIONS:
        name = f"out_{activation}"
        if name in case:
            config = case.network(matrices, output_activation=activation)
            yield _compare_network(case, name, config, matrices, inputs, _chunk(case))


def _harmonics_case(case: VectorFile) -> Iterator[Comparison]:
    degree = case.config.get("encoding", {}).get("degree", 4)
    if degree != 4:
        raise InputError(f"degree of SphericalHarmonics must be 4, not {degree!r}")
    directions = case.array("directions01")
    if "out_fp32" in case:
        yield _compare(case, "out_fp32", harmonics_fp32(directions), TOLERANCES["sh fp32"])
    if "out_fp16" in case:
        yield _compare(case, "out_fp16", harmonics_fp16(directions), TOLERANCES["sh fp16"])


def _field_case(case: VectorFile) -> Iterator[Comparison]:
    grid = case.grid()
    density, colour = _networks(case)
    positions, params = _tensor(case.array("positions")), case.array("grid_params")
    for suffix, kind in (("", "device"), ("_jit", "host")):
        outputs = f"out_fp16{suffix}"
        if outputs not in case:
            continue
        encoded = encode_fp16(grid, params, positions, scales=case.arrays.get(f"scale_{kind}"))
        padded = torch.zeros(len(encoded), density[1][0].shape[1], dtype=torch.float16)
        padded[:, : encoded.shape[1]] = encoded
        if kind == "device" and "encoded_fp16" in case:
            yield _compare(case, "encoded_fp16", padded)
        result = mlp_fp16(*density, padded, chunk=_chunk(case))
        tolerance = _network_tolerance(density[0])
        if colour is not None:
            codes = harmonics_fp16(case.array("directions01"))
            first = result[:, : density[0].n_output_dims]
            result = mlp_fp16(*colour, torch.cat((first, codes), dim=1), chunk=_chunk(case))
            if case.array(outputs).shape[1] > colour[0].n_output_dims:
                # The radiance field's raw density stands behind its colours.
                result[:, colour[0].n_output_dims] = first[:, 0]
            tolerance = _network_tolerance(colour[0])
        yield _compare(case, outputs, result, tolerance)


def _networks(
    case: VectorFile,
) -> tuple[tuple[MlpConfig, Sequence[np.ndarray]], tuple[MlpConfig, Sequence[np.ndarray]] | None]:
    """The network behind the grid and, for a radiance field with directions, the colour network."""
    matrices = case.matrices("density_W" if "density_W0" in case else "W")
    if "rgb_network" not in case.config and "rgb_W0" not in case and "directions01" not in case:
        return (case.network(matrices), matrices), None
    layers = case.config.get("network", {}).get("n_hidden_layers", len(matrices) - 1) + 1
    if len(matrices) > layers:
        matrices, colours = matrices[:layers], matrices[layers:]
    else:
        colours = case.matrices("rgb_W")
    colour = case.network(colours, key="rgb_network")
    return (case.network(matrices), matrices), (colour, colours)


_KINDS: Mapping[str, Callable[[VectorFile], Iterator[Comparison]]] = {
    "grid": _grid_case,
    "mlp": _mlp_case,
    "sh": _harmonics_case,
    "nwe": _field_case,
    "nerf": _field_case,
}


def _chunk(case: VectorFile) -> int:
    network = case.config.get("network")
    otype = network.get("otype", "FullyFusedMLP") if isinstance(network, dict) else "FullyFusedMLP"
    return CUTLASS_CHUNK if otype == "CutlassMLP" else FULLY_FUSED_CHUNK


def _compare_network(
    case: VectorFile, name: str, config: MlpConfig, matrices: Sequence[np.ndarray], inputs: torch.Tensor, chunk: int
) -> Comparison:
    return _compare(case, name, mlp_fp16(config, matrices, inputs, chunk=chunk), _network_tolerance(config))


def _network_tolerance(config: MlpConfig) -> Tolerance:
    if config.n_hidden_layers and config.activation not in EXACT_ACTIVATIONS:
        return TOLERANCES["hidden activation"]
    return EXACT if config.output_activation in EXACT_ACTIVATIONS else TOLERANCES["output activation"]


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _compare(case: VectorFile, name: str, model: torch.Tensor | np.ndarray, tolerance: Tolerance = EXACT) -> Comparison:
    library = case.array(name)
    model = np.asarray(model)
    if library.ndim == 2 and model.ndim == 2:
        # Arrays without the padded outputs stand for the first columns.
        model = model[:, : library.shape[1]]
    if model.shape != library.shape:
        raise InputError(f"shape of {name} in {case.name} must be {model.shape}, not {library.shape}")
    half = library.dtype == np.float16
    library, model = library.astype(np.float64), model.astype(np.float64)
    unequal = (library != model) & ~(np.isnan(library) & np.isnan(model))
    size = np.abs(np.nan_to_num(library, nan=0.0, posinf=0.0, neginf=0.0))
    if half:
        # Beyond 65504 comes 65536 in all but name: one step from a number to infinity.
        library, model = (np.clip(values, -65536.0, 65536.0) for values in (library, model))
    with np.errstate(invalid="ignore"):
        difference = np.where(unequal, np.abs(library - model), 0.0)
    difference = np.where(np.isnan(difference), np.inf, difference)
    allowed = max(tolerance.absolute, tolerance.relative * max(1.0, size.max(initial=0.0)))
    if tolerance.ulps:
        steps = np.exp2(np.floor(np.log2(np.clip(size, 2.0**-14, 65504.0))) - 10)
        allowed = np.maximum(allowed, tolerance.ulps * steps)
    return Comparison(
        array=name,
        values=library.size,
        mismatches=int(unequal.sum()),
        max_difference=float(difference.max(initial=0.0)),
        beyond=int((difference > allowed).sum()),
        tolerance=tolerance,
    )


def without_tolerance(comparison: Comparison) -> Comparison:
    """The comparison as if everything had to be equal."""
    return replace(comparison, beyond=comparison.mismatches, tolerance=EXACT)
