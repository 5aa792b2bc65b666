"""The self-checking bench of a released build in plain Verilog, with its words as hex files."""

from pathlib import Path

import numpy as np

from arch.register_map import register_map
from arch.release import ReleaseConfig

__all__ = ["smoke_bench_files"]

_TEMPLATE = Path(__file__).with_name("smoke_bench.v")
_REGISTERS = ("id", "config_hash", "control", "status", "irq_status", "irq_enable", "failed", "points", "results")
_HOLE = 0xFFC


def smoke_bench_files(
    release: ReleaseConfig,
    *,
    load: np.ndarray,
    points: np.ndarray,
    last: np.ndarray,
    results: np.ndarray,
    timed_first: int,
    timed_clocks: int,
) -> dict[str, str]:
    """Texts by file name: the bench ``<top>_smoke.v`` and ``load.hex``, ``points.hex``, ``results.hex``.

    Parameters
    ----------
    release : the build
    load, points, results : (n, bytes) uint8 words of the three streams
    last : (points,) bool, TLAST of points and results
    timed_first, timed_clocks : first point of the run without pauses, and how many clocks it must take
    """
    registers = register_map(release.cluster)
    addresses = [
        f"  localparam [11:0] {name.upper()}_ADDRESS = 12'h{registers.register(name).address:03x};"
        for name in _REGISTERS
    ]
    addresses.append(f"  localparam [11:0] HOLE_ADDRESS = 12'h{_HOLE:03x};")
    addresses += [
        f"  localparam [31:0] {name.upper()} = 32'h{registers.register(name).reset:08x};"
        for name in ("id", "config_hash")
    ]
    clocks = len(load) + len(points) * timed_clocks // (len(points) - timed_first)
    beat = release.cluster.beat_points
    beats, point_lines = _transfers(points, last, beat)
    values = {
        "TOP": release.top,
        "LOADS": len(load),
        "POINTS": len(point_lines),
        "POINT_BITS": 8 * beat * points.shape[1],
        "RESULT_BITS": 8 * beat * results.shape[1],
        "COUNT": "POINTS" if beat == 1 else len(points),
        "TIMED_FIRST": beats[timed_first],
        "TIMED_CLOCKS": timed_clocks,
        "LIMIT": 3 * clocks + 5000,
        "ADDRESSES": "\n".join(addresses),
        "OUTSIDE": "\n".join(_outside(release)),
        **_wide(beat, points.shape[1], results.shape[1]),
    }
    bench = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        bench = bench.replace(f"@{name}@", str(value))
    return {
        f"{release.top}_smoke.v": bench,
        "load.hex": "".join(f"{_hex(word)}\n" for word in load),
        "points.hex": "".join(point_lines),
        "results.hex": "".join(_transfers(results, last, beat)[1]),
    }


def _transfers(words: np.ndarray, last: np.ndarray, beat: int) -> tuple[list[int], list[str]]:
    """In which transfer each word goes, and the transfers' lines: which words there are, TLAST and TDATA."""
    numbers, lines, held = [], [], []
    for word, ends in zip(words, last, strict=True):
        numbers.append(len(lines))
        held.append(word)
        if ends or len(held) == beat:
            data = np.concatenate([*held, np.zeros((beat - len(held)) * len(word), dtype=np.uint8)])
            front = int(ends) | (0 if beat == 1 else ((1 << len(held)) - 1) << 1)
            lines.append(f"{front:x}{_hex(data)}\n")
            held = []
    return numbers, lines


def _wide(beat: int, point_bytes: int, result_bytes: int) -> dict[str, str]:
    """What the bench says otherwise of streams with several words a transfer: TKEEP and TUSER of each word."""
    if beat == 1:
        return {
            "POINTS_ARE": "points and results", "ABOVE": "", "IN_FRONT": "TLAST", "USER_BITS": "",
            "POINT_KEEP": "{POINT_BITS/8{1'b1}}", "RESULT_KEEP": "(&result_keep) !== 1'b1",
        }  # fmt: skip
    keeps = {
        name: ", ".join(f"{{{size}{{{name}_now[{name.upper()}_BITS+{word + 1}]}}}}" for word in reversed(range(beat)))
        for name, size in (("point", point_bytes), ("result", result_bytes))
    }
    return {
        "POINTS_ARE": f"transfers of up to {beat} points, and of results",
        "ABOVE": f"+{beat}",
        "IN_FRONT": "which words there are and TLAST",
        "USER_BITS": f"[{beat - 1}:0] ",
        "POINT_KEEP": f"{{{keeps['point']}}}",
        "RESULT_KEEP": f"result_keep !== {{{keeps['result']}}}",
    }


def _hex(word: np.ndarray) -> str:
    return word.tobytes()[::-1].hex()


def _outside(release: ReleaseConfig) -> list[str]:
    """Connections of the units outside the cluster, which the test leaves alone."""
    cluster = release.cluster
    units = range(cluster.scheduler.n_units) if cluster.scheduler else ()
    return [
        f"    .m_axis_issue{unit}_tdata(), .m_axis_issue{unit}_tkeep(), .m_axis_issue{unit}_tlast(),\n"
        f"    .m_axis_issue{unit}_tvalid(), .m_axis_issue{unit}_tready(1'b1), .s_axis_complete{unit}_tready(),\n"
        f"    .s_axis_complete{unit}_tdata(8'h0), .s_axis_complete{unit}_tkeep(1'b1),\n"
        f"    .s_axis_complete{unit}_tlast(1'b1), .s_axis_complete{unit}_tvalid(1'b0),"
        for unit in units
        if unit != cluster.scheduler_unit
    ]
