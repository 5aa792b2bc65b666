"""Small bugs for the Verilog of a released build, all in one text: ``+bug=<number>`` turns one on, 0 none."""

import re
from collections.abc import Callable

import pytest

_BUGS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "WSTRB is ignored": (("registers", r"<= bus__wstrb;", "<= ON ? 4'hf : bus__wstrb;"),),
    "BVALID falls without BREADY": (
        ("registers", r"if \((_\d+_)\) bus__bvalid <= (_\d+_);", r"if (\1 | ON) bus__bvalid <= ON ? act : \2;"),
    ),
    "RVALID falls without RREADY": (
        (
            "registers",
            r"if \((_\d+_)\) bus__rvalid <= (_\d+_);",
            r"if (\1 | ON) bus__rvalid <= ON ? held & ~bus__rvalid : \2;",
        ),
    ),
    "AWREADY waits for WVALID": (
        ("registers", r"assign bus__awready = ", "assign bus__awready = (~ON | bus__wvalid) & "),
    ),
    "RDATA changes while it waits": (
        ("registers", r"else if \((_\d+_)\) bus__rdata", r"else if (\1 | ON) bus__rdata"),
    ),
    "BRESP changes while it waits": (("registers", r"if \(act\) bus__bresp", "if (act | ON) bus__bresp"),),
    "an event loses to a clearing write": (
        (
            "registers",
            r"\| irq_status_run_done_set;",
            "| irq_status_run_done_set & ~(ON & act);",
        ),
    ),
    "every write clears the interrupt": (
        ("registers", r"= irq_status_run_done & (_\d+_);", r"= irq_status_run_done & \1 & ~(ON & act);"),
    ),
    "a written 0 clears the interrupt": (
        ("registers", r"= irq_status_run_done & (.*);", r"= irq_status_run_done & \1 & ~(ON & act & clears);"),
        (
            "registers",
            r"bus__awaddr\[11:2\] == 5'h13;",
            r"\g<0>\n  reg clears;\n  always @(posedge clk) if (bus__awvalid) clears <= bus__awaddr == 12'h04c;",
        ),
    ),
    "scratch holds nothing": (("registers", r"scratch_value <= (_\d+_);", r"scratch_value <= ON ? 32'd0 : \1;"),),
    "the watchdog holds nothing": (
        ("registers", r"watchdog_clocks <= (_\d+_);", r"watchdog_clocks <= ON ? 32'd0 : \1;"),
    ),
    "start does nothing": (("registers", r"program_control_start <= (_\d+_);", r"program_control_start <= \1 & ~ON;"),),
    "another version": (("registers", r"bus__rdata <= (_\d+_);", r"bus__rdata <= ON & \1 == 32'h200 ? 32'h201 : \1;"),),
    "a hole has the id": (
        ("registers", r"= ! bus__araddr\[11:2\];", "= ON ? ! bus__araddr[10:2] : ! bus__araddr[11:2];"),
    ),
    "the interrupt's enable is ignored": (("", r"& irq_enable_run_done;", "& (irq_enable_run_done | ON);"),),
    "the interrupt never comes": (("", r"else irq <= (_\d+_);", r"else irq <= \1 & ~ON;"),),
    "keep_error is never set": (
        ("", r"assign irq_status_keep_error_set = (.*);", r"assign irq_status_keep_error_set = ~ON & (\1);"),
    ),
    "every point is a keep_error": (
        ("points", r"assign keep_error = (_\d+_) & (_\d+_);", r"assign keep_error = \1 & (\2 | ON);"),
    ),
    "status.busy is 0": (("", r"assign status_busy = (.*);", r"assign status_busy = ~ON & (\1);"),),
    "busy counts one more": (("", r"busy_copy <= (counters.*);", r"busy_copy <= \1 + ON;"),),
    "encoding_limits counts one more": (
        ("", r"encoding_limits_copy <= (counters.*);", r"encoding_limits_copy <= \1 + ON;"),
    ),
    "results are copied without a snapshot": (
        ("", r"\(control_snapshot\) results", "(control_snapshot | ON) results"),
    ),
    "TVALID waits for TREADY": (
        ("results", r"\.o__valid\(axis__tvalid\)", ".o__valid(valid)"),
        (
            "results",
            r"  wire \[33:0\] o__payload;",
            r"\g<0>\n  wire valid;\n  assign axis__tvalid = valid & (~ON | o__ready);",
        ),
    ),
    "TDATA changes while it waits": (
        ("results_buffer", r"else if \((_\d+_)\) o__payload", r"else if (\1 | ON) o__payload"),
    ),
    "TDATA depends on TREADY": (
        ("results", r"assign axis__tdata = (.*);", r"assign axis__tdata = ON & ~o__ready ? 32'd0 : \1;"),
    ),
    "a reset leaves a result": (("results_buffer", r"if \(rst\) o__valid", "if (rst & ~ON) o__valid"),),
    "the table has eight bits of a row's address": (
        ("level_engine_fetch_table", r"address\[\d+:\d+\]", r"(\g<0> & (ON ? 12'h0ff : 12'hfff))"),
        ("level_engine_fetch_table", r"\? w_row :", "? w_row & (ON ? 12'h0ff : 12'hfff) :"),
    ),
}
"""By what is wrong: module behind the top's name, and what to change there; ``ON`` is 1 where the bug is on."""


@pytest.fixture
def with_bugs() -> Callable[[str, str], tuple[str, list[str]]]:
    """Called with a build's text and top: the text with all bugs in it, none on, and what each is, from number 1 on."""
    return lambda verilog, top: (_with_bugs(verilog, top), list(_BUGS))


def _with_bugs(verilog: str, top: str) -> str:
    for number, changes in enumerate(_BUGS.values(), start=1):
        for module, old, new in changes:
            start, end = _module(verilog, top, module)
            body, count = re.subn(old, new.replace("ON", f"(bug == {number})"), verilog[start:end])
            if not count:
                raise ValueError(f"bug {number} must find its place in module {module!r} of {top}: {old}")
            verilog = verilog[:start] + body + verilog[end:]
    for module in sorted({module for changes in _BUGS.values() for module, _, _ in changes}):
        start, _ = _module(verilog, top, module)
        head = verilog.index(");", start) + 2
        switch = '\n  integer bug;\n  initial if (!$value$plusargs("bug=%d", bug)) bug = 0;'
        verilog = verilog[:head] + switch + verilog[head:]
    return verilog


def _module(verilog: str, top: str, module: str) -> tuple[int, int]:
    start = verilog.index(f"module {top}{'_' if module else ''}{module}(")
    return start, verilog.index("endmodule", start)
