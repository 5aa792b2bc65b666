"""A field or a program as a file of load words, for hosts that do not run Python."""

import struct
from pathlib import Path

from arch.axis_format import load_format
from arch.checkpoint import FloatField, QuantizedField
from arch.load import LoadImage
from arch.nfp import ClusterConfig
from arch.nfp_image import n_results, nfp_image
from arch.program import Program
from arch.program_image import program_image
from arch.register_map import config_hash
from arch.whole_file import write_whole

__all__ = ["FIELD_HEADER", "write_field_file", "write_program_words"]

FIELD_HEADER = struct.Struct("<4sHHII4Bff4x")
"""Little endian, 32 bytes: ``NGPC``, format 1, bytes of this header, configuration hash of the build, load words; of a
point its coordinates, its outputs, whether a direction code comes with it, bits of an output; real value of one step of
an output and of the direction code (fp32; 0 if there is none, and in ``fp16``)."""

_FORMAT = 1


def write_field_file(field: QuantizedField | FloatField, config: ClusterConfig, path: Path) -> Path:
    """Write a header and the words that load ``field``, 16 bytes each; raises InputError if it does not fit.

    ``ngpc_field_of`` of the C driver reads it and refuses it for another build than ``config``.
    """
    image = nfp_image(field, config.nfp)
    floating = isinstance(field, FloatField)
    header = FIELD_HEADER.pack(
        b"NGPC",
        _FORMAT,
        FIELD_HEADER.size,
        config_hash(config),
        len(image),
        field.config.grid.n_pos_dims,
        n_results(field),
        field.config.app == "nerf",
        config.nfp.mlp.profile.value_bits,
        0.0 if floating else field.networks[-1].output_scale,
        0.0 if floating else field.direction_scale or 0.0,
    )
    return write_whole(path, header + _words(image))


def write_program_words(program: Program, config: ClusterConfig, path: Path) -> Path:
    """Write the words that load ``program`` into the scheduler unit; raises InputError if it does not fit."""
    return write_whole(path, _words(program_image(program, config.scheduler)))


def _words(image: LoadImage) -> bytes:
    return load_format().pack({"data": image.data, "address": image.address, "target": image.target}).tobytes()
