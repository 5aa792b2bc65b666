"""The 64 x 64 MLP engine in the simulator: clocks in a second of one core's processor time."""

import numpy as np
import pytest

from arch.mlp_engine import MlpEngineConfig
from arch.presets import FIELDS
from arch.random_field import random_mlp
from sim.cosim.engine import mlp_simulator

GOAL_HZ = 150e3


@pytest.mark.cosim
@pytest.mark.long
@pytest.mark.parametrize(("fission", "nano_batch"), [(True, 588), (False, 152)], ids=["fission", "whole"])
def test_the_large_array_simulates_at_150_khz(seed: int, fission: bool, nano_batch: int) -> None:
    """The best of five runs: processor time still counts what a neighbour on the same core takes."""
    engine = MlpEngineConfig(rows=64, cols=64, nano_batch=nano_batch, max_width=64, weight_tiles=64, fission=fission)
    rng = np.random.default_rng(seed)
    network = FIELDS["gia_hash"].network
    vectors = rng.integers(engine.profile.value.minimum, engine.profile.value.maximum + 1, (4096, 32))
    with mlp_simulator(random_mlp(network, engine.profile, rng), engine) as simulator:
        speeds = [simulator.run(vectors).simulated_hz for _ in range(5)]
    assert max(speeds) >= GOAL_HZ, f"{max(speeds) / 1e3:.0f} kHz"
