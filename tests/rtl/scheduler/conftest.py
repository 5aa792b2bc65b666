"""Running one block of the scheduler unit in Amaranth's simulator."""

from collections.abc import Awaitable, Callable

import pytest
from amaranth.lib import wiring
from amaranth.sim import Simulator

PERIOD = 1e-8


@pytest.fixture
def simulate_block() -> Callable[..., None]:
    """``simulate_block(component, testbench, limit=..., clock=...)``: it must end within ``limit`` clocks.

    Without ``clock`` the component is combinational and the testbench waits by ``ctx.delay``.
    """

    def run(
        component: wiring.Component,
        testbench: Callable[..., Awaitable[None]],
        *,
        limit: int = 5000,
        clock: bool = True,
    ) -> None:
        simulator = Simulator(component)
        if clock:
            simulator.add_clock(PERIOD)
        simulator.add_testbench(testbench)
        steps = 0
        while simulator.advance():
            steps += 1
            assert steps <= 4 * limit, f"the testbench must end within {limit} clocks"

    return run
