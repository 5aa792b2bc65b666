"""Traces are what the Chrome trace event format asks for."""

import json
from types import SimpleNamespace

from report.perfetto import perfetto_trace

ENTRIES = [
    SimpleNamespace(nano_operation="KQV.0", operation="KQV", unit="gemm", layer=0, start_us=0.0, end_us=4.5),
    SimpleNamespace(
        nano_operation="Attn.0", operation="DecodeAttention", unit="gemv", layer=0, start_us=4.5, end_us=9.0
    ),
    SimpleNamespace(nano_operation="KQV.0", operation="KQV", unit="gemm", layer=1, start_us=9.0, end_us=13.5),
]


def test_one_process_a_timeline_and_one_thread_a_unit():
    events = json.loads(perfetto_trace({"overlapped": ENTRIES, "sequential": ENTRIES[:1]}))["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] in ("process_name", "thread_name")}
    assert names == {(1, 0): "overlapped", (1, 1): "gemm", (1, 2): "gemv", (2, 0): "sequential", (2, 1): "gemm"}


def test_complete_events_carry_times_in_microseconds():
    events = [e for e in json.loads(perfetto_trace({"run": ENTRIES}))["traceEvents"] if e["ph"] == "X"]
    assert [(e["name"], e["cat"], e["tid"], e["ts"], e["dur"], e["args"]["layer"]) for e in events] == [
        ("KQV.0", "KQV", 1, 0.0, 4.5, 0),
        ("Attn.0", "DecodeAttention", 2, 4.5, 4.5, 0),
        ("KQV.0", "KQV", 1, 9.0, 4.5, 1),
    ]
