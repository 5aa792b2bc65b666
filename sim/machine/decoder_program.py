"""From a program's structure to one that can run: fitted to a batch, and with the time of every nano-operation.

The programs of ``workloads/programs`` give operations, sizes, shares and waits. Which chunks decode and which prefill
follows from the batch, how long each takes from :class:`sim.machine.token_times.TokenTimes`.
"""

from collections.abc import Mapping
from dataclasses import replace

from arch.errors import InputError
from arch.program import NanoOperation, Program, chunk_mask
from sim.engine.scheduler import Rates
from sim.machine.interference import performance
from sim.machine.token_cost import GEMMS, OperationCost, TokenBatch, attention_cost, gemm_cost, network_cost
from sim.machine.token_times import ELEMENTWISE, TokenTimes

__all__ = [
    "POOL",
    "beside_arrays",
    "fit_to_batch",
    "has_known_operations",
    "kernel_cost",
    "layer_durations_us",
    "one_stream",
    "shared_rates",
    "solo_durations_us",
    "timed",
]

POOL = "share"
"""The pool whose credits are NanoFlow's R."""

_KERNELS = {
    "AttentionAllGather": "AllGather",
    "OutputAllGather": "AllGather",
    "OutputAllReduce": "AllReduce",
    "DownAllReduce": "AllReduce",
}
_ATTENTIONS = ("DecodeAttention", "PrefillAttention")


def has_known_operations(program: Program) -> bool:
    """Whether every operation is one whose time follows from a batch, so that the program is a structure to be fitted.

    Others, such as the results of a schedule search, have times of their own.
    """
    known = {*GEMMS, *ELEMENTWISE, *_ATTENTIONS, *_KERNELS, "KvOffload"}
    return set(program.operations) <= known and "DecodeAttention" in program.operations


