"""Token timing: iterations of a served language model, executed in order, in nano-batches, or overlapped.

* ``sequential`` - one kernel after the other on the whole dense batch; sums calibrated times.
* ``nano_only`` - the nano-operations of the overlapped program, one after the other.
* ``overlapped`` - the nano-batch program on the scheduler's cycle model, slowed by P(R) where kernels overlap.
* ``overlapped_offload`` - the same with keys and values copied to the host.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

from arch.device import NodeConfig
from arch.errors import InputError, check_one_of
from arch.language_model import LanguageModelConfig
from arch.program_file import find_program
from arch.workload import load_calibration, load_model, load_node
from sim.machine.decoder_program import has_known_operations
from sim.machine.program_shape import OUTPUTS
from sim.machine.timeline import Timeline
from sim.machine.token_case import EXECUTIONS, LEVELS, PROGRAMS, TokenCase, program_name
from sim.machine.token_cost import TokenBatch, max_dense_batch, optimal_tokens_per_s_per_gpu
from sim.machine.token_times import token_times

__all__ = ["SHARINGS", "TokenRow", "TokenTiming", "dense_batch_rows", "time_tokens"]

SHARINGS = ("shared", "reserved")
"""``shared``: P(R) of the part a nano-operation has of the shares in use, so alone it runs at full speed.
``reserved``: P(R) of its own share all the time, as NanoFlow's second search stage plans."""

_CHUNK_ROWS = 128


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """One line of the token table.

    Parameters
    ----------
    model, device : presets
    prompt, decode : mean lengths, tokens
    execution : one of ``EXECUTIONS``
    level : cost model, one of :data:`sim.machine.token_case.LEVELS`
    dense_batch : tokens an iteration works on
    decode_rows, context : those of them that decode, and the mean tokens they attend to
    iteration_ms, layer_ms : all layers and the output matrix; the mean of the layers
    tokens_per_s_per_gpu : prefill and decode tokens together
    fraction_of_optimal : of the throughput of GEMMs alone at their achievable rate
    deviation : from the published throughput of the same case, None if there is none
    extrapolated : true if the calibration comes from another model or device and was scaled by the cost model
    source : ``cycle_model``, ``calibrated``, ``computed`` (rooflines) or ``published``
    """

    model: str
    device: str
    prompt: int
    decode: int
    execution: str
    level: str
    dense_batch: int
    decode_rows: float
    context: float
    iteration_ms: float
    layer_ms: float
    tokens_per_s_per_gpu: float
    fraction_of_optimal: float
    deviation: float | None
    extrapolated: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class TokenTiming:
    """Rows of the table, the timeline behind each by execution, and the case they were run for."""

    rows: tuple[TokenRow, ...]
    timelines: Mapping[str, Timeline]
    case: TokenCase

    def as_json(self) -> dict[str, list[dict[str, object]]]:
        """``{"rows": [...]}``, what ``ngpc tokens --json`` prints."""
        return {"rows": [asdict(row) for row in self.rows]}


def dense_batch_rows(
    model: LanguageModelConfig, node: NodeConfig, prompt: int, decode: int, program: str | None = None
) -> int:
    """Rows of the program (the model's by default), or as many chunks of 128 as the memory has room for."""
    loaded = find_program(program or program_name(model, node)).program
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
    decode_rows: int | None = None,
    context: float | None = None,
    interference: str = "artifact",
    sharing: str = "shared",
    level: str = "interference",
    output: str = "program",
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
    decode_rows : rows of it that decode; by default the part the lengths have
    context : mean tokens a decoding row attends to; by default that of the lengths
    interference : P(R) table, ``artifact`` (measured with the calibration's kernels) or ``paper``
    sharing : one of ``SHARINGS``
    level : cost model, one of :data:`sim.machine.token_case.LEVELS`
    output : output projection under tensor parallelism, one of :data:`sim.machine.program_shape.OUTPUTS`

    Raises
    ------
    InputError
        If a preset is unknown, the model does not fit the device or an execution has no program.
    """
    for execution in executions or ():
        check_one_of("execution", execution, EXECUTIONS)
    check_one_of("sharing", sharing, SHARINGS)
    check_one_of("level", level, LEVELS)
    check_one_of("output", output, OUTPUTS)
    decoder, node = load_model(model), load_node(device)
    # refuses lengths before they are divided by
    TokenBatch(prompt=prompt, decode=decode, rows=1)
    dense = dense_batch_rows(decoder, node, prompt, decode, program)
    batch = TokenBatch(
        prompt=prompt, decode=decode, rows=dense if rows is None else rows, decoding=decode_rows, attended=context
    )
    case = TokenCase(
        times=token_times(decoder, node, batch, roofline=level == "roofline"),
        preset=program or program_name(decoder, node), interference=interference, sharing=sharing, level=level,
        output=output,
    )  # fmt: skip
    table: list[TokenRow] = []
    timelines: dict[str, Timeline] = {}
    for execution in executions or case.available():
        timelines[execution] = case.run(execution)
        table += _rows(case, execution, timelines[execution])
    return TokenTiming(rows=tuple(table), timelines=MappingProxyType(timelines), case=case)


def _rows(case: TokenCase, execution: str, timeline: Timeline) -> list[TokenRow]:
    """Our row, and the published one if there is one."""
    times, n_layers = case.times, case.times.model.n_layers
    iteration_us = timeline.makespan_us + times.head_us
    throughput = times.batch.rows / (iteration_us * 1e-6) / times.node.n_gpus
    source = timeline.source
    if case.level == "roofline":
        source = "computed"
    elif execution == "sequential":
        source = "calibrated"
    published = _published(case, execution)
    layer_ms = timeline.makespan_us / n_layers / 1e3
    deviation = published and throughput / published - 1
    rows = [
        _row(case, execution, throughput=throughput, layer_ms=layer_ms, source=source, deviation=deviation),
    ]
    if published is not None:
        layer_ms = times.batch.rows / (published * times.node.n_gpus) * 1e3 / n_layers
        rows.append(_row(case, execution, throughput=published, layer_ms=layer_ms, source="published"))
    return rows


def _published(case: TokenCase, execution: str) -> float | None:
    """What was published for the model's own program; no other batch, mix or program has a published throughput."""
    times, calibration = case.times, load_calibration("published_tokens")
    batch, own = times.batch, PROGRAMS.get(times.model.name)
    if own is None or batch.decoding is not None or batch.attended is not None:
        return None
    mine, usual = find_program(case.preset).program, find_program(own).program
    if batch.rows != usual.n_chunks * usual.chunk_rows or not has_known_operations(mine):
        return None
    return calibration.get(f"{times.model.name}.{times.node.name}.{batch.prompt}-{batch.decode}.{execution}")


def _row(
    case: TokenCase, execution: str, *, throughput: float, layer_ms: float, source: str, deviation: float | None = None
) -> TokenRow:
    times = case.times
    return TokenRow(
        model=times.model.name,
        device=times.node.name,
        prompt=times.batch.prompt,
        decode=times.batch.decode,
        execution=execution,
        level=case.level,
        dense_batch=times.batch.rows,
        decode_rows=times.batch.decode_rows,
        context=times.batch.context,
        iteration_ms=times.batch.rows / (throughput * times.node.n_gpus) * 1e3,
        layer_ms=layer_ms,
        tokens_per_s_per_gpu=throughput,
        fraction_of_optimal=throughput / optimal_tokens_per_s_per_gpu(times.model, times.achievable_flops_per_s),
        deviation=deviation,
        extrapolated=times.extrapolated and source != "published",
        source=source,
    )
