"""The planner: tiles, places and splits, against every plan there is."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from arch.errors import InputError
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import LAYER_FIELDS
from arch.mlp_plan import plan_mlp
from arch.presets import FIELDS

ENGINE = MlpEngineConfig(rows=8, cols=12, max_width=24, max_layers=3, weight_tiles=18, nano_batch=64)
NETWORK = MlpConfig(n_input_dims=11, n_neurons=21, n_hidden_layers=2, n_output_dims=5)
NGPC = MlpEngineConfig(nano_batch=576, fission=True, side_first=32, side_inputs=16)


def test_tiles_are_numbered_in_pass_order() -> None:
    layers = plan_mlp(NETWORK, ENGINE).layers
    assert [(layer.first, layer.row_tiles, layer.col_tiles) for layer in layers] == [(0, 2, 2), (4, 3, 2), (10, 3, 1)]


def test_the_largest_network_fits_the_smallest_array() -> None:
    """Eight layers of 128 x 128 on 4 x 4: every tile has a place, and the layer registers can name it."""
    engine = MlpEngineConfig(rows=4, cols=4, max_width=128, weight_tiles=8192)
    network = MlpConfig(n_input_dims=128, n_neurons=128, n_hidden_layers=7, n_output_dims=128)
    layers = plan_mlp(network, engine).layers
    assert [layer.first for layer in layers] == [1024 * number for number in range(8)]
    for layer in layers:
        for name, value in (("row_tiles", 32), ("col_tiles", 32), ("first_row", layer.first * engine.rows)):
            assert getattr(layer, name, value) == value < 1 << LAYER_FIELDS[name][1]


@pytest.mark.parametrize(
    ("app", "splits", "quarters"),
    [
        ("nerf", ["2x1", "1x4", "2x1", "1x1", "1x4"], 10),
        ("nsdf", ["2x1", "1x1", "1x4"], 7),
        ("gia", ["2x1", "1x1", "1x4"], 7),
        ("nvr", ["2x1", "1x1", "1x4"], 7),
    ],
)
def test_splits_of_the_four_fields(app: str, splits: list[str], quarters: int) -> None:
    """On 64 x 64, where a long nano-batch leaves no gap: clocks a point in quarters."""
    plan = plan_mlp(FIELDS[f"{app}_hash"].networks, NGPC)
    assert [str(layer.split) for layer in plan.layers] == splits
    assert sum(plan.layer_cycles(NGPC.nano_batch)) == NGPC.nano_batch * quarters // 4


def test_nerf_lies_in_one_piece() -> None:
    """The colour network reads the side inputs and the density outputs behind them; results are rgb, then density."""
    plan = plan_mlp(FIELDS["nerf_hash"].networks, NGPC)
    assert plan.layers[1].outputs == range(48, 64)
    assert plan.layers[2].inputs == (*range(48, 64), *range(32, 48))
    assert (plan.layers[2].first_row_tile, plan.layers[2].row_tiles) == (1, 1)
    assert [layer.takes_side for layer in plan.layers] == [False, False, True, False, False]
    assert [layer.frees_input for layer in plan.layers] == [False, False, True, False, False]
    assert plan.results == (0, 1, 2, *range(48, 64))


@pytest.mark.parametrize("nano_batch", [4, 64, 140, 256, 560, 1024])
@pytest.mark.parametrize("side", [8, 64])
def test_no_plan_takes_fewer_clocks(nano_batch: int, side: int, seed: int) -> None:
    """Every combination of splits, counted pass by pass, on random networks."""
    rng = np.random.default_rng(seed)
    engine = MlpEngineConfig(rows=side, cols=side, nano_batch=nano_batch, fission=True, weight_tiles=4096)
    for _ in range(4):
        n_in, n_neurons, n_out = rng.integers(1, 65, 3).tolist()
        network = MlpConfig(n_input_dims=n_in, n_neurons=n_neurons, n_hidden_layers=2, n_output_dims=n_out)
        fewest = min(_cycles(network, engine, splits) for splits in product(engine.splits, repeat=len(network.layers)))
        plan = plan_mlp(network, engine)
        assert sum(plan.layer_cycles(nano_batch)) == fewest


def _cycles(network: MlpConfig, engine: MlpEngineConfig, splits: tuple) -> int:
    """Start every pass as early as the weights and what it reads allow."""
    beats, layer_of = [], []
    for number, (layer, split) in enumerate(zip(network.layers, splits, strict=True)):
        rows, cols = engine.rows // split.row_halves, engine.cols // split.column_groups
        passes = -(-layer.n_in // rows) * -(-layer.n_out // cols)
        beats += [-(-engine.nano_batch // split.points)] * passes
        layer_of += [number] * passes
    start = 0
    for number, now in enumerate(beats):
        end = start + max(now, engine.min_pass_cycles)
        if number + 1 < len(beats):
            # the last vector is read no earlier than min_pass_cycles behind its writer's read
            end = max(end, start + now + engine.min_pass_cycles - beats[number + 1])
        start = end
    return start


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_hidden_layers": 3}, "layers of the network must be at most the engine's max_layers = 3, not 4"),
        ({"n_input_dims": 25}, "inputs of layer 0 must be at most the engine's max_width = 24, not 25"),
        ({"n_output_dims": 25}, "outputs of layer 2 must be at most the engine's max_width = 24, not 25"),
        (
            {"activation": "Tanh"},
            "activation of layer 0 must be one of None, ReLU, LeakyReLU on this MLP engine, not 'Tanh'",
        ),
        ({"n_input_dims": 24}, "weight_tiles of the MLP engine must be at least 15 for this network, not 14"),
    ],
)
def test_network_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}$"):
        plan_mlp(replace(NETWORK, **changes), replace(ENGINE, weight_tiles=14))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"side_inputs": 0}, "networks a point must be at most 1 on this MLP engine, not 2"),
        (
            {"side_inputs": 8},
            "n_input_dims of the second network must be the first one's 16 outputs and 8 side inputs, not 32",
        ),
        ({"side_first": 16}, "n_input_dims of the first network must be at most side_first = 16, not 32"),
        ({"side_first": 48}, "max_width of the MLP engine must be at least 80 for these networks, not 64"),
    ],
)
def test_two_networks_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}$"):
        plan_mlp(FIELDS["nerf_hash"].networks, replace(NGPC, **changes))
