"""``ngpc reproduce``: a study's numbers beside ours, each with its ratio and the reason where they differ."""

from dataclasses import asdict

import typer

from cli.output import JsonOption, print_json, print_table, progress
from cli.reproduce_tokens import h200, nanoflow

__all__ = ["reproduce"]

reproduce = typer.Typer(no_args_is_help=True, help="Set published and measured figures beside ours.")


@reproduce.command()
def ngpc(*, json: JsonOption = False) -> None:
    """Every number of NGPC's evaluation (ISCA 2023)."""
    from sim.machine.reproduce import reproduce as compute

    with progress("timing frames") as update:
        rows = compute("ngpc", update)
    if json:
        print_json({"study": "ngpc", "rows": [asdict(row) for row in rows]})
        return
    columns = ("section", "case", "unit", "ours", "source", "published", "mark", "ratio")
    lines = [
        (row.section, row.case, row.unit, row.ours, row.source, row.published, row.mark, row.ratio) for row in rows
    ]
    reasons = dict.fromkeys((row.section, row.reason) for row in rows if row.reason)
    caption = "\n".join(f"- {section}: {reason}." for section, reason in reasons)
    print_table("ngpc, beside ours", columns, lines, f"Where ours differ by more than 10 %:\n{caption}")


reproduce.command()(nanoflow)
reproduce.command()(h200)
