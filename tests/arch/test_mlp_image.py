"""The MLP engine's load image, read back word by word."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from arch.activation_table import activation_table
from arch.checkpoint import FloatMlp, QuantizedMlp
from arch.errors import InputError
from arch.float_activation import float_activation_table
from arch.float_sine import float_sine_table
from arch.load import LoadTarget
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import LAYER_FIELDS, N_LAYERS_ADDRESS, mlp_image, weight_word_bits
from arch.mlp_plan import plan_mlp
from arch.random_field import random_mlp

ENGINES = [
    MlpEngineConfig(rows=4, cols=4, max_width=24, max_layers=3, weight_tiles=66),
    MlpEngineConfig(rows=8, cols=12, max_width=24, max_layers=3, weight_tiles=64),
    MlpEngineConfig(rows=12, cols=24, max_width=24, max_layers=3, weight_tiles=64),
]


def network(seed: int, **changes) -> QuantizedMlp:
    config = MlpConfig(n_input_dims=11, n_neurons=21, n_hidden_layers=2, n_output_dims=5)
    rng = np.random.default_rng(seed)
    parts = {
        "config": config,
        "weights": tuple(rng.integers(-128, 128, (layer.n_out, layer.n_in)).astype(np.int8) for layer in config.layers),
        "multipliers": (1, 777, 65535),
        "shifts": (1, 20, 47),
        "output_scale": 1.0,
    }
    return QuantizedMlp(**{**parts, **changes})


def memory(image, engine: MlpEngineConfig) -> np.ndarray:
    """The weight memory the words write: (weight rows, cols) of int8; each place is written once."""
    words = image.target == LoadTarget.WEIGHT
    bits = weight_word_bits(engine)
    wide = np.zeros((engine.weight_rows, 8 << bits), dtype=np.int8)
    written = set()
    for address, word in zip(image.address[words].tolist(), image.data[words], strict=True):
        assert address not in written
        written.add(address)
        row, number = address >> bits, address & ((1 << bits) - 1)
        wide[row, 8 * number : 8 * number + 8] = np.array([word], dtype="<u8").view(np.int8)
    assert not wide[:, engine.cols :].any()
    return wide[:, : engine.cols]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: f"{engine.rows}x{engine.cols}")
def test_weights_lie_in_pass_order(engine: MlpEngineConfig, seed: int) -> None:
    """Tile by tile, the memory holds the padded matrices."""
    mlp = network(seed)
    rows = memory(mlp_image(mlp, engine), engine)
    for weights, cut in zip(mlp.weights, plan_mlp(mlp.config, engine).layers, strict=True):
        padded = np.zeros((cut.col_tiles * engine.cols, cut.row_tiles * engine.rows), dtype=np.int8)
        padded[: weights.shape[0], : weights.shape[1]] = weights
        for col in range(cut.col_tiles):
            for row in range(cut.row_tiles):
                first = (cut.first + col * cut.row_tiles + row) * engine.rows
                tile = padded[col * engine.cols :, row * engine.rows :][: engine.cols, : engine.rows]
                np.testing.assert_array_equal(rows[first : first + engine.rows], tile.T)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: f"{engine.rows}x{engine.cols}")
def test_registers(engine: MlpEngineConfig, seed: int) -> None:
    mlp = network(seed)
    image = mlp_image(mlp, engine)
    registers = image.data[image.target == LoadTarget.LAYER_REGISTER].tolist()
    assert image.address[image.target == LoadTarget.LAYER_REGISTER].tolist() == [0, 1, 2]
    for number, (register, cut) in enumerate(zip(registers, plan_mlp(mlp.config, engine).layers, strict=True)):
        fields = {name: register >> low & ((1 << width) - 1) for name, (low, width) in LAYER_FIELDS.items()}
        assert fields == {
            "multiplier": mlp.multipliers[number],
            "shift": mlp.shifts[number],
            "negative": int(number < 2),
            "table": 0,
            "row_tiles": cut.row_tiles,
            "col_tiles": cut.col_tiles,
            "first_row": cut.first * engine.rows,
        }


def test_the_image_stops_the_engine_first_and_starts_it_last(seed: int) -> None:
    image = mlp_image(network(seed), ENGINES[0])
    control = np.flatnonzero(image.target == LoadTarget.MLP_CONTROL)
    assert control.tolist() == [0, len(image) - 1]
    assert image.address[control].tolist() == [N_LAYERS_ADDRESS] * 2
    assert image.data[control].tolist() == [0, 3]


def test_tables_follow_their_curves(seed: int) -> None:
    """Layers of one curve share a table; every segment's word is at its address; LeakyReLU needs none."""
    config = MlpConfig(n_input_dims=5, n_neurons=9, n_output_dims=3, activation="Softplus", output_activation="Tanh")
    engine = replace(ENGINES[0], activation_tables=2)
    rng = np.random.default_rng(seed)
    mlp = random_mlp(config, engine.profile, rng)
    image = mlp_image(mlp, engine)
    registers = image.data[image.target == LoadTarget.LAYER_REGISTER].tolist()
    low, width = LAYER_FIELDS["table"]
    assert [register >> low & ((1 << width) - 1) for register in registers] == [1, 1, 2]
    words = image.target == LoadTarget.ACTIVATION_TABLE
    expected = [activation_table(mlp.curves[number], engine.profile).words for number in (0, 2)]
    assert image.address[words].tolist() == list(range(2 * 128))
    assert image.data[words].tolist() == np.concatenate(expected).tolist()
    sentence = "activation_tables of the MLP engine must be at least 2 for this network's curves, not 1"
    with pytest.raises(InputError, match=f"^{sentence}$"):
        mlp_image(mlp, replace(engine, activation_tables=1))
    leaky = random_mlp(replace(config, activation="LeakyReLU", output_activation="None"), engine.profile, rng)
    image = mlp_image(leaky, ENGINES[0])
    low, width = LAYER_FIELDS["negative"]
    registers = image.data[image.target == LoadTarget.LAYER_REGISTER].tolist()
    assert [register >> low & ((1 << width) - 1) for register in registers] == [2, 2, 0]
    assert not (image.target == LoadTarget.ACTIVATION_TABLE).any()


