"""``ngpc serve``: requests arriving at a served language model, iteration by iteration."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from arch.errors import InputError
from cli.comparison import Seed
from cli.output import JsonOption, print_json, print_table, progress

__all__ = ["serve"]


def serve(
    *,
    trace: Annotated[
        str, typer.Option(help="Lengths: lmsys, sharegpt, splitwise, 512-1024 ...; or a .csv file of requests.")
    ] = "sharegpt",
    rate: Annotated[
        float, typer.Option(help="Requests a second, Poisson; 0: as the file has them, or all at once.")
    ] = 0.0,
    requests: Annotated[int, typer.Option(help="Requests; 0: 10,000, or all of a file.")] = 0,
    model: Annotated[str, typer.Option(help="Language model preset.")] = "llama2_70b",
    device: Annotated[str, typer.Option(help="GPU preset, or several of one: 8xa100_80gb.")] = "8xa100_80gb",
    engine: Annotated[str, typer.Option(help="overlapped, nano_only or sequential.")] = "overlapped",
    interference: Annotated[str, typer.Option(help="P(R) table of the overlapped engine.")] = "artifact",
    synchronous: Annotated[
        bool, typer.Option("--synchronous", help="Form a batch only when the one before is over.")
    ] = False,
    seed: Seed = 0,
    json: JsonOption = False,
) -> None:
    """Serve requests with continuous batching, chunked prefill and paged keys and values.

    Throughput counts prompt and answer tokens; normalised latency is the time from arrival to last token over the
    tokens of the answer. Iteration times come from the scheduler's cycle model (overlapped, nano_only) or from
    calibrated kernel times (sequential).
    """
    from arch.workload import load_model, load_node
    from sim.serving.iteration_time import iteration_times
    from sim.serving.server import serve as serve_trace
    from sim.serving.trace import find_trace, with_arrivals

    if requests < 0:
        raise InputError(f"requests must be 0 or more, not {requests}")
    started = time.perf_counter()
    n_requests = requests or (None if trace.endswith(".csv") else 10_000)
    served = find_trace(trace, n_requests, seed)
    if rate != 0:
        served = with_arrivals(served, rate, seed)
    decoder, node = load_model(model), load_node(device)
    with progress("timing iterations"):
        times = iteration_times(decoder, node, engine, interference)
    with progress(f"serving {len(served)} requests"):
        found = serve_trace(served, decoder, node, times, asynchronous=not synchronous)
    result = {
        "trace": trace,
        "rate": rate,
        "requests": len(served),
        "throughput_tokens_per_s_per_gpu": found.tokens_per_s_per_gpu,
        "steady_tokens_per_s_per_gpu": found.steady_tokens_per_s_per_gpu,
        "ttft_s": asdict(found.ttft_s),
        "tpot_s": asdict(found.tpot_s),
        "normalized_latency_s": asdict(found.normalized_latency_s),
        "makespan_s": found.makespan_s,
        "model": model,
        "device": device,
        "engine": engine,
        "seed": seed,
        "kv_capacity_tokens": found.capacity_tokens,
        "counters": found.counters,
        "source": times.source,
        "extrapolated": times.extrapolated,
        "seconds": time.perf_counter() - started,
    }
    if json:
        print_json(result)
        return
    rows = [
        ("time to first token, s", *asdict(found.ttft_s).values()),
        ("time per output token, s", *asdict(found.tpot_s).values()),
        ("normalised latency, s", *asdict(found.normalized_latency_s).values()),
    ]
    count = found.counters
    padding = count["padded_rows"] / count["iterations"]
    caption = (
        f"{found.tokens_per_s_per_gpu:.0f} tokens/s/GPU over {found.makespan_s:.0f} s "
        f"({found.steady_tokens_per_s_per_gpu:.0f} in the middle half), {count['iterations']} "
        f"iterations of {count['rows'] / count['iterations']:.0f} rows and {padding:.0f} of padding; "
        f"at most {count['peak_requests']} requests and {count['peak_pages'] * 16 / found.capacity_tokens:.1%} of the "
        f"cache, {count['swaps']} swaps; {times.source}" + (", extrapolated" if times.extrapolated else "")
    )
    how = "as they come" if rate == 0 else f"{rate:g} a second"
    title = f"{len(served)} requests of {trace}, {how}, {model} on {device}, {engine}"
    print_table(title, ("", "mean", "p50", "p90", "p99"), rows, caption)
