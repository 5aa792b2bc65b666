"""``ngpc report``: the main job in one process, and the page, trace, pictures and Verilog it leaves behind."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arch.presets import NFPS, preset
from arch.whole_file import make_directory, write_whole
from cli.frame import print_frames
from cli.output import JsonOption, note, print_json, print_table, progress
from cli.render import Rendering, render_app
from cli.verilog import write_verilog
from report.page import SOURCES, Section, image, page, paragraph, pictures, points, table
from report.perfetto import perfetto_trace
from report.picture import png_bytes, write_png

if TYPE_CHECKING:
    from sim.machine.frame import AverageSpeedup
    from sim.machine.frame_columns import FrameRow
    from sim.machine.timeline import Timeline
    from sim.machine.tokens import TokenTiming

__all__ = ["report"]

_TITLE = "Open NGPC: the main job"
_SUMMARY = (
    "A trained photograph rendered through the RTL and compared value by value with the golden model, frames with and "
    "without an NGPC, tokens with and without nano-batch overlap, and the Verilog of it all. "
    f"Every figure names its source: {'; '.join(f'{name} = {text}' for name, text in SOURCES.items())}."
)
_SHOWN_FRAME = {"app": "gia", "encoding": "hashgrid", "resolution": "fhd", "n_nfp": 16}
_SHOWN_ENCODING, _SHOWN_RESOLUTION, _SHOWN_NFPS = "hashgrid", "fhd", 64


def report(
    *,
    out: Annotated[Path, typer.Option(help="Directory to write into.")] = Path("build/report"),
    processor: Annotated[str, typer.Option(help=f"Processor to render with: {', '.join(NFPS)}.")] = "nfp-16x16",
    scheduler: Annotated[str, typer.Option(help="Scheduler unit to write as Verilog.")] = "scheduler-32",
    json: JsonOption = False,
) -> None:
    """Render the photograph through the RTL, time frames and tokens, write Verilog, page and trace.

    Leaves report.html, trace.json, results.json, pictures/ and verilog/ in the directory. Exit code 1 if the RTL
    differs from the golden model or its clocks from the cycle model's.
    """
    from sim.machine.frame import assumptions, average_speedups, frame_pipeline, frame_table
    from sim.machine.frame_baseline import FrameBaseline
    from sim.machine.frame_columns import CLUSTER_MODES
    from sim.machine.tokens import time_tokens

    config = preset("processor", NFPS, processor)
    make_directory(out)
    with progress("generating Verilog") as update:
        files = write_verilog(processor, scheduler, out / "verilog", update)
    with progress("rendering gia through the RTL") as update:
        rendering = render_app("gia", config, update=update)
    with progress("timing frames") as update:
        frames = frame_table(encodings=["hashgrid", "densegrid", "lowres"], update=update)
    averages = average_speedups(frames)
    baseline = FrameBaseline.named("rtx3090")
    pipelines = [frame_pipeline(baseline, **_SHOWN_FRAME, mode=mode) for mode in CLUSTER_MODES]
    frame_timelines = {pipeline.name: pipeline.timeline() for pipeline in pipelines}
    with progress("timing tokens"):
        tokens = time_tokens()

    result = {
        "render": rendering.row,
        "frame": {"rows": [asdict(row) for row in frames], "averages": [asdict(row) for row in averages]},
        "tokens": tokens.as_json(),
        "verilog": [str(path.relative_to(out)) for path in files],
    }
    sections = _sections(
        rendering=rendering,
        processor=processor,
        frames=frames,
        averages=averages,
        frame_assumptions=assumptions(),
        tokens=tokens,
        frame_timelines=frame_timelines,
    )
    timelines = {**frame_timelines, **tokens.timelines}
    _write(out, rendering, sections, timelines, result)
    if json:
        print_json(result)
    else:
        shown = [row for row in frames if row.encoding == _SHOWN_ENCODING and row.resolution in ("fhd", "4k")]
        print_frames(shown, average_speedups(shown), assumptions())
        _print_tokens(tokens)
        against = {"float field": rendering.psnr_vs_float_db, "photograph": rendering.psnr_vs_truth_db}
        distances = ", ".join(f"{psnr:.1f} dB against the {what}" for what, psnr in against.items() if psnr is not None)
        note(
            f"gia through the RTL: {rendering.mismatches} mismatches, {rendering.row['clk_per_point']:.2f} clk/point, "
            f"{distances}\nreport: {out / 'report.html'}"
        )
    if rendering.mismatches or rendering.cycles != rendering.cycles_model:
        print("ngpc: the RTL and its models differ", file=sys.stderr)
        raise typer.Exit(1)


def _print_tokens(tokens: "TokenTiming") -> None:
    columns = ("model", "device", "execution", "layer ms", "tokens/s/GPU", "of optimal", "source")
    rows = [
        (r.model, r.device, r.execution, r.layer_ms, r.tokens_per_s_per_gpu, f"{r.fraction_of_optimal:.1%}", r.source)
        for r in tokens.rows
    ]
    print_table(f"Tokens, prompt {tokens.rows[0].prompt}, decode {tokens.rows[0].decode}", columns, rows)


def _write(
    out: Path,
    rendering: Rendering,
    sections: Sequence[Section],
    timelines: Mapping[str, "Timeline"],
    result: dict[str, Any],
) -> None:
    """Write everything, the page last, so that a page is never older than what it describes."""
    from json import dumps

    write_png(out / "pictures" / "gia_rtl.png", rendering.rtl)
    write_png(out / "pictures" / "gia_photograph.png", rendering.truth)
    write_whole(out / "trace.json", perfetto_trace({name: run.entries for name, run in timelines.items()}))
    write_whole(out / "results.json", dumps(result, indent=2, allow_nan=False) + "\n")
    write_whole(out / "report.html", page(_TITLE, _SUMMARY, sections))


def _sections(
    *,
    rendering: Rendering,
    processor: str,
    frames: Sequence["FrameRow"],
    averages: Sequence["AverageSpeedup"],
    frame_assumptions: Sequence[str],
    tokens: "TokenTiming",
    frame_timelines: Mapping[str, "Timeline"],
) -> list[Section]:
    return [
        Section(title="Picture", parts=_picture_parts(rendering, processor)),
        Section(title="Frames", parts=_frame_parts(frames, averages, frame_assumptions)),
        Section(title="Tokens", parts=_token_parts(tokens)),
        Section(title="Schedule", parts=_schedule_parts(tokens.timelines, frame_timelines)),
        Section(
            title="Files",
            parts=[
                points(
                    [
                        "trace.json: the same timelines in full; open it in ui.perfetto.dev or chrome://tracing.",
                        "results.json: every row on this page, with the keys of the commands' --json.",
                        "verilog/: the processor that rendered the picture and the scheduler unit, with filelist.f.",
                        "pictures/: the photograph and what the RTL made of it, as PNG.",
                    ]
                )
            ],
        ),
    ]


def _picture_parts(rendering: Rendering, processor: str) -> list[str]:
    shown = [
        image(png_bytes(rendering.truth), "png", "The photograph"),
        image(png_bytes(rendering.rtl), "png", f"Every pixel computed by the RTL of {processor}, int8"),
    ]
    if rendering.float_field is not None:
        shown.append(image(png_bytes(rendering.float_field), "png", "The same field in float64"))
    facts = [(name.replace("_", " "), value) for name, value in rendering.row.items() if name != "source"]
    return [
        paragraph(
            "A small neural field trained on the photograph, quantised to int8 and run through the generated hardware "
            "under Verilator. Mismatches counts output values that differ from the golden model."
        ),
        pictures(shown),
        table(("what", "value"), facts),
    ]


def _frame_parts(
    frames: Sequence["FrameRow"], averages: Sequence["AverageSpeedup"], sentences: Sequence[str]
) -> list[str]:
    from report.plots import frame_rates, frame_speedups

    columns = tuple(asdict(frames[0]))
    return [
        paragraph("Frame times of an RTX 3090 as published, and with the encoding and MLP kernels on an NGPC."),
        image(
            frame_speedups(frames, averages, _SHOWN_ENCODING, _SHOWN_RESOLUTION),
            "svg+xml",
            "Speed-up over cluster size; published marks R-high",
        ),
        image(frame_rates(frames, _SHOWN_ENCODING, _SHOWN_NFPS), "svg+xml", "Frame rates"),
        points(sentences),
        table(columns, [tuple(asdict(row).values()) for row in frames]),
        paragraph("Means of the four applications beside the published means:"),
        table(tuple(asdict(averages[0])), [tuple(asdict(row).values()) for row in averages]),
    ]


def _token_parts(tokens: "TokenTiming") -> list[str]:
    from report.plots import token_throughput

    columns = tuple(asdict(tokens.rows[0]))
    return [
        paragraph("A decoder served on a node of GPUs, its operations in order, in nano-batches and overlapped."),
        image(token_throughput(tokens.rows), "svg+xml", "Throughput of each execution"),
        table(columns, [tuple(asdict(row).values()) for row in tokens.rows]),
    ]


def _schedule_parts(tokens: Mapping[str, "Timeline"], frames: Mapping[str, "Timeline"]) -> list[str]:
    from report.plots import schedule

    middle = next(iter(tokens.values())).program.count // 2
    layers = schedule({name: run.entries for name, run in tokens.items()}, layer=middle)
    batches = schedule({name: run.entries for name, run in frames.items()}, layer=0)
    return [
        paragraph(
            "What the scheduler unit's cycle model issued, unit by unit. One iteration of the loop is a layer "
            "of the decoder, or up to eight batches of a frame's points."
        ),
        image(layers, "svg+xml", f"Layer {middle} of the decoder, in order, overlapped, and with offload"),
        image(batches, "svg+xml", "Batches of a frame: launched by the host, on the cluster, finished by the GPU"),
    ]
