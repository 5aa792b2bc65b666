"""Evaluate the golden models on reference vectors and compare, array by array.

What may differ, and by how much, is stated once, in :data:`TOLERANCES`. Everything else must be equal: NaN equals NaN,
+0 equals -0, and no other difference is overlooked.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from arch.errors import InputError
from arch.mlp import ACTIVATIONS, CUTLASS_CHUNK, FULLY_FUSED_CHUNK, MlpConfig
from reference.activation import EXACT_ACTIVATIONS
from reference.grid_encoding import encode_fp16, encode_fp32, level_cells
from reference.grid_lookup import corner_rows
from reference.mlp import mlp_fp16
from reference.spherical_harmonics import harmonics_fp16, harmonics_fp32
from reference.vector_file import VectorFile

__all__ = ["TOLERANCES", "Comparison", "Tolerance", "compare_file", "compare_outputs", "file_chunk", "file_networks"]

_Network = tuple[MlpConfig, Sequence[np.ndarray]]


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
    # The GPU's approximate functions against exact ones, over all fp16 inputs (tests/reference/h200/README.md): one
    # ulp; Sine and Squareplus 4.9e-4 for inputs up to 1,000. One ulp more, as the library may order operations
    # differently than the probe did.
    "output activation": Tolerance(ulps=2, source="the GPU's approximate exp, log and tanh"),
    "Sine and Squareplus": Tolerance(ulps=2, absolute=5e-4, source="the GPU's approximate sin and sqrt"),
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
    try:
        comparisons = list(_KINDS[kind](case))
    except (AttributeError, IndexError, TypeError, RuntimeError) as error:
        raise InputError(f"arrays of {case.name} must be of the documented kind, not such ({error})") from error
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
        outputs = encode_fp16(config, params, positions, scales=scales["host"])
        yield _compare(case, "out_fp16_jit", outputs, _jit_tolerance(case))
    if "probe_point" in case:
        device = case.array("scale_device")
        probes = positions[_tensor(case.array("probe_point").astype(np.int64))]
        cells = [level_cells(probes, scale=float(scale)) for scale in device]
        rows = [corner_rows(level, cell) for level, (cell, _) in zip(config.levels, cells, strict=True)]
        yield _compare(case, "probe_index", torch.stack(rows, dim=1))
        yield _compare(case, "probe_frac", torch.stack([fraction for _, fraction in cells], dim=1))


def _mlp_case(case: VectorFile) -> Iterator[Comparison]:
    matrices = case.matrices()
    single = [name for name in ("out", "out_cutlass") if name in case]
    for name in single:
        chunk = CUTLASS_CHUNK if name == "out_cutlass" else file_chunk(case)
        yield _compare_network(case, name, case.network(matrices), matrices, chunk=chunk)
    for activation in ACTIVATIONS:
        name = f"out_{activation}"
        if name in case:
            config = case.network(matrices, output_activation=activation)
            yield _compare_network(case, name, config, matrices, chunk=file_chunk(case))


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
    networks = file_networks(case)
    positions, params = _tensor(case.array("positions")), case.array("grid_params")
    tolerance = _networks_tolerance([config for config, _ in networks])
    if "encoded_fp16" in case or "out_fp16" in case:
        encoded = _padded_encoding(
            encode_fp16(grid, params, positions, scales=case.arrays.get("scale_device")), networks
        )
        if "encoded_fp16" in case:
            yield _compare(case, "encoded_fp16", encoded)
        if "out_fp16" in case:
            yield _compare(case, "out_fp16", _field_outputs(case, "out_fp16", networks, encoded), tolerance)
    if "out_fp16_jit" in case:
        # The JIT path bakes the host's scales into its kernel and otherwise computes the same.
        scales = case.arrays.get("scale_host")
        encoded = _padded_encoding(encode_fp16(grid, params, positions, scales=scales), networks)
        outputs = _field_outputs(case, "out_fp16_jit", networks, encoded)
        yield _compare(case, "out_fp16_jit", outputs, _jit_tolerance(case) if tolerance is EXACT else tolerance)


def _padded_encoding(encoded: torch.Tensor, networks: Sequence[_Network]) -> torch.Tensor:
    """Features with the zeros that the library adds up to the network's input width."""
    missing = networks[0][0].n_input_dims - encoded.shape[1]
    if missing < 0:
        raise InputError(f"inputs of the network must be at least {encoded.shape[1]}, not {encoded.shape[1] + missing}")
    return torch.nn.functional.pad(encoded, (0, missing))