def test_layer_fields_do_not_meet() -> None:
    places = sorted(LAYER_FIELDS.values())
    assert all(low + width <= following for (low, width), (following, _) in pairwise(places))
    assert places[-1][0] + places[-1][1] <= 63


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"multipliers": (1, 0, 1)}, "multiplier of layer 1 must be an integer from 1 to 65535, not 0"),
        ({"multipliers": (65536, 1, 1)}, "multiplier of layer 0 must be an integer from 1 to 65535, not 65536"),
        ({"shifts": (1, 1, 48)}, "shift of layer 2 must be an integer from 1 to 47, not 48"),
        (
            {"weights": (np.zeros((21, 11), np.int8), np.zeros((21, 20), np.int8), np.zeros((5, 21), np.int8))},
            r"shape of weights of layer 1 must be \(21, 21\), not \(21, 20\)",
        ),
    ],
)
def test_refuses(changes: dict, sentence: str, seed: int) -> None:
    with pytest.raises(InputError, match=f"^{sentence}$"):
        mlp_image(network(seed, **changes), ENGINES[0])


def test_refuses_a_network_that_does_not_fit(seed: int) -> None:
    small = MlpEngineConfig(rows=4, cols=4, max_width=24, max_layers=3, weight_tiles=59)
    sentence = "weight_tiles of the MLP engine must be at least 66 for this network, not 59"
    with pytest.raises(InputError, match=f"^{sentence}$"):
        mlp_image(network(seed), small)


def test_sine_has_a_table_and_a_mark_in_its_layers() -> None:
    config = MlpConfig(n_input_dims=8, n_neurons=16, n_output_dims=4, activation="Sine", output_activation="Tanh")
    engine = MlpEngineConfig(rows=16, cols=4, max_width=16, arithmetic="fp16", activation_tables=2, sine=True)
    weights = tuple(np.zeros((layer.n_out, layer.n_in), np.float16) for layer in config.layers)
    network = FloatMlp(config=config, weights=weights)
    image = mlp_image(network, engine)
    registers = image.data[image.target == LoadTarget.LAYER_REGISTER].tolist()
    for field, expected in (("table", [1, 1, 2]), ("negative", [3, 3, 0])):
        low, width = LAYER_FIELDS[field]
        assert [register >> low & ((1 << width) - 1) for register in registers] == expected
    words = image.data[image.target == LoadTarget.ACTIVATION_TABLE]
    assert np.array_equal(words, np.concatenate([float_sine_table().words, float_activation_table("Tanh").words]))
    names = ", ".join(replace(engine, sine=False).activations)
    sentence = f"activation of layer 0 must be one of {names} on this MLP engine, not 'Sine'"
    with pytest.raises(InputError, match=f"^{sentence}$"):
        mlp_image(network, replace(engine, sine=False))
