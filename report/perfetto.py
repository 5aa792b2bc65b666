"""Timelines as traces in the Chrome trace event format, which ui.perfetto.dev and chrome://tracing open.

One timeline is one process, one unit of it one thread, one nano-operation one complete event. Times in the format
are microseconds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from sim.machine.timeline import TimelineEntry

__all__ = ["perfetto_trace", "serving_trace"]


def perfetto_trace(timelines: Mapping[str, Sequence[TimelineEntry]]) -> str:
    """JSON text of a trace with one process for each named timeline."""
    events = []
    for process, (name, entries) in enumerate(timelines.items(), 1):
        events.append(_name("process_name", process, 0, name))
        threads = {unit: number for number, unit in enumerate(dict.fromkeys(entry.unit for entry in entries), 1)}
        for unit, thread in threads.items():
            events.append(_name("thread_name", process, thread, unit))
            events.append({**_name("thread_sort_index", process, thread, ""), "args": {"sort_index": thread}})
        events += [
            {
                "name": entry.nano_operation,
                "cat": entry.operation,
                "ph": "X",
                "pid": process,
                "tid": threads[entry.unit],
                "ts": entry.start_us,
                "dur": entry.end_us - entry.start_us,
                "args": {"layer": entry.layer, "shares": dict(entry.shares), "waited_for": entry.waited_for},
            }
            for entry in entries
        ]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, allow_nan=False)


def serving_trace(name: str, columns: Sequence[str], iterations: Iterable[Sequence[float]]) -> str:
    """JSON text of a served trace: one event an iteration, and a counter track for what else is known of it.

    The first two of ``columns`` are start and length in seconds; the others are whole numbers.
    """
    events = [_name("process_name", 1, 0, name), _name("thread_name", 1, 1, "iterations")]
    for number, (start, seconds, *values) in enumerate(iterations):
        place = {"pid": 1, "tid": 1, "ts": start * 1e6}
        known = dict(zip(columns[2:], map(int, values), strict=True))
        events.append({"name": f"iteration {number}", "ph": "X", **place, "dur": seconds * 1e6, "args": known})
        events += [{"name": what, "ph": "C", **place, "args": {what: value}} for what, value in known.items()]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, allow_nan=False)


def _name(what: str, process: int, thread: int, name: str) -> dict:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
