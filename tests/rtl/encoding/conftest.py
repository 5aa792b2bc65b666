"""Running fixed-latency pipelines of the encoding engine in Amaranth's simulator."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.sim import Simulator

Run = Callable[..., list[dict]]


@pytest.fixture
def run_pipeline(seed: int) -> Run:
    """Stream inputs through a component with an enable ``en``, and give its outputs.

    Called as ``run_pipeline(component, inputs, outputs, latency, fixed={...}, stalls=True)``: ``inputs`` is a list of
    {port: value}, one a clock; returns one {port: value} for each, read ``latency`` enabled clocks later. With
    ``stalls`` the enable is low in a random third of the clocks and inputs are noise then. A component without ``en``
    runs without stalls. The simulation ends by itself: its clocks are counted beforehand.
    """

    def run(
        component: wiring.Component,
        inputs: Sequence[dict],
        outputs: Sequence[str],
        latency: int,
        *,
        fixed: dict | None = None,
        stalls: bool = False,
    ) -> list[dict]:
        rng = np.random.default_rng(seed)
        has_enable = "en" in component.signature.members
        assert has_enable or not stalls
        results = []

        async def bench(ctx):
            for name, value in (fixed or {}).items():
                ctx.set(getattr(component, name), value)
            # The outputs of an input are there once ``latency`` more inputs have been taken.
            for number in range(len(inputs) + latency):
                while stalls and rng.random() < 1 / 3:
                    ctx.set(component.en, 0)
                    for name, value in inputs[rng.integers(len(inputs))].items():
                        ctx.set(getattr(component, name), value)
                    await ctx.tick()
                if has_enable:
                    ctx.set(component.en, 1)
                for name, value in inputs[min(number, len(inputs) - 1)].items():
                    ctx.set(getattr(component, name), value)
                if number >= latency:
                    results.append({name: ctx.get(getattr(component, name)) for name in outputs})
                await ctx.tick()

        simulator = Simulator(Fragment.get(component, None))
        simulator.add_clock(1e-8)
        simulator.add_testbench(bench)
        simulator.run()
        return results

    return run
