"""The neural fields processor: a grid encoding engine fused with an MLP engine, and a cluster of them."""

from dataclasses import dataclass

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError, check_instance, check_integer, check_positive
from arch.mlp_engine import MlpEngineConfig

__all__ = ["ClusterConfig", "NfpConfig"]


@dataclass(frozen=True, kw_only=True)
class NfpConfig:
    """One neural fields processor.

    Parameters
    ----------
    encoding : the grid encoding engine; its features are the MLP engine's first layer's inputs
    mlp : the MLP engine, of the same arithmetic
    """

    encoding: EncodingEngineConfig
    mlp: MlpEngineConfig

    def __post_init__(self) -> None:
        check_instance("encoding", self.encoding, EncodingEngineConfig)
        check_instance("mlp", self.mlp, MlpEngineConfig)
        if self.encoding.arithmetic != self.mlp.arithmetic:
            raise InputError(
                f"arithmetic of the MLP engine must be the encoding engine's {self.encoding.arithmetic!r}, "
                f"not {self.mlp.arithmetic!r}"
            )
        features = self.encoding.n_levels * self.encoding.n_features_per_level
        if features > self.mlp.max_width:
            raise InputError(
                f"max_width of the MLP engine must be at least the encoding's {features} features, "
                f"not {self.mlp.max_width}"
            )


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """NGPC-N: ``n_nfps`` neural fields processors beside a GPU, at one clock.

    Parameters
    ----------
    nfp : each of the processors
    n_nfps : how many, 1 to 64
    clock_hz : clock of the cluster; NGPC (ISCA'23) implies 1 GHz without stating it
    """

    nfp: NfpConfig
    n_nfps: int = 8
    clock_hz: float = 1e9

    def __post_init__(self) -> None:
        check_instance("nfp", self.nfp, NfpConfig)
        check_integer("n_nfps", self.n_nfps, 1, 64)
        check_positive("clock_hz", self.clock_hz)
