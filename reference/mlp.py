"""Golden models of the fully connected networks, one function per arithmetic of docs/numerics.md."""

from collections.abc import Sequence

import torch

from arch.activation_table import INTEGER_ACTIVATIONS, PRE_ACTIVATION_BITS, negative_multiplier
from arch.checkpoint import QuantizedMlp
from arch.errors import InputError, check_one_of
from arch.mlp import CUTLASS_CHUNK, FULLY_FUSED_CHUNK, FUSED_OUTPUTS, MlpConfig
from arch.number_format import IntegerProfile
from reference.activation import activate, activate_fp16
from reference.activation_table import activate_integer
from reference.tensor_core import tensor_core_product

__all__ = ["mlp_float", "mlp_fp16", "mlp_integer"]

_EXACT_FP32 = 1 << 24  # sums of integers below this are exact in fp32 in any order
_BLOCK_POINTS = 16384


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


def mlp_fp16(
    config: MlpConfig, weights: Sequence[torch.Tensor], inputs: torch.Tensor, *, chunk: int = FULLY_FUSED_CHUNK
) -> torch.Tensor:
    """Evaluate as tiny-cuda-nn does on an H200: fp16 tensor cores with fp16 accumulators.

    Bit-exact for None, ReLU and LeakyReLU, overflow to infinity included; the other activations are off by the GPU's
    approximate functions (``activate_fp16``).

    Parameters
    ----------
    config : the network
    weights : per layer, (n_out, n_in) fp16; rows beyond ``n_output_dims`` of the last layer are kept
    inputs : (N, n_input_dims) fp16
    chunk : 16 for FullyFusedMLP, whose last layer takes chunks of 8 if it has more than 16 outputs; 8 for CutlassMLP

    Returns
    -------
    (N, rows of the last matrix) fp16
    """
    check_one_of("chunk", chunk, (CUTLASS_CHUNK, FULLY_FUSED_CHUNK))
    x = torch.as_tensor(inputs).to(torch.float16)
    matrices = [torch.as_tensor(matrix).to(torch.float16) for matrix in weights]
    check_weights(config, matrices, x)
    last = len(matrices) - 1
    for number, (layer, matrix) in enumerate(zip(config.layers, matrices, strict=True)):
        wide = number == last and config.n_output_dims > FUSED_OUTPUTS
        sums = tensor_core_product(x, matrix, chunk=CUTLASS_CHUNK if wide else chunk)
        x = activate_fp16(layer.activation, sums)
    return x


def mlp_integer(network: QuantizedMlp, inputs: torch.Tensor, profile: IntegerProfile) -> torch.Tensor:
    """Evaluate in an integer profile, exactly as docs/numerics.md, "Networks", says.

    Parameters
    ----------
    network : raw weights, multipliers, shifts and curves; activations of ``arch.activation_table``
    inputs : (N, n_input_dims) raw values, any integer dtype
    profile : ``int8`` or ``int16``

    Returns
    -------
    (N, n_output_dims) raw values, torch.int8 or torch.int16
    """
    inputs = torch.as_tensor(inputs)
    matrices = [torch.as_tensor(matrix) for matrix in network.weights]
    check_weights(network.config, matrices, inputs)
    for layer in network.config.layers:
        check_one_of("activation in an integer profile", layer.activation, INTEGER_ACTIVATIONS)
        if -profile.value.minimum * -profile.weight.minimum * layer.n_in >= 1 << (profile.accumulator_bits - 1):
            raise InputError(f"inputs of a layer must be few enough for a 32-bit accumulator, not {layer.n_in}")
    outputs = [_integer_block(network, matrices, block, profile) for block in inputs.split(_BLOCK_POINTS)]
    return torch.cat(outputs)


def _integer_block(
    network: QuantizedMlp, matrices: Sequence[torch.Tensor], inputs: torch.Tensor, profile: IntegerProfile
) -> torch.Tensor:
    value = profile.value
    x = inputs
    for number, layer in enumerate(network.config.layers):
        largest = -value.minimum * -profile.weight.minimum * layer.n_in
        # The fastest product that is exact: BLAS in fp32 or fp64 on integers.
        exact = torch.float32 if largest <= _EXACT_FP32 else torch.float64
        sums = (x.to(exact) @ matrices[number].to(exact).T).to(torch.float64)
        multiplier = network.multipliers[number]
        negative = negative_multiplier(layer.activation, multiplier)
        if negative == 0:
            sums = sums.relu_()
        # 31 + 16 bits and a power of two: exact in float64, so round() is the only rounding, half to even.
        unit = 2.0 ** -network.shifts[number]
        if negative in (0, multiplier):
            sums = sums.mul_(multiplier * unit)
        else:
            sums = torch.where(sums < 0, sums * (negative * unit), sums * (multiplier * unit))
        curve = network.layer_curves[number]
        if curve is None:
            x = sums.round_().clamp_(value.minimum, value.maximum)
        else:
            end = 1 << (PRE_ACTIVATION_BITS - 1)
            x = activate_integer(curve, sums.round_().clamp_(-end, end - 1), profile)
    return x.to({8: torch.int8, 16: torch.int16}[profile.value_bits])


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
