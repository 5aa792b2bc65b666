"""Coroutines of the grid encoding bench: feed a case's points, compare features and their clocks.

A case is an ``.npz`` file of ``EncodingCase.write``; ``NGPC_CASES`` lists them, run one after the other on the same
simulated engine.
"""

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer

CASES = os.environ["NGPC_CASES"].split(os.pathsep)
RUNS_PER_FRAME = 2


def _read(path: str) -> dict:
    """Arrays of a case; payloads, (n, words) uint32, as a list of integers."""
    with np.load(path) as archive:
        case = {name: archive[name] for name in archive.files}
    for name, array in case.items():
        if array.dtype == np.uint32:
            case[name] = [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in array]
    return case


class Bench:
    """Drives and watches the engine clock by clock, acting on falling edges.

    A source or sink is described by the clock from which it offers or wants each item, once those before it are done.
    """

    def __init__(self, dut) -> None:
        self.dut = dut

    async def start(self) -> None:
        """Start the clock and reset."""
        dut = self.dut
        for name in ("points__valid", "load__valid", "features__ready", "points__payload", "load__payload"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        Clock(dut.clk, 10, "ns").start()
        for _ in range(3):
            await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        await FallingEdge(dut.clk)

    async def reset_in_traffic(self, points, after: int) -> None:
        """Offer points and take features until ``after`` points are accepted; then reset for a clock."""
        dut = self.dut
        dut.points__valid.value = 1
        dut.features__ready.value = 1
        accepted = 0
        for _ in range(1000):
            dut.points__payload.value = points[accepted]
            await Timer(1, "ns")
            accepted += dut.points__ready.value == 1
            await FallingEdge(dut.clk)
            if accepted == after:
                break
        assert accepted == after, f"{accepted} of {after} points were accepted in 1000 clocks"
        dut.points__valid.value = 0
        dut.rst.value = 1
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        await Timer(1, "ns")
        assert dut.features__valid.value == 0, "an engine after reset must be empty"
        await FallingEdge(dut.clk)

    async def load(self, words: list[int]) -> None:
        """Send load words one a clock; the engine is empty, so it takes the first one a clock later, others at once."""
        dut = self.dut
        dut.load__valid.value = 1
        for number, word in enumerate(words):
            dut.load__payload.value = word
            if number == 0:
                await FallingEdge(dut.clk)
            await Timer(1, "ns")
            assert dut.load__ready.value == 1, "an empty engine must take a load word"
            assert dut.points__ready.value == 0, "a load word must keep points out"
            await FallingEdge(dut.clk)
        dut.load__valid.value = 0
        await FallingEdge(dut.clk)  # points hear of the end a clock later

    async def run(self, points, offered, wanted, *, limit, load_at=None, load_word=0):
        """Run points; returns clocks of acceptance, clocks of features and features, clock 0 the first one here.

        ``load_at``: after so many accepted points a load word waits; returns when the engine took it, too.
        """
        dut = self.dut
        accepted, given, features = [], [], []
        asked = loaded = None
        held = None
        clock = 0
        while len(given) < len(points):
            assert clock < limit, f"{len(given)} of {len(points)} features after {clock} clocks"
            sent, got = len(accepted), len(given)
            offering = sent < len(points) and clock >= offered[sent]
            dut.points__valid.value = int(offering)
            if offering:
                dut.points__payload.value = points[sent]
            wanting = clock >= wanted[got]
            dut.features__ready.value = int(wanting)
            loading = load_at is not None and loaded is None and sent >= load_at
            dut.load__valid.value = int(loading)
            dut.load__payload.value = load_word
            await Timer(1, "ns")
            valid = dut.features__valid.value == 1
            if valid or held is not None:
                payload = int(dut.features__payload.value)
                assert valid and held in (None, payload), f"features must hold until their transfer, clock {clock}"
                held = None if wanting else payload
            if loading:
                # points hear of it a clock later
                asked = clock if asked is None else asked
                assert clock == asked or dut.points__ready.value == 0, "a waiting load word must keep points out"
                if dut.load__ready.value == 1:
                    assert got == sent, f"a load word was taken with {sent - got} points inside"
                    loaded = clock
            if offering and dut.points__ready.value == 1:
                accepted.append(clock)
            if valid and wanting:
                given.append(clock)
                features.append(payload)
            await FallingEdge(dut.clk)
            clock += 1
        dut.points__valid.value = 0
        dut.load__valid.value = 0
        dut.features__ready.value = 0
        return np.array(accepted), np.array(given), features, loaded


@cocotb.test
async def encodes_bit_exact_in_the_predicted_clocks(dut):
    """Every case under each stall pattern: features equal the golden ones, transfers come in the model's clocks."""
    bench = Bench(dut)
    await bench.start()
    for path in CASES:
        case = _read(path)
        points, after = case["points"], int(case["reset_after"])
        if after:
            await bench.load(case["load_0"])
            await bench.reset_in_traffic(points, after)
        for run, (offered, wanted) in enumerate(zip(case["offered"], case["wanted"], strict=True)):
            frame, part = divmod(run, RUNS_PER_FRAME)
            if part == 0:
                await bench.load(case[f"load_{frame}"])
            limit = int(case["given"][run][-1]) + 1000
            accepted, given, features, _ = await bench.run(points, offered, wanted, limit=limit)
            pairs = zip(features, case[f"features_{frame}"], strict=True)
            wrong = [number for number, (found, golden) in enumerate(pairs) if found != golden]
            assert not wrong, f"{path} run {run}: {len(wrong)} wrong points, first {wrong[0]}"
            assert np.array_equal(accepted, case["accepted"][run]), f"{path} run {run}: clocks of points"
            assert np.array_equal(given, case["given"][run]), f"{path} run {run}: clocks of features"


@cocotb.test
async def a_load_word_waits_for_the_points_inside(dut):
    """A table word sent in the middle of a run is taken only when the engine is empty, and counts from then on."""
    bench = Bench(dut)
    await bench.start()
    patched = [case for case in map(_read, CASES) if "patch" in case]
    assert patched, "at least one case must have a patch"
    for case in patched:
        await bench.load(case["load_0"])
        before, after = case["features_0"], case["patched_features"]
        # Points that read the patched row come behind those that do not, and the word is sent between them.
        order = sorted(range(len(before)), key=lambda number: before[number] != after[number])
        order = [*order[:30], *order[-30:]]
        before, after = ([features[number] for number in order] for features in (before, after))
        points, start = [case["points"][number] for number in order], np.zeros(len(order), dtype=int)
        accepted, _, features, loaded = await bench.run(
            points, start, start, limit=5000, load_at=30, load_word=case["patch"][0]
        )
        assert loaded is not None
        ahead = int((accepted < loaded).sum())
        assert ahead in (30, 31), "at most the point of the clock it is offered in goes ahead of it"
        assert before[ahead:] != after[ahead:], "the patched row must matter"
        assert features == before[:ahead] + after[ahead:]
