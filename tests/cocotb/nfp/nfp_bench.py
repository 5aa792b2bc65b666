"""Coroutines of the processor bench: load a field, send points, compare results, counters and, unstalled, their clocks.

``NGPC_CASES`` lists the ``.npz`` files that ``test_nfp.py`` made: load words, point payloads, golden result payloads,
the cycle model's clocks and counters. All run one after the other on one simulated processor, so each reloads it.
"""

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer

from arch.nfp import COUNTER_BITS, NFP_COUNTERS

CASES = os.environ["NGPC_CASES"].split(os.pathsep)
SEED = int(os.environ["NGPC_SEED"])
STALLS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4))
"""Chance in each clock that the source pauses before its next point, and that the sink is not ready."""


class Source:
    """Offers payloads on a stream; once offered, a payload holds until it is taken."""

    def __init__(self, dut, name: str) -> None:
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload")
        self.sent: list[int] = []
        self.waits = 0  # clocks without an offer between the first and the last payload, the other side ready
        self._offering = False

    def drive(self, payloads: list[int], pause: bool) -> None:
        """Before the clock settles: offer the next payload, or go on offering it."""
        if not self._offering and len(self.sent) < len(payloads) and not pause:
            self._offering = True
            self.payload.value = payloads[len(self.sent)]
        self.valid.value = int(self._offering)

    def note(self, clock: int) -> None:
        """After it settled: was the payload taken?"""
        if self.ready.value != 1:
            return
        if self._offering:
            self.sent.append(clock)
            self._offering = False
        elif self.sent:
            self.waits += 1


class Sink:
    """Takes payloads of a stream and sees that an offer holds until it is taken."""

    def __init__(self, dut, name: str) -> None:
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload")
        self.taken: list[tuple[int, int]] = []
        self.waits = 0  # clocks in which an offer was not taken
        self._held: int | None = None
        self._wanting = False

    def drive(self, wanting: bool) -> None:
        """Before the clock settles."""
        self._wanting = wanting
        self.ready.value = int(wanting)

    def note(self, clock: int) -> None:
        """After it settled: what is offered, and is it taken?"""
        if self.valid.value != 1:
            assert self._held is None, f"an offer was withdrawn at clock {clock}"
            return
        payload = int(self.payload.value)
        assert self._held in (None, payload), f"an offer changed at clock {clock}"
        self._held = None if self._wanting else payload
        if self._wanting:
            self.taken.append((clock, payload))
        else:
            self.waits += 1


async def _reset(dut) -> None:
    for name in ("load__valid", "load__payload", "points__valid", "points__payload", "results__ready"):
        getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    await FallingEdge(dut.clk)


async def _load(dut, words: list[int], limit: int) -> None:
    source = Source(dut, "load")
    for clock in range(limit):
        source.drive(words, False)
        await Timer(1, "ns")
        source.note(clock)
        await FallingEdge(dut.clk)
        if len(source.sent) == len(words):
            dut.load__valid.value = 0
            return
    raise AssertionError(f"{len(source.sent)} of {len(words)} load words were taken after {limit} clocks")


def _counters(dut) -> dict[str, int]:
    value, mask = int(dut.counters.value), (1 << COUNTER_BITS) - 1
    return {name: value >> COUNTER_BITS * place & mask for place, name in enumerate(NFP_COUNTERS)}


async def _run(dut, points: list[int], idle: float, backpressure: float, limit: int) -> tuple[Source, Sink]:
    rng = random.Random(f"{SEED} {idle} {backpressure}")
    source, sink = Source(dut, "points"), Sink(dut, "results")
    for clock in range(limit):
        source.drive(points, rng.random() < idle)
        pausing = len(source.sent) < len(points)
        sink.drive(rng.random() >= backpressure)
        await Timer(1, "ns")
        if pausing:
            source.note(clock)
        sink.note(clock)
        await FallingEdge(dut.clk)
        if len(sink.taken) == len(points):
            dut.points__valid.value = 0
            dut.results__ready.value = 0
            return source, sink
    raise AssertionError(f"{len(sink.taken)} of {len(points)} results came within {limit} clocks")


@cocotb.test
async def results_are_golden_and_in_time(dut):
    """Every case under each stall pattern; unstalled runs also in the clocks of the cycle model."""
    await _reset(dut)
    for path in CASES:
        with np.load(path) as archive:
            case = {name: archive[name] for name in archive.files}
        words, points, golden = ([int(text) for text in case[name]] for name in ("load", "points", "results"))
        await _load(dut, words, 4 * len(words) + 1000)
        for idle, backpressure in STALLS:
            limit = 8 * int(case["given"][-1]) + 2000
            before = _counters(dut)
            source, sink = await _run(dut, points, idle, backpressure, limit)
            counted = {name: value - before[name] for name, value in _counters(dut).items()}
            expected = {
                "points": len(points),
                "results": len(points),
                "busy": sink.taken[-1][0] - source.sent[0] + 1,
                "source_waits": source.waits,
                "sink_waits": sink.waits,
            }
            wrong = [
                n for n, ((_, payload), want) in enumerate(zip(sink.taken, golden, strict=True)) if payload != want
            ]
            assert not wrong, f"{path}, stalls {idle} and {backpressure}: {len(wrong)} wrong, first {wrong[0]}"
            if idle == backpressure == 0.0:
                first = source.sent[0]
                assert [clock - first for clock in source.sent] == case["accepted"].tolist(), f"{path}: points' clocks"
                given = [clock - first for clock, _ in sink.taken]
                assert given == case["given"].tolist(), f"{path}: results' clocks"
                limits = case["limits"].tolist()
                expected |= {"encoding_limits": limits[0], "mlp_limits": limits[1]}
            else:
                assert counted["encoding_limits"] + counted["mlp_limits"] < expected["busy"]
            assert {name: counted[name] for name in expected} == expected, f"{path}, stalls {idle} and {backpressure}"
