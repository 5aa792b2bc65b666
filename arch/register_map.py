"""The register map of a cluster, read from its one source, ``ngpc.rdl`` (SystemRDL 2.0).

The hardware's registers, the driver's names and the generated documents all come from that file, elaborated with the
numbers of a build.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path

from systemrdl import RDLCompiler
from systemrdl.node import AddrmapNode, FieldNode, RegNode
from systemrdl.rdltypes import AccessType, OnWriteType

from arch.errors import InputError
from arch.nfp import ClusterConfig

__all__ = [
    "ADDRESS_BITS",
    "REGISTER_BYTES",
    "REGISTER_SOURCE",
    "FieldKind",
    "Register",
    "RegisterField",
    "RegisterMap",
    "build_parameters",
    "config_hash",
    "elaborate_registers",
    "interface_version",
    "register_map",
]

REGISTER_SOURCE = Path(__file__).with_name("ngpc.rdl")
"""The one source of the registers."""

REGISTER_BYTES = 4
ADDRESS_BITS = 12
"""Byte addresses of the register bus: one page of 4 KiB, the smallest a host maps."""


class FieldKind(Enum):
    """Who changes a field, and how."""

    CONSTANT = "never changes"
    INPUT = "follows the hardware"
    STORAGE = "holds what software wrote"
    PULSE = "1 for one clock when software writes 1; reads as 0"
    STICKY = "set by the hardware, cleared by software writing 1"


@dataclass(frozen=True, kw_only=True)
class RegisterField:
    """A field.

    Parameters
    ----------
    name : its name in the register
    low, width : lowest bit, and bits
    reset : value after reset; 0 for one that follows the hardware
    kind : who changes it
    """

    name: str
    low: int
    width: int
    reset: int
    kind: FieldKind

    @property
    def writable(self) -> bool:
        """Whether software can change it."""
        return self.kind in {FieldKind.STORAGE, FieldKind.PULSE, FieldKind.STICKY}

    def of(self, word: int) -> int:
        """Its value in a register's ``word``."""
        return word >> self.low & (1 << self.width) - 1


@dataclass(frozen=True, kw_only=True)
class Register:
    """A register of 32 bits at byte address ``address``."""

    name: str
    address: int
    fields: tuple[RegisterField, ...]

    @property
    def writable(self) -> bool:
        """Whether a write is no error."""
        return any(field.writable for field in self.fields)

    @property
    def reset(self) -> int:
        """Value after reset of what does not follow the hardware."""
        return sum(field.reset << field.low for field in self.fields)

    def field(self, name: str) -> RegisterField:
        """The field of that name; raises InputError if there is none."""
        return _named(self.fields, name, f"field of register {self.name}")


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """All registers, by ascending address."""

    registers: tuple[Register, ...]

    def register(self, name: str) -> Register:
        """The register of that name; raises InputError if there is none."""
        return _named(self.registers, name, "register")


def build_parameters(config: ClusterConfig) -> dict:
    """All that a build is made of, nested: every parameter but the clock, which the hardware does not know.

    ``points_per_clock`` is ``ClusterConfig.beat_points``, and is left out where it is 1; the MLP engine's ``sine``
    where it is not built.
    """
    parameters = {name: value for name, value in asdict(config).items() if name not in {"clock_hz", "points_per_clock"}}
    if not config.nfp.mlp.sine:
        del parameters["nfp"]["mlp"]["sine"]
    return parameters | ({"points_per_clock": config.beat_points} if config.beat_points > 1 else {})


