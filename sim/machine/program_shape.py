"""Programs of a decoder layer changed in shape: another batch, another form of the output projection, with copies.

What the published structures leave open for other models, GPUs and batches. Durations stay as they were, so they want
:func:`sim.machine.decoder_program.solo_durations_us` after this.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from arch.errors import InputError, check_integer, check_one_of
from arch.program import MAX_CHUNKS, NanoOperation, Predecessor, Program

__all__ = ["OUTPUTS", "layer_in_one", "least_chunks", "resized", "with_offload", "with_output"]

OUTPUTS = ("program", "all_gather", "all_reduce")
"""Output projection under tensor parallelism: as the program has it, or of every nano-batch by all-gather, O split by
columns, all-gather; or O split along its inputs, all-reduce."""

_ATTENTIONS = ("DecodeAttention", "PrefillAttention")
_COLLECTIVE = {"all_gather": "OutputAllGather", "all_reduce": "OutputAllReduce"}


def least_chunks(program: Program) -> int:
    """Fewest chunks that leave every nano-operation one."""
    return len(_bounds(program)) - 1


def resized(program: Program, n_chunks: int) -> Program:
    """The same structure on a batch of ``n_chunks``, every boundary between nano-batches in proportion.

    The chunks of the attentions are only made valid: they follow from the mix of decode and prefill.

    Raises
    ------
    InputError
        If there are fewer chunks than pieces, or more than a scoreboard has.
    """
    check_integer(f"chunks of program {program.name}", n_chunks, least_chunks(program), MAX_CHUNKS)
    old = _bounds(program)
    new = [0]
    for index, bound in enumerate(old[1:], 1):
        wanted = round(bound * n_chunks / program.n_chunks)
        new.append(min(max(wanted, new[-1] + 1), n_chunks - (len(old) - 1 - index)))
    nanos = tuple(replace(nano, chunks=_moved(nano.chunks, old, new)) for nano in program.nano_operations)
    return replace(program, n_chunks=n_chunks, nano_operations=nanos)


def _bounds(program: Program) -> list[int]:
    """Ends of the pieces the batch is cut into by anything but the attentions, 0 first."""
    bounds = {0, program.n_chunks}
    for nano in program.nano_operations:
        if nano.operation not in _ATTENTIONS:
            bounds |= {
                edge for edge in range(1, program.n_chunks) if (nano.chunks >> edge ^ nano.chunks >> edge - 1) & 1
            }
    return sorted(bounds)


def _moved(chunks: int, old: Sequence[int], new: Sequence[int]) -> int:
    """The pieces a mask touches, where they are now."""
    moved = 0
    for piece in range(len(old) - 1):
        if chunks & _mask(old[piece], old[piece + 1]):
            moved |= _mask(new[piece], new[piece + 1])
    return moved


def _mask(first: int, stop: int) -> int:
    return (1 << stop) - (1 << first)


def with_offload(program: Program, share: int = 1) -> Program:
    """With the keys and values of every nano-batch copied to the host beside its feed-forward GEMMs.

    A copy holds ``share`` credits of every pool, a tenth as the published program's (ASSUMED there).
    """
    if "copy" in program.units:
        return program
    copies = tuple(
        NanoOperation(
            name=nano.name.replace("UpGate", "KvOffload"),
            operation="KvOffload",
            unit="copy",
            chunks=nano.chunks,
            shares={pool.name: share for pool in program.pools},
            predecessors=(Predecessor(operation="Rope"), Predecessor(operation="UpGate", event="start")),
        )
        for nano in program.nano_operations
        if nano.operation == "UpGate"
    )
    return replace(program, units=(*program.units, "copy"), nano_operations=(*program.nano_operations, *copies))


def with_output(program: Program, output: str) -> Program:
    """Every nano-batch's output projection in the form ``output``, one of ``OUTPUTS``.

    What waited for the start of a collective to keep an order goes on waiting for it, except an O, which comes before
    its own.
    """
    check_one_of("output", output, OUTPUTS)
    if output == "program" or "network" not in program.units:
        return program
    nanos: list[NanoOperation] = []
    gathers = {nano.chunks: nano for nano in program.nano_operations if nano.operation == "AttentionAllGather"}
    for nano in program.nano_operations:
        if nano.operation == "AttentionAllGather":
            continue
        if nano.operation == "O":
            nanos += _output(nano, gathers.get(nano.chunks), output, program)
        elif nano.operation in _COLLECTIVE.values():
            name = nano.name.replace(nano.operation, _COLLECTIVE[output])
            nanos.append(replace(nano, name=name, operation=_COLLECTIVE[output]))
        else:
            nanos.append(nano)
    renamed = [replace(nano, predecessors=tuple(dict.fromkeys(_waits(nano, output)))) for nano in nanos]
    return replace(program, nano_operations=tuple(renamed))


def _output(
    nano: NanoOperation, gather: NanoOperation | None, output: str, program: Program
) -> Iterator[NanoOperation]:
    """O in the form wanted, with the all-gather of the attention before it where that needs one."""
    data = [wait for wait in nano.predecessors if wait.operation in _ATTENTIONS]
    order = [wait for wait in nano.predecessors if wait.operation not in (*_ATTENTIONS, "AttentionAllGather")]
    if gather is not None:
        data = list(gather.predecessors)
    if output == "all_reduce":
        yield replace(nano, predecessors=(*data, *order))
        return
    known = [each for each in program.nano_operations if each.operation == "AttentionAllGather"]
    collective = next(each for each in program.nano_operations if each.operation in _COLLECTIVE.values())
    yield gather or NanoOperation(
        name=nano.name.replace("O", "AttentionAllGather", 1),
        operation="AttentionAllGather",
        unit="network",
        chunks=nano.chunks,
        shares=(known[0] if known else collective).shares,
        predecessors=tuple(data),
    )
    yield replace(nano, predecessors=(Predecessor(operation="AttentionAllGather"), *order))


def _waits(nano: NanoOperation, output: str) -> Iterator[Predecessor]:
    for wait in nano.predecessors:
        if wait.operation not in _COLLECTIVE.values():
            yield wait
        elif nano.operation != "O":
            yield replace(wait, operation=_COLLECTIVE[output])


def layer_in_one(*, name: str, count: int, networked: bool, output: str = "all_reduce", decode: bool = True,
                 prefill: bool = True) -> Program:  # fmt: skip
    """A layer on the whole batch at once, one kernel after the other on one unit: what an engine without overlap runs.

    Parameters
    ----------
    name, count : of the program; iterations are layers
    networked : with collectives
    output : ``all_gather`` or ``all_reduce``, see ``OUTPUTS``
    decode, prefill : whether there are rows of the kind
    """
    if not decode and not prefill:
        raise InputError("rows of a layer must decode or prefill, not be none")
    gather, collective = ("OutputAllGather",) if output == "all_gather" else (), _COLLECTIVE.get(output, "")
    chain = ["NormAttention", "KQV", "Rope"]
    chain += [kind for kind, there in zip(_ATTENTIONS, (decode, prefill), strict=True) if there]
    chain += ["AttentionAllGather"] if networked and gather else []
    chain += ["O", *([collective or "OutputAllReduce"] if networked else []), "NormFfn", "UpGate", "Down"]
    chain += ["DownAllReduce"] if networked else []
    return Program(
        name=name,
        units=("stream",),
        chunk_rows=1,
        n_chunks=1,
        count=count,
        nano_operations=tuple(
            NanoOperation(
                name=each,
                operation=each,
                unit="stream",
                chunks=1,
                predecessors=(Predecessor(operation=before, layer_offset=-(index == 0)),),
            )
            for index, (before, each) in enumerate(zip([chain[-1], *chain], chain, strict=False))
        ),
    )
