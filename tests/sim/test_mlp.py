"""The MLP engine's cycle model against itself: closed form, pieces, offers. Against RTL: tests/rtl, tests/cocotb."""

import time
from dataclasses import replace

import numpy as np
import pytest

from arch.errors import InputError
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_plan import plan_mlp
from arch.presets import FIELDS
from sim.engine.mlp import MlpClock, mlp_cycles, mlp_total_cycles

NETWORK = MlpConfig(n_input_dims=32, n_hidden_layers=2, n_output_dims=3)
ENGINE = MlpEngineConfig(rows=16, cols=16, max_width=64, weight_tiles=64)


@pytest.mark.parametrize("nano_batch", [1, 7, 44, 45, 46, 256])
@pytest.mark.parametrize("n_hidden_layers", [0, 2])
def test_closed_form(nano_batch: int, n_hidden_layers: int) -> None:
    engine = replace(ENGINE, nano_batch=nano_batch)
    network = replace(NETWORK, n_hidden_layers=n_hidden_layers)
    for n in (0, 1, 2, 44, 45, 255, 256, 257, 1000):
        assert mlp_total_cycles(network, engine, n) == mlp_cycles(network, engine, n).cycles


def test_long_nano_batches_leave_no_bubble() -> None:
    """In steady state a nano-batch starts exactly ``passes * nano_batch`` clocks after the one before it."""
    timing = mlp_cycles(NETWORK, ENGINE, 20 * ENGINE.nano_batch)
    passes = sum(layer.tiles for layer in plan_mlp(NETWORK, ENGINE).layers)
    assert passes == 8 + 16 + 4
    assert np.diff(timing.start).tolist() == [passes * ENGINE.nano_batch] * 19
    assert timing.busy == 20 * passes * ENGINE.nano_batch
    assert timing.utilisation(NETWORK, ENGINE) == pytest.approx(NETWORK.macs / (passes * 256), rel=0.05)


def test_pieces_are_the_whole() -> None:
    """Nano-batch by nano-batch with the offers of one run, the clocks are those of the run."""
    rng = np.random.default_rng(5)
    offered = np.cumsum(rng.integers(0, 40, 1024))
    whole = mlp_cycles(NETWORK, ENGINE, 1024, offered=offered)
    clock = MlpClock(NETWORK, ENGINE)
    pieces = []
    for first in range(0, 1024, 256):
        free = clock.inputs_free
        pieces.append(clock.run(256, offered=offered[first : first + 256]))
        assert pieces[-1].accepted[0] == max(free, offered[first])
    for name in ("accepted", "outputs", "start", "end"):
        np.testing.assert_array_equal(np.concatenate([getattr(each, name) for each in pieces]), getattr(whole, name))


def test_offers_are_accepted_in_their_clock_when_a_bank_is_free() -> None:
    """A source slower than the array never waits, and the array waits for it."""
    offered = np.arange(1024) * 40
    timing = mlp_cycles(NETWORK, ENGINE, 1024, offered=offered)
    np.testing.assert_array_equal(timing.accepted, offered)
    np.testing.assert_array_equal(timing.start, offered[255::256] + 2)


def test_a_third_nano_batch_waits_for_a_bank() -> None:
    """Two banks fill at one vector a clock; the next vector enters when the first nano-batch is in its last pass."""
    timing = mlp_cycles(NETWORK, ENGINE, 1024)
    assert timing.accepted[:512].tolist() == list(range(512))
    first_layer = plan_mlp(NETWORK, ENGINE).layers[0].tiles
    assert timing.accepted[512] == timing.start[0] + (first_layer - 1) * 256 + 1


def test_numbers_of_the_design_page() -> None:
    """NGPC's own array runs the NeRF networks in five passes, a point every five clocks."""
    field = FIELDS["nerf_hash"]
    engine = MlpEngineConfig(weight_tiles=8)
    passes = [sum(layer.tiles for layer in plan_mlp(network, engine).layers) for network in field.networks]
    assert passes == [2, 3]
    assert sum(network.macs for network in field.networks) == 9408


def test_a_long_run_in_closed_form() -> None:
    """A 4K frame of 128 samples a ray: a billion points at once, and the share of multipliers at work."""
    n = 3840 * 2160 * 128
    started = time.perf_counter()
    cycles = mlp_total_cycles(NETWORK, MlpEngineConfig(), n)
    assert cycles / (time.perf_counter() - started) > 1e8
    assert cycles / n == pytest.approx(3, rel=1e-5)


def test_every_transfer_of_a_long_run() -> None:
    """Four million points of nerf, the clock of every transfer: above 10^8 cycles a second of one core."""
    engine = MlpEngineConfig(weight_tiles=8, nano_batch=588, fission=True, side_first=32, side_inputs=16)
    networks = FIELDS["nerf_hash"].networks
    mlp_cycles(networks, engine, 1)  # compiled before it is timed
    speeds = []
    for _ in range(3):
        started = time.process_time()
        cycles = mlp_cycles(networks, engine, 4_000_000).cycles
        speeds.append(cycles / (time.process_time() - started))
    print(f"{max(speeds):.2g} cycles a second")
    assert cycles / 4_000_000 == pytest.approx(2.5, rel=1e-3)
    assert max(speeds) > 1e8


def test_refuses() -> None:
    with pytest.raises(InputError, match=r"^shape of offered must be \(3,\), not \(4,\)$"):
        mlp_cycles(NETWORK, ENGINE, 3, offered=np.zeros(4))
    with pytest.raises(InputError, match=r"^n_vectors must be an integer from 0 to \d+, not -1$"):
        mlp_cycles(NETWORK, ENGINE, -1)
