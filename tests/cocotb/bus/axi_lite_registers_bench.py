"""Coroutines of the register bench: cocotbext-axi's manager with pauses on every channel, against a Python model.

``NGPC_REGISTERS`` holds the map as JSON: name, address, reset value and writable bits of each register.
"""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

REGISTERS = {entry["name"]: entry for entry in json.loads(os.environ["NGPC_REGISTERS"])}
SEED = int(os.environ["NGPC_SEED"])
OKAY, SLVERR = 0, 2
PAUSES = ((), ("aw",), ("w",), ("b", "r"), ("aw", "w", "b", "ar", "r"))
"""Channels that pause at random: write data before its address, addresses before data, answers not taken, all."""
LIMIT_US = 400
INPUTS = ("status_busy", "failed_mask", "irq_status_run_done_set", "irq_status_keep_error_set",
          "irq_status_nfp_failed_set")  # fmt: skip


class Bench:
    """A reset device, its manager, and what its writable registers should hold."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(SEED)
        self.held = {name: bytearray(entry["reset"].to_bytes(4, "little")) for name, entry in REGISTERS.items()}

    async def start(self, paused: tuple[str, ...] = (), *, managed: bool = True) -> None:
        """Reset, with a manager that pauses on some channels, or with nothing on the bus."""
        Clock(self.dut.clk, 10, "ns").start()
        for name in (*INPUTS, *(f"{entry}_count" for entry in REGISTERS if hasattr(self.dut, f"{entry}_count"))):
            getattr(self.dut, name).value = 0
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            getattr(self.dut, f"bus__{name}").value = 0
        if managed:
            self._manage(paused)
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    def _manage(self, paused: tuple[str, ...]) -> None:
        bus = AxiLiteBus.from_prefix(self.dut, "bus", bus_separator="__")
        self.manager = AxiLiteMaster(bus, self.dut.clk, self.dut.rst)
        ends = {"aw": self.manager.write_if, "w": self.manager.write_if, "b": self.manager.write_if,
                "ar": self.manager.read_if, "r": self.manager.read_if}  # fmt: skip
        for name in paused:
            getattr(ends[name], f"{name}_channel").set_pause_generator(self._pauses(name))

    def _pauses(self, channel: str):
        rng = random.Random(f"{SEED} {channel}")
        while True:
            yield rng.random() < 0.6

    async def read(self, address: int) -> tuple[int, int]:
        answer = await self.manager.read(address, 4)
        return int.from_bytes(answer.data, "little"), int(answer.resp)

    async def check(self, name: str) -> None:
        """A register reads as the model holds it."""
        value, response = await self.read(REGISTERS[name]["address"])
        assert response == OKAY, name
        assert value == int.from_bytes(self.held[name], "little"), f"{name}: {value:#x}"

    async def write(self, name: str, first: int, data: bytes) -> None:
        """Write some bytes of a storage register, and the model's."""
        answer = await self.manager.write(REGISTERS[name]["address"] + first, data)
        assert int(answer.resp) == OKAY, name
        writable = REGISTERS[name]["storage"].to_bytes(4, "little")
        for place, value in enumerate(data, first):
            self.held[name][place] = value & writable[place]


def storage() -> list[str]:
    """Registers that hold all of what software writes to some byte."""
    return [name for name, entry in REGISTERS.items() if entry["storage"]]


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def every_register_reads_its_reset_value(dut):
    bench = Bench(dut)
    await bench.start()
    for name in REGISTERS:
        await bench.check(name)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
@cocotb.parametrize(paused=PAUSES)
async def writes_change_their_bytes_and_no_others(dut, paused):
    """Every storage register, every byte range; guard words are the register itself and all others."""
    bench = Bench(dut)
    await bench.start(paused)
    for name in storage():
        for first in range(4):
            for size in range(1, 5 - first):
                await bench.write(name, first, bench.rng.randbytes(size))
                await bench.check(name)
    for name in REGISTERS:
        await bench.check(name)


@cocotb.test(timeout_time=4 * LIMIT_US, timeout_unit="us")
async def an_access_that_nothing_answers_is_an_error_and_changes_nothing(dut):
    bench = Bench(dut)
    await bench.start()
    known = {entry["address"]: entry for entry in REGISTERS.values()}
    for address in (*range(0, 0x180, 4), *range(0x180, 0x1000, 0x84), 0xFFC):
        value, response = await bench.read(address)
        if address not in known:
            assert (value, response) == (0, SLVERR), f"{address:#x}"
        answer = (
            await bench.manager.write(address, b"\xa5\x5a\xc3\x3c")
            if not known.get(address, {}).get("writable")
            else None
        )
        assert answer is None or int(answer.resp) == SLVERR, f"{address:#x}"
    for name in REGISTERS:
        await bench.check(name)


