"""Trained fields through the top level, by the driver; ``nfp_top_bench`` has the buses and the comparison."""

import cocotb
from nfp_top_bench import SimulatedBuses, render

LIMIT_MS = 40
"""A load image of a quarter of a million words takes 2.5 ms, a picture less."""


@cocotb.test(timeout_time=LIMIT_MS, timeout_unit="ms")
async def trained_fields_are_rendered(dut):
    buses = SimulatedBuses(dut)
    await buses.start()
    await render(buses)
