"""``ngpc simulate mlp`` and ``gemm``: the systolic MLP engine beside its golden model and its cycle model.

Clocks are those of a batch in steady traffic: an equal batch is in front of it, and its clocks are counted from that
one's last result to its own. ``cycles_alone`` and ``clk_per_point_alone`` are of the same batch on an empty engine,
from its first vector to its last result: the first nano-batch gathers, the last one leaves. ``simulated_khz`` is the
speed of the simulation itself: RTL clocks in a millisecond of one core's processor time.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from arch.activation_table import STRAIGHT_ACTIVATIONS
from arch.checkpoint import FloatMlp, QuantizedMlp
from arch.errors import InputError, check_integer, check_one_of
from arch.mlp import FULLY_FUSED_CHUNK, MlpConfig
from arch.mlp_engine import MAX_WEIGHT_TILES, MlpEngineConfig
from arch.mlp_plan import MlpPlan, plan_mlp, planned_width
from arch.number_format import HARDWARE_ARITHMETICS
from arch.presets import FIELDS, preset
from arch.random_field import random_mlp, random_mlp_fp16
from cli.comparison import Seed, Waves, finish, numpy_call
from cli.output import JsonOption, progress
from cli.simulate_mlp_fp16 import run_fp16_networks

__all__ = ["NETWORKS", "gemm", "mlp"]

NETWORKS = {
    "nerf": FIELDS["nerf_hash"].networks,
    "nerf_density": (FIELDS["nerf_hash"].network,),
    "nerf_rgb": (FIELDS["nerf_hash"].rgb_network,),
    "nsdf": (FIELDS["nsdf_hash"].network,),
    "gia": (FIELDS["gia_hash"].network,),
    "nvr": (FIELDS["nvr_hash"].network,),
}
"""Networks a point passes, in their order."""

_MAX_BATCH = 1 << 22
_SIDE_FIRST, _SIDE_INPUTS = 32, 16
"""nerf's direction code behind 32 features; built into every engine here, so that the networks share a build."""
_SIDE_FIRST_FP16 = 48
"""In fp16 the density network's 16 outputs stand in front of the code."""
_VECTORS_NANO_BATCH = 160
"""Vectors a pass for the library's networks, which then share a build."""

Array = Annotated[str, typer.Option(help="Rows x columns of the systolic array.")]
Arithmetic = Annotated[str, typer.Option(help="int8, int16, or fp16: a GPU's own bits.")]
Fission = Annotated[bool, typer.Option(help="Build an array that splits, so that narrow layers share it.")]
Chunk = Annotated[int, typer.Option(help="With fp16: products a step, 16 (FullyFusedMLP) or 8 (CutlassMLP).")]
NanoBatch = Annotated[int, typer.Option(help="Vectors a pass; 0: the fewest with the least clocks for this batch.")]


