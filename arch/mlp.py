"""Multilayer perceptrons: the parameters of tiny-cuda-nn's networks and their layers. No layer has a bias."""

from dataclasses import dataclass

from arch.errors import InputError, check_integer, check_one_of

__all__ = ["ACTIVATIONS", "CUTLASS_CHUNK", "FULLY_FUSED_CHUNK", "FUSED_OUTPUTS", "MlpConfig", "MlpLayer"]

ACTIVATIONS = (
    "None", "ReLU", "LeakyReLU", "SiLU", "Exponential", "Sine", "Sigmoid", "Squareplus", "Softplus", "Tanh",
)  # fmt: skip
_MAX_WIDTH = 1024

FULLY_FUSED_CHUNK = 16
"""Products that a tensor core adds in one step of FullyFusedMLP (wmma 16x16x16)."""
CUTLASS_CHUNK = 8
"""The same for CutlassMLP (mma 16x8x8)."""
FUSED_OUTPUTS = 16
"""Most outputs that FullyFusedMLP computes itself; it runs a wider last layer through CUTLASS."""


@dataclass(frozen=True, kw_only=True)
class MlpLayer:
    """One weight matrix and the activation behind it: ``activation(W @ x)``, W of shape (n_out, n_in)."""

    n_in: int
    n_out: int
    activation: str

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one point."""
        return self.n_in * self.n_out


@dataclass(frozen=True, kw_only=True)
class MlpConfig:
    """A fully connected network in tiny-cuda-nn's own keys.

    Parameters
    ----------
    n_input_dims : width of the input vector
    n_neurons : width of every hidden layer
    n_hidden_layers : hidden activations, so ``n_hidden_layers + 1`` weight matrices; 0 is one matrix
    n_output_dims : outputs that mean something
    activation : hidden activation
    output_activation : activation of the last layer

    Raises
    ------
    InputError
        One sentence per refused value, from ``__post_init__``.
    """

    n_input_dims: int
    n_neurons: int = 64
    n_hidden_layers: int = 2
    n_output_dims: int
    activation: str = "ReLU"
    output_activation: str = "None"

    def __post_init__(self) -> None:
        check_integer("n_input_dims", self.n_input_dims, 1, _MAX_WIDTH)
        check_integer("n_neurons", self.n_neurons, 1, _MAX_WIDTH)
        check_integer("n_hidden_layers", self.n_hidden_layers, 0, 16)
        check_integer("n_output_dims", self.n_output_dims, 1, _MAX_WIDTH)
        check_one_of("activation", self.activation, ACTIVATIONS)
        check_one_of("output_activation", self.output_activation, ACTIVATIONS)

    @classmethod
    def from_tcnn(cls, network: dict, *, n_input_dims: int, n_output_dims: int | None = None) -> "MlpConfig":
        """Read the ``network`` block of a tiny-cuda-nn configuration; unknown keys are refused."""
        known = {"otype", "n_neurons", "n_hidden_layers", "activation", "output_activation", "n_output_dims"}
        unknown = sorted(set(network) - known)
        if unknown:
            raise InputError(f"network keys must be tiny-cuda-nn's, not {unknown[0]!r}; remove it")
        otype = network.get("otype", "FullyFusedMLP")
        check_one_of("network otype", otype, ("FullyFusedMLP", "CutlassMLP"))
        outputs = network.get("n_output_dims", n_output_dims)
        if outputs is None:
            raise InputError("a network must give n_output_dims, not leave it out; add the key")
        return cls(
            n_input_dims=n_input_dims,
            n_neurons=network.get("n_neurons", 128),
            n_hidden_layers=network.get("n_hidden_layers", 5),
            n_output_dims=outputs,
            activation=network.get("activation", "ReLU"),
            output_activation=network.get("output_activation", "None"),
        )

    @property
    def layers(self) -> tuple[MlpLayer, ...]:
        """Every weight matrix, input side first."""
        widths = [self.n_input_dims, *[self.n_neurons] * self.n_hidden_layers, self.n_output_dims]
        last = len(widths) - 2
        return tuple(
            MlpLayer(
                n_in=widths[index],
                n_out=widths[index + 1],
                activation=self.output_activation if index == last else self.activation,
            )
            for index in range(last + 1)
        )

    @property
    def padded_output_dims(self) -> int:
        """Output rows as tiny-cuda-nn stores them: a multiple of 16."""
        return -(-self.n_output_dims // 16) * 16

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one point, padding not counted."""
        return sum(layer.macs for layer in self.layers)
