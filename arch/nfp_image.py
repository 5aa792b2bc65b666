"""The load image of a neural fields processor: one field, for both engines."""

from arch.checkpoint import QuantizedField
from arch.encoding_image import encoding_image
from arch.errors import InputError
from arch.load import LoadImage
from arch.mlp_image import mlp_image
from arch.nfp import NfpConfig

__all__ = ["nfp_image"]


def nfp_image(field: QuantizedField, config: NfpConfig) -> LoadImage:
    """Load words that put ``field`` into an Nfp of ``config``: encoding registers and tables, layers and weights.

    Raises
    ------
    InputError
        With what does not fit, and by how much.
    """
    if field.arithmetic != config.mlp.arithmetic:
        raise InputError(
            f"arithmetic of the checkpoint must be the processor's {config.mlp.arithmetic!r}, not {field.arithmetic!r}"
        )
    if len(field.networks) != 1:
        raise InputError(
            f"networks of a field on this processor must be 1, not {len(field.networks)}; "
            "it does not run nerf's two networks yet"
        )
    encoding = encoding_image(field.config.grid, config.encoding, field.tables, field.level_shifts)
    return encoding + mlp_image(field.networks[0], config.mlp)