def config_hash(config: ClusterConfig) -> int:
    """32 bits that name a build: the first of the SHA-256 of its parameters as JSON, keys sorted."""
    text = json.dumps(build_parameters(config), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@lru_cache(maxsize=32)
def register_map(config: ClusterConfig) -> RegisterMap:
    """The registers of a build."""
    return RegisterMap(registers=tuple(_register(node) for node in elaborate_registers(config).registers()))


def interface_version(config: ClusterConfig) -> str:
    """Version of register map and ports, ``major.minor.patch``: what the register ``version`` says."""
    register = register_map(config).register("version")
    return ".".join(str(register.field(name).of(register.reset)) for name in ("major", "minor", "patch"))


def elaborate_registers(config: ClusterConfig) -> AddrmapNode:
    """The elaborated SystemRDL address map of a build, as exporters of documents want it."""
    encoding, mlp = config.nfp.encoding, config.nfp.mlp
    compiler = RDLCompiler()
    compiler.compile_file(str(REGISTER_SOURCE))
    parameters = {
        "N_LEVELS": encoding.n_levels,
        "LEVEL_PARALLEL": encoding.level_parallel,
        "N_FEATURES_PER_LEVEL": encoding.n_features_per_level,
        "N_POS_DIMS": encoding.n_pos_dims,
        "VALUE_BITS": mlp.profile.value_bits,
        "TABLE_ROWS": encoding.table_rows,
        "ROWS": mlp.rows,
        "COLS": mlp.cols,
        "MAX_WIDTH": mlp.max_width,
        "MAX_LAYERS": mlp.max_layers,
        "NANO_BATCH": mlp.nano_batch,
        "WEIGHT_TILES": mlp.weight_tiles,
        "ACTIVATION_TABLES": mlp.activation_tables,
        "FISSION": int(mlp.fission),
        "SIDE_FIRST": mlp.side_first,
        "SIDE_INPUTS": mlp.side_inputs,
        "N_NFPS": config.n_nfps,
        "POINTS_PER_CLOCK": config.beat_points,
        "MAX_OUTPUTS": config.nfp.max_outputs,
        "CONFIG_HASH": config_hash(config),
    }
    if config.scheduler is not None:
        parameters |= {
            "N_DESCRIPTORS": config.scheduler.n_descriptors,
            "N_UNITS": config.scheduler.n_units,
            "N_POOLS": config.scheduler.n_pools,
            "N_CHUNKS": config.scheduler.n_chunks,
            "CHECK_LOAD": int(config.scheduler.check_load),
            "SCHEDULER_UNIT": config.scheduler_unit,
            "SUPERVISED": int(config.scheduler.supervised),
            "BUFFERED": int(config.scheduler.buffered),
            "WATCHDOG_BITS": config.scheduler.watchdog_bits,
        }
    return compiler.elaborate(parameters=parameters).top


def _register(node: RegNode) -> Register:
    return Register(
        name=node.inst_name, address=node.absolute_address, fields=tuple(_field(field) for field in node.fields())
    )


def _field(node: FieldNode) -> RegisterField:
    reset = node.get_property("reset")
    return RegisterField(
        name=node.inst_name, low=node.low, width=node.width, reset=0 if reset is None else int(reset), kind=_kind(node)
    )


def _kind(node: FieldNode) -> FieldKind:
    software, hardware = node.get_property("sw"), node.get_property("hw")
    if node.get_property("singlepulse"):
        return FieldKind.PULSE
    if node.get_property("hwset") and node.get_property("onwrite") is OnWriteType.woclr:
        return FieldKind.STICKY
    plain = node.get_property("onwrite") is None
    kinds = {
        (AccessType.r, AccessType.na): FieldKind.CONSTANT,
        (AccessType.r, AccessType.w): FieldKind.INPUT,
        (AccessType.rw, AccessType.r): FieldKind.STORAGE,
    }
    if not plain or (software, hardware) not in kinds:
        raise InputError(
            f"access of field {node.get_path()} must be one that the registers implement, "
            f"not sw = {software.name}, hw = {hardware.name}"
        )
    return kinds[software, hardware]


def _named(things: tuple, name: str, what: str) -> object:
    for thing in things:
        if thing.name == name:
            return thing
    raise InputError(f"{what} must be one of {', '.join(thing.name for thing in things)}, not {name!r}")
