"""The host driver over AXI on the top level: a unit fails, hangs and is late; the program goes on, and is aborted."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from arch.axis_format import complete_format, issue_format
from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from arch.program import NanoOperation, Predecessor, Program
from arch.register_map import register_map
from arch.scheduler import SchedulerConfig
from arch.supervision import Decision, FailureCause, UnitState
from host.driver import Driver, UnitStatus
from rtl.nfp_top import NfpTop

SCHEDULER = SchedulerConfig(
    n_descriptors=8,
    n_operations=4,
    n_units=2,
    n_chunks=4,
    share_bits=3,
    check_load=True,
    supervised=True,
    watchdog_bits=8,
    buffered=True,
)
CONFIG = ClusterConfig(
    nfp=NfpConfig(
        encoding=EncodingEngineConfig(n_levels=4, table_rows=64),
        mlp=MlpEngineConfig(rows=4, cols=4, nano_batch=6, max_width=8),
        max_outputs=1,
    ),
    n_nfps=1,
    scheduler=SCHEDULER,
)


def nano(number: int, *awaited: int) -> NanoOperation:
    return NanoOperation(
        name=f"n{number}",
        operation=f"o{number}",
        unit="sm",
        chunks=1,
        predecessors=tuple(Predecessor(operation=f"o{other}") for other in awaited),
    )


PROGRAM = Program(
    name="two",
    units=("sm", "nfp"),
    pools=(),
    chunk_rows=1,
    n_chunks=1,
    count=3,
    nano_operations=(nano(0), nano(1, 0)),
)


class Hardware:
    """The top level in Amaranth's simulator; every call of the transport runs it until the answer is there."""

    def __init__(self, make_nfp: object) -> None:
        self.dut = NfpTop(CONFIG, make_nfp)
        self._simulator = Simulator(self.dut)
        self._simulator.add_clock(1e-8)
        self._simulator.add_testbench(self._serve)
        self._calls: deque = deque()
        self._answers: deque = deque()
        self.issued: list[tuple[int, int, int]] = []
        self.irq = 0

    def read(self, address: int) -> int:
        return self._call(self._read, address)

    def write(self, address: int, word: int) -> None:
        self._call(self._write, address, word)

    def send_load(self, words: np.ndarray) -> None:
        self._call(self._load, words)

    def exchange(self, points: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        raise AssertionError("programs of this bench send no points")

    def complete(self, index: int, attempt: int, *, error: bool = False) -> None:
        values = {"index": index, "attempt": attempt, "error": int(error)}
        words = complete_format(SCHEDULER).pack({name: np.array([value]) for name, value in values.items()})
        self._call(self._stream, "s_axis_complete0", words)

    def wait(self, clocks: int) -> None:
        self._call(self._wait, clocks)

    def wait_for_issues(self, number: int) -> tuple[int, int, int]:
        """Run until that many were issued; returns the last one's descriptor, iteration and attempt."""
        for _ in range(60):
            if len(self.issued) >= number:
                assert len(self.issued) == number
                return self.issued[-1]
            self.wait(5)
        raise AssertionError(f"{number} must be issued, not {len(self.issued)}")

    def _call(self, what: object, *arguments: object) -> object:
        self._calls.append((what, arguments))
        for _ in range(200_000):
            if self._answers:
                return self._answers.popleft()
            self._simulator.advance()
        raise AssertionError("the hardware must answer")

    async def _serve(self, ctx: object) -> None:
        self.ctx = ctx
        ctx.set(self.dut.m_axis_issue0_tready, 1)
        ctx.set(self.dut.s_axil_bready, 1)
        ctx.set(self.dut.s_axil_rready, 1)
        while True:
            if self._calls:
                what, arguments = self._calls.popleft()
                self._answers.append(await what(*arguments))
            else:
                await self._tick()

    async def _tick(self) -> None:
        ctx, dut = self.ctx, self.dut
        if ctx.get(dut.m_axis_issue0_tvalid):
            word = ctx.get(dut.m_axis_issue0_tdata).to_bytes(4, "little")
            values = issue_format(SCHEDULER).unpack(np.frombuffer(word, np.uint8)[None])
            self.issued.append(tuple(int(values[name][0]) for name in ("index", "iteration", "attempt")))
        self.irq = ctx.get(dut.irq)
        await ctx.tick()

    async def _until(self, signal: object) -> None:
        while not self.ctx.get(signal):
            await self._tick()

    async def _read(self, address: int) -> int:
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.s_axil_araddr, address)
        ctx.set(dut.s_axil_arvalid, 1)
        await self._until(dut.s_axil_arready)
        await self._tick()
        ctx.set(dut.s_axil_arvalid, 0)
        await self._until(dut.s_axil_rvalid)
        word = ctx.get(dut.s_axil_rdata)
        assert ctx.get(dut.s_axil_rresp) == 0
        await self._tick()
        return word

    async def _write(self, address: int, word: int) -> None:
        ctx, dut = self.ctx, self.dut
        for name, value in (("awaddr", address), ("awvalid", 1), ("wdata", word), ("wstrb", 15), ("wvalid", 1)):
            ctx.set(getattr(dut, f"s_axil_{name}"), value)
        assert ctx.get(dut.s_axil_awready) & ctx.get(dut.s_axil_wready)
        await self._tick()
        ctx.set(dut.s_axil_awvalid, 0)
        ctx.set(dut.s_axil_wvalid, 0)
        await self._until(dut.s_axil_bvalid)
        assert ctx.get(dut.s_axil_bresp) == 0
        await self._tick()

    async def _load(self, words: np.ndarray) -> None:
        await self._stream("s_axis_load", words)

    async def _stream(self, bus: str, words: np.ndarray) -> None:
        ctx, dut = self.ctx, self.dut
        for word in words:
            ctx.set(getattr(dut, f"{bus}_tdata"), int.from_bytes(word.tobytes(), "little"))
            ctx.set(getattr(dut, f"{bus}_tkeep"), (1 << len(word)) - 1)
            ctx.set(getattr(dut, f"{bus}_tvalid"), 1)
            await self._until(getattr(dut, f"{bus}_tready"))
            await self._tick()
        ctx.set(getattr(dut, f"{bus}_tvalid"), 0)

    async def _wait(self, clocks: int) -> None:
        for _ in range(clocks):
            await self._tick()


