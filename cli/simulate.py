"""``ngpc simulate ENGINE``: an engine's RTL beside its golden model and its cycle model, on random or real data."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import typer

from arch.errors import InputError, check_integer
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.presets import FIELDS, NFPS, preset
from arch.random_field import random_field, random_mlp
from cli.comparison import Pattern, Seed, Waves, finish, numpy_call, point_stream
from cli.output import JsonOption, progress
from cli.simulate_encoding import encoding
from cli.simulate_scheduler import scheduler

__all__ = ["simulate"]

simulate = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run an engine's RTL and hold it against its golden model and its cycle model.",
)

NETWORKS = {
    "nerf_density": FIELDS["nerf_hash"].network,
    "nerf_rgb": FIELDS["nerf_hash"].rgb_network,
    "nsdf": FIELDS["nsdf_hash"].network,
    "gia": FIELDS["gia_hash"].network,
    "nvr": FIELDS["nvr_hash"].network,
}
_MAX_BATCH = 1 << 22

simulate.command()(encoding)
simulate.command()(scheduler)


@simulate.command()
def mlp(
    *,
    network: Annotated[str, typer.Option(help=f"Network: {', '.join(NETWORKS)}.")] = "gia",
    array: Annotated[str, typer.Option(help="Rows x columns of the systolic array.")] = "16x16",
    batch: Annotated[int, typer.Option(help="Vectors to run.")] = 1024,
    nano_batch: Annotated[int, typer.Option(help="Vectors a pass; 0: the least that leaves no bubble.")] = 0,
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """The systolic MLP engine on a field's network with random weights."""
    from reference.mlp import mlp_integer
    from sim.cosim.engine import mlp_simulator
    from sim.engine.mlp import mlp_cycles

    shape = preset("network", NETWORKS, network)
    engine = _mlp_engine(array, nano_batch, shape)
    check_integer("batch", batch, 1, _MAX_BATCH)
    rng = np.random.default_rng(seed)
    weights = random_mlp(shape, engine.profile, rng)
    inputs = rng.integers(engine.profile.value.minimum, engine.profile.value.maximum + 1, (batch, shape.n_input_dims))
    with progress(f"simulating {batch} vectors") as update, mlp_simulator(weights, engine, waves=waves) as simulator:
        run = simulator.run(inputs, progress=update)
    golden = numpy_call(mlp_integer, weights, inputs, engine.profile)
    model = mlp_cycles(shape, engine, batch)
    finish(
        {
            "network": network,
            "array": f"{engine.rows}x{engine.cols}",
            "batch": batch,
            "nano_batch": engine.nano_batch,
            "fission": False,
            "clk_per_point": run.clk_per_point,
            "mac_utilisation": model.utilisation(shape, engine),
            "mismatches": int(np.count_nonzero(run.outputs != golden)),
            "cycles_rtl": run.cycles,
            "cycles_model": model.cycles,
        },
        json,
    )


@simulate.command()
def nfp(
    *,
    name: Annotated[str, typer.Option("--preset", help=f"Field: {', '.join(FIELDS)}.")] = "gia_dense",
    processor: Annotated[str, typer.Option(help=f"Processor: {', '.join(NFPS)}.")] = "nfp-16x16",
    points: Annotated[int, typer.Option(help="Points to run.")] = 4096,
    pattern: Pattern = "random",
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """The neural fields processor on a preset's field with random parameters."""
    from reference.grid_encoding import encode_integer
    from reference.mlp import mlp_integer
    from sim.cosim.engine import nfp_simulator
    from sim.engine.nfp import nfp_cycles

    config = preset("processor", NFPS, processor)
    field = random_field(preset("field", FIELDS, name), arithmetic=config.mlp.arithmetic, seed=seed)
    coordinates = point_stream(pattern, points, field.config.grid.n_pos_dims, seed)
    with progress(f"simulating {points} points") as update, nfp_simulator(field, config, waves=waves) as simulator:
        run = simulator.run(coordinates, progress=update)
    profile = config.mlp.profile
    features = numpy_call(encode_integer, field.config.grid, field.tables, field.level_shifts, coordinates, profile)
    golden = numpy_call(mlp_integer, field.networks[0], features, profile)
    model = nfp_cycles(field.config, config, coordinates)
    finish(
        {
            "preset": name,
            "processor": processor,
            "pattern": pattern,
            "points": points,
            "latency_clk": int(run.given[0]),
            "clk_per_point": run.clk_per_point,
            "mismatches": int(np.count_nonzero(run.outputs != golden)),
            "cycles_rtl": run.cycles,
            "cycles_model": model.cycles,
        },
        json,
    )


def _mlp_engine(array: str, nano_batch: int, network: MlpConfig) -> MlpEngineConfig:
    try:
        rows, cols = (int(side) for side in array.split("x"))
    except ValueError:
        raise InputError(f"array must be rows x columns such as 16x16, not {array!r}") from None
    widest = max(max(layer.n_in, layer.n_out) for layer in network.layers)
    step = int(np.lcm(rows, cols)) if rows > 0 and cols > 0 else 1
    width = -(-widest // step) * step
    tiles = sum(-(-layer.n_in // rows) * -(-layer.n_out // cols) for layer in network.layers) if step > 1 else 1
    engine = MlpEngineConfig(
        rows=rows, cols=cols, max_width=width, weight_tiles=max(64, tiles), nano_batch=nano_batch or 1
    )
    return engine if nano_batch else replace(engine, nano_batch=-(-engine.min_pass_cycles // 16) * 16)