def mlp(
    *,
    network: Annotated[str, typer.Option(help=f"Network: {', '.join(NETWORKS)}.")] = "gia",
    array: Array = "16x16",
    batch: Annotated[int, typer.Option(help="Vectors to run.")] = 1024,
    activation: Annotated[str, typer.Option(help="Hidden activation in place of the network's own.")] = "",
    output_activation: Annotated[str, typer.Option(help="Last activation in place of the network's own.")] = "",
    arithmetic: Arithmetic = "int8",
    chunk: Chunk = FULLY_FUSED_CHUNK,
    fission: Fission = True,
    nano_batch: NanoBatch = 0,
    vectors: Annotated[
        Path | None, typer.Option(help="With fp16: folder of tiny-cuda-nn's vectors: their networks and inputs.")
    ] = None,
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """The systolic MLP engine on a field's networks with random weights.

    With ``--arithmetic fp16 --vectors`` on networks of the real library, at its inputs, every bit held against its own.
    """
    check_one_of("arithmetic", arithmetic, HARDWARE_ARITHMETICS)
    if vectors is not None:
        given = (network, batch, activation, output_activation, chunk, nano_batch, waves, arithmetic)
        if given != ("gia", 1024, "", "", FULLY_FUSED_CHUNK, 0, None, "fp16"):
            raise InputError(
                "--vectors must come with --arithmetic fp16 and without --network, --batch, --activation, "
                "--output-activation, --chunk, --nano-batch and --waves; its files hold networks and inputs"
            )

        def engine_for(networks: tuple[MlpConfig, ...], chunk: int) -> MlpEngineConfig:
            build = MlpEngineConfig(arithmetic="fp16", chunk=chunk, fission=fission, nano_batch=_VECTORS_NANO_BATCH)
            return _engine(array, networks, 1, build)

        result = run_fp16_networks(vectors, engine_for)
        finish(result, json)
        if result["golden_mismatches"]:
            raise typer.Exit(1)
        return
    chosen = {"activation": activation, "output_activation": output_activation}
    networks = tuple(
        replace(each, **{name: value for name, value in chosen.items() if value})
        for each in preset("network", NETWORKS, network)
    )
    check_integer("batch", batch, 1, _MAX_BATCH)
    engine = _engine(array, networks, batch, _build(arithmetic, chunk, fission), nano_batch=nano_batch)
    finish({"network": network, **_compare(networks, engine, batch, seed, waves)}, json)


def gemm(
    *,
    m: Annotated[int, typer.Option(help="Vectors.")] = 4096,
    k: Annotated[int, typer.Option(help="Inputs of a vector, at most 128.")] = 64,
    n: Annotated[int, typer.Option(help="Outputs of a vector, at most 128.")] = 64,
    array: Array = "16x16",
    arithmetic: Arithmetic = "int8",
    chunk: Chunk = FULLY_FUSED_CHUNK,
    fission: Fission = False,
    nano_batch: NanoBatch = 0,
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """A matrix product of M x K by K x N on the MLP engine, beside SCALE-Sim's count for a weight-stationary array."""
    check_integer("m", m, 1, _MAX_BATCH)
    check_integer("k", k, 1, 128)
    check_integer("n", n, 1, 128)
    networks = (MlpConfig(n_input_dims=k, n_hidden_layers=0, n_output_dims=n),)
    engine = _engine(array, networks, m, _build(arithmetic, chunk, fission), nano_batch=nano_batch)
    # its closed form for one pass, once for each tile of an unsplit array
    tiles = -(-k // engine.rows) * -(-n // engine.cols)
    scale_sim = tiles * (2 * engine.rows + engine.cols + m - 2) - 1
    result = {"network": f"{m}x{k}x{n}", **_compare(networks, engine, m, seed, waves)}
    finish({**result, "cycles_scale_sim": scale_sim}, json)


def _compare(
    networks: Sequence[MlpConfig], engine: MlpEngineConfig, batch: int, seed: int, waves: Waves
) -> dict[str, object]:
    """Run two equal batches, one behind the other, and time the second one."""
    from sim.cosim.engine import mlp_simulator
    from sim.engine.mlp import MlpClock

    plan = plan_mlp(networks, engine)
    rng = np.random.default_rng(seed)
    width = networks[0].n_input_dims if len(networks) == 1 else engine.side_first + engine.side_inputs
    if engine.floating:
        weights = tuple(random_mlp_fp16(network, rng) for network in networks)
        vectors = rng.standard_normal((2 * batch, width)).astype(np.float16).view(np.int16)
    else:
        weights = tuple(random_mlp(network, engine.profile, rng) for network in networks)
        value = engine.profile.value
        vectors = rng.integers(value.minimum, value.maximum + 1, (2 * batch, width))
    with (
        progress(f"simulating {2 * batch} vectors") as update,
        mlp_simulator(weights, engine, waves=waves) as simulator,
    ):
        run = simulator.run(vectors, run_length=batch, progress=update)
    golden = _golden(weights, vectors, engine)
    clock = MlpClock(networks, engine)
    model = np.concatenate([clock.run(batch).outputs for _ in range(2)])
    alone = int(run.given[batch - 1]) + 1
    rtl_clocks, model_clocks = (int(given[-1] - given[batch - 1]) for given in (run.given, model))
    return {
        "array": f"{engine.rows}x{engine.cols}",
        "arithmetic": engine.arithmetic,
        "batch": batch,
        "nano_batch": engine.nano_batch,
        "fission": engine.fission,
        "cycles_rtl": rtl_clocks,
        "cycles_model": model_clocks,
        "cycles_alone": alone,
        "clk_per_point": rtl_clocks / batch,
        "clk_per_point_alone": alone / batch,
        "mac_utilisation": plan.macs * batch / (rtl_clocks * engine.macs),
        "mismatches": int(np.count_nonzero(run.outputs[:, list(plan.results)] != golden)),
        "clock_mismatches": int(np.count_nonzero(run.given != model)),
        "simulated_khz": round(run.simulated_hz / 1e3, 1),
        "layers": _layers(plan, batch),
    }


def _layers(plan: MlpPlan, batch: int) -> list[dict[str, object]]:
    """Each layer's shape, split and clocks of the batch."""
    whole, rest = divmod(batch, plan.engine.nano_batch)
    cycles = np.array(plan.layer_cycles(plan.engine.nano_batch)) * whole
    if rest:
        cycles = cycles + np.array(plan.layer_cycles(rest))
    return [
        {"shape": f"{layer.layer.n_in}x{layer.layer.n_out}", "split": str(layer.split), "cycles": int(clocks)}
        for layer, clocks in zip(plan.layers, cycles, strict=True)
    ]


def _golden(weights: Sequence[QuantizedMlp | FloatMlp], vectors: np.ndarray, engine: MlpEngineConfig) -> np.ndarray:
    """Raw results in the order of ``MlpPlan.results``."""
    from reference.mlp import mlp_fp16, mlp_integer

    def evaluate(network: QuantizedMlp | FloatMlp, inputs: np.ndarray) -> np.ndarray:
        if isinstance(network, QuantizedMlp):
            return numpy_call(mlp_integer, network, inputs, engine.profile)
        inputs = np.ascontiguousarray(inputs).view(np.float16)
        run = partial(mlp_fp16, chunk=engine.chunk)
        return numpy_call(run, network.config, network.weights, inputs).view(np.int16)

    first = evaluate(weights[0], vectors[:, : weights[0].config.n_input_dims])
    if len(weights) == 1:
        return first
    return np.concatenate(
        [evaluate(weights[1], np.concatenate([first, vectors[:, engine.side_first :]], axis=1)), first], axis=1
    )


def _build(arithmetic: str, chunk: int, fission: bool) -> MlpEngineConfig:
    """What the options say of an engine; its sizes follow from the networks."""
    return MlpEngineConfig(arithmetic=arithmetic, chunk=chunk, fission=fission)


def _engine(
    array: str, networks: Sequence[MlpConfig], batch: int, build: MlpEngineConfig, *, nano_batch: int | None = None
) -> MlpEngineConfig:
    """``build`` of the sizes that the networks need; ``nano_batch`` 0: the best one, None: the build's own."""
    try:
        rows, cols = (int(side) for side in array.split("x"))
    except ValueError:
        raise InputError(f"array must be rows x columns such as 16x16, not {array!r}") from None
    layers = [layer for network in networks for layer in network.layers]
    widest = max(planned_width(network, build) for network in networks)
    tables = {layer.activation for layer in layers} - set(STRAIGHT_ACTIVATIONS)
    step = 16 if build.floating else 4
    width = max(-(-widest // step) * step, 64)
    roomy = replace(
        build, rows=rows, cols=cols, max_width=width, weight_tiles=MAX_WEIGHT_TILES, activation_tables=len(tables),
        sine=build.floating and "Sine" in tables, side_inputs=_SIDE_INPUTS,
        side_first=_SIDE_FIRST_FP16 if build.floating else _SIDE_FIRST,
    )  # fmt: skip
    if nano_batch is None:
        nano_batch = build.nano_batch
    engine = replace(roomy, nano_batch=nano_batch or _best_nano_batch(networks, replace(roomy, nano_batch=4), batch))
    tiles = plan_mlp(networks, engine).tiles
    return replace(engine, weight_tiles=max(64, tiles))


def _best_nano_batch(networks: Sequence[MlpConfig], engine: MlpEngineConfig, batch: int) -> int:
    """The fewest vectors a pass with which the batch takes the fewest clocks in the array."""

    def cycles(nano_batch: int) -> int:
        plan = plan_mlp(networks, replace(engine, nano_batch=nano_batch))
        whole, rest = divmod(batch, nano_batch)
        return whole * sum(plan.layer_cycles(nano_batch)) + (sum(plan.layer_cycles(rest)) if rest else 0)

    least = engine.min_pass_cycles * engine.point_banks
    banks = engine.point_banks
    most = min(max(least, -(-batch // banks) * banks), 4 * least)
    return min(range(banks * -(-engine.min_pass_cycles // banks), most + 1, banks), key=cycles)
