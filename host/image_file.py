"""A field or a program as a file of load words, for hosts that do not run Python."""

from pathlib import Path

from arch.axis_format import load_format
from arch.checkpoint import QuantizedField
from arch.load import LoadImage
from arch.nfp import ClusterConfig
from arch.nfp_image import nfp_image
from arch.program import Program
from arch.program_image import program_image
from arch.whole_file import write_whole

__all__ = ["write_field_words", "write_program_words"]


def write_field_words(field: QuantizedField, config: ClusterConfig, path: Path) -> Path:
    """Write the words that load ``field``, 16 bytes each; raises InputError if it does not fit."""
    return _write(nfp_image(field, config.nfp), path)


def write_program_words(program: Program, config: ClusterConfig, path: Path) -> Path:
    """Write the words that load ``program`` into the scheduler unit; raises InputError if it does not fit."""
    return _write(program_image(program, config.scheduler), path)


def _write(image: LoadImage, path: Path) -> Path:
    words = {"data": image.data, "address": image.address, "target": image.target}
    return write_whole(path, load_format().pack(words).tobytes())
