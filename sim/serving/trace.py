"""Requests to serve: read from a file, or drawn with the lengths a published trace has."""

import csv
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from arch.errors import InputError, check_integer, check_one_of, check_positive
from arch.requests import RequestLengths
from arch.workload import load_requests

__all__ = ["ARRIVALS", "RequestTrace", "find_trace", "read_trace", "synthetic_trace", "with_arrivals"]

ARRIVALS = ("poisson", "regular", "bursty")
"""How requests come: independently of one another, at equal intervals, or in bursts."""

_MOST_REQUESTS = 1_000_000
_MOST_TOKENS = 1 << 20
_MOST_BYTES = 1 << 27
_LONGEST_S = 1e9
"""Thirty years: longer traces lose microseconds in a double."""

_COLUMNS = {
    "arrival": ("arrival_s", "arrival", "timestamp"),
    "prompt": ("prompt", "prompt_tokens", "input_length", "contexttokens", "num_prefill_tokens"),
    "decode": ("decode", "decode_tokens", "output_length", "generatedtokens", "num_decode_tokens"),
}
"""Names a column may have, in any case: ours, those of the Azure traces and those of Vidur."""


@dataclass(frozen=True, kw_only=True)
class RequestTrace:
    """Requests in order of arrival.

    Parameters
    ----------
    name : where they come from
    arrival_s : (n,) float64, ascending
    prompt, decode : (n,) int64, tokens, at least 1 each
    """

    name: str
    arrival_s: np.ndarray
    prompt: np.ndarray
    decode: np.ndarray

    def __len__(self) -> int:
        return len(self.prompt)


def synthetic_trace(lengths: RequestLengths, n_requests: int, seed: int) -> RequestTrace:
    """Requests whose lengths have the means and deviations of a trace, all arriving at once.

    Lengths are log-normal, rounded to tokens and at least 1 (ASSUMED; the published traces are skewed to the right as
    well). A draw is scaled to the mean asked for, so that samples of few requests have the load of many.
    """
    check_integer("n_requests", n_requests, 1, _MOST_REQUESTS)
    check_integer("seed", seed, 0, (1 << 63) - 1)
    rng = np.random.default_rng(seed)
    drawn = [
        _lengths(rng, getattr(lengths, f"{kind}_mean"), getattr(lengths, f"{kind}_std"), n_requests)
        for kind in ("prompt", "decode")
    ]
    return RequestTrace(name=lengths.name, arrival_s=np.zeros(n_requests), prompt=drawn[0], decode=drawn[1])


def _lengths(rng: np.random.Generator, mean: float, std: float, n: int) -> np.ndarray:
    if not std:
        return np.full(n, round(mean), dtype=np.int64)
    variance = np.log1p((std / mean) ** 2)
    values = rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), n)
    values *= mean / values.mean()
    return np.clip(np.rint(values), 1, _MOST_TOKENS).astype(np.int64)


def with_arrivals(
    trace: RequestTrace, rate: float, seed: int, process: str = "poisson", variation: float = 2.0
) -> RequestTrace:
    """The same requests arriving at ``rate`` requests a second on the mean.

    Parameters
    ----------
    trace : requests; their own arrivals are dropped
    rate : requests a second
    seed : of the gaps
    process : one of ``ARRIVALS``: exponential gaps, equal gaps, or gamma gaps whose deviation is ``variation`` times
        their mean (above 1 requests come in bursts)
    variation : of ``bursty``

    Raises
    ------
    InputError
        If a number is out of range or the process unknown.
    """
    check_positive("rate", rate)
    check_integer("seed", seed, 0, (1 << 63) - 1)
    check_one_of("arrivals", process, ARRIVALS)
    check_positive("variation of the gaps", variation)
    if not 0.05 <= variation <= 20:
        raise InputError(f"variation of the gaps must be 0.05 to 20, not {variation:g}")
    # lengths and arrivals of one seed must not be drawn from the same numbers
    rng = np.random.default_rng([seed, 1])
    n, gap = len(trace), 1.0 / rate
    if n / rate > _LONGEST_S:
        raise InputError(f"rate must be at least {n / _LONGEST_S:g} for {n} requests, not {rate!r}")
    if process == "regular":
        gaps = np.full(n, gap)
    elif process == "bursty":
        shape = variation**-2
        gaps = rng.gamma(shape, gap / shape, n)
    else:
        gaps = rng.exponential(gap, n)
    return replace(trace, arrival_s=np.cumsum(gaps))


