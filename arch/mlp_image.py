"""The load image of the MLP engine: its registers and weights as load words.

========================  ==========================================  ==========================================
target                    address                                     data
========================  ==========================================  ==========================================
``MLP_CONTROL``           ``N_LAYERS_ADDRESS``                        layers of the network; 0 stops the inputs
``LAYER_REGISTER``        layer                                       the fields of :data:`LAYER_FIELDS`
``WEIGHT``                ``weight row << k | word``                  weights ``8 word .. 8 word + 7`` of that row
``ACTIVATION_TABLE``      ``table << segment_bits | segment``         ``arch.activation_table.ActivationTable.words``
========================  ==========================================  ==========================================

A weight row is one row of one tile: the ``cols`` weights of one input. Tile t holds weight rows ``t * rows`` and up.
``k`` is :func:`weight_word_bits`; the first weight of a word is in its lowest byte.
"""

from collections.abc import Mapping

import numpy as np

from arch.activation_table import ActivationCurve, activation_table, negative_part, segment_bits
from arch.checkpoint import MAX_REQUANTIZE_SHIFT, QuantizedMlp
from arch.errors import InputError, check_integer
from arch.load import LoadImage, LoadTarget
from arch.mlp_engine import MlpEngineConfig, layer_tiles

__all__ = ["LAYER_FIELDS", "N_LAYERS_ADDRESS", "WEIGHTS_PER_WORD", "mlp_image", "weight_word_bits"]

N_LAYERS_ADDRESS = 0
"""Address of the control register that holds the number of layers."""

WEIGHTS_PER_WORD = 8
"""Weights of one load word."""

LAYER_FIELDS: Mapping[str, tuple[int, int]] = {
    "multiplier": (0, 16),
    "shift": (16, 6),
    "negative": (22, 2),
    "row_tiles": (24, 6),
    "col_tiles": (32, 6),
    "first_row": (40, 20),
    "table": (60, 3),
}
"""Fields of a layer register: lowest bit and width.

``first_row`` is the weight row of the layer's first tile, ``negative`` an ``arch.activation_table.NegativePart``,
``table`` 0 for none or t + 1 for table t.
"""


def weight_word_bits(engine: MlpEngineConfig) -> int:
    """Low address bits that number the words of a weight row."""
    return (-(-engine.cols // WEIGHTS_PER_WORD) - 1).bit_length()


def mlp_image(network: QuantizedMlp, engine: MlpEngineConfig) -> LoadImage:
    """Load words that put ``network`` into an engine built as ``engine``.

    The first word stops the inputs and the last one starts them, so an engine never runs half a network.

    Raises
    ------
    InputError
        If the network does not fit the engine, or a multiplier or shift is out of range.
    """
    cuts = layer_tiles(network.config, engine)
    curves = network.layer_curves
    tables = tuple(dict.fromkeys(curve for curve in curves if curve))
    image = LoadImage.of(LoadTarget.MLP_CONTROL, N_LAYERS_ADDRESS, 0) + _table_words(tables, engine)
    word_bits = weight_word_bits(engine)
    words = -(-engine.cols // WEIGHTS_PER_WORD)
    for number, (layer, cut) in enumerate(zip(network.config.layers, cuts, strict=True)):
        check_integer(
            f"multiplier of layer {number}", network.multipliers[number], 1, (1 << engine.profile.multiplier_bits) - 1
        )
        check_integer(f"shift of layer {number}", network.shifts[number], 1, MAX_REQUANTIZE_SHIFT)
        weights = np.asarray(network.weights[number])
        if weights.shape != (layer.n_out, layer.n_in):
            shape = (layer.n_out, layer.n_in)
            raise InputError(f"shape of weights of layer {number} must be {shape}, not {weights.shape}")
        register = _pack(
            multiplier=network.multipliers[number],
            shift=network.shifts[number],
            negative=int(negative_part(layer.activation)),
            table=tables.index(curves[number]) + 1 if curves[number] else 0,
            row_tiles=cut.row_tiles,
            col_tiles=cut.col_tiles,
            first_row=cut.first * engine.rows,
        )
        image += LoadImage.of(LoadTarget.LAYER_REGISTER, number, register)
        padded = np.zeros((cut.col_tiles, words * WEIGHTS_PER_WORD, cut.row_tiles * engine.rows), dtype=np.uint8)
        for col in range(cut.col_tiles):
            part = weights[col * engine.cols : (col + 1) * engine.cols]
            padded[col, : part.shape[0], : part.shape[1]] = part.astype(np.int8).view(np.uint8)
        # (col tile, column, input) to (col tile, input, word, column of the word): tiles come out in pass order
        data = padded.transpose(0, 2, 1).reshape(cut.tiles * engine.rows, words, WEIGHTS_PER_WORD)
        data = np.ascontiguousarray(data).view("<u8")[..., 0]
        rows = cut.first * engine.rows + np.arange(cut.tiles * engine.rows)
        address = (rows[:, None] << word_bits) | np.arange(words)
        image += LoadImage.of(LoadTarget.WEIGHT, address.ravel(), data.ravel().view(np.int64))
    return image + LoadImage.of(LoadTarget.MLP_CONTROL, N_LAYERS_ADDRESS, len(cuts))


def _table_words(tables: tuple[ActivationCurve, ...], engine: MlpEngineConfig) -> LoadImage:
    """Words of the tables, in the order of their numbers; layers with the same curve share one."""
    if len(tables) > engine.activation_tables:
        raise InputError(
            f"activation_tables of the MLP engine must be at least {len(tables)} for this network's curves, "
            f"not {engine.activation_tables}"
        )
    words = [activation_table(curve, engine.profile).words for curve in tables]
    data = np.concatenate([np.zeros(0, np.int64), *words])
    # tables are a whole power of two of segments, so table << segment_bits | segment just counts
    assert len(data) == len(tables) << segment_bits(engine.profile)
    return LoadImage.of(LoadTarget.ACTIVATION_TABLE, np.arange(len(data)), data)


def _pack(**fields: int) -> int:
    word = 0
    for name, (low, width) in LAYER_FIELDS.items():
        check_integer(name, fields[name], 0, (1 << width) - 1)
        word |= fields[name] << low
    return word
