"""Coroutines of the top-level bench: the host driver over cocotbext-axi's buses, results against the golden model.

``NGPC_CASES`` lists the ``.npz`` files that ``test_nfp_top.py`` made: a checkpoint's path, points, direction codes and
golden results. ``NGPC_CONFIG`` is the pickled configuration of the build.
"""

import base64
import os
import pickle
import random
from collections.abc import Iterator
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, FallingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from arch.axis_format import issue_format, load_format, points_format
from arch.checkpoint import load_field
from arch.load_check import LoadFault
from arch.program_image import program_image, word_parts
from arch.register_map import register_map
from arch.workload import load_program
from host.driver import Driver

CASES = os.environ["NGPC_CASES"].split(os.pathsep)
CONFIG = pickle.loads(base64.b64decode(os.environ["NGPC_CONFIG"]))
SEED = int(os.environ["NGPC_SEED"])
BEAT = CONFIG.beat_points
PAUSES = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4))
"""Chance in each clock that the sources pause, and that the sink does."""
LIMIT_US = 2000


class SimulatedBuses:
    """``host.transport.Transport`` over bus models; its calls come from the driver's thread."""

    def __init__(self, dut, idle: float = 0.0, backpressure: float = 0.0) -> None:
        self.dut = dut
        self.manager = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.load = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_load"), dut.clk, dut.rst)
        self.points = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_points"), dut.clk, dut.rst)
        self.results = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_results"), dut.clk, dut.rst)
        for number, (stream, chance) in enumerate(
            ((self.load, idle), (self.points, idle), (self.results, backpressure))
        ):
            if chance:
                stream.set_pause_generator(_pauses(f"{SEED} {number} {chance}", chance))

    async def start(self) -> None:
        Clock(self.dut.clk, 10, "ns").start()
        await self.reset()

    async def reset(self) -> None:
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 3)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    @resume
    async def read(self, address: int) -> int:
        answer = await self.manager.read(address, 4)
        if int(answer.resp):
            raise OSError(f"read of {address:#x} answered {answer.resp}")
        return int.from_bytes(answer.data, "little")

    @resume
    async def write(self, address: int, word: int) -> None:
        answer = await self.manager.write(address, word.to_bytes(4, "little"))
        if int(answer.resp):
            raise OSError(f"write of {address:#x} answered {answer.resp}")

    @resume
    async def send_load(self, words: np.ndarray) -> None:
        await self.load.send(AxiStreamFrame(words.tobytes()))
        await self.load.wait()
        await ClockCycles(self.dut.clk, 4)

    @resume
    async def exchange(self, points: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ends = np.flatnonzero(last) + 1
        for first, end in zip([0, *ends[:-1]], ends, strict=True):
            self.points.send_nowait(AxiStreamFrame(points[first:end].tobytes()))
        words, lasts, errors, lanes = [], [], [], self.results.byte_lanes
        for _ in ends:
            frame = await self.results.recv(compact=False)
            data = np.frombuffer(bytes(frame.tdata), np.uint8).reshape(-1, lanes // BEAT)
            keep = np.array(frame.tkeep, dtype=bool).reshape(data.shape)
            wrong = np.array(frame.tuser[::lanes])[:, None] >> np.arange(BEAT) & 1
            # whole words, one behind the other: only those that end the frame are missing, of its last transfer
            present = keep.all(axis=1)
            assert np.array_equal(present, keep.any(axis=1)) and present[: len(data) - BEAT + 1].all()
            assert not (np.diff(present.astype(int)) > 0).any() and not data[~present].any()
            words.append(data[present])
            lasts += [False] * (len(words[-1]) - 1) + [True]
            errors += wrong.ravel()[present].tolist()
            assert not wrong.ravel()[~present].any()
        return np.concatenate(words), np.array(lasts), np.array(errors, dtype=bool)


def _pauses(seed: str, chance: float) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        yield rng.random() < chance


def _case(path: str) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@bridge
def render(buses: SimulatedBuses, watchdog: int = 0) -> None:
    """Every case through the driver: values, counters, interrupt."""
    driver = Driver(buses, CONFIG)
    driver.set_watchdog(watchdog)
    driver.enable_interrupts("run_done")
    for path in CASES:
        case = _case(path)
        field = load_field(str(case["checkpoint"]))
        codes = case["codes"] if field.config.app == "nerf" else None
        driver.load(field)
        before = driver.counters()
        run = driver.run(case["coordinates"], codes)
        assert not run.errors.any()
        wrong = np.flatnonzero((run.outputs != case["golden"]).any(axis=1))
        assert not len(wrong), f"{path}: {len(wrong)} wrong, first {wrong[0]}"
        counted = {name: value - before[name] for name, value in driver.counters().items()}
        assert counted["points"] == counted["results"] == len(run.outputs)
        assert counted["busy"] >= len(run.outputs)
        assert int(buses.dut.irq.value) == 1
        assert driver.take_interrupts() == ["run_done"]
        assert driver.take_interrupts() == []
        assert not driver.busy and driver.failed == []
    assert int(buses.dut.irq.value) == 0


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
@cocotb.parametrize(pauses=PAUSES)
async def fields_run_through_the_driver(dut, pauses):
    buses = SimulatedBuses(dut, *pauses)
    await buses.start()
    await render(buses)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def sixteen_workers_read_registers_while_points_run(dut):
    buses = SimulatedBuses(dut)
    await buses.start()
    registers, stop = register_map(CONFIG), False
    constants = [register for register in registers.registers if not register.writable and register.reset]

    async def worker(number: int) -> int:
        rng, reads = random.Random(f"{SEED} {number}"), 0
        while not stop:
            register = rng.choice(constants)
            answer = await buses.manager.read(register.address, 4)
            assert int.from_bytes(answer.data, "little") == register.reset, register.name
            reads += 1
        return reads

    workers = [cocotb.start_soon(worker(number)) for number in range(16)]
    await render(buses)
    stop = True
    assert min([await worker for worker in workers]) > 10


class OutsideUnit:
    """A unit of the scheduler outside the cluster: completes what it is told to do after some clocks."""

    def __init__(self, dut, unit: int) -> None:
        self.dut, self.rng = dut, random.Random(f"{SEED} unit {unit}")
        self.issues = AxiStreamSink(AxiStreamBus.from_prefix(dut, f"m_axis_issue{unit}"), dut.clk, dut.rst)
        self.completions = AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_complete{unit}"), dut.clk, dut.rst)
        self.done: list[tuple[int, int]] = []

    async def run(self) -> None:
        while True:
            frame = await self.issues.recv(compact=False)
            word = issue_format(CONFIG.scheduler).unpack(np.frombuffer(bytes(frame.tdata), np.uint8)[None])
            await ClockCycles(self.dut.clk, self.rng.randrange(1, 200))
            self.done.append((int(word["index"][0]), int(word["iteration"][0])))
            await self.complete(self.done[-1][0])

    async def complete(self, index: int) -> None:
        await self.completions.send(AxiStreamFrame(bytes([index])))


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def a_frame_program_runs_beside_an_outside_unit(dut):
    """March and Composite outside, EncodeMlp inside, a run of points each; then a wrong completion, a wrong program."""
    buses = SimulatedBuses(dut)
    await buses.start()
    outside = OutsideUnit(dut, 0)
    cocotb.start_soon(outside.run())
    program = replace(load_program("nerf_frame_ngpc8"), count=2)
    inside = [nano for nano in program.nano_operations if nano.unit == "nfp"]

    @bridge
    def play() -> None:
        driver, case = Driver(buses, CONFIG), _case(CASES[1])
        driver.load(load_field(str(case["checkpoint"])))
        driver.load_program(program)
        driver.enable_interrupts("program_done")
        driver.start_program()
        for number in range(len(inside) * program.count):
            points = slice(number, number + 1 + 9 * number)
            run = driver.run(case["coordinates"][points])
            assert np.array_equal(run.outputs, case["golden"][points])
        while driver.program.busy:
            pass
        assert driver.program.clocks > 0 and not driver.program.refused and not driver.program.protocol_error
        assert int(buses.dut.irq.value) == 1
        assert set(driver.take_interrupts()) == {"run_done", "program_done"}

    await play()
    names = [nano.name for nano in program.nano_operations]
    wanted = {(index, number) for index in range(len(names)) for number in range(program.count)}
    assert sorted(outside.done) == sorted(key for key in wanted if program.nano_operations[key[0]].unit != "nfp")
    # a Composite follows its March, in every iteration
    for number in range(program.count):
        order = [names[index] for index, iteration in outside.done if iteration == number]
        for part in range(1, 5):
            assert order.index(f"March{part}") < order.index(f"Composite{part}")
    await outside.complete(3)
    await ClockCycles(dut.clk, 10)

    @bridge
    def follow() -> None:
        driver = Driver(buses, CONFIG)
        assert driver.program.protocol_error
        image = program_image(program, CONFIG.scheduler)
        image.data[-word_parts(CONFIG.scheduler) :] = 0  # the control word: no iterations
        words = {"data": image.data, "address": image.address, "target": image.target}
        buses.send_load(load_format().pack(words))
        driver.start_program()
        while driver.program.busy:
            pass
        assert (driver.program.refused, driver.program.fault) == (True, LoadFault.COUNT)

    await follow()
    assert len(outside.done) == len(wanted) - len(inside) * program.count


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def a_word_without_all_its_bytes_is_told(dut):
    buses = SimulatedBuses(dut)
    await buses.start()
    size = points_format(CONFIG.nfp).data_bytes

    @bridge
    def told() -> bool:
        return "keep_error" in Driver(buses, CONFIG).take_interrupts()

    for whole in range(BEAT):  # so many whole points, and some more bytes; then without them, but for no point at all
        await buses.points.send(AxiStreamFrame(bytes(whole * size + size - 1)))
        await buses.points.wait()
        await ClockCycles(dut.clk, 5)
        assert await told()
        if whole:
            await buses.points.send(AxiStreamFrame(bytes(whole * size)))
            await buses.points.wait()
            await ClockCycles(dut.clk, 5)
            assert not await told()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def a_reset_in_traffic_leaves_a_working_device(dut):
    buses = SimulatedBuses(dut, 0.2, 0.2)
    await buses.start()
    rng = random.Random(SEED)
    for _ in range(4):
        buses.load.send_nowait(AxiStreamFrame(rng.randbytes(16 * 8)))
        buses.points.send_nowait(AxiStreamFrame(rng.randbytes(points_format(CONFIG.nfp).data_bytes * 42)))
        await ClockCycles(dut.clk, rng.randrange(5, 80))
        await buses.reset()
        buses.results.clear()
    await render(buses)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def failed_processors_answer_errors_and_a_reset_revives_them(dut):
    """A watchdog shorter than a nano-batch: all fail, every point is answered, and nothing hangs."""
    buses = SimulatedBuses(dut)
    await buses.start()

    @bridge
    def fail() -> None:
        driver = Driver(buses, CONFIG)
        case = _case(CASES[0])
        field = load_field(str(case["checkpoint"]))
        driver.load(field)
        driver.set_watchdog(2)
        driver.enable_interrupts("nfp_failed")
        run = driver.run(case["coordinates"], case["codes"] if field.config.app == "nerf" else None)
        assert run.errors.any() and not run.outputs[run.errors].any()
        assert np.array_equal(run.outputs[~run.errors], case["golden"][~run.errors])
        assert driver.failed == list(range(CONFIG.n_nfps))
        assert int(buses.dut.irq.value) == 1
        assert "nfp_failed" in driver.take_interrupts()

    await fail()
    await buses.reset()
    await render(buses, watchdog=5000)
