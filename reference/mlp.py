"""Golden models of the fully connected networks, one function per arithmetic of docs/numerics.md."""

from collections.abc import Sequence

import torch

from arch.errors import InputError
from arch.mlp import MlpConfig
from reference.activation import activate

__all__ = ["mlp_float"]


def mlp_float(config: MlpConfig, weights: Sequence[torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Evaluate in the floating-point arithmetic of the inputs, differentiable in weights and inputs.

    Parameters
    ----------
    config : the network
    weights : per layer, (n_out, n_in); rows beyond ``n_output_dims`` of the last layer are kept
    inputs : (N, n_input_dims) float64 (golden) or float32 (training)

    Returns
    -------
    (N, rows of the last matrix) in the inputs' dtype
    """
    check_weights(config, weights, inputs)
    x = inputs
    for layer, matrix in zip(config.layers, weights, strict=True):
        x = activate(layer.activation, x @ matrix.to(x.dtype).T)
    return x


def check_weights(config: MlpConfig, weights: Sequence[torch.Tensor], inputs: torch.Tensor) -> None:
    """Refuse matrices or inputs that are not those of the network; the last matrix may have padded rows."""
    layers = config.layers
    if len(weights) != len(layers):
        raise InputError(f"number of weight matrices must be {len(layers)}, not {len(weights)}")
    if inputs.ndim != 2 or inputs.shape[1] != config.n_input_dims:
        raise InputError(f"shape of inputs must be (points, {config.n_input_dims}), not {tuple(inputs.shape)}")
    for number, (layer, matrix) in enumerate(zip(layers, weights, strict=True)):
        rows = (layer.n_out, config.padded_output_dims) if number == len(layers) - 1 else (layer.n_out,)
        if matrix.ndim != 2 or matrix.shape[0] not in rows or matrix.shape[1] != layer.n_in:
            raise InputError(
                f"shape of weight matrix {number} must be ({layer.n_out}, {layer.n_in}), not {tuple(matrix.shape)}"
            )
