"""``ngpc simulate nfp``: the neural fields processor beside its golden model and its cycle model."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from arch.checkpoint import FloatField, QuantizedField
from arch.errors import InputError, check_one_of
from arch.number_format import COORDINATE, integer_profile
from arch.presets import FIELDS, NFPS, in_fp16, preset
from arch.random_field import random_field, random_float_field
from cli.comparison import Pattern, Seed, Waves, finish, numpy_call, point_stream
from cli.output import JsonOption, progress
from cli.simulate_nfp_fp16 import run_fp16_fields

__all__ = ["nfp"]

_SAMPLES_OF_A_RAY = 64


def nfp(
    *,
    name: Annotated[str, typer.Option("--preset", help=f"Field: {', '.join(FIELDS)}.")] = "gia_dense",
    processor: Annotated[str, typer.Option(help=f"Processor: {', '.join(NFPS)}.")] = "nfp-16x16",
    points: Annotated[int, typer.Option(help="Points to run.")] = 4096,
    pattern: Pattern = "random",
    log2_hashmap_size: Annotated[int, typer.Option(help="log2 of the largest table; 0: the preset's own.")] = 0,
    arithmetic: Annotated[str, typer.Option(help="int8, or fp16: a GPU's own bits.")] = "int8",
    vectors: Annotated[
        Path | None, typer.Option(help="With fp16: folder of tiny-cuda-nn's vectors: their fields and points.")
    ] = None,
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """The neural fields processor on a preset's field with random parameters.

    Of a nerf field both networks run; every 64 points share a viewing direction. ``encoding_limits_clk`` and
    ``mlp_limits_clk`` are clocks in which one engine waited for the other, counted by the hardware and compared with
    the cycle model. With ``--arithmetic fp16 --vectors`` fields of the real library run at its points, and every bit is
    held against its own.
    """
    check_one_of("arithmetic", arithmetic, ("int8", "fp16"))
    from sim.cosim.engine import nfp_simulator
    from sim.engine.nfp import nfp_cycles

    config = preset("processor", NFPS, processor)
    if arithmetic == "fp16":
        config = in_fp16(config)
    if vectors is not None:
        given = (name, points, pattern, log2_hashmap_size, waves, arithmetic)
        if given != ("gia_dense", 4096, "random", 0, None, "fp16"):
            raise InputError(
                "--vectors must come with --arithmetic fp16 and without --preset, --points, --pattern, "
                "--log2-hashmap-size and --waves; its files hold fields and points"
            )
        result = run_fp16_fields(vectors, config)
        finish(result, json)
        if result["golden_mismatches"]:
            raise typer.Exit(1)
        return
    shape = preset("field", FIELDS, name)
    if log2_hashmap_size:
        shape = replace(shape, grid=replace(shape.grid, log2_hashmap_size=log2_hashmap_size))
    coordinates = point_stream(pattern, points, shape.grid.n_pos_dims, seed)
    if arithmetic == "fp16":
        field = random_float_field(shape, seed=seed)
        codes, golden = _golden_fp16(field, coordinates, seed)
        coordinates = COORDINATE.to_float(coordinates).astype(np.float32).view(np.uint32)
    else:
        field = random_field(shape, arithmetic=arithmetic, seed=seed)
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
            "arithmetic": arithmetic,
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
    directions = _directions(len(coordinates), seed)
    codes = numpy_call(harmonics_integer, directions, field.direction_scale, integer_profile(field.arithmetic))
    return codes, numpy_call(field_integer, field, positions, directions)


def _golden_fp16(field: FloatField, coordinates: np.ndarray, seed: int) -> tuple[np.ndarray | None, np.ndarray]:
    """The same in ``fp16``: raw values are the numbers' bits."""
    from reference.field import field_fp16
    from reference.spherical_harmonics import harmonics_fp16

    positions = COORDINATE.to_float(coordinates).astype(np.float32)
    if field.config.app != "nerf":
        return None, numpy_call(field_fp16, field, positions).view(np.int16)
    directions = _directions(len(coordinates), seed).astype(np.float32)
    codes = numpy_call(harmonics_fp16, directions).view(np.int16)
    return codes, numpy_call(field_fp16, field, positions, directions).view(np.int16)


def _directions(points: int, seed: int) -> np.ndarray:
    """(points, 3) in [0, 1]: viewing directions, one for every 64 points."""
    rays = np.random.default_rng(seed).normal(size=(-(-points // _SAMPLES_OF_A_RAY), 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return np.repeat((rays + 1) / 2, _SAMPLES_OF_A_RAY, axis=0)[:points]
