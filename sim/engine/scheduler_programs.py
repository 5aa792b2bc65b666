"""Random programs that use everything a descriptor can say, for benches and for stress of machine models."""

import itertools
import random
from dataclasses import replace

from arch.errors import InputError
from arch.program import NanoOperation, Pool, Predecessor, Program, chunk_mask
from arch.scheduler import SchedulerConfig

__all__ = ["random_program"]


def random_program(rng: random.Random, config: SchedulerConfig) -> Program:
    """A legal program that fits ``config``: any number of nano-operations, all scopes, events and offsets.

    Waits are drawn one nano-operation after the other and kept where the program accepts them, so that the graph is
    dense and yet free of circles.
    """
    n_chunks = rng.randint(1, config.n_chunks)
    units = tuple(f"unit{number}" for number in range(rng.randint(1, config.n_units)))
    pools = tuple(
        Pool(name=f"pool{number}", capacity=rng.randint(1, 2**config.share_bits - 1))
        for number in range(rng.randint(0, config.n_pools))
    )
    nanos = [
        NanoOperation(
            name=f"nano{number}",
            operation=operation,
            unit=rng.choice(units),
            chunks=chunks,
            shares={pool.name: rng.randint(0, pool.capacity) for pool in pools if rng.random() < 0.6},
            priority=rng.choice((0, 0, 1, 2, 3)),
        )
        for number, (operation, chunks) in enumerate(
            _pieces(rng, config, n_chunks, rng.randint(1, config.n_descriptors))
        )
    ]
    program = Program(
        name=f"random{rng.randrange(10**6)}",
        units=units,
        pools=pools,
        chunk_rows=128,
        n_chunks=n_chunks,
        nano_operations=tuple(nanos),
        count=rng.randint(1, 6),
    )
    for number in rng.sample(range(len(nanos)), len(nanos)):
        nanos[number] = replace(nanos[number], predecessors=_predecessors(rng, program, nanos[number]))
        try:
            program = replace(program, nano_operations=tuple(nanos))
        except InputError:
            nanos[number] = program.nano_operations[number]
    return program


def _pieces(rng: random.Random, config: SchedulerConfig, n_chunks: int, n_nanos: int) -> list[tuple[str, int]]:
    """Operations cut into nano-batches, shuffled; an operation need not cover the whole batch."""
    pieces: list[tuple[str, int]] = []
    for number in range(config.n_operations):
        cuts = sorted(rng.sample(range(n_chunks + 1), rng.randint(2, min(5, n_chunks + 1))))
        pieces += [(f"operation{number}", chunk_mask(*piece)) for piece in itertools.pairwise(cuts)]
        if len(pieces) >= n_nanos:
            break
    pieces = pieces[:n_nanos]
    rng.shuffle(pieces)
    return pieces


def _predecessors(rng: random.Random, program: Program, nano: NanoOperation) -> tuple[Predecessor, ...]:
    chosen = []
    for _ in range(rng.choice((0, 1, 1, 2, 3, 4))):
        operation = rng.choice(program.operations)
        whole = bool(nano.chunks & ~program.operation_chunks(operation)) or rng.random() < 0.3
        chosen.append(
            Predecessor(
                operation=operation,
                layer_offset=rng.choice((0, 0, 0, -1, -1, 1)),
                event=rng.choice(("done", "done", "start")),
                scope="all" if whole else "elementwise",
            )
        )
    return tuple(chosen)
