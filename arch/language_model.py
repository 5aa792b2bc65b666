"""Decoder-only language models as the cost model sees them: shapes and parameter counts.

Presets lie in ``workloads/models``, one file a model with a source per figure; ``arch.workload`` reads them.
"""

from dataclasses import dataclass

from arch.errors import InputError, check_integer, check_positive

__all__ = ["LanguageModelConfig"]


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig:
    """A decoder with grouped-query attention and a gated feed-forward network, dense or mixture of experts.

    Parameters
    ----------
    name : preset name
    n_layers : decoder layers
    d_model : hidden width D
    n_heads, n_kv_heads : query and key/value heads; their ratio is the group size
    head_dim : width of a head
    d_ffn : inner width I of the feed-forward network (of one expert)
    n_parameters : all parameters, as the model is usually quoted
    n_active_parameters : parameters a token is multiplied with; equal to ``n_parameters`` for dense models
    vocab_size : tokens of the vocabulary, None if no source gives it
    n_experts, n_active_experts : experts, and how many of them a token visits; 1 and 1 for dense models
    value_bytes : size of weights, activations and cached keys and values

    Raises
    ------
    InputError
        If heads do not group evenly or counts contradict one another.
    """

    name: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ffn: int
    n_parameters: float
    n_active_parameters: float
    vocab_size: int | None = None
    n_experts: int = 1
    n_active_experts: int = 1
    value_bytes: int = 2

    def __post_init__(self) -> None:
        check_integer("n_layers", self.n_layers, 1, 1024)
        for name in ("d_model", "n_heads", "n_kv_heads", "head_dim", "d_ffn"):
            check_integer(name, getattr(self, name), 1, 1 << 20)
        if self.n_heads % self.n_kv_heads:
            raise InputError(f"n_heads must be a multiple of n_kv_heads = {self.n_kv_heads}, not {self.n_heads}")
        check_positive("n_parameters", self.n_parameters)
        check_positive("n_active_parameters", self.n_active_parameters)
        if self.n_active_parameters > self.n_parameters:
            raise InputError(
                f"n_active_parameters must be at most n_parameters = {self.n_parameters:g}, "
                f"not {self.n_active_parameters:g}"
            )
        if self.vocab_size is not None:
            check_integer("vocab_size", self.vocab_size, 1, 1 << 24)
        check_integer("n_experts", self.n_experts, 1, 1024)
        check_integer("n_active_experts", self.n_active_experts, 1, self.n_experts)
        check_integer("value_bytes", self.value_bytes, 1, 4)

    @property
    def q_dim(self) -> int:
        """Width of all query heads together."""
        return self.n_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all key heads together; values have as many."""
        return self.n_kv_heads * self.head_dim

    @property
    def kv_bytes_per_token(self) -> int:
        """Cached keys and values of one token in all layers."""
        return 2 * self.kv_dim * self.value_bytes * self.n_layers
