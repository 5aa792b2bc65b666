"""The load image of the MLP engine: its registers and weights as load words.

========================  ==========================================  ==========================================
target                    address                                     data
========================  ==========================================  ==========================================
``MLP_CONTROL``           ``N_LAYERS_ADDRESS``                        layers of the network; 0 stops the inputs
``LAYER_REGISTER``        layer                                       the fields of :data:`LAYER_FIELDS`
``LAYER_REGISTER``        ``ROUTE_ADDRESS`` + layer                   the fields of :data:`ROUTE_FIELDS`
``WEIGHT``                ``weight row << k | word``                  weights ``p word .. p word + p - 1`` of that row
``ACTIVATION_TABLE``      ``table << segment_bits | segment``         ``words`` of ``arch.activation_table``'s
========================  ==========================================  ==========================================

Only engines with fission or side inputs have route registers.

A weight row is one row of one tile: the ``cols`` weights of one input. Tile t holds weight rows ``t * rows`` and up.
``k`` is :func:`weight_word_bits` and ``p`` :func:`weights_per_word`; the first weight of a word is in its lowest bits.
In ``fp16`` a layer register has no ``multiplier`` and ``shift``, places of a tile without a weight hold
``arch.mlp_engine.NO_WEIGHT``, and tables are ``arch.float_activation``'s and ``arch.float_sine``'s, of
``SEGMENT_BITS``.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from arch.activation_table import (
    STRAIGHT_ACTIVATIONS,
    ActivationCurve,
    activation_table,
    negative_part,
    segment_bits,
)
from arch.checkpoint import MAX_REQUANTIZE_SHIFT, FloatMlp, QuantizedMlp
from arch.errors import InputError, check_integer
from arch.float_activation import SEGMENT_BITS, float_activation_table
from arch.float_sine import float_sine_table
from arch.load import DATA_BITS, LoadImage, LoadTarget
from arch.mlp_engine import NO_WEIGHT, MlpEngineConfig
from arch.mlp_plan import PlannedLayer, plan_mlp

__all__ = [
    "LAYER_FIELDS",
    "N_LAYERS_ADDRESS",
    "ROUTE_ADDRESS",
    "ROUTE_FIELDS",
    "mlp_image",
    "weight_word_bits",
    "weights_per_word",
]

N_LAYERS_ADDRESS = 0
"""Address of the control register that holds the number of layers."""

LAYER_FIELDS: Mapping[str, tuple[int, int]] = {
    "multiplier": (0, 16),
    "shift": (16, 6),
    "negative": (22, 2),
    "row_tiles": (24, 8),
    "col_tiles": (32, 8),
    "first_row": (40, 20),
    "table": (60, 3),
}
"""Fields of a layer register: lowest bit and width.

``first_row`` is the weight row of the layer's first tile, ``negative`` an ``arch.activation_table.NegativePart``,
``table`` 0 for none or t + 1 for table t.
"""

ROUTE_ADDRESS = 16
"""Address of layer 0's route register."""

ROUTE_FIELDS: Mapping[str, tuple[int, int]] = {
    "split": (0, 3),
    "takes_side": (4, 1),
    "frees_input": (5, 1),
    "to_output": (6, 1),
    "first_row_tile": (8, 8),
    "first_col_tile": (16, 8),
    "first_lane": (24, 8),
    "last_lane": (32, 8),
}
"""Fields of a route register: ``split`` numbers ``arch.mlp_engine.SPLITS``, the others are ``arch.mlp_plan``'s.

Lanes ``first_lane .. last_lane`` of ``lane_values`` elements hold the layer's outputs; others are not written.
"""


def weights_per_word(engine: MlpEngineConfig) -> int:
    """Weights of one load word: 8 of the integer profiles, 4 of ``fp16``."""
    return DATA_BITS // engine.profile.weight_bits


