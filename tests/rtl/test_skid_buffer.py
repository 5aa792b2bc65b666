"""The two registers of a stream: order, holding, a word a clock, one clock of latency."""

import random

import pytest
from amaranth.sim import Simulator

from rtl.skid_buffer import SkidBuffer

STALLS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4))
WORDS = 200


def _run(idle: float, backpressure: float, seed: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Clocks of the transfers in, and (clock, word) of those out."""
    dut, rng = SkidBuffer(16), random.Random(f"{seed} {idle} {backpressure}")
    words = [rng.randrange(1 << 16) for _ in range(WORDS)]
    sent, taken = [], []

    async def bench(ctx):
        offering, held = False, None
        for clock in range(20 * WORDS):
            offering = offering or (len(sent) < WORDS and rng.random() >= idle)
            wanting = rng.random() >= backpressure
            ctx.set(dut.i.valid, offering)
            ctx.set(dut.i.payload, words[len(sent)] if offering else rng.randrange(1 << 16))
            ctx.set(dut.o.ready, wanting)
            payload = ctx.get(dut.o.payload) if ctx.get(dut.o.valid) else None
            assert held in (None, payload), f"an offer changed at clock {clock}"
            held = None if wanting else payload
            if payload is not None and wanting:
                taken.append((clock, payload))
            if offering and ctx.get(dut.i.ready):
                sent.append(clock)
                offering = False
            await ctx.tick()
            if len(taken) == WORDS:
                return
        raise AssertionError(f"{len(taken)} of {WORDS} words came")

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert [word for _, word in taken] == words
    return sent, taken


@pytest.mark.parametrize(("idle", "backpressure"), STALLS)
def test_words_pass_in_order_whatever_pauses(idle: float, backpressure: float, seed: int) -> None:
    sent, taken = _run(idle, backpressure, seed)
    assert all(clock > before for before, (clock, _) in zip(sent, taken, strict=True))


def test_a_word_a_clock_one_clock_later(seed: int) -> None:
    sent, taken = _run(0.0, 0.0, seed)
    assert sent == list(range(WORDS))
    assert [clock for clock, _ in taken] == list(range(1, WORDS + 1))
