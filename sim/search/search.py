"""Schedule search from end to end: times, plan, program, shares, and what the cycle model makes of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from arch.errors import InputError, check_integer, check_multiple, check_one_of
from arch.figure import Figure
from arch.program import Program
from arch.program_text import ProgramText, write_program
from arch.scheduler import SchedulerConfig
from arch.workload import load_model, load_node
from sim.engine.scheduler import Rates, simulate
from sim.machine.decoder_program import shared_rates
from sim.machine.interference import INTERFERENCE_TABLES
from sim.machine.timeline import Timeline
from sim.machine.token_cost import TokenBatch
from sim.machine.tokens import dense_batch_rows
from sim.search.layer_plan import KvPart, LayerPlan, NanoBatch, PlannedOperation
from sim.search.plan_program import CLOCK_HZ, plan_program, steady_period_us
from sim.search.share_search import choose_shares, shared_period_us
from sim.search.solo_table import CHUNK_ROWS, solo_table
from sim.search.solve import SearchProgress, solve_layer

__all__ = ["INTERFERENCES", "ScheduleSearch", "read_plan", "search_schedule"]

INTERFERENCES = ("auto", "none", *INTERFERENCE_TABLES)
"""P(R) table to choose shares under; ``none`` leaves the program without shares; ``auto`` is the artifact's, or none
where GEMMs take no share of the GPU."""

_LAYERS = 24


@dataclass(frozen=True, kw_only=True)
class ScheduleSearch:
    """What a search found.

    Parameters
    ----------
    model, device : presets
    batch, decode_rows : rows of the dense batch, and those of them that decode
    times : solo times used, ``artifact`` or ``calibrated``
    interference : P(R) table the shares were chosen under, or ``none``
    seed, effort : of the search
    plan : sizes, forms and planned starts
    period_us : steady period of the program on the scheduler's cycle model, nothing slowing anything
    shared_period_us : the same with shares and P(R); None without interference
    program : what to load into the scheduler, durations are solo times
    n_gpus : GPUs of the device
    """

    model: str
    device: str
    batch: int
    decode_rows: int
    times: str
    interference: str
    seed: int
    effort: float
    plan: LayerPlan
    period_us: float
    shared_period_us: float | None
    program: Program
    n_gpus: int

    @property
    def gap(self) -> float:
        """Part of the period that no schedule of the structures searched can save."""
        return max(0.0, 1.0 - self.plan.bound_us / self.period_us)

    @property
    def tokens_per_s_per_gpu(self) -> float:
        """Throughput with the shared period if there is one."""
        layer_us = self.period_us if self.shared_period_us is None else self.shared_period_us
        return self.batch / (layer_us * self.program.count * 1e-6) / self.n_gpus

    @property
    def rates(self) -> Rates | None:
        """How the program's nano-operations slow one another; None without interference."""
        return None if self.interference == "none" else shared_rates(self.program, self.interference)

    def timeline(self) -> Timeline:
        """All layers of the program on the cycle model, with P(R) if shares were chosen."""
        config = SchedulerConfig.for_program(self.program)
        return Timeline.of(simulate(self.program, config, rates=self.rates, clock_hz=CLOCK_HZ), CLOCK_HZ)

    def text(self) -> ProgramText:
        """The program with the sources of its parts."""
        sources = {
            "durations": Figure(
                value=self.times, mark="DERIVED", source=f"solo times of {self.model} on {self.device}"
            ),
            "structure": Figure(
                value=self.period_us,
                mark="DERIVED",
                source=f"schedule search, seed {self.seed}, effort {self.effort:g}",
            ),
        }
        return ProgramText(program=self.program, sources=sources)

    def as_json(self, seconds: float) -> dict[str, Any]:
        """What ``ngpc search --json`` prints; ``seconds`` is how long the search took."""
        shared = self.shared_period_us
        return {
            "model": self.model,
            "device": self.device,
            "batch": self.batch,
            "decode_rows": self.decode_rows,
            "period_ms": self.period_us / 1e3,
            "bound_ms": self.plan.bound_us / 1e3,
            "gap": self.gap,
            "seconds": seconds,
            "seed": self.seed,
            "effort": self.effort,
            "times": self.times,
            "interference": self.interference,
            "shared_period_ms": None if shared is None else shared / 1e3,
            "tokens_per_s_per_gpu": self.tokens_per_s_per_gpu,
            "source": "cycle_model",
            "plan": asdict(self.plan),
            "program": json.loads(write_program(self.text(), "json")),
        }


