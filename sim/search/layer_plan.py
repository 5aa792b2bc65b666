"""A schedule of one decoder layer that repeats: nano-batches, their sizes and forms, and when everything starts."""

from dataclasses import dataclass

from sim.search.solo_table import SoloTable

__all__ = ["KvPart", "LayerPlan", "NanoBatch", "PlannedOperation", "sequential_plan"]


@dataclass(frozen=True, kw_only=True)
class KvPart:
    """Chunks that go through KQV together, and through decode attention."""

    decode_chunks: int
    prefill_chunks: int

    @property
    def chunks(self) -> int:
        """All chunks of the part."""
        return self.decode_chunks + self.prefill_chunks


@dataclass(frozen=True, kw_only=True)
class NanoBatch:
    """Chunks that go through everything from the output projection on together.

    Parameters
    ----------
    parts : what KQV and attention work on, in pieces
    output : ``all_gather`` (gather, column-split O, gather) or ``all_reduce`` (row-split O, reduce)
    """

    parts: tuple[KvPart, ...]
    output: str

    @property
    def chunks(self) -> int:
        """All chunks of the nano-batch."""
        return sum(part.chunks for part in self.parts)


@dataclass(frozen=True, kw_only=True)
class PlannedOperation:
    """One nano-operation of the repeating layer.

    Parameters
    ----------
    name, operation, unit : as in the program made from the plan
    kernel : row of the solo table
    batch, part : which nano-batch and part of it, -1 for all of them
    start_us, duration_us : from the start of the layer's first GEMM; may reach into the next layer
    """

    name: str
    operation: str
    unit: str
    kernel: str
    batch: int
    part: int
    start_us: float
    duration_us: float

    @property
    def end_us(self) -> float:
        """When it is done."""
        return self.start_us + self.duration_us


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """What the search found.

    Parameters
    ----------
    nano_batches : sizes, in chunks
    operations : every nano-operation, in order of start
    period_us : a layer's time when layers follow one another without end
    bound_us : no schedule of the structures searched is shorter
    """

    nano_batches: tuple[NanoBatch, ...]
    operations: tuple[PlannedOperation, ...]
    period_us: float
    bound_us: float


def sequential_plan(table: SoloTable) -> LayerPlan:
    """The plan of one nano-batch whose kernels run one after the other: what every search can fall back on."""
    part = KvPart(decode_chunks=table.decode_chunks, prefill_chunks=table.prefill_chunks)
    steps = [("KQV1.1", "KQV", "gemm", "KQV", table.n_chunks)]
    if table.decode_chunks:
        steps.append(("DecodeAttention1.1", "Attention", "gemv", "DecodeAttention", table.decode_chunks))
    if table.prefill_chunks:
        steps.append(("PrefillAttention", "Attention", "gemv", "PrefillAttention", table.prefill_chunks))
    if table.networked:
        steps.append(("AttentionAllGather1", "AttentionAllGather", "network", "AttentionAllGather", table.n_chunks))
    steps.append(("O1", "O", "gemm", "O", table.n_chunks))
    if table.networked:
        steps.append(("OutputCollective1", "OutputCollective", "network", "OutputAllGather", table.n_chunks))
    steps += [(f"{name}1", name, "gemm", name, table.n_chunks) for name in ("UpGate", "Down")]
    if table.networked:
        steps.append(("DownAllReduce1", "DownAllReduce", "network", "DownAllReduce", table.n_chunks))
    clock, operations = 0.0, []
    for name, operation, unit, kernel, chunks in steps:
        duration = table.us[kernel][chunks]
        operations.append(
            PlannedOperation(
                name=name,
                operation=operation,
                unit=unit,
                kernel=kernel,
                batch=-1 if name == "PrefillAttention" else 0,
                part=0 if name in ("KQV1.1", "DecodeAttention1.1") else -1,
                start_us=clock,
                duration_us=duration,
            )
        )
        clock += duration
    return LayerPlan(
        nano_batches=(NanoBatch(parts=(part,), output="all_gather"),),
        operations=tuple(operations),
        period_us=clock,
        bound_us=0.0,
    )
