"""Timelines as files: what every command with a schedule can leave behind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from arch.whole_file import write_whole
from cli.output import note
from sim.machine.timeline import Timeline

__all__ = ["SvgOption", "TraceOption", "write_timelines"]

TraceOption = Annotated[Path | None, typer.Option(help="Perfetto trace to write, .json; open it in ui.perfetto.dev.")]
SvgOption = Annotated[Path | None, typer.Option(help="Picture of the middle iteration to write, .svg.")]


def write_timelines(timelines: Mapping[str, Timeline], trace: Path | None, svg: Path | None) -> None:
    """Write what was asked for: all of every timeline as a trace, the middle iteration of each as a picture."""
    entries = {name: timeline.entries for name, timeline in timelines.items()}
    if trace is not None:
        from report.perfetto import perfetto_trace

        write_whole(trace, perfetto_trace(entries))
        note(f"trace: {trace}")
    if svg is not None:
        from report.plots import schedule

        middle = min(timeline.program.count for timeline in timelines.values()) // 2
        write_whole(svg, schedule(entries, layer=middle))
        note(f"picture: {svg}")
