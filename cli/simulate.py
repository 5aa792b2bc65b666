"""``ngpc simulate ENGINE``: an engine's RTL beside its golden model and its cycle model, on random or real data."""

from typing import Annotated

import numpy as np
import typer

from arch.presets import FIELDS, NFPS, preset
from arch.random_field import random_field
from cli.comparison import Pattern, Seed, Waves, finish, numpy_call, point_stream
from cli.output import JsonOption, progress
from cli.simulate_encoding import encoding
from cli.simulate_mlp import gemm, mlp
from cli.simulate_scheduler import scheduler

__all__ = ["simulate"]

simulate = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run an engine's RTL and hold it against its golden model and its cycle model.",
)

simulate.command()(encoding)
simulate.command()(scheduler)


simulate.command()(mlp)
simulate.command()(gemm)


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