def fit_to_batch(program: Program, batch: TokenBatch) -> Program:
    """Deal the attentions' chunks anew: decode tokens come first in the batch, prefill tokens after them.

    Decode attention follows the parts of ``Rope``, one nano-operation each as far as decode tokens reach; prefill
    attention is one nano-operation. A chunk with both kinds belongs to both. What waited for decode attention of its
    own chunks waits for all of both attentions where it has rows of both, and nothing waits for an attention of rows
    it does not have. Durations stay as they were, so they want :func:`timed` or :func:`solo_durations_us` after this.

    Raises
    ------
    InputError
        If the batch is not as large as the program's.
    """
    rows = program.n_chunks * program.chunk_rows
    if batch.rows != rows:
        raise InputError(f"rows of the dense batch must be {rows} for program {program.name}, not {batch.rows}")
    decode_stop = -int(-batch.decode_rows // program.chunk_rows)
    decoding = chunk_mask(0, decode_stop) if decode_stop else 0
    first = int(batch.decode_rows // program.chunk_rows)
    prefilling = chunk_mask(first, program.n_chunks) if first < program.n_chunks else 0
    kinds = {"DecodeAttention": decoding, "PrefillAttention": prefilling}
    known = {nano.name: nano for nano in program.nano_operations if nano.operation == "DecodeAttention"}
    template = next(iter(known.values()))
    fitted: list[NanoOperation] = []
    for nano in program.nano_operations:
        if nano.operation == "PrefillAttention" and prefilling:
            fitted.append(replace(nano, chunks=prefilling))
        elif nano.operation not in _ATTENTIONS:
            fitted.append(_reaching(nano, kinds))
        if nano.operation == "Rope" and nano.chunks & decoding:
            name = nano.name.replace("Rope", "DecodeAttention")
            fitted.append(replace(known.get(name, template), name=name, chunks=nano.chunks & decoding))
    return replace(program, nano_operations=tuple(fitted))


def _reaching(nano: NanoOperation, kinds: Mapping[str, int]) -> NanoOperation:
    """``nano`` with waits for the attentions that its own chunks have, of the chunks ``kinds`` gives each.

    Where some of its chunks decode and some prefill, no elementwise wait covers them, so it waits for all of both.
    """
    waits = []
    for wait in nano.predecessors:
        if wait.operation == "DecodeAttention" and wait.scope == "elementwise" and nano.chunks & ~kinds[wait.operation]:
            waits += [replace(wait, operation=name, scope="all") for name in _ATTENTIONS]
        else:
            waits.append(wait)
    met = [wait for wait in waits if wait.operation not in kinds or nano.chunks & kinds[wait.operation]]
    return replace(nano, predecessors=tuple(dict.fromkeys(met)))


def solo_durations_us(program: Program, times: TokenTimes) -> tuple[float, ...]:
    """Time each nano-operation takes alone on the machine, in the program's order."""
    normed = program.operation_chunks("NormAttention")
    return tuple(_solo_us(program, nano, times, normed) for nano in program.nano_operations)


def layer_durations_us(program: Program, times: TokenTimes) -> tuple[float, ...]:
    """Time of each operation on the whole batch, of a program made by :func:`sim.machine.program_shape.layer_in_one`.

    Where only all collectives of a layer together were measured, an all-gather has a quarter of their time and an
    all-reduce half, as of their bytes.
    """
    return tuple(_whole_us(nano.operation, times) for nano in program.nano_operations)


def _whole_us(operation: str, times: TokenTimes) -> float:
    kernel = _KERNELS.get(operation)
    if kernel is None:
        return (
            times.nano_batch_us(operation, times.batch.rows)
            if operation in ELEMENTWISE
            else times.whole_batch_us(operation)
        )
    if times.has_whole_network:
        return times.whole_batch_us("Network") / (4 if kernel == "AllGather" else 2)
    return times.nano_batch_us(kernel, times.batch.rows)


def _solo_us(program: Program, nano: NanoOperation, times: TokenTimes, normed: int) -> float:
    rows = _rows(program, nano, times)
    duration = times.nano_batch_us(_KERNELS.get(nano.operation, nano.operation), rows)
    if nano.operation == "DownAllReduce" and not nano.chunks & normed:
        duration += times.nano_batch_us("NormAttention", rows)  # fused into the collective
    return duration


def _rows(program: Program, nano: NanoOperation, times: TokenTimes) -> float:
    """Rows a nano-operation works on; of the attentions those of their own kind."""
    if nano.operation == "PrefillAttention":
        return times.batch.prefill_rows
    if program.n_chunks == 1:  # a layer in one: chunks say nothing of the rows
        return times.batch.decode_rows if nano.operation == "DecodeAttention" else times.batch.rows
    first_row = ((nano.chunks & -nano.chunks).bit_length() - 1) * program.chunk_rows
    rows = nano.chunks.bit_count() * program.chunk_rows
    if nano.operation == "DecodeAttention":
        return min(first_row + rows, times.batch.decode_rows) - first_row
    return rows


def kernel_cost(program: Program, nano: NanoOperation, times: TokenTimes) -> OperationCost | None:
    """Operations and bytes of a nano-operation in one layer; None for element-wise ones and copies."""
    rows, kernel = _rows(program, nano, times), _KERNELS.get(nano.operation)
    if nano.operation in GEMMS:
        return gemm_cost(times.model, nano.operation, rows, 1)
    if nano.operation in _ATTENTIONS:
        return attention_cost(times.model, nano.operation, times.batch, 1, rows)
    if kernel is None:
        return None
    whole, part = network_cost(times.model, times.node, rows, 1), 4 if kernel == "AllGather" else 2
    return OperationCost(
        operation=nano.operation,
        flop=whole.flop / part,
        memory_bytes=whole.memory_bytes / part,
        network_bytes=whole.network_bytes / part,
    )


def timed(program: Program, times: TokenTimes, table: str = "paper") -> Program:
    """The program with the durations of NanoFlow's second search stage: solo time / P(R), whatever runs beside."""
    capacity = {pool.name: pool.capacity for pool in program.pools}[POOL]
    nanos = zip(program.nano_operations, solo_durations_us(program, times), strict=True)
    return replace(
        program,
        nano_operations=tuple(
            replace(nano, duration_us=solo / performance(nano.unit, nano.shares.get(POOL, 0) / capacity, table))
            if nano.shares.get(POOL, 0)
            else replace(nano, duration_us=solo)
            for nano, solo in nanos
        ),
    )


def shared_rates(program: Program, table: str = "paper") -> Rates:
    """Rates for :func:`sim.engine.scheduler.simulate`: P of the part a nano-operation has of the shares in use.

    Alone on the machine a nano-operation runs at its solo speed, so shares nobody uses are not lost, as they are with
    the fixed durations of :func:`timed`. Nano-operations without a share always run at full speed.
    """
    nanos = program.nano_operations

    def rates(running: tuple[int, ...]) -> list[float]:
        shares = [nanos[index].shares.get(POOL, 0) for index in running]
        used = sum(shares)
        return [
            performance(nanos[index].unit, share / used, table) if share else 1.0
            for index, share in zip(running, shares, strict=True)
        ]

    return rates


def beside_arrays(program: Program, times: TokenTimes, table: str = "paper") -> tuple[Program, Rates]:
    """The program and its rates on a GPU whose GEMMs run on arrays beside it: they hold no share of the SMs.

    A GEMM runs at full speed and everything that reads much memory beside it (attention, collectives) loses the part
    of the bandwidth the GEMM's weights and activations take.
    """
    nanos = tuple(replace(nano, shares={}) if nano.operation in GEMMS else nano for nano in program.nano_operations)
    freed = replace(program, nano_operations=nanos)
    shared, traffic = shared_rates(freed, table), {}
    for index, (nano, us) in enumerate(zip(nanos, solo_durations_us(freed, times), strict=True)):
        if nano.operation in GEMMS:
            rows = nano.chunks.bit_count() * program.chunk_rows
            traffic[index] = gemm_cost(times.model, nano.operation, rows, 1).memory_s(times.node) * 1e6 / us

    def rates(running: tuple[int, ...]) -> list[float]:
        taken = sum(traffic.get(index, 0.0) for index in running)
        left = max(1.0 - taken, 0.05)
        return [
            rate * left if nanos[index].unit in ("gemv", "network") else rate
            for index, rate in zip(running, shared(running), strict=True)
        ]

    return freed, rates


def one_stream(program: Program) -> Program:
    """The same nano-operations one after the other: a single unit, no shares."""
    return replace(
        program,
        units=("stream",),
        pools=(),
        nano_operations=tuple(replace(nano, unit="stream", shares={}) for nano in program.nano_operations),
    )
