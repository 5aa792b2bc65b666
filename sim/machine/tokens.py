"""Token timing: iterations of a served language model, executed in order, in nano-batches, or overlapped.

* ``sequential`` - one kernel after the other on the whole dense batch; sums calibrated times.
* ``nano_only`` - the nano-operations of the overlapped program, one after the other.
* ``overlapped`` - the nano-batch program on the scheduler's cycle model, slowed by P(R) where kernels overlap.
* ``overlapped_offload`` - the same with keys and values copied to the host.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from arch.device import NodeConfig
from arch.errors import InputError, check_one_of
from arch.language_model import LanguageModelConfig
from arch.program import Program
from arch.program_file import find_program
from arch.scheduler import SchedulerConfig
from arch.workload import load_calibration, load_model, load_node
from sim.engine.scheduler import simulate
from sim.machine.decoder_program import (
    POOL,
    beside_arrays,
    fit_to_batch,
    has_known_operations,
    one_stream,
    shared_rates,
    solo_durations_us,
    timed,
)
from sim.machine.timeline import Timeline
from sim.machine.token_cost import OPERATIONS, TokenBatch, max_dense_batch, optimal_tokens_per_s_per_gpu
from sim.machine.token_times import TokenTimes, token_times

__all__ = ["EXECUTIONS", "PROGRAMS", "SHARINGS", "TokenRow", "TokenTiming", "dense_batch_rows", "time_tokens"]

EXECUTIONS = ("sequential", "nano_only", "overlapped", "overlapped_offload")

SHARINGS = ("shared", "reserved")
"""``shared``: P(R) of the part a nano-operation has of the shares in use, so alone it runs at full speed.
``reserved``: P(R) of its own share all the time, as NanoFlow's second search stage plans."""

PROGRAMS: Mapping[str, str] = MappingProxyType(
    {
        "llama2_70b": "llama2_70b_2048",
        "llama3_70b": "llama2_70b_2048",
        "qwen2_72b": "llama2_70b_2048",
        "deepseek_67b": "llama2_70b_2048",
        "llama3_8b": "llama3_8b_1024",
        "mixtral_8x7b": "mixtral_8x7b_4096",
    }
)
"""Program each model is overlapped with; the number of layers is the model's."""

CLOCK_HZ = 1_000_000_000
"""Scheduler clock; three clocks from a completion to the next issue are 3 ns beside kernels of 10 us and more."""

_DEFAULT_ROWS = 2048
_CHUNK_ROWS = 128
_SCHEDULER = SchedulerConfig(n_descriptors=32, n_operations=16, n_units=5, n_chunks=32)


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """One line of the token table.

    Parameters
    ----------
    model, device : presets
    prompt, decode : mean lengths, tokens
    execution : one of ``EXECUTIONS``
    dense_batch : tokens an iteration works on
    iteration_ms, layer_ms : all layers, and their mean
    tokens_per_s_per_gpu : prefill and decode tokens together
    fraction_of_optimal : of the throughput of GEMMs alone at their achievable rate
    deviation : from the published throughput of the same case, None if there is none
    extrapolated : true if the calibration comes from another model or device and was scaled by the cost model
    source : ``cycle_model``, ``calibrated`` or ``published``
    """

    model: str
    device: str
    prompt: int
    decode: int
    execution: str
    dense_batch: int
    iteration_ms: float
    layer_ms: float
    tokens_per_s_per_gpu: float
    fraction_of_optimal: float
    deviation: float | None
    extrapolated: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class TokenTiming:
    """Rows of the table, and the timeline behind each that has one, by execution."""

    rows: tuple[TokenRow, ...]
    timelines: Mapping[str, Timeline]

    def as_json(self) -> dict[str, list[dict[str, object]]]:
        """``{"rows": [...]}``, what ``ngpc tokens --json`` prints."""
        return {"rows": [asdict(row) for row in self.rows]}


