"""``ngpc simulate encoding``: every level of a grid by itself at a point a clock, or the whole grid on some engines."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from arch.encoding_engine import (
    EncodingEngineConfig,
    EngineCounter,
    LevelLayout,
    level_layouts,
)
from arch.encoding_image import encoding_image
from arch.errors import InputError, check_one_of
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.multi_point_encoding import MultiPointConfig
from arch.number_format import COORDINATE, HARDWARE_ARITHMETICS, integer_profile
from arch.presets import FIELDS, preset
from arch.random_field import random_field, random_table_fp16
from cli.comparison import Pattern, Seed, Waves, finish, numpy_call, point_stream
from cli.encoding_build import level_engine, whole_engine
from cli.output import JsonOption, progress
from cli.simulate_encoding_fp16 import run_fp16_vectors
from cli.simulate_encoding_vectors import run_vectors

__all__ = ["encoding"]


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A grid with its raw tables and points, and the (points, n_levels, n_features_per_level) raw features of them."""

    grid: GridConfig
    tables: np.ndarray
    level_shifts: tuple[int, ...]
    coordinates: np.ndarray
    golden: np.ndarray


def encoding(
    *,
    name: Annotated[str, typer.Option("--preset", help=f"Field: {', '.join(FIELDS)}.")] = "gia_hash",
    points: Annotated[int, typer.Option(help="Points to encode.")] = 8192,
    pattern: Pattern = "random",
    log2_hashmap_size: Annotated[int, typer.Option(help="log2 of the largest table; 0: the preset's own.")] = 0,
    level_parallel: Annotated[
        int, typer.Option(help="Physical level engines, 1, 2, 4, 8 or 16, for the whole grid; 0: each level alone.")
    ] = 0,
    points_per_clock: Annotated[
        int, typer.Option(help="With --level-parallel: points a clock of grids with few levels, 1, 2, 4, 8 or 16.")
    ] = 1,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Folder of tiny-cuda-nn's vectors: their grids, tables and points instead of a preset's."),
    ] = None,
    arithmetic: Annotated[str, typer.Option(help="int8, int16, or fp16: a GPU's own bits.")] = "int8",
    reuse_cells: Annotated[
        bool, typer.Option("--reuse-cells", help="Build that reads a cell's rows once for consecutive points in it.")
    ] = False,
    bank_ports: Annotated[
        int, typer.Option(help="Ports of a table bank: 2 for eight dual-port banks, 1 for 16 single-port ones.")
    ] = 2,
    seed: Seed = 0,
    waves: Waves = None,
    json: JsonOption = False,
) -> None:
    """The grid encoding engine on a preset's grid with random tables.

    By default every level runs alone on one build, its registers and table loaded anew, so that its clocks are its
    own; ``points_per_clk`` counts the way of the first point, too, ``points_per_clk_steady`` from its features on.
    With ``--level-parallel`` all levels of a point run together, with ``--points-per-clock`` those of several
    points. With ``--vectors`` tables of the real library are quantised and looked up at its points, and the
    features also held against its fp16 output; with ``--arithmetic fp16`` nothing is quantised, and every bit is
    its.
    """
    check_one_of("arithmetic", arithmetic, HARDWARE_ARITHMETICS)
    if points_per_clock != 1 and not level_parallel:
        raise InputError(f"--points-per-clock must come with --level-parallel, not {points_per_clock} without it")
    if vectors is not None:
        given = (name, points, pattern, log2_hashmap_size, level_parallel, waves, reuse_cells, bank_ports)
        if given != ("gia_hash", 8192, "random", 0, 0, None, False, 2):
            raise InputError(
                "--vectors must come without --preset, --points, --pattern, --log2-hashmap-size, --level-parallel, "
                "--waves, --reuse-cells and --bank-ports, not with them; its files hold grids and points"
            )
        exact = arithmetic == "fp16"
        result = run_fp16_vectors(vectors) if exact else run_vectors(vectors, arithmetic)
        finish(result, json)
        if result["golden_mismatches" if exact else "beyond_bound"]:
            raise typer.Exit(1)
        return
    config = preset("field", FIELDS, name)
    if log2_hashmap_size:
        config = replace(config, grid=replace(config.grid, log2_hashmap_size=log2_hashmap_size))
    grid = config.grid
    if level_parallel:
        engine = whole_engine(grid, level_parallel, arithmetic=arithmetic)
    else:
        engine = level_engine(grid, arithmetic=arithmetic)
    engine = replace(engine, reuse_cells=reuse_cells, bank_ports=bank_ports)
    coordinates = point_stream(pattern, points, grid.n_pos_dims, seed)
    run = _run_whole if level_parallel else _run_levels
    if points_per_clock != 1:
        lanes = MultiPointConfig(engine=replace(engine, counters=False), points_per_clock=points_per_clock)
        run = partial(_run_multi_point, lanes)
    case = _case(config, arithmetic, coordinates, seed)
    result = {"preset": name, "pattern": pattern, "points": points, **run(case, engine, waves)}
    finish(result, json)


