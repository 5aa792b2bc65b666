"""The load image of a neural fields processor: one field, for both engines.

========================  ==========================================  ==========================================
target                    address                                     data
========================  ==========================================  ==========================================
``NFP_CONTROL``           ``DENSITY_RESULTS_ADDRESS``                 bit j: result j is output 0 of the first of two
                                                                      networks; 0: output j of the last network
========================  ==========================================  ==========================================

The other targets are the engines' (``arch.encoding_image``, ``arch.mlp_image``). Only processors with side inputs have
the control register.
"""

from collections.abc import Sequence

import numpy as np

from arch.checkpoint import FloatField, FloatMlp, QuantizedField
from arch.encoding_image import encoding_image
from arch.errors import InputError
from arch.load import LoadImage, LoadTarget
from arch.mlp import FUSED_OUTPUTS
from arch.mlp_image import mlp_image
from arch.nfp import NfpConfig

__all__ = ["DENSITY_RESULTS_ADDRESS", "n_results", "nfp_image"]

DENSITY_RESULTS_ADDRESS = 0
"""Address of the control register that says which results come from the first of two networks."""


def n_results(field: QuantizedField | FloatField) -> int:
    """Outputs a point: those of the last network and, of a field with two, the density behind them."""
    return field.config.networks[-1].n_output_dims + len(field.config.networks) - 1


def nfp_image(
    field: QuantizedField | FloatField, config: NfpConfig, *, scales: Sequence[float] | None = None
) -> LoadImage:
    """Load words that put ``field`` into an Nfp of ``config``: encoding registers and tables, layers and weights.

    ``scales`` are for ``fp16``: the scale of each level where it is not the host's.

    Raises
    ------
    InputError
        With what does not fit, and by how much.
    """
    arithmetic = "fp16" if isinstance(field, FloatField) else field.arithmetic
    if arithmetic != config.mlp.arithmetic:
        raise InputError(
            f"arithmetic of the checkpoint must be the processor's {config.mlp.arithmetic!r}, not {arithmetic!r}"
        )
    results = n_results(field)
    if results > config.max_outputs:
        raise InputError(
            f"max_outputs of the processor must be at least the field's {results}, not {config.max_outputs}"
        )
    networks = field.config.networks
    if isinstance(field, FloatField):
        if len(networks) == 2 and networks[0].n_output_dims != FUSED_OUTPUTS:
            raise InputError(
                f"n_output_dims of the first network must be {FUSED_OUTPUTS} in fp16, not {networks[0].n_output_dims}"
            )
        tables, level_shifts = field.tables.view(np.int16), (0,) * field.config.grid.n_levels
        loaded = tuple(
            FloatMlp(config=network, weights=weights) for network, weights in zip(networks, field.weights, strict=True)
        )
    else:
        tables, level_shifts, loaded = field.tables, field.level_shifts, field.networks
    image = encoding_image(field.config.grid, config.encoding, tables, level_shifts, scales=scales)
    if config.mlp.side_inputs:
        density = 1 << (results - 1) if len(networks) == 2 else 0
        image += LoadImage.of(LoadTarget.NFP_CONTROL, DENSITY_RESULTS_ADDRESS, density)
    return image + mlp_image(loaded, config.mlp)