def find_trace(name: str, n_requests: int | None, seed: int) -> RequestTrace:
    """A trace by the name of a lengths preset, or by the path of a ``.csv`` file (its first ``n_requests``)."""
    if not name.endswith(".csv"):
        return synthetic_trace(load_requests(name), 1000 if n_requests is None else n_requests, seed)
    trace = read_trace(Path(name))
    if n_requests is None:
        return trace
    check_integer("n_requests", n_requests, 1, len(trace))
    return replace(
        trace,
        arrival_s=trace.arrival_s[:n_requests],
        prompt=trace.prompt[:n_requests],
        decode=trace.decode[:n_requests],
    )


def read_trace(path: Path) -> RequestTrace:
    """Requests of a CSV file with a header: ``prompt``, ``decode`` and, if there are arrivals, ``arrival_s``.

    The names of the Azure traces and of Vidur serve too. Without arrivals all requests arrive at once; with them
    they are sorted by arrival, and the first arrives at 0.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or a value is not a number of the right kind.
    """
    columns = _read_columns(path)
    prompt, decode = (
        np.array([_integer(path, line, kind, text) for line, text in enumerate(columns[kind], 2)], dtype=np.int64)
        for kind in ("prompt", "decode")
    )
    if not len(prompt):
        raise InputError(f"trace must have at least one request, not none as {str(path)!r}")
    arrival = np.zeros(len(prompt))
    if "arrival" in columns:
        arrival = np.array([_seconds(path, line, text) for line, text in enumerate(columns["arrival"], 2)])
        order = np.argsort(arrival, kind="stable")
        arrival, prompt, decode = arrival[order] - arrival.min(), prompt[order], decode[order]
    return RequestTrace(name=path.stem, arrival_s=arrival, prompt=prompt, decode=decode)


def _read_columns(path: Path) -> dict[str, list[str]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"trace must have at most {_MOST_BYTES} bytes, not {path.stat().st_size}")
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except OSError as error:
        raise InputError(f"trace must be a readable file, not {str(path)!r} ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"trace must be CSV text, not {str(path)!r}") from error
    if not rows:
        raise InputError(f"trace must have a header, not be empty as {str(path)!r}")
    if len(rows) - 1 > _MOST_REQUESTS:
        raise InputError(f"requests of a trace must be at most {_MOST_REQUESTS}, not {len(rows) - 1}")
    header = [name.strip().lower() for name in rows[0]]
    columns = {}
    for kind, names in _COLUMNS.items():
        found = next((header.index(name) for name in names if name in header), None)
        if found is None:
            if kind == "arrival":
                continue
            raise InputError(f"trace must have a column {kind}, not only {', '.join(header)}")
        columns[kind] = [row[found] if found < len(row) else "" for row in rows[1:]]
    return columns


def _integer(path: Path, line: int, kind: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= _MOST_TOKENS:
        raise InputError(f"{kind} in line {line} of {path} must be 1 to {_MOST_TOKENS} tokens, not {text!r}")
    return value


def _seconds(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = _date_seconds(text)
    if not -2e9 < value < 1e10:
        raise InputError(f"arrival in line {line} of {path} must be a number of seconds or a date, not {text!r}")
    return value


def _date_seconds(text: str) -> float:
    """Seconds of a date such as ``2023-11-16 18:17:03.9799600``; fractions beyond microseconds are dropped."""
    whole, _, fraction = text.strip().partition(".")
    try:
        date = datetime.fromisoformat(whole).replace(tzinfo=UTC)
        return date.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    except ValueError:
        return float("nan")
