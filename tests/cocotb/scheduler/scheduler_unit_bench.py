"""Coroutines for the scheduler unit: random programs with random durations, with and without back-pressure.

Without back-pressure every issue and completion must fall in the clock the cycle model says; always the independent
judge must find nothing. ``NGPC_PROGRAMS`` says how many programs, ``NGPC_CONFIG`` which build (fields as JSON).
"""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from arch.descriptor import index_bits, load_data_bits, pack_program
from arch.program import Program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import WAKE_UP_CLK, simulate
from sim.engine.scheduler_check import violations
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(**json.loads(os.environ["NGPC_CONFIG"]))
N_PROGRAMS = int(os.environ["NGPC_PROGRAMS"])
SEED = int(os.environ["NGPC_SEED"])


class Bench:
    """Drives the ports at the rising edge, looks at them at the falling one."""

    def __init__(self, dut: object) -> None:
        self.dut = dut
        self.units = range(CONFIG.n_units)
        ports = [{name: getattr(dut, f"{name.replace('.', f'__{u}__')}") for name in _PORTS} for u in self.units]
        self.valid = [port["issue.valid"] for port in ports]
        self.ready = [port["issue.ready"] for port in ports]
        self.payload = [port["issue.payload"] for port in ports]
        self.complete_valid = [port["complete.valid"] for port in ports]
        self.complete_index = [port["complete.index"] for port in ports]

    async def reset(self) -> None:
        dut = self.dut
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        dut.rst.value = 1
        dut.start.value = 0
        dut.load__valid.value = 0
        for unit in self.units:
            self.ready[unit].value = 0
            self.complete_valid[unit].value = 0
            self.complete_index[unit].value = 0
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        dut.rst.value = 0

    async def load(self, program: Program) -> None:
        dut = self.dut
        address_bits = index_bits(CONFIG.n_descriptors)
        dut.load__valid.value = 1
        for table, address, data in pack_program(program, CONFIG).load_words():
            assert data < 1 << load_data_bits(CONFIG)
            dut.load__payload.value = (((data << address_bits) | address) << 2) | int(table)
            await FallingEdge(dut.clk)
            while dut.load__ready.value != 1:
                await FallingEdge(dut.clk)
            await RisingEdge(dut.clk)
        dut.load__valid.value = 0

    async def run(
        self, program: Program, durations: dict, ready_rate: float, rng: random.Random, limit: int
    ) -> tuple[dict, dict, int]:
        """Clocks of every issue and completion, and of the end."""
        dut, index_mask = self.dut, (1 << index_bits(CONFIG.n_descriptors)) - 1
        index_width = index_bits(CONFIG.n_descriptors)
        issued, completed, held = {}, {}, {}
        ends: dict[int, tuple[int, int, int]] = {}
        pulsing: list[int] = []
        is_ready = [ready_rate == 1.0] * len(self.units)
        for unit in self.units:
            self.ready[unit].value = int(is_ready[unit])
        dut.start.value = 1
        for clock in range(limit):
            for unit in pulsing:
                self.complete_valid[unit].value = 0
            pulsing = [unit for unit, (end, _, _) in ends.items() if end == clock]
            for unit in pulsing:
                _, iteration, index = ends.pop(unit)
                self.complete_valid[unit].value = 1
                self.complete_index[unit].value = index
                completed[iteration, index] = clock
            if ready_rate < 1.0:
                for unit in self.units:
                    is_ready[unit] = rng.random() < ready_rate
                    self.ready[unit].value = int(is_ready[unit])
            await FallingEdge(dut.clk)
            for unit in self.units:
                if self.valid[unit].value != 1:
                    assert unit not in held, f"unit {unit} withdrew an offer at clock {clock}"
                    continue
                payload = int(self.payload[unit].value)
                assert held.get(unit, payload) == payload, f"unit {unit} changed an offer at clock {clock}"
                held[unit] = payload
                if not is_ready[unit]:
                    continue
                del held[unit]
                iteration, index = payload >> index_width, payload & index_mask
                assert unit not in ends, f"unit {unit} was issued a second nano-operation at clock {clock}"
                assert (iteration, index) not in issued, f"{index} of iteration {iteration} was issued twice"
                assert program.units.index(program.nano_operations[index].unit) == unit
                issued[iteration, index] = clock
                ends[unit] = (clock + durations[iteration, index], iteration, index)
            if dut.done.value == 1:
                assert not ends, "the unit was done before its nano-operations"
                assert dut.protocol_error.value == 0
                assert int(dut.cycle.value) == clock
                await RisingEdge(dut.clk)
                return issued, completed, clock
            await RisingEdge(dut.clk)
            dut.start.value = 0
        raise AssertionError(f"program {program.name} did not end within {limit} clocks: {len(issued)} were issued")


_PORTS = ("issue.valid", "issue.ready", "issue.payload", "complete.valid", "complete.index")


@cocotb.test()
async def random_programs(dut: object) -> None:
    """Every program runs twice, one after the other without reset: freely, and with units that hesitate."""
    bench = Bench(dut)
    await bench.reset()
    n_issued = 0
    for number in range(N_PROGRAMS):
        rng = random.Random(f"{SEED} {number}")
        program = random_program(rng, CONFIG)
        durations = {
            (iteration, index): rng.choice((1, 1, 2, 3, 5, rng.randint(1, 60)))
            for iteration in range(program.count)
            for index in range(len(program.nano_operations))
        }
        model = simulate(program, CONFIG, durations_clk=lambda index, k, table=durations: table[k, index])
        await bench.load(program)
        what = f"program {number}"

        issued, completed, end = await bench.run(program, durations, 1.0, rng, model.makespan_clk + 50)
        assert list(violations(program, issued, completed, wake_up_clk=WAKE_UP_CLK)) == [], what
        for iteration, index in durations:
            assert issued[iteration, index] == model.issue_clk[iteration, index], what
            assert completed[iteration, index] == model.complete_clk[iteration, index], what
        assert end == model.makespan_clk, what

        ready_rate = rng.choice((0.1, 0.5, 0.9))
        limit = 40 * model.makespan_clk + 100 * len(durations) + 100
        issued, completed, _ = await bench.run(program, durations, ready_rate, rng, limit)
        assert list(violations(program, issued, completed, wake_up_clk=WAKE_UP_CLK)) == [], what
        n_issued += len(durations)
    dut._log.info("%d programs, %d nano-operations issued twice", N_PROGRAMS, n_issued)
    assert n_issued >= N_PROGRAMS