def test_a_host_sees_failures_and_decides(paced) -> None:
    hardware = Hardware(paced((1, None)))
    driver = Driver(hardware, CONFIG)
    driver.load_program(PROGRAM)
    driver.enable_interrupts("unit_failed")
    driver.start_program()
    assert hardware.wait_for_issues(1) == (0, 0, 0)
    assert driver.unit(0).state is UnitState.IN_FLIGHT
    # an error: the host sees where, and has it done again
    hardware.complete(0, 0, error=True)
    hardware.wait(5)
    assert hardware.irq
    assert driver.failed_units == [0]
    failed = UnitStatus(state=UnitState.FAILED, cause=FailureCause.ERROR, index=0, iteration=0, attempt=1)
    assert driver.unit(0) == failed
    assert driver.unit(1).state is UnitState.IDLE
    assert (driver.issued(0), driver.issued(1)) == (1, 0)
    assert driver.take_interrupts() == ["unit_failed"]
    hardware.wait(3)
    assert not hardware.irq
    driver.decide(0, Decision.REISSUE)
    assert hardware.wait_for_issues(2) == (0, 0, 1)
    # the first execution completes after all: too late, and for nothing
    hardware.complete(0, 0)
    hardware.wait(20)
    assert driver.take_interrupts() == ["late"]
    assert driver.unit(0).state is UnitState.IN_FLIGHT
    # the next one hangs, and is dropped
    driver.set_unit_limit(0, 40)
    hardware.complete(0, 1)
    assert hardware.wait_for_issues(3) == (1, 0, 1) or hardware.issued[-1] == (0, 1, 1)
    hardware.wait(60)
    assert driver.unit(0).cause is FailureCause.WATCHDOG
    assert driver.take_interrupts() == ["unit_failed"]
    driver.set_unit_limit(0, 0)
    driver.decide(0, Decision.DROP)
    # the rest of the program does not wait for it
    hardware.wait_for_issues(4)
    assert driver.dropped == 1
    # what may still run is ended without waiting for it, and the same program begins again
    driver.abort_program(discard=True)
    hardware.wait(5)
    assert driver.take_interrupts() == ["aborted"]
    assert not driver.program.busy
    driver.start_program()
    assert hardware.wait_for_issues(5) == (0, 0, 3)
    index, attempt = hardware.issued[-1][0], hardware.issued[-1][2]
    hardware.complete(index, attempt)
    hardware.wait_for_issues(6)
    assert driver.program.busy
    assert not driver.program.protocol_error


def test_everything_that_fails_may_be_dropped_at_once(paced) -> None:
    hardware = Hardware(paced((1, None)))
    driver = Driver(hardware, CONFIG)
    driver.load_program(PROGRAM)
    driver.drop_failures(True)
    driver.set_unit_limit(0, 3)
    driver.start_program()
    hardware.wait(300)
    assert driver.take_interrupts() == ["program_done", "unit_failed"]
    # nothing waits for o0 but o1 of the same iteration
    assert driver.dropped == 6
    assert [index for index, _, _ in hardware.issued] == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda driver: driver.unit(2), "unit must be from 0 to 1, not 2"),
        (lambda driver: driver.decide(0, Decision.NONE), "decision must be one of REISSUE, DONE, DROP, not NONE"),
        (
            lambda driver: driver.set_unit_limit(1, 256),
            "clocks of a unit's watchdog must be an integer from 0 to 255, not 256",
        ),
    ],
)
def test_what_the_driver_refuses(call, sentence: str) -> None:
    driver = Driver(Registers(CONFIG), CONFIG)
    with pytest.raises(InputError) as refused:
        call(driver)
    assert str(refused.value) == sentence


class Registers(dict):
    """What a host reads after reset."""

    def __init__(self, config: ClusterConfig) -> None:
        super().__init__({register.address: register.reset for register in register_map(config).registers})

    def read(self, address: int) -> int:
        return self[address]


def test_supervision_must_be_there() -> None:
    bare = replace(CONFIG, scheduler=replace(SCHEDULER, supervised=False, watchdog_bits=0))
    with pytest.raises(InputError, match=r"^the hardware must have a supervised scheduler unit for this, not one with"):
        Driver(Registers(bare), bare).abort_program()
