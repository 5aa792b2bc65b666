"""``ngpc simulate ENGINE``: an engine's RTL beside its golden model and its cycle model, on random or real data."""

import typer

from cli.simulate_encoding import encoding
from cli.simulate_mlp import gemm, mlp
from cli.simulate_nfp import nfp
from cli.simulate_scheduler import scheduler

__all__ = ["simulate"]

simulate = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run an engine's RTL and hold it against its golden model and its cycle model.",
)

simulate.command()(encoding)
simulate.command()(scheduler)
simulate.command()(mlp)
simulate.command()(gemm)
simulate.command()(nfp)