def search_schedule(
    *,
    model: str = "llama2_70b",
    device: str = "8xa100_80gb",
    prompt: int = 512,
    decode: int = 1024,
    batch: int | None = None,
    decode_rows: int | None = None,
    n_batches: int = 2,
    n_parts: int = 2,
    times: str = "auto",
    interference: str = "auto",
    effort: float = 5.0,
    seed: int = 0,
    warm_start: LayerPlan | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
) -> ScheduleSearch:
    """Find a schedule of a decoder layer and turn it into a program.

    Parameters
    ----------
    model, device : presets
    prompt, decode : mean lengths, tokens; they set the context, and the mix unless ``decode_rows`` does
    batch : rows of the dense batch, a multiple of 128; the model's own by default
    decode_rows : rows that decode, a multiple of 128; by default the whole chunks of the mix
    n_batches, n_parts, effort, seed, warm_start, progress : see :func:`sim.search.solve.solve_layer`
    times : solo times, see :func:`sim.search.solo_table.solo_table`
    interference : one of ``INTERFERENCES``

    Raises
    ------
    InputError
        If a preset or choice is unknown, a number out of range, or shares are asked for on a device with arrays.
    """
    check_one_of("interference", interference, INTERFERENCES)
    decoder, node = load_model(model), load_node(device)
    if interference == "auto":
        interference = "artifact" if node.gpu.systolic is None else "none"
    if node.gpu.systolic is not None and interference != "none":
        raise InputError(f"interference must be none for {device}, whose GEMMs take no share, not {interference!r}")
    TokenBatch(prompt=prompt, decode=decode, rows=1)  # refuses lengths before they are divided by
    if batch is None:
        batch = dense_batch_rows(decoder, node, prompt, decode)
    check_multiple("batch", batch, CHUNK_ROWS, CHUNK_ROWS, 64 * CHUNK_ROWS)
    dense = TokenBatch(prompt=prompt, decode=decode, rows=batch)
    if decode_rows is None:
        decode_rows = int(dense.decode_rows // CHUNK_ROWS) * CHUNK_ROWS
    check_multiple("decode_rows", decode_rows, CHUNK_ROWS, 0, batch)
    table = solo_table(decoder, node, dense, decode_rows // CHUNK_ROWS, times)
    plan = solve_layer(
        table, n_batches=n_batches, n_parts=n_parts, effort=effort, seed=seed, warm_start=warm_start, progress=progress
    )
    name = f"{model}_{batch}_{decode_rows}_searched"
    program = plan_program(plan, table, name=name, count=decoder.n_layers)
    shared = None
    if interference != "none":
        program = choose_shares(program, interference)
        shared = shared_period_us(program, interference, _LAYERS)
    return ScheduleSearch(
        model=model,
        device=device,
        batch=batch,
        decode_rows=decode_rows,
        times=table.source,
        interference=interference,
        seed=seed,
        effort=effort,
        plan=plan,
        period_us=steady_period_us(program),
        shared_period_us=shared,
        program=program,
        n_gpus=node.n_gpus,
    )


def read_plan(table: Mapping[str, Any]) -> LayerPlan:
    """The plan in an object that ``ngpc search --json`` printed, to start another search from.

    Raises
    ------
    InputError
        If there is no plan in it, or a value is not one a plan can have.
    """
    try:
        plan = table["plan"]
        batches = tuple(
            NanoBatch(parts=tuple(KvPart(**part) for part in batch["parts"]), output=batch["output"])
            for batch in plan["nano_batches"]
        )
        operations = tuple(PlannedOperation(**operation) for operation in plan["operations"])
        found = LayerPlan(**{**plan, "nano_batches": batches, "operations": operations})
    except (KeyError, TypeError) as error:
        raise InputError(f"warm start must be what search --json printed, not an object without {error}") from error
    for batch in found.nano_batches:
        check_one_of("output of a nano-batch", batch.output, ("all_gather", "all_reduce"))
        for part in batch.parts:
            check_integer("decode_chunks of a part", part.decode_chunks, 0, 64)
            check_integer("prefill_chunks of a part", part.prefill_chunks, 0, 64)
    for what, value in [("period_us", found.period_us), *((each.name, each.start_us) for each in found.operations)]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
            raise InputError(f"time of {what} in a warm start must be a number from 0 to 1e7, not {value!r}")
    return found
