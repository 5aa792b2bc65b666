"""``ngpc simulate mlp --arithmetic fp16 --vectors``: networks of the real tiny-cuda-nn, bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from arch.checkpoint import FloatMlp
from arch.errors import InputError
from arch.mlp import ACTIVATIONS, CUTLASS_CHUNK, FULLY_FUSED_CHUNK, MlpConfig
from arch.mlp_engine import MlpEngineConfig
from cli.comparison import differing, numpy_call, steps_apart
from cli.vector_runs import run_files, vector_array

__all__ = ["run_fp16_networks"]


_EngineFor = Callable[[tuple[MlpConfig, ...], int], MlpEngineConfig]


def run_fp16_networks(folder: Path, engine_for: _EngineFor) -> dict:
    """Every network of a folder of reference vectors through the MLP engine of ``fp16``, at all its inputs.

    Parameters
    ----------
    folder : files of vectors; those of other types are passed over
    engine_for : the engine that runs a network, by it and the products of a step

    Returns
    -------
    sums over the cases, ``cases`` (one a file and array) and ``refused``. Of a case: outputs that differ from the
    library's in any bit (``differing``; NaN equals NaN), padded rows of the last matrix among them, and by how many
    numbers of fp16 at most (``steps``); those by more than the documented difference of the GPU's approximate
    functions, which is none with ReLU, LeakyReLU and None (``mismatches``); those that differ from the golden model's
    (``golden_mismatches``); clocks of the RTL and of the cycle model.

    Raises
    ------
    InputError
        If the folder holds no vectors, a file is damaged, or no case can run.
    """

    def run(file: object, refused: list[dict]) -> list[dict]:
        cases = []
        for name, run_array in _arrays(file, engine_for, refused):
            try:
                cases.append({"case": file.name, "array": name, **run_array()})
            except InputError as error:
                refused.append({"case": file.name, "array": name, "reason": str(error)})
        return cases

    sums = ("vectors", "mismatches", "differing", "golden_mismatches", "cycles_rtl", "cycles_model")
    return run_files(folder, ("mlp",), run, wanted="a network that the MLP engine runs", sums=sums)


def _arrays(file: object, engine_for: _EngineFor, refused: list[dict]) -> list[tuple[str, Callable[[], dict]]]:
    """Each output array of a file, and what runs it."""
    names = {"out": None, "out_cutlass": None} | {f"out_{name}": name for name in ACTIVATIONS}
    otype = (file.config.get("network") or {}).get("otype", "FullyFusedMLP")
    runs = []
    for name in names:
        if name in file:
            cutlass = name == "out_cutlass" or otype == "CutlassMLP"
            chunk = CUTLASS_CHUNK if cutlass else FULLY_FUSED_CHUNK
            runs.append((name, partial(_run_case, file, name, names[name], chunk, engine_for)))
    if not runs and not refused:
        reason = f"{file.name} must hold an output array, not only {', '.join(sorted(file.arrays))}"
        refused.append({"case": file.name, "array": "", "reason": reason})
    return runs


def _run_case(file: object, name: str, output_activation: str | None, chunk: int, engine_for: _EngineFor) -> dict:
    from reference.mlp import mlp_fp16
    from reference.vector_cases import compare_outputs
    from sim.cosim.engine import mlp_simulator
    from sim.engine.mlp import mlp_cycles

    matrices = file.matrices()
    if any(matrix.dtype != np.float16 or matrix.ndim != 2 for matrix in matrices):
        raise InputError(f"weights of {file.name} must be matrices of float16, not other arrays")
    config = file.network(matrices, output_activation=output_activation)
    # the padded rows of the last matrix are compared, too
    config = replace(config, n_output_dims=matrices[-1].shape[0])
    network = FloatMlp(config=config, weights=tuple(np.ascontiguousarray(matrix) for matrix in matrices))
    inputs = vector_array(file, "inputs", (None, config.n_input_dims), np.float16)
    library = vector_array(file, name, (len(inputs), None), np.float16)
    if library.shape[1] > config.n_output_dims:
        raise InputError(f"columns of {name} of {file.name} must be at most {config.n_output_dims}, not more")
    engine = engine_for((config,), chunk)
    with mlp_simulator(network, engine) as simulator:
        run = simulator.run(inputs.view(np.int16))
    outputs = run.outputs[:, : library.shape[1]].astype(np.int16).view(np.float16)
    golden = numpy_call(partial(mlp_fp16, chunk=chunk), config, [*network.weights], inputs)[:, : library.shape[1]]
    return {
        "network": f"{config.n_input_dims}-({config.n_neurons}x{config.n_hidden_layers} {config.activation})"
        f"-{library.shape[1]} {config.output_activation}",
        "vectors": len(inputs),
        "values": library.size,
        "mismatches": compare_outputs(file, name, outputs, (config,)).beyond,
        "differing": differing(outputs, library),
        "steps": steps_apart(outputs, library),
        "golden_mismatches": differing(outputs, golden),
        "cycles_rtl": run.cycles,
        "cycles_model": mlp_cycles(config, engine, len(inputs)).cycles,
    }