def dense_batch_rows(
    model: LanguageModelConfig, node: NodeConfig, prompt: int, decode: int, program: str | None = None
) -> int:
    """Rows of the program (the model's by default), or as many chunks of 128 as the memory has room for."""
    wanted, name = _DEFAULT_ROWS, program or PROGRAMS.get(model.name)
    if name is not None:
        loaded = find_program(name).program
        wanted = loaded.n_chunks * loaded.chunk_rows
    most = max_dense_batch(model, node, prompt, decode)
    if most < _CHUNK_ROWS:
        raise InputError(
            f"device must have memory for a dense batch of {_CHUNK_ROWS} tokens of {model.name}, "
            f"not {most:.0f} as {node.name}; take more GPUs or shorter prompts"
        )
    return wanted if most >= wanted else int(most // _CHUNK_ROWS) * _CHUNK_ROWS


def time_tokens(
    *,
    model: str = "llama2_70b",
    device: str = "8xa100_80gb",
    prompt: int = 512,
    decode: int = 1024,
    executions: Sequence[str] | None = None,
    program: str | None = None,
    rows: int | None = None,
    interference: str = "artifact",
    sharing: str = "shared",
) -> TokenTiming:
    """Time the executions of a model on a node, each beside what was published for it.

    Parameters
    ----------
    model, device : presets; a device is a GPU or several like ``8xa100_80gb``
    prompt, decode : mean prompt and output length
    executions : some of ``EXECUTIONS``; by default all the model and device have a program for
    program : preset, or path of a program file, to overlap with instead of the model's own; one whose operations
        are not those of a layer, such as a searched one, keeps its own durations
    rows : dense batch; the program's by default, or what the memory has room for
    interference : P(R) table, ``artifact`` (measured with the calibration's kernels) or ``paper``
    sharing : one of ``SHARINGS``

    Raises
    ------
    InputError
        If a preset is unknown, the model does not fit the device or an execution has no program.
    """
    for execution in executions or ():
        check_one_of("execution", execution, EXECUTIONS)
    check_one_of("sharing", sharing, SHARINGS)
    decoder, node = load_model(model), load_node(device)
    # refuses lengths before they are divided by
    TokenBatch(prompt=prompt, decode=decode, rows=1)
    dense = dense_batch_rows(decoder, node, prompt, decode, program)
    batch = TokenBatch(prompt=prompt, decode=decode, rows=dense if rows is None else rows)
    case = _Case(
        times=token_times(decoder, node, batch), preset=program or PROGRAMS.get(model),
        interference=interference, sharing=sharing,
    )  # fmt: skip
    table: list[TokenRow] = []
    timelines: dict[str, Timeline] = {}
    for execution in executions or case.available():
        timeline = None if execution == "sequential" else case.run(execution)
        if timeline is None:
            iteration_us = decoder.n_layers * sum(map(case.times.whole_batch_us, (*OPERATIONS, "Elementwise")))
        else:
            iteration_us, timelines[execution] = timeline.makespan_us, timeline
        table += case.rows(execution, iteration_us, "calibrated" if timeline is None else timeline.source)
    return TokenTiming(rows=tuple(table), timelines=MappingProxyType(timelines))


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One model on one node: its times, and the program and rules it is overlapped with."""

    times: TokenTimes
    preset: str | None
    interference: str
    sharing: str

    def available(self) -> tuple[str, ...]:
        """Executions this case has a program for."""
        return tuple(execution for execution in EXECUTIONS if self._reason_against(execution) is None)

    def _reason_against(self, execution: str) -> str | None:
        """Sentence saying why an execution cannot be timed, None if it can."""
        if execution == "sequential":
            return None
        if self.preset is None:
            model = self.times.model.name
            return f"model must be one of {', '.join(PROGRAMS)} for {execution}, not {model!r}; name a program"
        if execution == "overlapped_offload" and self.preset != "llama2_70b_2048":
            return f"program must be llama2_70b_2048 for overlapped_offload, not {self.preset!r}"
        return self._reason_against_program(find_program(self.preset).program)

    def _reason_against_program(self, loaded: Program) -> str | None:
        """Sentence saying why the program does not belong to this model, node and batch."""
        node = self.times.node
        if not {"gemm", "gemv"} <= set(loaded.units):
            return f"program must be one of a decoder layer, with units gemm and gemv, not {self.preset!r}"
        if ("network" in loaded.units) != (node.n_gpus > 1):
            wanted = "several GPUs, such as 8xa100_80gb" if "network" in loaded.units else "a single GPU"
            return f"device must be {wanted} for program {self.preset}, not {node.name!r}"
        rows = loaded.n_chunks * loaded.chunk_rows
        if rows != self.times.batch.rows:
            return (
                f"rows of the dense batch must be {rows} for program {self.preset}, not {self.times.batch.rows}; take "
                f"shorter lengths or more memory if that is all {node.name} has room for"
            )
        return None

    def run(self, execution: str) -> Timeline:
        """The execution on the scheduler's cycle model."""
        refused = self._reason_against(execution)
        if refused is not None:
            raise InputError(refused)
        preset = "llama2_70b_2048_offload" if execution == "overlapped_offload" else self.preset
        loaded = replace(find_program(preset).program, count=self.times.model.n_layers)
        if not has_known_operations(loaded):
            return self._run_timed(loaded, execution)
        body = fit_to_batch(loaded, self.times.batch)
        solo = tuple(max(1, round(us * CLOCK_HZ / 1e6)) for us in solo_durations_us(body, self.times))
        if execution == "nano_only":
            run = simulate(one_stream(body), _SCHEDULER, durations_clk=solo)
        elif self.times.node.gpu.systolic is not None:
            freed, rates = beside_arrays(body, self.times, self.interference)
            run = simulate(self._with_solo(freed), _SCHEDULER, durations_clk=solo, rates=rates)
        elif self.sharing == "reserved":
            run = simulate(timed(body, self.times, self.interference), _SCHEDULER, clock_hz=CLOCK_HZ)
        else:
            rates = shared_rates(body, self.interference)
            run = simulate(self._with_solo(body), _SCHEDULER, durations_clk=solo, rates=rates)
        return Timeline.of(run, CLOCK_HZ)

    def _run_timed(self, body: Program, execution: str) -> Timeline:
        """A program with times of its own: slowed by P(R) if it has shares to say how much."""
        rates = None
        if execution == "nano_only":
            body = one_stream(body)
        elif any(pool.name == POOL for pool in body.pools):
            rates = shared_rates(body, self.interference)
        return Timeline.of(simulate(body, SchedulerConfig.for_program(body), rates=rates, clock_hz=CLOCK_HZ), CLOCK_HZ)

    def _with_solo(self, body: Program) -> Program:
        durations = solo_durations_us(body, self.times)
        nanos = zip(body.nano_operations, durations, strict=True)
        return replace(body, nano_operations=tuple(replace(nano, duration_us=us) for nano, us in nanos))

    def rows(self, execution: str, iteration_us: float, source: str) -> list[TokenRow]:
        """Our row, and the published one if there is one."""
        times = self.times
        throughput = times.batch.rows / (iteration_us * 1e-6) / times.node.n_gpus
        published = self._published(execution)
        rows = [self._row(execution, throughput, source, published and throughput / published - 1)]
        if published is not None:
            rows.append(self._row(execution, published, "published", None))
        return rows

    def _published(self, execution: str) -> float | None:
        """What was published for the model's own program; no other batch or program has a published throughput."""
        batch, calibration = self.times.batch, load_calibration("published_tokens")
        own = PROGRAMS.get(self.times.model.name)
        if self.preset is not None and own is not None:
            mine, usual = find_program(self.preset).program, find_program(own).program
            if batch.rows != usual.n_chunks * usual.chunk_rows or not has_known_operations(mine):
                return None
        key = f"{self.times.model.name}.{self.times.node.name}.{batch.prompt}-{batch.decode}.{execution}"
        return calibration.get(key)

    def _row(self, execution: str, throughput: float, source: str, deviation: float | None) -> TokenRow:
        times = self.times
        iteration_ms = times.batch.rows / (throughput * times.node.n_gpus) * 1e3
        return TokenRow(
            model=times.model.name,
            device=times.node.name,
            prompt=times.batch.prompt,
            decode=times.batch.decode,
            execution=execution,
            dense_batch=times.batch.rows,
            iteration_ms=iteration_ms,
            layer_ms=iteration_ms / times.model.n_layers,
            tokens_per_s_per_gpu=throughput,
            fraction_of_optimal=throughput / optimal_tokens_per_s_per_gpu(times.model, times.achievable_flops_per_s),
            deviation=deviation,
            extrapolated=times.extrapolated and source != "published",
            source=source,
        )
