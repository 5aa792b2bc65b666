"""``ngpc verilog``: the Verilog of a processor and a scheduler unit, ready for any simulator or synthesis tool.

With ``--nfps`` also that of a cluster and the scheduler unit behind AXI buses, with the documents of its registers.
With ``--preset`` a released build instead: one file, its documents and its smoke test.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from arch.errors import InputError
from arch.nfp import ClusterConfig
from arch.presets import NFPS, SCHEDULERS, preset
from arch.release import RELEASES
from arch.whole_file import write_whole
from cli.output import JsonOption, print_json, print_table, progress

__all__ = ["verilog", "write_verilog"]

_PROCESSOR, _SCHEDULER = "nfp-16x16", "scheduler-32"


def verilog(
    *,
    processor: Annotated[
        str | None, typer.Option(help=f"Processor: {', '.join(NFPS)}.", show_default=_PROCESSOR)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help=f"Scheduler unit: {', '.join(SCHEDULERS)}.", show_default=_SCHEDULER)
    ] = None,
    nfps: Annotated[
        int | None,
        typer.Option(help="Processors of a cluster behind AXI buses, 1 to 64; by default none."),
    ] = None,
    release: Annotated[
        str | None, typer.Option("--preset", help=f"Released build, instead of the above: {', '.join(RELEASES)}.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory to write into.")] = Path("build/verilog"),
    json: JsonOption = False,
) -> None:
    """Write the Verilog of a processor and a scheduler unit, and a file list.

    With --nfps also nfp_top.v, a cluster and the scheduler unit with AXI4-Lite registers and AXI4-Stream data, and the
    registers as C header, IP-XACT and HTML pages.

    With --preset a released build: ngpc_<preset>.v, filelist.f, a FuseSoC core, lint waivers, resources, the registers'
    documents, and smoke/, a test in plain Verilog.

    The same configuration gives the same bytes.
    """
    if release is not None:
        _write_release(release, (processor, scheduler, nfps), out, json)
        return
    processor, scheduler = processor or _PROCESSOR, scheduler or _SCHEDULER
    with progress("generating Verilog") as update:
        files = write_verilog(processor, scheduler, out, update, nfps=nfps or 0)
    rows = [{"file": str(path), "top": path.stem, "bytes": path.stat().st_size} for path in files]
    if json:
        print_json({"processor": processor, "scheduler": scheduler, "files": rows})
    else:
        print_table("Verilog", ("file", "top module", "bytes"), [tuple(row.values()) for row in rows])


def _write_release(release: str, others: tuple[object, ...], out: Path, json: bool) -> None:
    from cli.release import release_digest, write_release

    if any(other is not None for other in others):
        raise InputError(
            "a released build must be asked for without --processor, --scheduler and --nfps; leave them out"
        )
    with progress("generating Verilog") as update:
        files = write_release(release, out, update)
    rows = [{"file": str(path), "bytes": path.stat().st_size} for path in files]
    digest = release_digest(out, files)
    if json:
        print_json({"preset": release, "top": RELEASES[release].top, "sha256": digest, "files": rows})
    else:
        shown = [row for row in rows if "/html/" not in row["file"]]
        print_table(f"Release {release}", ("file", "bytes"), [tuple(row.values()) for row in shown], f"sha256 {digest}")


def write_verilog(
    processor: str,
    scheduler: str,
    out: Path,
    update: Callable[[int, int], None] | None = None,
    *,
    nfps: int = 0,
) -> list[Path]:
    """Write ``nfp.v``, ``scheduler.v`` and ``filelist.f`` into ``out``; returns the Verilog files.

    With ``nfps`` also ``nfp_top.v``, a cluster of so many and the scheduler unit behind their buses, and
    ``registers/``, the documents.

    Raises
    ------
    InputError
        If a preset is unknown, Yosys cannot run or the directory cannot be written.
    """
    nfp_config = preset("processor", NFPS, processor)
    scheduler_config = preset("scheduler", SCHEDULERS, scheduler)

    cluster_config = ClusterConfig(nfp=nfp_config, n_nfps=nfps, scheduler=scheduler_config) if nfps else None

    from report.register_documents import write_register_documents
    from rtl.nfp.nfp import Nfp
    from rtl.nfp_top import NfpTop
    from rtl.scheduler.supervised_scheduler import scheduler_of
    from rtl.verilog import to_verilog

    components = {"nfp": (Nfp, nfp_config), "scheduler": (scheduler_of, scheduler_config)}
    if cluster_config is not None:
        components["nfp_top"] = (NfpTop, cluster_config)
    texts = {}
    for done, (name, (component, config)) in enumerate(components.items()):
        if update is not None:
            update(done, len(components))
        texts[name] = to_verilog(component(config), name)
    files = [write_whole(out / f"{name}.v", text) for name, text in texts.items()]
    if cluster_config is not None:
        write_register_documents(cluster_config, out / "registers")
    write_whole(out / "filelist.f", "".join(f"{path.name}\n" for path in files))
    return files
