"""``ngpc simulate ENGINE``: an engine's RTL beside its golden model and its cycle model, on random or real data."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from arch.encoding_engine import EncodingEngineConfig, fitting_engine, level_layouts
from arch.errors import InputError, check_integer, check_one_of
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.number_format import COORDINATE, integer_profile
from arch.presets import FIELDS, NFPS, preset
from arch.random_field import random_field, random_mlp
from arch.scheduler import SchedulerConfig
from cli.output import JsonOption, print_json, print_table, progress

__all__ = ["simulate"]

simulate = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run an engine's RTL and hold it against its golden model and its cycle model.",
)

PATTERNS = ("random", "ray")
NETWORKS = {
    "nerf_density": FIELDS["nerf_hash"].network,
    "nerf_rgb": FIELDS["nerf_hash"].rgb_network,
    "nsdf": FIELDS["nsdf_hash"].network,
    "gia": FIELDS["gia_hash"].network,
    "nvr": FIELDS["nvr_hash"].network,
}
_RAY_SAMPLES = 64
_SHARED_TABLE_ROWS = (1 << 18, 1 << 23, 1 << 24)
"""Table sizes of the encoding builds, so that presets share a build instead of compiling one each."""
_MAX_POINTS = 1 << 22

Seed = Annotated[int, typer.Option(help="Seed of random data and points.")]
Pattern = Annotated[str, typer.Option(help=f"Order of points: {', '.join(PATTERNS)}.")]
Waves = Annotated[Path | None, typer.Option(help="VCD file to write waves into; keep the run short with it.")]


@simulate.command()
def encoding(
    *,
    name: Annotated[str, typer.Option("--preset", help=f"Field: {', '.join(FIELDS)}.")] = "gia_hash",
    points: Annotated[int, typer.Option(help="Points to encode.")] = 4096,
    pattern: Pattern = "random",
    log2_hashmap_size: Annotated[int, typer.Option(help="log2 of the largest table; 0: the preset's own.")] = 0,
    level_parallel: Annotated[int, typer.Option(help="Physical level engines: 1, 2, 4, 8 or 16.")] = 1,
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """The grid encoding engine on a preset's grid with random tables."""
    from reference.grid_encoding import encode_integer
    from sim.cosim.engine import encoding_simulator
    from sim.engine.encoding import encoding_cycles

    config = preset("field", FIELDS, name)
    if log2_hashmap_size:
        config = replace(config, grid=replace(config.grid, log2_hashmap_size=log2_hashmap_size))
    engine = _encoding_engine(config.grid, level_parallel)
    field = random_field(config, seed=seed)
    coordinates = point_stream(pattern, points, config.grid.n_pos_dims, seed)
    with (
        progress(f"simulating {points} points") as update,
        encoding_simulator(config.grid, engine, field.tables, field.level_shifts, waves=waves) as simulator,
    ):
        run = simulator.run(coordinates, progress=update)
    golden = _numpy_call(
        encode_integer, config.grid, field.tables, field.level_shifts, coordinates, integer_profile("int8")
    )
    model = encoding_cycles(config.grid, engine, coordinates)
    differ = (run.outputs != golden).reshape(points, config.grid.n_levels, -1).sum(axis=(0, 2))
    levels = [
        {
            "level": layout.level.index,
            "kind": "hash" if layout.level.hashed else "dense",
            "resolution": layout.level.resolution,
            "entries": layout.level.entries,
            "bank_bits": list(layout.bank_bits),
            "mismatches": int(differ[layout.level.index]),
        }
        for layout in level_layouts(config.grid, engine)
    ]
    _finish(
        {
            "preset": name,
            "pattern": pattern,
            "points": points,
            "level_parallel": level_parallel,
            "latency_clk": int(run.given[0]),
            "clk_per_point": run.clk_per_point,
            "held_clk": int(model.held.sum()),
            "mismatches": int(differ.sum()),
            "cycles_rtl": run.cycles,
            "cycles_model": model.cycles,
            "levels": levels,
        },
        json,
    )


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
    check_integer("batch", batch, 1, _MAX_POINTS)
    rng = np.random.default_rng(seed)
    weights = random_mlp(shape, engine.profile, rng)
    inputs = rng.integers(engine.profile.value.minimum, engine.profile.value.maximum + 1, (batch, shape.n_input_dims))
    with progress(f"simulating {batch} vectors") as update, mlp_simulator(weights, engine, waves=waves) as simulator:
        run = simulator.run(inputs, progress=update)
    golden = _numpy_call(mlp_integer, weights, inputs, engine.profile)
    model = mlp_cycles(shape, engine, batch)
    _finish(
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
    features = _numpy_call(encode_integer, field.config.grid, field.tables, field.level_shifts, coordinates, profile)
    golden = _numpy_call(mlp_integer, field.networks[0], features, profile)
    model = nfp_cycles(field.config, config, coordinates)
    _finish(
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


@simulate.command()
def scheduler(
    *,
    program: Annotated[str, typer.Option(help="Program of workloads/programs.")] = "llama2_70b_2048",
    layers: Annotated[int, typer.Option(help="Iterations of the body; 0: the program's own.")] = 8,
    clock_mhz: Annotated[float, typer.Option(help="Clock of the unit, in MHz; sets the clocks of a duration.")] = 10.0,
    json: JsonOption = False,
) -> None:
    """The scheduler unit on a published pipeline, its units taking the program's solo durations."""
    from arch.workload import load_program
    from sim.cosim.scheduler import run_program
    from sim.engine.scheduler import durations_in_clocks
    from sim.engine.scheduler import simulate as simulate_model

    loaded = load_program(program)
    if layers:
        loaded = replace(loaded, count=layers)
    config = SchedulerConfig.for_program(loaded)
    durations = durations_in_clocks(loaded, clock_mhz * 1e6)
    model = simulate_model(loaded, config, durations_clk=durations)
    with progress(f"simulating {loaded.count} layers"):
        run = run_program(loaded, config, durations, max_cycles=2 * model.makespan_clk + 1000)
    differ = (run.issue_clk != model.issue_clk) | (run.complete_clk != model.complete_clk)
    row = {nano.name: index for index, nano in enumerate(loaded.nano_operations)}
    nanos = [
        {
            "name": entry["name"],
            "chunks": loaded.nano_operations[row[entry["name"]]].chunks,
            "layer": entry["iteration"],
            "unit": entry["unit"],
            "start": int(run.issue_clk[entry["iteration"], row[entry["name"]]]),
            "end": int(run.complete_clk[entry["iteration"], row[entry["name"]]]),
            "waited_dependency": entry["dependency_wait_clk"],
            "waited_share": entry["share_wait_clk"],
            "waited_unit": entry["unit_wait_clk"],
        }
        for entry in model.entries()
    ]
    _finish(
        {
            "program": program,
            "layers": loaded.count,
            "clock_mhz": clock_mhz,
            "period_us": model.steady_period_clk / clock_mhz,
            "makespan_us": run.cycles / clock_mhz,
            "timeline_equal": not differ.any(),
            "mismatches": int(differ.sum()),
            "cycles_rtl": run.cycles,
            "cycles_model": model.makespan_clk,
            "nano_operations": nanos,
        },
        json,
    )


def point_stream(pattern: str, points: int, n_pos_dims: int, seed: int) -> np.ndarray:
    """Raw coordinates, (points, n_pos_dims): uniform, or along rays through the cube, 64 samples each.

    Raises
    ------
    InputError
        If the pattern is unknown or there are too few or too many points.
    """
    check_one_of("pattern", pattern, PATTERNS)
    check_integer("points", points, 1, _MAX_POINTS)
    rng = np.random.default_rng(seed)
    one = 1 << COORDINATE.fraction_bits
    if pattern == "random":
        return rng.integers(0, one + 1, (points, n_pos_dims))
    rays = -(-points // _RAY_SAMPLES)
    ends = rng.random((2, rays, 1, n_pos_dims))
    along = np.linspace(0.0, 1.0, _RAY_SAMPLES)[None, :, None]
    return COORDINATE.quantize(ends[0] + (ends[1] - ends[0]) * along).reshape(-1, n_pos_dims)[:points]


def _encoding_engine(grid: GridConfig, level_parallel: int) -> EncodingEngineConfig:
    """A 3-dimensional 16-level build with shared table sizes, or the smallest that fits another row width."""
    smallest = fitting_engine(grid, level_parallel=level_parallel)
    rows = next(rows for rows in _SHARED_TABLE_ROWS if rows >= smallest.table_rows)
    return replace(smallest, n_pos_dims=3, n_levels=16, table_rows=rows)


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


def _numpy_call(function: object, *arguments: object) -> np.ndarray:
    """Call a golden model with its arrays as tensors."""
    import torch

    tensors = [torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in arguments]
    return function(*tensors).numpy()


def _finish(result: dict, json: bool) -> None:
    """Print the result; exit code 1 if a value or a clock differs."""
    if json:
        print_json(result)
    else:
        plain = [(name, value) for name, value in result.items() if not isinstance(value, list)]
        print_table("Simulation", ("what", "value"), plain)
        for name, rows in result.items():
            if isinstance(rows, list):
                print_table(name, tuple(rows[0]), [tuple(row.values()) for row in rows])
    if result["mismatches"] or result["cycles_rtl"] != result["cycles_model"]:
        raise typer.Exit(1)
