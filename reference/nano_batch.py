"""Decoder layers executed nano-operation by nano-operation, in the order a scheduler issued them.

The oracle of an order: a nano-operation reads its rows when it is issued and writes them when it is complete, so the
result equals the unsplit execution only if everything it reads had been written; what was not is an error.
Float64, so that splitting a batch moves a sum by rounding alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from arch.errors import InputError, check_integer, check_multiple, check_one_of
from arch.program import NanoOperation, Program

__all__ = ["DecoderWeights", "MixedBatch", "Order", "execute_in_order", "execute_unsplit", "issue_order"]

CHAIN = (
    ("NormAttention",),
    ("KQV",),
    ("Rope",),
    ("DecodeAttention", "PrefillAttention"),
    ("AttentionAllGather",),
    ("O",),
    ("OutputAllGather", "OutputAllReduce"),
    ("NormFfn",),
    ("UpGate",),
    ("Down",),
    ("DownAllReduce",),
)
"""Operations of a layer in the order of the data; collectives hand rows on as they are. One that no nano-operation
executes for a row is part of the next that does: NanoFlow fuses the norm of some rows into the all-reduce before it."""

_STAGE = {name: number for number, names in enumerate(CHAIN) for name in names}
_ROPE = _STAGE["Rope"]
_EPSILON = 1e-5
_ROPE_BASE = 10000.0

Order = Iterable[tuple[str, int, int]]
"""(``issue`` or ``complete``, layer, index of the nano-operation), as it happened."""


@dataclass(frozen=True, kw_only=True)
class DecoderWeights:
    """Random weights of ``n_layers`` layers with grouped-query attention and a gated feed-forward network.

    Parameters
    ----------
    n_layers, d_model, n_heads, n_kv_heads, d_ffn : shape; a head has ``d_model / n_heads`` values
    seed : of the weights
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_ffn: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ffn"):
            check_integer(name, getattr(self, name), 1, 1 << 16)
        check_multiple("d_model", self.d_model, 2 * self.n_heads, 2 * self.n_heads, 1 << 16)
        check_multiple("n_heads", self.n_heads, self.n_kv_heads, self.n_kv_heads, 1 << 16)

    @property
    def head_dim(self) -> int:
        """Values of a head."""
        return self.d_model // self.n_heads

    def layer(self, number: int) -> dict[str, torch.Tensor]:
        """Matrices (in, out) and norm gains of a layer, float64."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + number)
        d_kv = self.n_kv_heads * self.head_dim
        shapes = {
            "kqv": (self.d_model, self.d_model + 2 * d_kv),
            "o": (self.d_model, self.d_model),
            "up": (self.d_model, self.d_ffn),
            "gate": (self.d_model, self.d_ffn),
            "down": (self.d_ffn, self.d_model),
        }
        weights = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) / shape[0] ** 0.5
            for name, shape in shapes.items()
        }
        gains = torch.rand((2, self.d_model), generator=generator, dtype=torch.float64) + 0.5
        return {**weights, "norm_attention": gains[0], "norm_ffn": gains[1]}


@dataclass(frozen=True, kw_only=True)
class MixedBatch:
    """Rows of one iteration of serving: decoded tokens first, then the tokens of one prompt.

    Parameters
    ----------
    n_rows, n_decode : all rows, and those of them that are decoded tokens of a request each
    context : cached tokens of every decoding request; the prompt has none
    seed : of inputs and caches
    """

    n_rows: int
    n_decode: int
    context: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("n_rows", self.n_rows, 1, 1 << 16)
        check_integer("n_decode", self.n_decode, 0, self.n_rows)
        check_integer("context", self.context, 0, 1 << 16)

    def inputs(self, weights: DecoderWeights) -> torch.Tensor:
        """Hidden states before the first layer, (n_rows, d_model) float64."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn((self.n_rows, weights.d_model), generator=generator, dtype=torch.float64)

    def cache(self, weights: DecoderWeights, layer: int) -> torch.Tensor:
        """Cached keys and values of a layer, (n_decode, 2, context, n_kv_heads, head_dim) float64."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + 7 + layer)
        shape = (self.n_decode, 2, self.context, weights.n_kv_heads, weights.head_dim)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def positions(self) -> torch.Tensor:
        """Position of every row in its request, (n_rows,)."""
        prompt = torch.arange(self.n_rows - self.n_decode)
        return torch.cat([torch.full((self.n_decode,), self.context), prompt])


def issue_order(issue_clk: np.ndarray, complete_clk: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """What happened, from clocks (layers, nano-operations); an issue sees no completion of its own clock."""
    events = [(int(clock), 0, "issue", *key) for key, clock in np.ndenumerate(issue_clk)]
    events += [(int(clock), 1, "complete", *key) for key, clock in np.ndenumerate(complete_clk)]
    for _, _, kind, (layer, index) in sorted((clock, rank, kind, tuple(key)) for clock, rank, kind, *key in events):
        yield kind, layer, index


def execute_unsplit(weights: DecoderWeights, batch: MixedBatch) -> torch.Tensor:
    """Hidden states after the last layer, every operation on the whole batch: (n_rows, d_model) float64."""
    residual = batch.inputs(weights)
    rows = torch.arange(batch.n_rows)
    for number in range(weights.n_layers):
        layer = _Layer(weights, batch, number)
        value = residual
        for stage in range(len(CHAIN)):
            residual, value = layer.apply(stage, rows, residual, value)
    return residual


def execute_in_order(program: Program, order: Order, weights: DecoderWeights, batch: MixedBatch) -> torch.Tensor:
    """Hidden states after the last layer when nano-operations are issued and completed in ``order``.

    Parameters
    ----------
    program : one layer as the loop body; its chunks cover the batch with equally many rows each
    order : issues and completions (:func:`issue_order`)
    weights, batch : what is computed; the program's ``count`` layers of it

    Raises
    ------
    InputError
        If an operation is none of a decoder layer, or a nano-operation reads rows that had not been written.
    """
    check_multiple("n_rows of the batch", batch.n_rows, program.n_chunks, program.n_chunks, 1 << 16)
    check_integer("count of the program", program.count, weights.n_layers, weights.n_layers)
    for operation in program.operations:
        check_one_of("operation", operation, tuple(_STAGE))
    return _Execution(program, weights, batch).run(order)


class _Layer:
    """The arithmetic of one layer; keys and values of rows become readable when their Rope has been written."""

    def __init__(self, weights: DecoderWeights, batch: MixedBatch, number: int) -> None:
        self._shape, self._batch = weights, batch
        self._weights, self._cache = weights.layer(number), batch.cache(weights, number)
        self._positions = batch.positions()
        kv = (batch.n_rows, weights.n_kv_heads, weights.head_dim)
        self.keys = torch.full(kv, torch.nan, dtype=torch.float64)
        self.values = torch.full(kv, torch.nan, dtype=torch.float64)

    def apply(
        self, stage: int, rows: torch.Tensor, residual: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(residual, value) of the rows after one more stage of ``CHAIN``."""
        weights = self._weights
        name = CHAIN[stage][0]
        if name == "NormAttention":
            value = _rms_norm(residual) * weights["norm_attention"]
        elif name == "KQV":
            value = value @ weights["kqv"]
        elif name == "Rope":
            value = self._rope(rows, value)
        elif name == "DecodeAttention":
            value = torch.stack([self._attend(int(row), query) for row, query in zip(rows, value, strict=True)])
        elif name == "O":
            residual = residual + value @ weights["o"]
            value = residual
        elif name == "NormFfn":
            value = _rms_norm(residual) * weights["norm_ffn"]
        elif name == "UpGate":
            value = torch.nn.functional.silu(value @ weights["gate"]) * (value @ weights["up"])
        elif name == "Down":
            residual = residual + value @ weights["down"]
            value = residual
        return residual, value

    def _rope(self, rows: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Rotate queries and keys by position; keep keys and values, pass queries on."""
        shape = self._shape
        d_kv = shape.n_kv_heads * shape.head_dim
        queries, keys, values = value.split([shape.d_model, d_kv, d_kv], dim=1)
        half = shape.head_dim // 2
        frequency = _ROPE_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = (self._positions[rows].to(torch.float64)[:, None] * frequency)[:, None, :]

        def rotated(heads: torch.Tensor) -> torch.Tensor:
            first, second = heads.reshape(len(rows), -1, shape.head_dim).split(half, dim=2)
            return torch.cat(
                [first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()], dim=2
            )

        self.keys[rows] = rotated(keys)
        self.values[rows] = values.reshape(len(rows), -1, shape.head_dim)
        return rotated(queries).reshape(len(rows), -1)

    def _attend(self, row: int, query: torch.Tensor) -> torch.Tensor:
        """Attention of one row over its request: cache and itself, or the prompt up to itself."""
        shape, n_decode = self._shape, self._batch.n_decode
        first = row if row < n_decode else n_decode
        keys, values = self.keys[first : row + 1], self.values[first : row + 1]
        if row < n_decode:
            keys, values = torch.cat([self._cache[row, 0], keys]), torch.cat([self._cache[row, 1], values])
        group = shape.n_heads // shape.n_kv_heads
        queries = query.reshape(shape.n_kv_heads, group, shape.head_dim)
        scores = torch.einsum("kgd,tkd->kgt", queries, keys) / shape.head_dim**0.5
        return torch.einsum("kgt,tkd->kgd", scores.softmax(dim=2), values).reshape(-1)


class _Execution:
    """What has been written of every row of every layer: the stage it is at, residual and value."""

    def __init__(self, program: Program, weights: DecoderWeights, batch: MixedBatch) -> None:
        self._program, self._batch = program, batch
        self._layers = [_Layer(weights, batch, number) for number in range(weights.n_layers)]
        self._at = np.full((weights.n_layers, batch.n_rows), -1)
        self._states: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self._inputs = batch.inputs(weights)
        self._running: dict[tuple[int, int], tuple[list[int], list[torch.Tensor], list[torch.Tensor]]] = {}
        self._issued: set[tuple[int, int]] = set()
        # by stage, which rows a nano-operation executes it for
        self._covered = np.zeros((len(CHAIN), batch.n_rows), dtype=bool)
        for nano in program.nano_operations:
            self._covered[_STAGE[nano.operation], self._rows(nano)] = True
        self._last = [int(np.flatnonzero(stages).max()) for stages in self._covered.T]

    def run(self, order: Order) -> torch.Tensor:
        for kind, layer, index in order:
            check_one_of("kind of an event", kind, ("issue", "complete"))
            check_integer("layer of an event", layer, 0, len(self._layers) - 1)
            check_integer("nano-operation of an event", index, 0, len(self._program.nano_operations) - 1)
            (self._issue if kind == "issue" else self._complete)(layer, index)
        last = len(self._layers) - 1
        for row in range(self._batch.n_rows):
            self._require(self._at[last, row] == self._last[row], "the end", last, row)
        if self._running:
            layer, index = min(self._running)
            raise InputError(f"{self._program.nano_operations[index].name} of layer {layer} must complete, not run on")
        return torch.stack([self._states[last, row][0] for row in range(self._batch.n_rows)])

    def _rows(self, nano: NanoOperation) -> list[int]:
        """Rows it works on: those of its chunks, for attention those of its kind."""
        per_chunk = self._batch.n_rows // self._program.n_chunks
        rows = [row for row in range(self._batch.n_rows) if nano.chunks >> row // per_chunk & 1]
        if nano.operation == "DecodeAttention":
            return [row for row in rows if row < self._batch.n_decode]
        if nano.operation == "PrefillAttention":
            return [row for row in rows if row >= self._batch.n_decode]
        return rows

    def _issue(self, layer: int, index: int) -> None:
        nano = self._program.nano_operations[index]
        if (layer, index) in self._issued:
            raise InputError(f"{nano.name} of layer {layer} must be issued once, not again")
        self._issued.add((layer, index))
        stage, rows = _STAGE[nano.operation], self._rows(nano)
        residuals, values = [], []
        for row in rows:
            before = max((s for s in range(stage) if self._covered[s, row]), default=-1)
            residual, value = self._read(nano.name, layer, row, before)
            for fused in range(before + 1, stage + 1):
                if CHAIN[fused][0] == "DecodeAttention":
                    self._check_keys(nano.name, layer, row)
                applied = self._layers[layer].apply(fused, torch.tensor([row]), residual[None], value[None])
                residual, value = applied[0][0], applied[1][0]
            residuals.append(residual)
            values.append(value)
        self._running[layer, index] = (rows, residuals, values)

    def _read(self, name: str, layer: int, row: int, before: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(residual, value) of a row after stage ``before``; -1 is the end of the layer before."""
        if before >= 0:
            self._require(self._at[layer, row] == before, name, layer, row)
            return self._states[layer, row]
        if layer == 0:
            return self._inputs[row], self._inputs[row]
        self._require(self._at[layer - 1, row] == self._last[row], name, layer, row)
        return self._states[layer - 1, row]

    def _check_keys(self, name: str, layer: int, row: int) -> None:
        first = row if row < self._batch.n_decode else self._batch.n_decode
        for other in range(first, row + 1):
            self._require(self._at[layer, other] >= _ROPE, name, layer, other)

    def _complete(self, layer: int, index: int) -> None:
        nano = self._program.nano_operations[index]
        if (layer, index) not in self._running:
            raise InputError(f"{nano.name} of layer {layer} must be issued before it is complete, not after")
        rows, residuals, values = self._running.pop((layer, index))
        for row, residual, value in zip(rows, residuals, values, strict=True):
            self._states[layer, row] = (residual, value)
            self._at[layer, row] = _STAGE[nano.operation]

    @staticmethod
    def _require(written: bool, name: str, layer: int, row: int) -> None:
        if not written:
            raise InputError(f"row {row} must be complete before {name} of layer {layer} reads it, not after")


def _rms_norm(value: torch.Tensor) -> torch.Tensor:
    return value / (value.square().mean(dim=-1, keepdim=True) + _EPSILON).sqrt()