@cocotb.test(timeout_time=4 * LIMIT_US, timeout_unit="us")
@cocotb.parametrize(paused=PAUSES)
async def sixteen_workers_share_the_bus(dut, paused):
    """Half of them each own a byte of a register, the others read what never changes or is not there."""
    bench = Bench(dut)
    await bench.start(paused)
    names = [name for name in storage() if REGISTERS[name]["storage"] == 0xFFFFFFFF]
    assert len(names) >= 2

    async def owner(number: int) -> None:
        rng, name, place = random.Random(f"{SEED} {number}"), names[number // 4 % len(names)], number % 4
        for _ in range(12):
            await bench.write(name, place, rng.randbytes(1))
            value, response = await bench.read(REGISTERS[name]["address"])
            assert response == OKAY and value >> 8 * place & 255 == bench.held[name][place], f"worker {number}"

    async def reader(number: int) -> None:
        rng = random.Random(f"{SEED} {number}")
        for _ in range(20):
            if rng.random() < 0.5:
                value, response = await bench.read(REGISTERS["id"]["address"])
                assert (value, response) == (REGISTERS["id"]["reset"], OKAY)
            else:
                assert await bench.read(0xF00) == (0, SLVERR)

    workers = [cocotb.start_soon(owner(number)) for number in range(8)]
    workers += [cocotb.start_soon(reader(number)) for number in range(8, 16)]
    for worker in workers:
        await worker
    for name in REGISTERS:
        await bench.check(name)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def sticky_bits_stay_until_a_one_clears_them(dut):
    bench = Bench(dut)
    await bench.start()
    address = REGISTERS["irq_status"]["address"]
    for name in ("run_done", "nfp_failed"):
        await FallingEdge(dut.clk)
        getattr(dut, f"irq_status_{name}_set").value = 1
        await FallingEdge(dut.clk)
        getattr(dut, f"irq_status_{name}_set").value = 0
    assert await bench.read(address) == (0b101, OKAY)
    assert dut.irq_status_run_done.value == 1 and dut.irq_status_keep_error.value == 0
    await bench.manager.write(address, bytes([0b010, 0, 0, 0]))
    assert await bench.read(address) == (0b101, OKAY)
    # a byte that is not written clears nothing
    await bench.manager.write(address + 1, b"\xff\xff\xff")
    assert await bench.read(address) == (0b101, OKAY)
    await bench.manager.write(address, bytes([0b001, 0, 0, 0]))
    assert await bench.read(address) == (0b100, OKAY)
    # an event that lasts wins over the clearing write
    dut.irq_status_run_done_set.value = 1
    await bench.manager.write(address, bytes([0b111, 0, 0, 0]))
    assert await bench.read(address) == (0b001, OKAY)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def a_pulse_lasts_one_clock_and_inputs_are_seen(dut):
    bench = Bench(dut)
    await bench.start()
    high = 0

    async def count() -> None:
        nonlocal high
        while True:
            await RisingEdge(dut.clk)
            high += int(dut.control_snapshot.value)

    cocotb.start_soon(count())
    address = REGISTERS["control"]["address"]
    for word, pulses in ((1, 1), (0, 1), (1, 2)):
        await bench.manager.write(address, bytes([word, 0, 0, 0]))
        await ClockCycles(dut.clk, 3)
        assert high == pulses
    await bench.manager.write(address + 1, b"\x01")
    await ClockCycles(dut.clk, 3)
    assert high == 2
    assert await bench.read(address) == (0, OKAY)
    for name, value in (("failed_mask", 0xCAFE0123), ("mlp_limits_count", 0x89ABCDEF), ("status_busy", 1)):
        getattr(dut, name).value = value
        register = name.rsplit("_", 1)[0]
        assert await bench.read(REGISTERS[register]["address"]) == (value, OKAY)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def answers_come_in_the_documented_clocks(dut):
    """Two clocks behind the later of address and data, whichever comes first; held until taken."""
    await Bench(dut).start(managed=False)
    bus = {name: getattr(dut, f"bus__{name}") for name in
           ("awvalid", "awaddr", "awready", "wvalid", "wdata", "wstrb", "wready", "bvalid", "bready", "bresp",
            "arvalid", "araddr", "arready", "rvalid", "rready", "rdata")}  # fmt: skip
    address = REGISTERS["scratch"]["address"]

    for ahead in (-3, 0, 3):
        await FallingEdge(dut.clk)
        bus["bready"].value = 0
        assert bus["awready"].value == 1 and bus["wready"].value == 1
        parts = {"awvalid": max(0, -ahead), "wvalid": max(0, ahead)}
        bus["awaddr"].value, bus["wdata"].value, bus["wstrb"].value = address, 0x1234 + ahead, 15
        for clock in range(max(parts.values()) + 1):
            for name, when in parts.items():
                bus[name].value = int(clock == when)
            assert bus["bvalid"].value == 0
            await FallingEdge(dut.clk)
        bus["awvalid"].value = bus["wvalid"].value = 0
        for _ in range(5):
            await FallingEdge(dut.clk)
            assert bus["bvalid"].value == 1 and bus["bresp"].value == OKAY
        bus["bready"].value = 1
        await FallingEdge(dut.clk)
        assert bus["bvalid"].value == 0
        assert dut.scratch_value.value == 0x1234 + ahead
    bus["rready"].value = 0
    bus["araddr"].value, bus["arvalid"].value = address, 1
    await FallingEdge(dut.clk)
    bus["arvalid"].value = 0
    assert bus["rvalid"].value == 0
    for _ in range(5):
        await FallingEdge(dut.clk)
        assert bus["rvalid"].value == 1 and bus["rdata"].value == 0x1234 + 3
    bus["rready"].value = 1
    await FallingEdge(dut.clk)
    assert bus["rvalid"].value == 0


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def a_reset_in_traffic_leaves_a_working_bus(dut):
    bench = Bench(dut)
    await bench.start(("b", "r"))
    for _ in range(4):
        for name in storage():
            bench.manager.init_write(REGISTERS[name]["address"], b"\xff\xff\xff\xff")
            bench.manager.init_read(REGISTERS[name]["address"], 4)
        await ClockCycles(dut.clk, bench.rng.randrange(3, 12))
        await FallingEdge(dut.clk)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 2)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)
        for name in REGISTERS:
            await with_timeout(bench.check(name), LIMIT_US, "us")
