"""Use of the machine's resources over a steady layer: conserves the work, never beyond the peaks, by hand."""

import numpy as np
import pytest

from sim.machine.token_cost import operation_costs
from sim.machine.tokens import time_tokens
from sim.machine.utilisation import RESOURCES, utilisation


@pytest.mark.parametrize(
    ("model", "device"), [("llama2_70b", "8xa100_80gb"), ("llama3_8b", "h200"), ("mixtral_8x7b", "8xh100")]
)
def test_all_work_of_a_layer_is_in_its_period(model, device):
    """The means times the period are the costs of a layer, whichever way it runs."""
    timing = time_tokens(model=model, device=device)
    times = timing.case.times
    costs = operation_costs(times.model, times.node, times.batch, 1)
    for execution, timeline in timing.timelines.items():
        used = utilisation(timeline, times)
        for name, seconds in zip(
            RESOURCES,
            (
                [cost.compute_s(times.node) for cost in costs],
                [cost.memory_s(times.node) for cost in costs],
                [cost.network_s(times.node) for cost in costs],
            ),
            strict=True,
        ):
            # nano-batches read weights again, and prefill reads whole requests; the period is that of the middle half
            bound = 0.01 if name != "memory" else 0.6
            work_us = used.mean(name) * used.edges_us[-1]
            assert work_us == pytest.approx(sum(seconds) * 1e6, rel=bound, abs=1e-6), execution
            assert np.all(used.parts[name] >= 0) and np.all(used.parts[name] <= 1.05)
        assert used.edges_us[0] == 0 and np.all(np.diff(used.edges_us) > 0)


def test_a_sequential_layer_by_hand():
    """Table 2: UpGate takes 874 us of 3054 at 88.2 % of the tensor peak, decode attention 81.1 % of the memory's."""
    timing = time_tokens(executions=["sequential"])
    used = utilisation(timing.timelines["sequential"], timing.case.times)
    widths = np.diff(used.edges_us)
    up = int(np.argmax(widths))
    assert widths[up] == pytest.approx(874.0, abs=0.1) and used.parts["compute"][up] == pytest.approx(0.882, abs=0.001)
    attention = int(np.argmax(used.parts["memory"]))
    assert widths[attention] == pytest.approx(445.0, abs=0.1)
    assert used.parts["memory"][attention] == pytest.approx(0.811, abs=0.001)
    assert used.mean("compute") == pytest.approx(114.17 / 244.3, abs=0.001)
