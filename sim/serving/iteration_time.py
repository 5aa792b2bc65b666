"""How long an iteration takes, whatever mix of prefill and decode it works on: a table the server looks up.

Times of the overlapped execution come from the scheduler's cycle model at the corners of a grid of batch size, decode
share and context, and between the corners by straight lines. A nano-batch program has a fixed batch, so a batch of
fewer rows is padded to the next program; kernels run in sequence take the rows there are.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from arch.device import NodeConfig
from arch.errors import check_multiple, check_one_of
from arch.language_model import LanguageModelConfig
from arch.program import MAX_CHUNKS, Program
from arch.scheduler import SchedulerConfig
from arch.workload import load_program, preset_names
from sim.engine.scheduler import simulate
from sim.machine.decoder_program import beside_arrays, fit_to_batch, one_stream, shared_rates, solo_durations_us
from sim.machine.program_shape import least_chunks, resized
from sim.machine.token_case import CLOCK_HZ, program_name
from sim.machine.token_cost import OPERATIONS, TokenBatch
from sim.machine.token_times import token_times

__all__ = ["ENGINES", "IterationTimes", "iteration_times"]

ENGINES = ("overlapped", "nano_only", "sequential")

_DECODE_SHARES = (0.02, 0.35, 0.7, 0.98)
_CONTEXTS = (64, 512, 1024, 2048)
_SEQUENTIAL_STEP = 256
_LAYERS = 6
"""Layers simulated at a corner; the steady period does not need more."""


@dataclass(frozen=True, kw_only=True)
class IterationTimes:
    """Seconds of an iteration on a grid.

    Parameters
    ----------
    rows : (R,) batch sizes, ascending; the last is the dense batch
    decode_share : (F,) decoding rows over all rows
    context : (C,) mean tokens a decoding row attends to
    seconds : (R, F, C)
    padded : whether a batch takes the time of the next size, or one between its neighbours'
    source : ``cycle_model`` or ``calibrated``
    extrapolated : true if kernel times were scaled from another model or device
    """

    rows: np.ndarray
    decode_share: np.ndarray
    context: np.ndarray
    seconds: np.ndarray
    padded: bool
    source: str
    extrapolated: bool

    @property
    def dense_batch(self) -> int:
        """Rows of a full batch."""
        return int(self.rows[-1])


def iteration_times(
    model: LanguageModelConfig,
    node: NodeConfig,
    engine: str = "overlapped",
    interference: str = "artifact",
    dense_batch: int | None = None,
) -> IterationTimes:
    """Measure the grid for a model on a node.

    Parameters
    ----------
    model, node : what runs where
    engine : one of ``ENGINES``: the programs of ``workloads/programs`` overlapped or in one stream, or whole-batch
        kernels one after the other
    interference : P(R) table of the overlapped execution
    dense_batch : rows of a full batch, whole chunks of the model's program; the program's own by default

    Raises
    ------
    InputError
        If the batch is not one the program can be fitted to.
    """
    check_one_of("engine", engine, ENGINES)
    programs = _programs(program_name(model, node), dense_batch)
    sizes = {program.n_chunks * program.chunk_rows: program for program in programs}
    dense = max(sizes)
    rows = sorted(sizes) if engine != "sequential" else [1, *range(_SEQUENTIAL_STEP, dense + 1, _SEQUENTIAL_STEP)]
    grid = np.zeros((len(rows), len(_DECODE_SHARES), len(_CONTEXTS)))
    extrapolated = False
    for r, f, c in product(*map(range, grid.shape)):
        batch = _batch(rows[r], _DECODE_SHARES[f], _CONTEXTS[c])
        times = token_times(model, node, batch)
        extrapolated = times.extrapolated
        if engine == "sequential":
            layer_us = sum(map(times.whole_batch_us, (*OPERATIONS, "Elementwise")))
        else:
            body = replace(fit_to_batch(sizes[rows[r]], batch), count=_LAYERS)
            solo = [max(1, round(us * CLOCK_HZ / 1e6)) for us in solo_durations_us(body, times)]
            if engine == "nano_only":
                body, rates = one_stream(body), None
            elif node.gpu.systolic is not None:
                body, rates = beside_arrays(body, times, interference)
            else:
                rates = shared_rates(body, interference)
            run = simulate(body, SchedulerConfig.for_program(body), durations_clk=solo, rates=rates)
            layer_us = run.steady_period_clk * 1e6 / CLOCK_HZ
        grid[r, f, c] = (layer_us * model.n_layers + times.head_us) * 1e-6
    return IterationTimes(
        rows=np.array(rows, dtype=np.int64),
        decode_share=np.array(_DECODE_SHARES),
        context=np.array(_CONTEXTS, dtype=np.float64),
        seconds=grid,
        padded=engine != "sequential",
        source="calibrated" if engine == "sequential" else "cycle_model",
        extrapolated=extrapolated,
    )


def _programs(name: str, dense_batch: int | None) -> list[Program]:
    """The program, the smaller ones published beside it, and the one of ``dense_batch`` rows instead of larger ones."""
    stem = name.rpartition("_")[0]
    names = [each for each in preset_names("program") if each.rpartition("_")[0] == stem]
    programs = [load_program(each) for each in names if each.rpartition("_")[2].isdigit()]
    if dense_batch is None:
        return programs
    own = load_program(name)
    least, step = least_chunks(own) * own.chunk_rows, own.chunk_rows
    check_multiple("dense batch", dense_batch, step, least, MAX_CHUNKS * step)
    smaller = [each for each in programs if each.n_chunks * step < dense_batch]
    return [*smaller, resized(own, dense_batch // step)]


def _batch(rows: int, decode_share: float, context: float) -> TokenBatch:
    """A batch of that mix: with s = p + d, d = share s and context = p + d / 2 = s (1 - share / 2)."""
    both = context / (1 - decode_share / 2)
    decode = max(1, round(decode_share * both))
    return TokenBatch(prompt=max(1, round(both - decode)), decode=decode, rows=rows)
