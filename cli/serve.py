"""``ngpc serve``: requests arriving at a served language model, iteration by iteration."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arch.errors import InputError, check_one_of
from cli.comparison import Seed
from cli.output import JsonOption, note, print_json, print_table, progress

if TYPE_CHECKING:
    from sim.serving.server import ServingResult

__all__ = ["serve"]

_TRACED_ITERATIONS = 20_000


def serve(
    *,
    trace: Annotated[
        str, typer.Option(help="Lengths: lmsys, sharegpt, splitwise, 512-1024 ...; or a .csv file of requests.")
    ] = "sharegpt",
    rate: Annotated[
        float, typer.Option(help="Requests a second, Poisson; 0: as the file has them, or all at once.")
    ] = 0.0,
    rates: Annotated[
        str | None, typer.Option(help="Several rates, such as 5,10,20: a table of latencies against rate.")
    ] = None,
    arrivals: Annotated[str, typer.Option(help="poisson, regular or bursty.")] = "poisson",
    variation: Annotated[float, typer.Option(help="Deviation of bursty gaps over their mean.")] = 2.0,
    requests: Annotated[int, typer.Option(help="Requests; 0: 10,000, or all of a file.")] = 0,
    model: Annotated[str, typer.Option(help="Language model preset.")] = "llama2_70b",
    device: Annotated[str, typer.Option(help="GPU preset, or several of one: 8xa100_80gb.")] = "8xa100_80gb",
    engine: Annotated[str, typer.Option(help="overlapped, nano_only or sequential.")] = "overlapped",
    batch: Annotated[int, typer.Option(help="Rows of the dense batch; 0: the program's own.")] = 0,
    interference: Annotated[str, typer.Option(help="P(R) table of the overlapped engine.")] = "artifact",
    synchronous: Annotated[
        bool, typer.Option("--synchronous", help="Form a batch only when the one before is over.")
    ] = False,
    perfetto: Annotated[
        Path | None, typer.Option(help="Perfetto trace of the first 20,000 iterations to write, .json.")
    ] = None,
    seed: Seed = 0,
    json: JsonOption = False,
) -> None:
    """Serve requests with continuous batching, chunked prefill and paged keys and values.

    Throughput counts prompt and answer tokens; normalised latency is the time from arrival to last token over the
    tokens of the answer. Iteration times come from the scheduler's cycle model (overlapped, nano_only) or from
    calibrated kernel times (sequential).
    """
    from arch.whole_file import write_whole
    from arch.workload import load_model, load_node
    from report.perfetto import serving_trace
    from sim.serving.iteration_time import iteration_times
    from sim.serving.server import LOGGED
    from sim.serving.server import serve as serve_trace
    from sim.serving.trace import ARRIVALS, find_trace, with_arrivals

    if requests < 0:
        raise InputError(f"requests must be 0 or more, not {requests}")
    if rates is not None and rate != 0:
        raise InputError("rate must be left out beside rates, not be given too")
    if rates is not None and perfetto is not None:
        raise InputError("rates must be one rate for a perfetto trace, not several")
    check_one_of("arrivals", arrivals, ARRIVALS)
    every = [rate] if rates is None else _rates(rates)
    started = time.perf_counter()
    lengths = find_trace(trace, requests or (None if trace.endswith(".csv") else 10_000), seed)
    traces = [with_arrivals(lengths, each, seed, arrivals, variation) if each else lengths for each in every]
    decoder, node = load_model(model), load_node(device)
    with progress("timing iterations"):
        times = iteration_times(decoder, node, engine, interference, batch or None)
    shared = {"model": model, "device": device, "engine": engine, "arrivals": arrivals, "seed": seed,
              "dense_batch": times.dense_batch, "source": times.source, "extrapolated": times.extrapolated}  # fmt: skip
    results = []
    with progress(f"serving {len(lengths)} requests") as update:
        for number, (each, served) in enumerate(zip(every, traces, strict=True), 1):
            found = serve_trace(
                served, decoder, node, times, asynchronous=not synchronous,
                log_iterations=0 if perfetto is None else _TRACED_ITERATIONS,
            )  # fmt: skip
            results.append(_result(trace, each, found) | shared | {"seconds": time.perf_counter() - started})
            update(number, len(every))
    if perfetto is not None:
        write_whole(perfetto, serving_trace(f"{trace} on {device}", LOGGED, found.iterations.tolist()))
        note(f"trace: {perfetto}")
    title = f"{len(lengths)} requests of {trace}, {{}}, {model} on {device}, {engine}"
    if rates is not None:
        if json:
            print_json({"trace": trace, "rows": results})
        else:
            _print_rates(title.format(f"{arrivals} arrivals"), results)
    elif json:
        print_json(results[0])
    else:
        how = "as they come" if rate == 0 else f"{rate:g} a second, {arrivals}"
        _print_one(title.format(how), results[0])


def _rates(text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < each < 1e9 for each in found):
        raise InputError(f"rates must be numbers above 0 with commas between, not {text!r}")
    return found


def _result(trace: str, rate: float, found: "ServingResult") -> dict[str, Any]:
    return {
        "trace": trace,
        "rate": rate,
        "requests": len(found.trace),
        "throughput_tokens_per_s_per_gpu": found.tokens_per_s_per_gpu,
        "steady_tokens_per_s_per_gpu": found.steady_tokens_per_s_per_gpu,
        "ttft_s": asdict(found.ttft_s),
        "tpot_s": asdict(found.tpot_s),
        "normalized_latency_s": asdict(found.normalized_latency_s),
        "makespan_s": found.makespan_s,
        "kv_capacity_tokens": found.capacity_tokens,
        "counters": found.counters,
    }


_LATENCIES = (
    ("ttft_s", "time to first token, s"), ("tpot_s", "time per output token, s"),
    ("normalized_latency_s", "normalised latency, s"),
)  # fmt: skip


def _print_rates(title: str, results: Sequence[dict[str, Any]]) -> None:
    columns = ("requests/s", "tokens/s/GPU", *(f"{name} {part}" for name in ("TTFT", "TPOT", "latency")
                                               for part in ("mean", "p50", "p90", "p99")))  # fmt: skip
    lines = [
        (
            each["rate"], each["throughput_tokens_per_s_per_gpu"],
            *(value for name, _ in _LATENCIES for value in each[name].values()),
        )
        for each in results
    ]  # fmt: skip
    print_table(title, columns, lines, f"seconds; latency is normalised by the answer; {results[0]['source']}")


def _print_one(title: str, result: dict[str, Any]) -> None:
    count = result["counters"]
    padding = count["padded_rows"] / count["iterations"]
    caption = (
        f"{result['throughput_tokens_per_s_per_gpu']:.0f} tokens/s/GPU over {result['makespan_s']:.0f} s "
        f"({result['steady_tokens_per_s_per_gpu']:.0f} in the middle half), {count['iterations']} "
        f"iterations of {count['rows'] / count['iterations']:.0f} rows and {padding:.0f} of padding; "
        f"at most {count['peak_requests']} requests and "
        f"{count['peak_pages'] * 16 / result['kv_capacity_tokens']:.1%} of the cache, {count['swaps']} swaps; "
        f"{result['source']}" + (", extrapolated" if result["extrapolated"] else "")
    )
    rows = [(label, *result[name].values()) for name, label in _LATENCIES]
    print_table(title, ("", "mean", "p50", "p90", "p99"), rows, caption)
