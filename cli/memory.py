"""``ngpc memory``: a pattern of requests through a GPU's memory model."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from arch.errors import InputError
from arch.memory import MAPPINGS, REFRESHES
from arch.memory_preset import load_memory
from arch.presets import preset as find_preset
from arch.workload import preset_names
from cli.output import JsonOption, print_json, print_table, progress

__all__ = ["memory"]

_WARM_UP = 64
_KINDS = {"gddr6x": "rtx3090", "hbm2e": "a100_80gb", "hbm3e": "h200", "lpddr5": "orin"}
"""Kinds of memory, by the GPU whose preset has it."""
_REPEATS, _MOST_REPEATED = 3, 4_000_000
"""The model's own speed is the best of so many runs, if they are short."""


def memory(
    *,
    name: Annotated[
        str, typer.Option("--preset", help="Memory: GDDR6X (rtx3090), HBM2e (a100_80gb), HBM3e (h200), LPDDR5 (orin).")
    ] = "h200",
    pattern: Annotated[str, typer.Option(help="stream, random, strided or copy.")] = "stream",
    requests: Annotated[int, typer.Option(help="Bursts of 32 bytes.")] = 1_000_000,
    mapping: Annotated[str, typer.Option(help=f"Address mapping: {', '.join(MAPPINGS)}.")] = "line",
    refresh: Annotated[str | None, typer.Option(help=f"{' or '.join(REFRESHES)}; the preset's if left out.")] = None,
    write_window: Annotated[int, typer.Option(help="Writes a controller collects before it drains them.")] = 128,
    stride: Annotated[int, typer.Option(help="Bytes between requests of the strided pattern.")] = 4096,
    footprint_mb: Annotated[
        float | None, typer.Option(help="Decimal megabytes the pattern covers; the whole memory if left out.")
    ] = None,
    l2: Annotated[bool, typer.Option("--l2", help="Through the L2, which starts empty.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random pattern.")] = 0,
    json: JsonOption = False,
) -> None:
    """Time a pattern of reads and writes on a GPU's DRAM, command by command."""
    from sim.memory.bounds import random_bound
    from sim.memory.dram import run_dram
    from sim.memory.patterns import LEAST_FOOTPRINT_BYTES, pattern_requests
    from sim.memory.system import MemorySystem

    known = {preset: preset for preset in preset_names("memory")} | {kind: gpu for kind, gpu in _KINDS.items()}
    config = load_memory(find_preset("memory", known, name.replace("-", "_").lower()))
    dram = config.dram if refresh is None else replace(config.dram, refresh=refresh)
    chosen = find_preset("mapping", MAPPINGS, mapping)
    controller = replace(config.controller, mapping=chosen, write_window=write_window)
    config = replace(config, dram=dram, controller=controller)
    if not 0 <= seed < 1 << 63:
        raise InputError(f"seed must be an integer from 0 to {(1 << 63) - 1}, not {seed}")
    footprint = None
    if footprint_mb is not None:
        # in the unit that was typed; bytes would be refused in bytes
        least, most = LEAST_FOOTPRINT_BYTES / 1e6, dram.capacity_bytes / 1e6
        if not least <= footprint_mb <= most:
            raise InputError(f"footprint_mb must be a number from {least:.12g} to {most:.12g}, not {footprint_mb}")
        footprint = round(footprint_mb * 1e6)
    addresses, writes = pattern_requests(
        pattern, dram, requests, stride_bytes=stride, seed=seed, footprint_bytes=footprint
    )
    # The first call compiles and is not timed.
    run_dram(dram, controller, addresses[:_WARM_UP], writes=writes[:_WARM_UP])
    result: dict[str, Any] = {
        "preset": name if name.lower() in _KINDS else config.name,
        "pattern": pattern,
        "requests": requests,
        "gpu": config.name,
    }
    with progress(f"{requests} requests"):
        if l2:
            through = MemorySystem(config).run(addresses, writes)
            run, rate, latency = through.dram, through.bytes_per_s, through.mean_latency_ns
            of_pins = through.dram_bytes_per_s
        else:
            repeats = _REPEATS if requests <= _MOST_REPEATED else 1
            runs = [run_dram(dram, controller, addresses, writes=writes) for _ in range(repeats)]
            run = min(runs, key=lambda one: one.seconds)
            rate, latency, of_pins = run.bytes_per_s, run.mean_latency_ns, run.bytes_per_s
    result |= {
        "gbytes_per_s": rate / 1e9,
        "fraction_of_peak": of_pins / dram.peak_bytes_per_s,
        "mean_latency_ns": latency,
        "row_hits": run.row_hits,
        "row_misses": run.row_misses,
        "row_conflicts": run.row_conflicts,
        "requests_per_s": run.requests / run.seconds,
        "mapping": mapping,
        "refresh": dram.refresh,
        "refreshes": run.refreshes,
        "turnarounds": run.turnarounds,
        "peak_gbytes_per_s": dram.peak_bytes_per_s / 1e9,
        "random_bound": random_bound(dram).fraction,
        "random_limiter": random_bound(dram).limiter,
    }
    caption = ""
    if l2:
        result |= {
            "l2_hits": through.l2.hits,
            "l2_hit_rate": through.l2.hit_rate,
            "dram_requests": run.requests,
            "limiter": through.limiter,
            "dram_latency_ns": run.mean_latency_ns,
            "dram_gbytes_per_s": through.dram_bytes_per_s / 1e9,
            "l2_peak_gbytes_per_s": config.l2.peak_bytes_per_s / 1e9,
            "l2_fraction_of_peak": through.bytes_per_s / config.l2.peak_bytes_per_s,
            "write_backs": through.l2.write_backs,
            "dirty_bytes_left": through.dirty_bytes_left,
        }
        caption = (
            f"gbytes_per_s passes the L2, limited by the {through.limiter}; fraction_of_peak is of the DRAM's pins.\n"
            f"{through.dirty_bytes_left} bytes written are still in the L2: the DRAM is charged for none of them."
        )
    if json:
        print_json(result)
        return
    print_table(f"Memory of {config.name}, {pattern}", ("figure", "value"), list(result.items()), caption)
