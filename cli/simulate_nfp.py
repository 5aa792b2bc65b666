"""``ngpc simulate nfp``: the neural fields processor beside its golden model and its cycle model."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import typer

from arch.checkpoint import QuantizedField
from arch.number_format import COORDINATE, integer_profile
from arch.presets import FIELDS, NFPS, preset
from arch.random_field import random_field
from cli.comparison import Pattern, Seed, Waves, finish, numpy_call, point_stream
from cli.output import JsonOption, progress

__all__ = ["nfp"]

_SAMPLES_OF_A_RAY = 64


def nfp(
    *,
    name: Annotated[str, typer.Option("--preset", help=f"Field: {', '.join(FIELDS)}.")] = "gia_dense",
    processor: Annotated[str, typer.Option(help=f"Processor: {', '.join(NFPS)}.")] = "nfp-16x16",
    points: Annotated[int, typer.Option(help="Points to run.")] = 4096,
    pattern: Pattern = "random",
    log2_hashmap_size: Annotated[int, typer.Option(help="log2 of the largest table; 0: the preset's own.")] = 0,
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """The neural fields processor on a preset's field with random parameters.

    Of a nerf field both networks run; every 64 points share a viewing direction. ``encoding_limits_clk`` and
    ``mlp_limits_clk`` are clocks in which one engine waited for the other, counted by the hardware and compared with
    the cycle model.
    """
    from sim.cosim.engine import nfp_simulator
    from sim.engine.nfp import nfp_cycles

    config = preset("processor", NFPS, processor)
    shape = preset("field", FIELDS, name)
    if log2_hashmap_size:
        shape = replace(shape, grid=replace(shape.grid, log2_hashmap_size=log2_hashmap_size))
    field = random_field(shape, arithmetic=config.mlp.arithmetic, seed=seed)
    coordinates = point_stream(pattern, points, shape.grid.n_pos_dims, seed)
    codes, golden = _golden(field, coordinates, seed)
    with progress(f"simulating {points} points") as update, nfp_simulator(field, config, waves=waves) as simulator:
        run = simulator.run(coordinates, side=codes, progress=update)
        counters = simulator.counters()
    model = nfp_cycles(shape, config, coordinates, primed=config.prime_cycles)
    expected = {
        "points": points,
        "results": points,
        "busy": model.cycles,
        "encoding_limits": model.encoding_limits,
        "mlp_limits": model.mlp_limits,
        "source_waits": 0,
        "sink_waits": 0,
    }
    finish(
        {
            "preset": name,
            "processor": processor,
            "pattern": pattern,
            "points": points,
            "latency_clk": int(run.given[0]),
            "clk_per_point": run.clk_per_point,
            "limiting_engine": model.limiting_engine,
            "encoding_limits_clk": counters["encoding_limits"],
            "mlp_limits_clk": counters["mlp_limits"],
            "mismatches": int(np.count_nonzero(run.outputs != golden)),
            "counter_mismatches": sum(counters[counter] != value for counter, value in expected.items()),
            "cycles_rtl": run.cycles,
            "cycles_model": model.cycles,
        },
        json,
    )


def _golden(field: QuantizedField, coordinates: np.ndarray, seed: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Direction codes of a nerf field, None for others, and the golden results."""
    from reference.field import field_integer
    from reference.spherical_harmonics import harmonics_integer

    positions = coordinates / (1 << COORDINATE.fraction_bits)
    if field.config.app != "nerf":
        return None, numpy_call(field_integer, field, positions)
    rays = np.random.default_rng(seed).normal(size=(-(-len(coordinates) // _SAMPLES_OF_A_RAY), 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    directions = np.repeat((rays + 1) / 2, _SAMPLES_OF_A_RAY, axis=0)[: len(coordinates)]
    codes = numpy_call(harmonics_integer, directions, field.direction_scale, integer_profile(field.arithmetic))
    return codes, numpy_call(field_integer, field, positions, directions)