def _field_outputs(case: VectorFile, name: str, networks: Sequence[_Network], encoded: torch.Tensor) -> torch.Tensor:
    config, matrices = networks[0]
    outputs = mlp_fp16(config, matrices, encoded, chunk=file_chunk(case))
    if len(networks) > 1:
        density = outputs[:, : config.n_output_dims]
        config, matrices = networks[1]
        codes = harmonics_fp16(case.array("directions01"))
        outputs = mlp_fp16(config, matrices, torch.cat((density, codes), dim=1), chunk=file_chunk(case))
        if case.array(name).shape[-1] > config.n_output_dims:
            # A radiance field's raw density stands behind its colours.
            outputs[:, config.n_output_dims] = density[:, 0]
            return outputs[:, : case.array(name).shape[-1]]
    return _as_stored(case, name, outputs, config.n_output_dims)


def file_networks(case: VectorFile) -> list[_Network]:
    """The network behind the grid and, for a radiance field with directions, the colour network."""
    matrices = case.matrices("density_W" if "density_W0" in case else "W")
    if not ("rgb_network" in case.config or "rgb_W0" in case or "directions01" in case):
        return [(case.network(matrices), matrices)]
    # The colour network's matrices have names of their own or continue the count.
    layers = case.config.get("network", {}).get("n_hidden_layers", len(matrices) - 1) + 1
    colours = matrices[layers:] or case.matrices("rgb_W")
    matrices = matrices[:layers]
    case.array("directions01")
    return [(case.network(matrices), matrices), (case.network(colours, key="rgb_network"), colours)]


_KINDS: Mapping[str, Callable[[VectorFile], Iterator[Comparison]]] = {
    "grid": _grid_case,
    "mlp": _mlp_case,
    "sh": _harmonics_case,
    "nwe": _field_case,
    "nerf": _field_case,
}


def file_chunk(case: VectorFile) -> int:
    """Products that the library adds in one step of a case's networks."""
    network = case.config.get("network")
    otype = network.get("otype", "FullyFusedMLP") if isinstance(network, dict) else "FullyFusedMLP"
    return CUTLASS_CHUNK if otype == "CutlassMLP" else FULLY_FUSED_CHUNK


def _compare_network(
    case: VectorFile, name: str, config: MlpConfig, matrices: Sequence[np.ndarray], *, chunk: int
) -> Comparison:
    outputs = mlp_fp16(config, matrices, _tensor(case.array("inputs")), chunk=chunk)
    outputs = _as_stored(case, name, outputs, config.n_output_dims)
    return _compare(case, name, outputs, _network_tolerance(config))


def _as_stored(case: VectorFile, name: str, outputs: torch.Tensor, n_output_dims: int) -> torch.Tensor:
    """All output rows or, where the file holds only those that mean something, these."""
    return outputs[:, :n_output_dims] if case.array(name).shape[-1] == n_output_dims else outputs


def compare_outputs(case: VectorFile, name: str, outputs: np.ndarray, networks: Sequence[MlpConfig]) -> Comparison:
    """Hold outputs that something else computed against an array of a case.

    Parameters
    ----------
    name : the array
    outputs : of its shape
    networks : those that the outputs come from, one after the other; they say what may differ
    """
    return _compare(case, name, outputs, _networks_tolerance(networks))


def _networks_tolerance(networks: Sequence[MlpConfig]) -> Tolerance:
    """What the last network may differ by, if those before it are exact."""
    inner = [network.output_activation for network in networks[:-1]] + [network.activation for network in networks[:-1]]
    if not set(inner) <= set(EXACT_ACTIVATIONS):
        return TOLERANCES["hidden activation"]
    return _network_tolerance(networks[-1])


def _network_tolerance(config: MlpConfig) -> Tolerance:
    if config.n_hidden_layers and config.activation not in EXACT_ACTIVATIONS:
        return TOLERANCES["hidden activation"]
    if config.output_activation in EXACT_ACTIVATIONS:
        return EXACT
    coarse = config.output_activation in ("Sine", "Squareplus")
    return TOLERANCES["Sine and Squareplus" if coarse else "output activation"]


def _jit_tolerance(case: VectorFile) -> Tolerance:
    """The vectors' README (jit_maxdiff): the library's own distance between its JIT path and its classic one.

    The model has reproduced every JIT output seen so far bit for bit; this bounds compilers it has not seen.
    """
    jit = case.array("out_fp16_jit").astype(np.float64)
    classic = case.arrays.get("out_fp16", jit).astype(np.float64)[:, : jit.shape[-1]]
    distance = np.abs(jit - classic) if jit.shape == classic.shape else np.zeros(1)
    absolute = float(np.nan_to_num(distance, posinf=0.0).max(initial=0.0))
    return Tolerance(absolute=absolute, source="jit_maxdiff, the library's distance between its two paths")


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _compare(case: VectorFile, name: str, model: torch.Tensor | np.ndarray, tolerance: Tolerance = EXACT) -> Comparison:
    library = case.array(name)
    model = np.asarray(model)
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
