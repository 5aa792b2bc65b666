"""Traces are what the Chrome trace event format asks for."""

import json

from report.perfetto import perfetto_trace
from sim.machine.timeline import TimelineEntry


def entry(name: str, unit: str, layer: int, start_us: float) -> TimelineEntry:
    return TimelineEntry(
        nano_operation=f"{name}0", operation=name, unit=unit, layer=layer, start_us=start_us, end_us=start_us + 4.5,
        shares={"share": 40}, waited_for="unit",
    )  # fmt: skip


ENTRIES = [entry("KQV", "gemm", 0, 0.0), entry("DecodeAttention", "gemv", 0, 4.5), entry("KQV", "gemm", 1, 9.0)]


def test_one_process_a_timeline_and_one_thread_a_unit():
    events = json.loads(perfetto_trace({"overlapped": ENTRIES, "sequential": ENTRIES[:1]}))["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] in ("process_name", "thread_name")}
    assert names == {(1, 0): "overlapped", (1, 1): "gemm", (1, 2): "gemv", (2, 0): "sequential", (2, 1): "gemm"}


def test_complete_events_carry_times_in_microseconds():
    events = [e for e in json.loads(perfetto_trace({"run": ENTRIES}))["traceEvents"] if e["ph"] == "X"]
    assert [(e["name"], e["cat"], e["tid"], e["ts"], e["dur"], e["args"]["layer"]) for e in events] == [
        ("KQV0", "KQV", 1, 0.0, 4.5, 0),
        ("DecodeAttention0", "DecodeAttention", 2, 4.5, 4.5, 0),
        ("KQV0", "KQV", 1, 9.0, 4.5, 1),
    ]
    assert events[0]["args"] == {"layer": 0, "shares": {"share": 40}, "waited_for": "unit"}
