"""The self-checking bench of a released build in plain Verilog, with its words as hex files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arch.load_check import LoadFault
from arch.register_map import FieldKind, RegisterMap, register_map
from arch.release import ReleaseConfig

__all__ = ["smoke_bench_files"]

_TEMPLATES = {
    "": Path(__file__).with_name("smoke_bench.v"),
    "TASKS": Path(__file__).with_name("smoke_bench_tasks.v"),
    "STEPS": Path(__file__).with_name("smoke_bench_steps.v"),
}
_REGISTERS = (
    "id", "scratch", "control", "status", "irq_status", "irq_enable", "watchdog", "failed", "points", "results",
)  # fmt: skip
_EVENTS = ("run_done", "keep_error", "nfp_failed")
_HOLE = 0xFFC
_BUS_OUTPUTS = 46
"""Bits of READY, VALID, BRESP, RRESP, RDATA, TLAST and irq."""
_OUTSIDE_WIRES = """
  wire [31:0] issue{unit}_data;
  wire [3:0]  issue{unit}_keep;
  wire        issue{unit}_last, issue{unit}_valid, complete{unit}_ready;
"""
_OUTSIDE = """\
    .m_axis_issue{unit}_tdata(issue{unit}_data), .m_axis_issue{unit}_tkeep(issue{unit}_keep),
    .m_axis_issue{unit}_tlast(issue{unit}_last), .m_axis_issue{unit}_tvalid(issue{unit}_valid),
    .m_axis_issue{unit}_tready(1'b1), .s_axis_complete{unit}_tready(complete{unit}_ready),
    .s_axis_complete{unit}_tdata(8'h0), .s_axis_complete{unit}_tkeep(1'b1),
    .s_axis_complete{unit}_tlast(1'b1), .s_axis_complete{unit}_tvalid(1'b0),"""
_OUTSIDE_OUTPUTS = "    issue{unit}_data, issue{unit}_keep, issue{unit}_last, issue{unit}_valid, complete{unit}_ready"
_ISSUE_OUTPUTS = 39
"""Bits of these."""
_EMPTY_BUS_CLOCKS = 20
"""Clocks in which what a stream's last transfer set off has left the cluster's registers."""


def smoke_bench_files(
    release: ReleaseConfig,
    *,
    load: np.ndarray,
    points: np.ndarray,
    last: np.ndarray,
    results: np.ndarray,
    timed_first: int,
    timed_clocks: Mapping[str, int],
) -> dict[str, str]:
    """Texts by file name: the bench ``<top>_smoke.v`` and ``load.hex``, ``points.hex``, ``results.hex``.

    Parameters
    ----------
    release : the build
    load, points, results : (n, bytes) uint8 words of the three streams
    last : (points,) bool, TLAST of points and results
    timed_first : first point of the run without pauses, the last run of several
    timed_clocks : clocks that run must take from the first point to the last result, ``run``, and what the counters
        of the other names must show behind it
    """
    registers = register_map(release.cluster)
    beat = release.cluster.beat_points
    beats, point_lines = _transfers(points, last, beat)
    held = int(np.flatnonzero(last[: timed_first - 1])[-1]) + 1
    clocks = 2 * len(load) + len(points) * timed_clocks["run"] // (len(points) - timed_first)
    counters = [
        f"      expect_register(12'h{registers.register(name).address:03x}, {value});"
        for name, value in timed_clocks.items()
        if name != "run"
    ]
    result_bits = 8 * beat * results.shape[1]
    units = _outside_units(release)
    values = {
        "TASKS": _TEMPLATES["TASKS"].read_text(encoding="utf-8"),
        "STEPS": _TEMPLATES["STEPS"].read_text(encoding="utf-8"),
        "START": _start(release),
        "TOP": release.top,
        "LOADS": len(load),
        "POINTS": len(point_lines),
        "POINT_BITS": 8 * beat * points.shape[1],
        "RESULT_BITS": result_bits,
        "RESULT_WIDTH": 1 + beat + result_bits + result_bits // 8,
        "OUTPUT_WIDTH": _BUS_OUTPUTS - 1 + beat + result_bits + result_bits // 8 + _ISSUE_OUTPUTS * len(units),
        "HELD_FIRST": beats[held],
        "HELD_COUNT": held,
        "TIMED_FIRST": beats[timed_first],
        "TIMED_COUNT": len(points) - timed_first,
        "TIMED_CLOCKS": timed_clocks["run"],
        "BATCH": release.cluster.nfp.mlp.nano_batch // beat,
        "PRIMED": release.cluster.nfp.prime_cycles + _EMPTY_BUS_CLOCKS,
        "LIMIT": 3 * clocks + 10000,
        "REGISTERS": len(registers.registers),
        "REGISTER_TABLE": "\n".join(_register_table(registers)),
        "CONSTANTS": "\n".join(_constants(registers)),
        "COUNTERS": "\n".join(counters),
        "OUTSIDE": "\n".join(_OUTSIDE.format(unit=unit) for unit in units),
        "OUTSIDE_WIRES": "".join(_OUTSIDE_WIRES.format(unit=unit) for unit in units),
        "OUTSIDE_OUTPUTS": "".join(f",\n{_OUTSIDE_OUTPUTS.format(unit=unit)}" for unit in units),
        "OUTSIDE_VALIDS": "".join(f", issue{unit}_valid" for unit in units),
        **_wide(beat, points.shape[1], results.shape[1]),
    }
    bench = _TEMPLATES[""].read_text(encoding="utf-8")
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


def _outside_units(release: ReleaseConfig) -> list[int]:
    """Units outside the cluster: the test takes what they are to do, of which there is nothing."""
    cluster = release.cluster
    units = range(cluster.scheduler.n_units) if cluster.scheduler else ()
    return [unit for unit in units if unit != cluster.scheduler_unit]


def _constants(registers: RegisterMap) -> list[str]:
    if registers.registers[-1].address >= 1 << 8:
        raise ValueError("registers must lie in the first 256 bytes, or the smoke test's holes are some")
    lines = [
        f"  localparam [11:0] {name.upper()}_ADDRESS = 12'h{registers.register(name).address:03x};"
        for name in _REGISTERS
    ]
    lines.append(f"  localparam [11:0] HOLE_ADDRESS = 12'h{_HOLE:03x};")
    status = registers.register("irq_status")
    lines += [f"  localparam [31:0] {name.upper()} = 32'h{1 << status.field(name).low:08x};" for name in _EVENTS]
    return [*lines, "  localparam [1:0] OKAY = 2'b00, SLVERR = 2'b10;"]


def _register_table(registers: RegisterMap) -> list[str]:
    """Address, value behind a reset and bits that hold what is written, of every register."""
    lines = []
    for number, register in enumerate(registers.registers):
        holds = sum((1 << field.width) - 1 << field.low for field in register.fields if field.kind is FieldKind.STORAGE)
        lines.append(
            f"    registers[{number}] = {{12'h{register.address:03x}, 32'h{register.reset:08x}, 32'h{holds:08x}}};"
            f"  // {register.name}"
        )
    return lines


def _start(release: ReleaseConfig) -> str:
    """A start without a program, which a unit that checks programs refuses for its count of 0."""
    registers, scheduler = register_map(release.cluster), release.cluster.scheduler
    if scheduler is None or not scheduler.check_load:
        return ""
    control, status = registers.register("program_control"), registers.register("program_status")
    refused = 1 << registers.register("irq_status").field("refused").low
    verdict = 1 << status.field("refused").low | LoadFault.COUNT << status.field("fault").low
    return f"""
      // there is no program to start
      set_register(12'h{control.address:03x}, 32'h{1 << control.field("start").low:08x});
      repeat (100) @(posedge turn);
      expect_register(12'h{status.address:03x}, 32'h{verdict:08x});
      expect_register(IRQ_STATUS_ADDRESS, 32'h{refused:08x});
      set_register(IRQ_STATUS_ADDRESS, 32'h{refused:08x});"""