def weight_word_bits(engine: MlpEngineConfig) -> int:
    """Low address bits that number the words of a weight row."""
    return (-(-engine.cols // weights_per_word(engine)) - 1).bit_length()


def mlp_image(
    networks: QuantizedMlp | FloatMlp | Sequence[QuantizedMlp | FloatMlp], engine: MlpEngineConfig
) -> LoadImage:
    """Load words that put a network, or the two of a nerf field, into an engine built as ``engine``.

    The first word stops the inputs and the last one starts them, so an engine never runs half a network.

    Raises
    ------
    InputError
        If a network does not fit the engine or is of another arithmetic, or a multiplier or shift is out of range.
    """
    networks = (networks,) if isinstance(networks, QuantizedMlp | FloatMlp) else tuple(networks)
    kind = FloatMlp if engine.floating else QuantizedMlp
    for network in networks:
        if not isinstance(network, kind):
            raise InputError(
                f"networks of an engine of {engine.arithmetic} must be {kind.__name__}, not {type(network).__name__}"
            )
    plan = plan_mlp([network.config for network in networks], engine)
    weights_of = [np.asarray(matrix) for network in networks for matrix in network.weights]
    scalings, tables = _scalings(networks, engine)
    image = LoadImage.of(LoadTarget.MLP_CONTROL, N_LAYERS_ADDRESS, 0) + _table_words(tables, engine)
    for number, (planned, weights, scaling) in enumerate(zip(plan.layers, weights_of, scalings, strict=True)):
        shape = (planned.layer.n_out, planned.layer.n_in)
        if weights.shape != shape:
            raise InputError(f"shape of weights of layer {number} must be {shape}, not {weights.shape}")
        register = _pack(
            LAYER_FIELDS,
            **scaling,
            negative=int(negative_part(planned.layer.activation)),
            row_tiles=planned.row_tiles,
            col_tiles=planned.col_tiles,
            first_row=planned.first * engine.rows,
        )
        image += LoadImage.of(LoadTarget.LAYER_REGISTER, number, register)
        if engine.has_routes:
            route = _pack(
                ROUTE_FIELDS,
                split=engine.splits.index(planned.split),
                takes_side=int(planned.takes_side),
                frees_input=int(planned.frees_input),
                to_output=int(planned.to_output),
                first_row_tile=planned.first_row_tile,
                first_col_tile=planned.first_col_tile,
                first_lane=min(planned.outputs) // engine.lane_values,
                last_lane=max(planned.outputs) // engine.lane_values,
            )
            image += LoadImage.of(LoadTarget.LAYER_REGISTER, ROUTE_ADDRESS + number, route)
        image += _weight_words(planned, weights, engine)
    return image + LoadImage.of(LoadTarget.MLP_CONTROL, N_LAYERS_ADDRESS, len(plan.layers))


def _scalings(
    networks: Sequence[QuantizedMlp | FloatMlp], engine: MlpEngineConfig
) -> tuple[list[dict[str, int]], tuple[ActivationCurve, ...] | tuple[str, ...]]:
    """Per layer, the fields of its requantisation and table; and the curves of the tables, in ``fp16`` their names."""
    if engine.floating:
        names = [layer.activation for network in networks for layer in network.config.layers]
        tables = tuple(dict.fromkeys(name for name in names if name not in STRAIGHT_ACTIVATIONS))
        numbers = [tables.index(name) + 1 if name in tables else 0 for name in names]
        return [{"multiplier": 0, "shift": 0, "table": number} for number in numbers], tables
    curves = [curve for network in networks for curve in network.layer_curves]
    tables = tuple(dict.fromkeys(curve for curve in curves if curve))
    factors = [factor for network in networks for factor in zip(network.multipliers, network.shifts, strict=True)]
    scalings = []
    for number, (curve, (multiplier, shift)) in enumerate(zip(curves, factors, strict=True)):
        check_integer(f"multiplier of layer {number}", multiplier, 1, (1 << engine.profile.multiplier_bits) - 1)
        check_integer(f"shift of layer {number}", shift, 1, MAX_REQUANTIZE_SHIFT)
        table = tables.index(curve) + 1 if curve else 0
        scalings.append({"multiplier": multiplier, "shift": shift, "table": table})
    return scalings, tables


def _weight_words(planned: PlannedLayer, weights: np.ndarray, engine: MlpEngineConfig) -> LoadImage:
    """A layer's tiles, in the order of the passes, every row half and column group holding the whole tile."""
    halves, groups = planned.split.row_halves, planned.split.column_groups
    height, width = engine.rows // halves, engine.cols // groups
    per_word, kind = weights_per_word(engine), np.dtype(f"int{engine.profile.weight_bits}")
    empty = np.uint16(NO_WEIGHT).view(np.int16) if engine.floating else 0
    padded = np.full((planned.col_tiles * width, planned.row_tiles * height), empty, dtype=kind)
    outputs = np.array(planned.outputs) - planned.first_col_tile * width
    inputs = np.array(planned.inputs) - planned.first_row_tile * height
    if engine.floating:
        weights = np.where(weights == 0, np.float16(0), weights).view(kind)
    padded[np.ix_(outputs, inputs)] = weights.astype(kind)
    # (col tile, output, row tile, input) to (col tile, row tile, input, output)
    tiles = padded.reshape(planned.col_tiles, width, planned.row_tiles, height).transpose(0, 2, 3, 1)
    tiles = np.tile(tiles.reshape(planned.tiles, height, width), (1, halves, groups))
    words = -(-engine.cols // per_word)
    data = np.zeros((planned.tiles * engine.rows, words * per_word), dtype=kind)
    data[:, : engine.cols] = tiles.reshape(-1, engine.cols)
    data = data.view("<u8")
    rows = planned.first * engine.rows + np.arange(len(data))
    address = (rows[:, None] << weight_word_bits(engine)) | np.arange(words)
    return LoadImage.of(LoadTarget.WEIGHT, address.ravel(), data.ravel().view(np.int64))


def _table_words(tables: tuple[ActivationCurve, ...] | tuple[str, ...], engine: MlpEngineConfig) -> LoadImage:
    """Words of the tables, in the order of their numbers; layers with the same curve share one."""
    if len(tables) > engine.activation_tables:
        raise InputError(
            f"activation_tables of the MLP engine must be at least {len(tables)} for this network's curves, "
            f"not {engine.activation_tables}"
        )
    if engine.floating:
        made = [float_sine_table() if name == "Sine" else float_activation_table(name) for name in tables]
        words, bits = [table.words for table in made], SEGMENT_BITS
    else:
        words = [activation_table(curve, engine.profile).words for curve in tables]
        bits = segment_bits(engine.profile)
    data = np.concatenate([np.zeros(0, np.int64), *words])
    # tables are a whole power of two of segments, so table << bits | segment just counts
    assert len(data) == len(tables) << bits
    return LoadImage.of(LoadTarget.ACTIVATION_TABLE, np.arange(len(data)), data)


def _pack(layout: Mapping[str, tuple[int, int]], **fields: int) -> int:
    word = 0
    for name, (low, width) in layout.items():
        check_integer(name, fields[name], 0, (1 << width) - 1)
        word |= fields[name] << low
    return word
