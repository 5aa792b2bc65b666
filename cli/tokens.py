"""``ngpc tokens``: how fast a served language model runs, sequentially and with overlapped nano-batches."""

from collections.abc import Sequence
from typing import Annotated

import typer

from cli.output import JsonOption, print_json, print_table
from sim.machine.interference import INTERFERENCE_TABLES
from sim.machine.tokens import EXECUTIONS, SHARINGS, TokenRow, time_tokens

__all__ = ["tokens"]

_COLUMNS = (
    "execution", "source", "tokens", "iteration ms", "layer ms", "tokens/s/GPU", "of optimal", "vs published",
)  # fmt: skip


def tokens(
    *,
    model: Annotated[str, typer.Option(help="Language model preset.")] = "llama2_70b",
    device: Annotated[str, typer.Option(help="GPU preset, or several of one: 8xa100_80gb.")] = "8xa100_80gb",
    prompt: Annotated[int, typer.Option(help="Mean prompt length, tokens.")] = 512,
    decode: Annotated[int, typer.Option(help="Mean output length, tokens.")] = 1024,
    execution: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(EXECUTIONS)}; may be given again. All that apply by default."),
    ] = None,
    program: Annotated[str | None, typer.Option(help="Program preset instead of the model's own.")] = None,
    interference: Annotated[str, typer.Option(help=f"P(R) table: {' or '.join(INTERFERENCE_TABLES)}.")] = "artifact",
    sharing: Annotated[str, typer.Option(help=f"What unused shares do: {' or '.join(SHARINGS)}.")] = "shared",
    json: JsonOption = False,
) -> None:
    """Time an iteration of a served language model, beside what was published for the same case.

    Sources: calibrated from published kernel times, run on the scheduler's cycle model, published by a paper.
    """
    timing = time_tokens(
        model=model,
        device=device,
        prompt=prompt,
        decode=decode,
        executions=execution or None,
        program=program,
        interference=interference,
        sharing=sharing,
    )
    if json:
        print_json(timing.as_json())
        return
    title = f"{model} on {device}, prompt {prompt}, decode {decode}"
    print_table(title, _COLUMNS, [_cells(row) for row in timing.rows], "\n".join(_remarks(timing.rows)))


def _remarks(rows: Sequence[TokenRow]) -> list[str]:
    remarks = []
    if any(row.source == "calibrated" and row.deviation is not None for row in rows):
        remarks.append("- The published sequential run is part of the calibration, so ours cannot deviate from it.")
    if any(row.extrapolated for row in rows):
        remarks.append("- Kernel times are scaled from another model or device by the cost model.")
    return remarks


def _cells(row: TokenRow) -> tuple[object, ...]:
    return (
        row.execution,
        row.source,
        row.dense_batch,
        row.iteration_ms,
        row.layer_ms,
        row.tokens_per_s_per_gpu,
        f"{row.fraction_of_optimal:.1%}",
        None if row.deviation is None else f"{row.deviation:+.1%}",
    )
