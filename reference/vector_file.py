"""Files of reference vectors: inputs, parameters and outputs of the real tiny-cuda-nn, one ``.npz`` a case.

Only reading and naming is done here; ``reference.vector_cases`` evaluates them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.checkpoint import DAMAGE
from arch.errors import InputError
from arch.grid import GridConfig
from arch.mlp import MlpConfig

__all__ = ["VectorFile", "read_vector_file", "vector_paths"]

_TRAINING_ONLY = ("stochastic_interpolation",)


@dataclass(frozen=True, kw_only=True)
class VectorFile:
    """One case.

    Parameters
    ----------
    name : file name without its suffix
    config : the case's JSON, in the library's own keys
    arrays : every other array of the file
    """

    name: str
    config: Mapping[str, object]
    arrays: Mapping[str, np.ndarray]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def array(self, name: str) -> np.ndarray:
        """An array that must be there."""
        if name not in self.arrays:
            raise InputError(f"{self.name} must hold the array {name!r}, not only {', '.join(sorted(self.arrays))}")
        return self.arrays[name]

    def matrices(self, prefix: str = "W") -> tuple[np.ndarray, ...]:
        """The weight matrices ``<prefix>0``, ``<prefix>1`` ..., at least one."""
        first = self.array(f"{prefix}0")
        found = [first]
        while f"{prefix}{len(found)}" in self.arrays:
            found.append(self.arrays[f"{prefix}{len(found)}"])
        return tuple(found)

    def grid(self) -> GridConfig:
        """The grid encoding of the case."""
        encoding = self._block("encoding")
        encoding = {key: value for key, value in encoding.items() if key not in _TRAINING_ONLY}
        dims = self.config.get("D", self.array("positions").shape[-1])
        return GridConfig.from_tcnn(encoding, n_pos_dims=dims)

    def network(
        self, matrices: tuple[np.ndarray, ...], *, key: str = "network", output_activation: str | None = None
    ) -> MlpConfig:
        """The network of the case; sizes the JSON leaves out are those of the matrices."""
        network = self._block(key)
        outputs = network.get("n_output_dims")
        if outputs is None:
            outputs = (
                self.config.get("n_output_dims", matrices[-1].shape[0]) if key == "network" else matrices[-1].shape[0]
            )
        return MlpConfig(
            n_input_dims=matrices[0].shape[1],
            n_neurons=network.get("n_neurons", matrices[0].shape[0]),
            n_hidden_layers=network.get("n_hidden_layers", len(matrices) - 1),
            n_output_dims=outputs,
            activation=network.get("activation", "ReLU"),
            output_activation=output_activation or network.get("output_activation", "None"),
        )

    def _block(self, key: str) -> dict:
        block = self.config.get(key)
        if not isinstance(block, dict):
            raise InputError(f"config of {self.name} must have a block {key!r}, not {block!r}")
        return block


def vector_paths(folder: Path) -> list[Path]:
    """The ``.npz`` files of a folder in order of name; raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"the vectors must be an existing directory, not {str(folder)!r}")
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"the directory of vectors must hold .npz files, not none: {str(folder)!r}")
    return paths


def read_vector_file(path: Path) -> VectorFile:
    """Read one case whole; raises InputError if it is damaged or has no usable ``config``."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        config = json.loads(str(arrays.pop("config")))
    except DAMAGE as error:
        raise InputError(
            f"{path.name} must be a whole .npz file with a JSON config, not a damaged one ({type(error).__name__}); "
            "fetch it again"
        ) from error
    if not isinstance(config, dict):
        raise InputError(f"config of {path.name} must be a JSON object, not {config!r}")
    return VectorFile(name=path.stem, config=config, arrays=arrays)
