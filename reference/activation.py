"""The ten activations of tiny-cuda-nn's networks (``common_device.h``)."""

from collections.abc import Callable, Mapping

import torch

from arch.float_activation import float_activation

__all__ = ["EXACT_ACTIVATIONS", "activate", "activate_fp16"]

EXACT_ACTIVATIONS = ("None", "ReLU", "LeakyReLU")
"""Those the library computes without the GPU's approximate exp, tanh and sin."""

_SHARPNESS = 10.0  # K_ACT of tiny-cuda-nn: Squareplus and Softplus are those functions of 10 x, divided by 10
_LEAKY_SLOPE = 0.01


def _squareplus(x: torch.Tensor) -> torch.Tensor:
    sharp = x * _SHARPNESS
    return 0.5 * (sharp + torch.sqrt(sharp * sharp + 4.0)) / _SHARPNESS


_FUNCTIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "None": lambda x: x,
    "ReLU": torch.relu,
    "LeakyReLU": lambda x: torch.where(x > 0, x, x * _LEAKY_SLOPE),
    "SiLU": lambda x: x / (1.0 + torch.exp(-x)),
    "Exponential": torch.exp,
    "Sine": torch.sin,
    "Sigmoid": lambda x: 1.0 / (1.0 + torch.exp(-x)),
    "Squareplus": _squareplus,
    "Softplus": lambda x: torch.log(torch.exp(x * _SHARPNESS) + 1.0) / _SHARPNESS,
    "Tanh": torch.tanh,
}


def activate(name: str, x: torch.Tensor) -> torch.Tensor:
    """Apply an activation in the tensor's own dtype, differentiable.

    float64 and float32 follow the textbook function, with the library's overflow (Exponential and Softplus reach
    infinity).

    Parameters
    ----------
    name : one of ``arch.mlp.ACTIVATIONS``
    x : any shape, float32 or float64
    """
    return _FUNCTIONS[name](x)


def activate_fp16(name: str, x: torch.Tensor) -> torch.Tensor:
    """Apply an activation to an fp16 accumulator as the library does; fp16 in and out.

    ReLU and LeakyReLU are fp16 operations (ReLU of NaN is 0; the slope 0.01 is rounded to fp16, the product too). The
    rest is correctly rounded (``arch.float_activation``); the GPU's approximate exp, tanh and sin are not modelled.
    """
    if name == "None":
        return x
    if name == "ReLU":
        # PTX max.f16 returns the operand that is a number.
        return torch.where(x > 0, x, torch.zeros_like(x))
    if name == "LeakyReLU":
        slope = float(torch.tensor(_LEAKY_SLOPE, dtype=torch.float16))
        return torch.where(x > 0, x, (x.to(torch.float32) * slope).to(torch.float16))
    found = torch.from_numpy(float_activation(name).copy())
    return found[x.view(torch.int16).to(torch.int64) & 0xFFFF]
