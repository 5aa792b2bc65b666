"""Shares for a program: how many tenths of the machine every nano-operation holds, chosen on the machine's own model.

NanoFlow's second stage gives every nano-operation one R and plans as if it ran at P(R) from start to end. Here the
judge is the cycle model with rates that change whenever something starts or ends
(:func:`sim.machine.decoder_program.shared_rates`), so that what is chosen is what will run.
"""

from collections.abc import Callable
from dataclasses import replace

from arch.program import Pool, Program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import simulate
from sim.machine.decoder_program import POOL, shared_rates
from sim.search.plan_program import CLOCK_HZ, steady_period_us

__all__ = ["TENTHS", "choose_shares", "shared_period_us"]

TENTHS = 10
_FIRST = {"gemm": 7, "gemv": 2, "network": 1}
_STEPS = (-3, -2, -1, 1, 2, 3)
_SWEEPS = 3
_LAYERS = 12
_KEEPS = 1.0002


def choose_shares(program: Program, interference: str, progress: Callable[[int, int], None] | None = None) -> Program:
    """The program with shares of a pool of ten that make its layer shortest under a P(R) table.

    Descends from 7, 2 and 1 tenths for GEMM, GEMV and network, one nano-operation at a time, until nothing helps or
    three rounds are over. A share is not taken if credits would then hold up the schedule without interference.
    """
    best = _shared(program, {nano.name: _FIRST[nano.unit] for nano in program.nano_operations})
    shortest, most = shared_period_us(best, interference, _LAYERS), steady_period_us(program, _LAYERS) * _KEEPS
    total, done = _SWEEPS * len(program.nano_operations), 0
    for _ in range(_SWEEPS):
        before = shortest
        for nano in program.nano_operations:
            shares = {each.name: each.shares[POOL] for each in best.nano_operations}
            for step in _STEPS:
                tenths = shares[nano.name] + step
                if not 1 <= tenths < TENTHS:
                    continue
                trial = _shared(program, {**shares, nano.name: tenths})
                period = shared_period_us(trial, interference, _LAYERS)
                if period < shortest and steady_period_us(trial, _LAYERS) <= most:
                    best, shortest = trial, period
            done += 1
            if progress is not None:
                progress(done, total)
        if shortest == before:
            break
    return best


def shared_period_us(program: Program, interference: str, layers: int) -> float:
    """Steady period of a program with shares whose nano-operations slow one another as P(R) says."""
    body = replace(program, count=layers)
    rates = shared_rates(body, interference)
    run = simulate(body, SchedulerConfig.for_program(body), rates=rates, clock_hz=CLOCK_HZ)
    return run.steady_period_clk * 1e6 / CLOCK_HZ


def _shared(program: Program, shares: dict[str, int]) -> Program:
    nanos = tuple(replace(nano, shares={POOL: shares[nano.name]}) for nano in program.nano_operations)
    return replace(program, pools=(Pool(name=POOL, capacity=TENTHS),), nano_operations=nanos)
