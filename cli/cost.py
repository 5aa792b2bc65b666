"""``ngpc cost``: what the operations of a decoder take on a machine, and which resource bounds it."""

from typing import Annotated

import typer

from arch.errors import check_integer, check_one_of
from arch.workload import load_calibration, load_model, load_node
from cli.output import JsonOption, print_json, print_table
from sim.machine.token_cost import (
    TokenBatch,
    max_dense_batch,
    operation_costs,
    optimal_tokens_per_s_per_gpu,
)
from sim.machine.token_maps import memory_map, network_map
from sim.machine.token_times import token_times
from sim.machine.tokens import dense_batch_rows

__all__ = ["cost"]

_SHOWN = ("operations", "memory", "network")


def cost(
    *,
    show: Annotated[
        str, typer.Option(help="operations, or a map: memory (T_mem / T_compute) or network (T_net / T_compute).")
    ] = "operations",
    model: Annotated[str, typer.Option(help="Language model preset, for operations.")] = "llama2_70b",
    device: Annotated[str, typer.Option(help="GPU preset, or several of one: 8xa100_80gb.")] = "8xa100_80gb",
    prompt: Annotated[int, typer.Option(help="Mean prompt length, tokens.")] = 512,
    decode: Annotated[int, typer.Option(help="Mean output length, tokens.")] = 1024,
    batch: Annotated[int, typer.Option(help="Rows of the dense batch; 0: the model's own.")] = 0,
    json: JsonOption = False,
) -> None:
    """Count operations and bytes of an iteration, and the shortest time each resource allows.

    Everything here is computed from shapes and data sheets (NanoFlow, section 3); nothing is measured. Times are
    milliseconds an iteration over the whole node.
    """
    check_one_of("show", show, _SHOWN)
    if show == "operations":
        _operations(model=model, device=device, prompt=prompt, decode=decode, batch=batch, json=json)
    elif show == "memory":
        rows = memory_map()
        _print("memory", "T_mem / T_compute at the largest batch; below 1 the GEMMs bound it", rows, json)
    else:
        rows = network_map()
        _print("network", "T_net / T_compute of eight GPUs; below 1 the GEMMs bound it", rows, json)


def _print(name: str, title: str, rows: list[dict[str, object]], json: bool) -> None:
    if json:
        print_json({"map": name, "source": "computed", "rows": rows})
        return
    cells = [[f"{value:.3f}" if isinstance(value, float) else value for value in row.values()] for row in rows]
    print_table(title, tuple(rows[0]), cells)


def _operations(*, model: str, device: str, prompt: int, decode: int, batch: int, json: bool) -> None:
    decoder, node = load_model(model), load_node(device)
    lengths = TokenBatch(prompt=prompt, decode=decode, rows=1)
    if batch:
        check_integer("batch", batch, 1, 1 << 20)
    rows = batch or dense_batch_rows(decoder, node, lengths.prompt, lengths.decode)
    dense = TokenBatch(prompt=prompt, decode=decode, rows=rows)
    costs = operation_costs(decoder, node, dense)
    times = token_times(decoder, node, dense)
    lines = [
        {
            "operation": each.operation,
            "gflop": each.flop / 1e9,
            "memory_gb": each.memory_bytes / 1e9,
            "network_gb": each.network_bytes / 1e9,
            "compute_ms": each.compute_s(node) * 1e3,
            "memory_ms": each.memory_s(node) * 1e3,
            "network_ms": each.network_s(node) * 1e3,
            "roofline_ms": each.roofline_s(node) * 1e3,
            "calibrated_ms": times.whole_batch_us(each.operation) * decoder.n_layers / 1e3,
        }
        for each in costs
    ]
    totals = {name: sum(line[name] for line in lines) for name in list(lines[0])[1:]}
    optimal = optimal_tokens_per_s_per_gpu(decoder, times.achievable_flops_per_s)
    result = {
        "model": model,
        "device": device,
        "batch": rows,
        "decode_rows": dense.decode_rows,
        "largest_batch": max_dense_batch(decoder, node, prompt, decode),
        "optimal_tokens_per_s_per_gpu": optimal,
        "achievable_tflops_per_gpu": times.achievable_flops_per_s / 1e12,
        "extrapolated": times.extrapolated,
        "source": "computed",
        "rows": lines,
        "total": totals,
    }
    if json:
        print_json(result)
        return
    caption = (
        f"optimal {optimal:.0f} tokens/s/GPU at {times.achievable_flops_per_s / 1e12:.0f} TFLOP/s; "
        f"calibrated_ms: measured kernel times of {load_calibration(times.calibration.name).title}"
        + (", scaled by the cost model" if times.extrapolated else "")
    )
    cells = [*(tuple(line.values()) for line in lines), ("total", *totals.values())]
    print_table(f"{model} on {device}, {rows} rows of which {dense.decode_rows:.0f} decode", tuple(lines[0]), cells,
                caption)  # fmt: skip