def _run_levels(case: _Case, engine: EncodingEngineConfig, waves: Waves) -> dict:
    """Each level alone on one simulated engine; sums over the levels, and the slowest one's latency."""
    from sim.cosim.engine import encoding_simulator
    from sim.engine.encoding import encoding_cycles

    grid, coordinates, points = case.grid, case.coordinates, len(case.coordinates)
    levels, latency = [], 0
    with (
        progress(f"simulating {grid.n_levels} levels") as update,
        encoding_simulator(grid, engine, case.tables, case.level_shifts, only=0, waves=waves) as simulator,
    ):
        for number in range(grid.n_levels):
            if number:
                simulator.load(encoding_image(grid, engine, case.tables, case.level_shifts, only=number))
            run = simulator.run(coordinates)
            (counters,) = simulator.counters(engine)
            update(number + 1, grid.n_levels)
            model = encoding_cycles(grid, engine, coordinates, only=number)
            latency = max(latency, int(run.given[0]))
            (layout,) = level_layouts(grid, engine, only=number)
            levels.append(
                _describe(layout)
                | {
                    "cycles_rtl": run.cycles,
                    "cycles_model": model.cycles,
                    "points_per_clk": points / run.cycles,
                    "points_per_clk_steady": points / (run.cycles - int(run.given[0])),
                    "mismatches": int(np.count_nonzero(run.outputs != case.golden[:, number])),
                }
                | _counted(counters, model.counters[0])
            )
    keys = ("mismatches", "counter_mismatches", "cycles_rtl", "cycles_model")
    totals = {key: sum(level[key] for level in levels) for key in keys}
    return {"latency_clk": latency, **totals, "levels": levels}


def _run_whole(case: _Case, engine: EncodingEngineConfig, waves: Waves) -> dict:
    """All levels of a point together."""
    from sim.cosim.engine import encoding_simulator
    from sim.engine.encoding import encoding_cycles

    grid, coordinates, points = case.grid, case.coordinates, len(case.coordinates)
    with (
        progress(f"simulating {points} points") as update,
        encoding_simulator(grid, engine, case.tables, case.level_shifts, waves=waves) as simulator,
    ):
        run = simulator.run(coordinates, progress=update)
        counters = simulator.counters(engine)
    model = encoding_cycles(grid, engine, coordinates)
    differ = (run.outputs.reshape(case.golden.shape) != case.golden).sum(axis=(0, 2))
    return {
        "level_parallel": engine.level_parallel,
        "latency_clk": int(run.given[0]),
        "clk_per_point": run.clk_per_point,
        "held_clk": int(model.held.sum()),
        "mismatches": int(differ.sum()),
        "counter_mismatches": int(np.count_nonzero(counters != model.counters)),
        "cycles_rtl": run.cycles,
        "cycles_model": model.cycles,
        "levels": [
            _describe(layout) | {"mismatches": int(differ[layout.level.index])}
            for layout in level_layouts(grid, engine)
        ],
        "engines": [{"engine": number} | _counted(rtl, model.counters[number]) for number, rtl in enumerate(counters)],
    }


def _run_multi_point(config: MultiPointConfig, case: _Case, engine: EncodingEngineConfig, waves: Waves) -> dict:
    """All levels of several points together."""
    from sim.cosim.multi_point import MultiPointSimulator
    from sim.engine.multi_point_encoding import multi_point_cycles

    grid, coordinates, points = case.grid, case.coordinates, len(case.coordinates)
    with (
        progress(f"simulating {points} points") as update,
        MultiPointSimulator(config, grid, case.tables, case.level_shifts, waves=waves) as simulator,
    ):
        run = simulator.run(coordinates, progress=update)
    model = multi_point_cycles(grid, config, coordinates)
    differ = (run.outputs.reshape(case.golden.shape) != case.golden).sum(axis=(0, 2))
    return {
        "level_parallel": engine.level_parallel,
        "points_per_clock": config.lanes(grid.n_levels),
        "latency_clk": int(run.given[0]),
        "clk_per_point": run.clk_per_point,
        "held_clk": int(model.held.sum()),
        "mismatches": int(differ.sum()),
        "cycles_rtl": run.cycles,
        "cycles_model": model.cycles,
        "levels": [
            _describe(layout) | {"mismatches": int(differ[layout.level.index])}
            for layout in level_layouts(grid, engine)
        ],
    }


def _counted(rtl: np.ndarray, model: np.ndarray) -> dict:
    """An engine's counters as the RTL counted them: lookups, and clocks without one by cause."""
    counts = {"lookups": int(rtl[EngineCounter.LOOKUPS])}
    for counter in EngineCounter:
        if counter not in {EngineCounter.LOOKUPS, EngineCounter.REUSED}:
            counts[f"stall_{counter.name.lower()}_clk"] = int(rtl[counter])
    counts["reused_lookups"] = int(rtl[EngineCounter.REUSED])
    return counts | {"counter_mismatches": int(np.count_nonzero(rtl != model))}


def _describe(layout: LevelLayout) -> dict:
    level = layout.level
    return {
        "level": level.index,
        "kind": "hash" if level.hashed else "dense",
        "resolution": level.resolution,
        "entries": level.entries,
        "bank_bits": list(layout.bank_bits),
    }


def _case(config: FieldConfig, arithmetic: str, coordinates: np.ndarray, seed: int) -> _Case:
    """A preset's grid with random tables."""
    from reference.grid_encoding import encode_fp16, encode_integer

    grid = config.grid
    if arithmetic == "fp16":
        positions = COORDINATE.to_float(coordinates).astype(np.float32)
        tables = random_table_fp16(grid, np.random.default_rng(seed))
        features = numpy_call(encode_fp16, grid, tables, positions)
        tables, features, coordinates = tables.view(np.int16), features.view(np.int16), positions.view(np.uint32)
        level_shifts = (0,) * grid.n_levels
    else:
        field = random_field(config, arithmetic=arithmetic, seed=seed)
        tables, level_shifts, profile = field.tables, field.level_shifts, integer_profile(arithmetic)
        features = numpy_call(encode_integer, grid, tables, level_shifts, coordinates, profile)
    golden = features.reshape(len(coordinates), grid.n_levels, -1)
    return _Case(grid=grid, tables=tables, level_shifts=level_shifts, coordinates=coordinates, golden=golden)
